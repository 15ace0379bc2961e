/** What is mounted where, in which order, and what cannot be. */
import { type ByteString, compareBytes, display, fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { realPath } from "../tree/real-path.js";
import type { Tree } from "../tree/tree.js";
import type { OverlayOptions } from "./install.js";
import type { LayerSource } from "./layer-source.js";
import { checkRealPath, overlayName, sortOverlays } from "./userdata.js";

/** Where UserData is mounted. Its own folder in the root: what lies below /mnt, /media and /run may be mounted over. */
export const USERDATA = fromText("/userdata");
/** Where the read-only root is found when the whole root has an overlay. */
export const ROM = fromText("/rom");

/** Not on the root file system: mounted over before or by the script. */
const MOUNTED_OVER = ["/dev", "/proc", "/run", "/sys", USERDATA, ROM];

export interface Place {
  readonly name: string;
  /** Without symlinks on the way. */
  readonly path: ByteString;
  /** What it is in the configuration: written on UserData, written in memory, or not at all. */
  readonly kind: "overlay" | "volatile" | "readonly";
  readonly layers: readonly LayerSource[];
}

/** As many file systems the kernel lays over each other: FILESYSTEM_MAX_STACK_DEPTH of include/linux/fs.h. */
const MAX_DEPTH = 2;

/** Refuses an overlay whose lowest layer is in an overlay that is itself in one. `overlays`: the ones mounted before it. */
export function checkDepth(path: ByteString, overlays: readonly ByteString[]): void {
  const around = overlays.filter((other) => other === "/" || path.startsWith(`${other}/`));
  if (around.length < MAX_DEPTH) return;
  throw refuse(
    `there can be no overlay of ${display(path)}: it is in those of ${around.map(display).join(" and ")}, and the kernel lays no more than ${MAX_DEPTH} over each other`,
    "Leave one of them out. An overlay has all in it that is below its path.",
  );
}

/** What is mounted, a folder before what is in it. Refuses two overlays of one folder, and what is not on the root. */
export function findPlaces(tree: Tree, options: OverlayOptions): Place[] {
  const places = new Map<ByteString, ByteString>();
  const layersBy = new Map<ByteString, LayerSource[]>();
  for (const { path, from } of options.layers ?? []) {
    const real = realPath(tree, sortOverlays([path])[0]!);
    layersBy.set(real, [...(layersBy.get(real) ?? []), from]);
  }
  const find = (paths: readonly ByteString[], kind: Place["kind"]) =>
    sortOverlays(paths).map((path): Place => {
      const real = realPath(tree, path);
      checkRealPath(path, real);
      checkPlace(path, real, places);
      return { name: overlayName(path), path: real, kind, layers: layersBy.get(real) ?? [] };
    });
  const kept = find(options.paths, "overlay");
  if (kept.length > 1 && kept[0]!.path === "/") {
    throw refuse(
      `overlays of "/" and of ${kept
        .slice(1)
        .map(({ path }) => display(path))
        .join(", ")} cannot be had together`,
      "The one of the whole root has all in it: leave the others out of overlay.paths.",
    );
  }
  const inMemory = find(options.volatile, "volatile");
  if (inMemory.some(({ path }) => path === "/")) {
    throw refuse("the whole root cannot be volatile", "Name folders, such as /tmp and /var/log, in overlay.volatile.");
  }
  const below = kept.find(({ path }) => inMemory.some((other) => path.startsWith(`${other.path}/`)));
  if (below !== undefined) {
    throw refuse(
      `there can be no overlay of ${display(below.path)}: it is in a folder that is volatile`,
      "Leave one of them out of overlay.paths and overlay.volatile.",
    );
  }
  const readOnly = find(
    [...layersBy.keys()].filter((path) => !places.has(path)),
    "readonly",
  );
  if (readOnly.some(({ path }) => path === "/")) {
    throw refuse(
      'layers over "/" need an overlay of the whole root',
      'Set overlay.paths to ["/"], or give the layers the paths of folders.',
    );
  }
  return [...kept, ...inMemory, ...readOnly].sort((a, b) => compareBytes(a.path, b.path));
}

function checkPlace(path: ByteString, real: ByteString, places: Map<ByteString, ByteString>): void {
  const other = places.get(real);
  if (other !== undefined) {
    throw refuse(
      path === other
        ? `${display(path)} is to be kept and volatile`
        : `${display(path)} and ${display(other)} are the same folder, by symlinks`,
      "Leave one of them out of the overlays.",
    );
  }
  const over = MOUNTED_OVER.find((folder) => real === folder || real.startsWith(`${folder}/`));
  if (over !== undefined) {
    throw refuse(
      `there can be no overlay of ${display(path)}: ${over} is not on the root`,
      "Leave it out of the overlays; what is written there is not on the read-only root.",
    );
  }
  places.set(real, path);
}

function refuse(message: string, hint: string): ImgbuildError {
  return new ImgbuildError("profile-invalid", message, { hint });
}
