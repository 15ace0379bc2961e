/** Puts the scripts that lay the overlays into the root file system, and checks that they will find there what they need. */
import * as fs from "node:fs";
import { type ByteString, display, fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import {
  contentOf,
  type Directory,
  type Metadata,
  type Node,
  newFile,
  newMetadata,
  readContent,
  type Timestamp,
} from "../tree/node.js";
import { follow, realPath } from "../tree/real-path.js";
import { addNode, makeDirectories, type Tree } from "../tree/tree.js";
import { isWithin, keepPattern } from "./keep.js";
import { type LayerSource, layerSourceLine } from "./layer-source.js";
import { checkDepth, findPlaces, ROM, USERDATA } from "./places.js";
import { mountUnits, type ReadyHook, readyHook, startparList } from "./ready-hook.js";
import { rootManifest } from "./root-manifest.js";

/** What becomes of what was written to an overlay when the root under it is replaced: docs/device.md. */
export const NEW_ROOT_POLICIES = ["keep", "reset", "refresh"] as const;
export type NewRootPolicy = (typeof NEW_ROOT_POLICIES)[number];

/** A layer over a folder of the root that is not in the root: an application, say, that is updated by itself. */
export interface BaseLayer {
  /** The folder that it lies over. Where no overlay is to be writable there, it is read-only. */
  readonly path: ByteString;
  readonly from: LayerSource;
}

/** How the device makes UserData fill its disk. */
export interface Growth {
  /** The number of the extended partition that UserData's partition lies in, if it is a logical one. */
  readonly extended?: number | undefined;
  /** Where something begins that it must not grow over, in bytes from the medium's start. */
  readonly reserved: readonly number[];
}

export interface OverlayOptions {
  /** The folders that are to be writable, absolute: "/home/root"; or "/" alone. */
  readonly paths: readonly ByteString[];
  /** The folders that are to be writable in memory. */
  readonly volatile: readonly ByteString[];
  readonly newRoot: NewRootPolicy;
  /** Patterns of files that a factory reset carries over, absolute; * ? and [ ] as the shell has them. */
  readonly keep: readonly ByteString[];
  /** UserData's number in the partition table. */
  readonly userdataPartition: number;
  /** Layers between the root and what is written, from elsewhere; later ones lie above those before them. */
  readonly layers?: readonly BaseLayer[];
  /** BootFS's number in the partition table, where a file on it may ask for a factory reset. */
  readonly flagPartition?: number | undefined;
  /** How UserData is to grow on the device; undefined: not at all. */
  readonly growth?: Growth | undefined;
  /** Where there are two slots for the root. */
  readonly slots?: DeviceSlots | undefined;
  /** Modification time of all that is added. */
  readonly time: Timestamp;
}

/** Two slots for the root, as the device has to know them. */
export interface DeviceSlots {
  /** Their numbers in the partition table. */
  readonly partitions: readonly [number, number];
  /** Where the environment is, in bytes from the disk's start: docs/decisions/0017. */
  readonly environmentAt: number;
  /** Whether U-Boot expects a flag behind its checksum. */
  readonly redundant: boolean;
  readonly tries: number;
  readonly confirm: "automatic" | "manual";
  /** After how many seconds a root on trial that has not been confirmed is restarted; 0: never. */
  readonly deadline: number;
}

export interface InstalledOverlay {
  /** What the kernel has to be told: `init=` this path. */
  readonly init: string;
  /** The real init that the script becomes. */
  readonly realInit: ByteString;
  /** Programs that the root lacks and that resets, snapshots or `overlayctl` call. It boots without them. */
  readonly lacking: readonly string[];
  /** Programs that the root lacks and that UserData grows with, where it is to. */
  readonly lackingToGrow: readonly string[];
  /** Patterns of what a reset is to keep that no overlay on UserData has anything of. */
  readonly keptNowhere: readonly ByteString[];
  /** What was put into the tree, in the order in which it was. Absolute paths. */
  readonly added: readonly ByteString[];
}

const LIBRARY = "/usr/lib/imgbuild";
const SCRIPT = fromText(`${LIBRARY}/preinit`);
/** What is installed, by the names of the files in this folder. */
const SCRIPTS: readonly (readonly [source: string, path: string, mode: number])[] = [
  ["preinit.sh", SCRIPT, 0o755],
  ["mounts.sh", `${LIBRARY}/mounts.sh`, 0o644],
  ["userdata.sh", `${LIBRARY}/userdata.sh`, 0o644],
  ["grow.sh", `${LIBRARY}/grow.sh`, 0o644],
  ["storage-command.sh", `${LIBRARY}/storage-command.sh`, 0o644],
  ["storages.sh", `${LIBRARY}/storages.sh`, 0o644],
  ["boot-flag.sh", `${LIBRARY}/boot-flag.sh`, 0o644],
  ["state.sh", `${LIBRARY}/state.sh`, 0o644],
  ["requests.sh", `${LIBRARY}/requests.sh`, 0o644],
  ["reset.sh", `${LIBRARY}/reset.sh`, 0o644],
  ["layers.sh", `${LIBRARY}/layers.sh`, 0o644],
  ["before.sh", `${LIBRARY}/before.sh`, 0o644],
  ["root-change.sh", `${LIBRARY}/root-change.sh`, 0o644],
  ["differences.sh", `${LIBRARY}/differences.sh`, 0o644],
  ["report.sh", `${LIBRARY}/report.sh`, 0o644],
  ["environment.sh", `${LIBRARY}/environment.sh`, 0o644],
  ["slots.sh", `${LIBRARY}/slots.sh`, 0o644],
  ["deadline.sh", `${LIBRARY}/deadline.sh`, 0o644],
  ["update.sh", `${LIBRARY}/update.sh`, 0o644],
  ["transfer.sh", `${LIBRARY}/transfer.sh`, 0o644],
  ["arguments.sh", `${LIBRARY}/arguments.sh`, 0o644],
  ["locks.sh", `${LIBRARY}/locks.sh`, 0o644],
  ["ask.sh", `${LIBRARY}/ask.sh`, 0o644],
  ["overlayctl.sh", "/usr/sbin/overlayctl", 0o755],
];

/** What the kernel tries by itself (init/main.c, kernel_init), and systemd, which a root may have without /sbin/init. */
const INITS = ["/sbin/init", "/lib/systemd/systemd", "/etc/init", "/bin/init", "/bin/sh"].map(fromText);

/** What every boot needs, or may need to go on without UserData; and where the scripts look for it. */
const PROGRAMS = ["chmod", "chown", "mkdir", "mount", "mv", "rm", "stat", "sync"];
/** What requests, new roots and overlayctl need besides. */
const MORE_PROGRAMS = [
  ...[
    "cat",
    "cmp",
    "cp",
    "date",
    "df",
    "du",
    "grep",
    "ln",
    "readlink",
    "rmdir",
    "sed",
    "sha256sum",
    "tar",
    "touch",
    "tr",
  ],
  "umount",
];
/** What UserData grows with. */
const GROWING_PROGRAMS = ["sfdisk", "partx", "resize2fs"];
/** What two slots need besides. */
const SLOT_PROGRAMS = [
  "blockdev",
  "dd",
  "dirname",
  "gzip",
  "head",
  "mknod",
  "od",
  "reboot",
  "sleep",
  "tail",
  "tee",
  "uname",
  "wc",
];
const PROGRAM_FOLDERS = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/**
 * Adds the scripts, their configuration and the mount points that are missing; they belong to root. Reads what the root has
 * below the overlays. Rejects with `profile-invalid` for a path that no overlay can be laid over, and `source-invalid` for a
 * root that lacks an init or a program that the scripts need, or has something else where a mount point has to be. The tree
 * is not to be used after an error.
 */
export async function installOverlay(tree: Tree, options: OverlayOptions): Promise<InstalledOverlay> {
  const added: ByteString[] = [];
  const metadata = (mode: number): Metadata => ({ ...newMetadata(mode), mtime: options.time });

  const mountPoint = (path: ByteString, mode = 0o755): Directory => {
    const real = realPath(tree, path);
    const node = follow(tree, path);
    if (node?.type === "directory") return node;
    if (node !== undefined) {
      throw new ImgbuildError("source-invalid", `${display(path)} has to be a folder, but is a ${node.type}`, {
        hint: `Remove it from the root file system; something is to be mounted on it.`,
      });
    }
    const directory = makeDirectories(tree, real, metadata(0o755));
    directory.mode = mode;
    added.push(real);
    return directory;
  };
  const add = (path: string, node: Node) => {
    const real = realPath(tree, fromText(path), false);
    addNode(tree, real, node, metadata(0o755));
    added.push(real);
  };
  const addFile = (path: string, mode: number, bytes: Uint8Array) =>
    add(path, newFile(contentOf(bytes), metadata(mode)));

  const realInit = findInit(tree);
  const places = findPlaces(tree, options);
  const wholeRoot = places.some(({ path }) => path === "/");
  const lacking = checkPrograms(tree, wholeRoot, options.slots !== undefined);
  for (const path of ["/dev", "/proc", "/run", "/sys"]) mountPoint(fromText(path));
  mountPoint(fromText("/tmp"), 0o1777);
  mountPoint(USERDATA);
  if (wholeRoot) mountPoint(ROM);

  const hook = readyHook(tree, realInit);
  if (hook !== undefined) addHook(hook, add, addFile, metadata);
  if (hook?.list !== undefined) await changeText(tree, hook.list, startparList);
  const keeps = options.keep.map(keepPattern);
  const keptNowhere = keeps.filter((pattern) => !options.paths.some((path) => isWithin(pattern, path)));
  const config = [
    ...[`userdata ${options.userdataPartition}`, `mount ${USERDATA}`, `init ${realInit}`],
    ...growthLines(options.growth),
    ...(options.flagPartition === undefined ? [] : [`flag ${options.flagPartition}`]),
    ...[`first ${hook === undefined ? "ready" : "pending"}`, `policy ${options.newRoot}`],
    ...slotSettings(options.slots, hook),
    ...keeps.map((pattern) => `keep ${pattern}`),
  ];
  let layerNumber = 0;
  const overlays: ByteString[] = [];
  for (const { name, path, kind, layers } of places) {
    const folder = mountPoint(path);
    for (const from of layers) config.push(`layer ${++layerNumber} ${name} ${layerSourceLine(from)}`);
    if (kind === "volatile" && folder.entries.size === 0 && layers.length === 0) {
      const { mode, uid, gid } = folder;
      config.push(`tmpfs ${mode.toString(8)} ${uid},gid=${gid} ${path}`);
      continue;
    }
    checkDepth(path, overlays);
    overlays.push(path);
    if (kind !== "overlay") {
      config.push(`${kind} ${name} - ${path}`);
      continue;
    }
    const { bytes, identity } = await rootManifest(
      folder,
      path === "/" ? [realPath(tree, fromText(LIBRARY)).slice(1) as ByteString] : [],
    );
    config.push(`overlay ${name} ${identity} ${path}`);
    if (options.newRoot === "refresh") addFile(`${LIBRARY}/manifest/${name}`, 0o644, bytes);
  }
  const mounts = [
    USERDATA,
    ...(wholeRoot ? [ROM] : []),
    ...places.map(({ path }) => path).filter((path) => path !== "/"),
  ];
  for (const { path, text } of mountUnits(tree, realInit, mounts)) addFile(path, 0o644, Buffer.from(text, "latin1"));
  for (const [source, path, mode] of SCRIPTS) addFile(path, mode, script(source));
  addFile(`${LIBRARY}/preinit.conf`, 0o644, Buffer.from(`${config.join("\n")}\n`, "latin1"));
  const lackingToGrow = options.growth === undefined ? [] : GROWING_PROGRAMS.filter((name) => lacksProgram(tree, name));
  return { init: SCRIPT, realInit, lacking, lackingToGrow, keptNowhere, added };
}

function growthLines(growth: Growth | undefined): string[] {
  if (growth === undefined) return [];
  return [`grow ${growth.extended ?? "-"}`, ...growth.reserved.map((start) => `reserved ${Math.floor(start / 512)}`)];
}

function slotSettings(slots: DeviceSlots | undefined, hook: ReadyHook | undefined): string[] {
  if (slots === undefined) return [];
  const { partitions, environmentAt, redundant, tries, confirm, deadline } = slots;
  if (confirm === "automatic" && hook === undefined) {
    throw refuse(
      "nothing in the root tells when a boot has completed, and so nothing would confirm a new root",
      "Set slots.confirm to manual, and have an application call `overlayctl confirm`.",
    );
  }
  return [`slots ${partitions.join(" ")} ${environmentAt / 4096} ${redundant ? 5 : 4} ${tries} ${confirm} ${deadline}`];
}

function script(name: string): Uint8Array {
  return fs.readFileSync(new URL(`../../../src/overlay/${name}`, import.meta.url));
}

function refuse(message: string, hint: string): ImgbuildError {
  return new ImgbuildError("profile-invalid", message, { hint });
}

/** Replaces a file's content. */
async function changeText(tree: Tree, path: string, change: (text: string) => string): Promise<void> {
  const file = follow(tree, fromText(path));
  if (file?.type !== "file") return;
  const text = Buffer.from(await readContent(file.content)).toString("latin1");
  file.content = contentOf(Buffer.from(change(text), "latin1"));
}

function addHook(
  hook: ReadyHook,
  add: (path: string, node: Node) => void,
  addFile: (path: string, mode: number, bytes: Uint8Array) => void,
  metadata: (mode: number) => Metadata,
): void {
  addFile(hook.path, hook.mode, script(hook.source));
  for (const path of hook.links) add(path, { type: "symlink", ...metadata(0o777), target: fromText(hook.target) });
}

/** A file that may be executed, behind any symlinks. */
function isProgram(node: Node | undefined): boolean {
  return node?.type === "file" && (node.mode & 0o111) !== 0;
}

/** The path by which the real init is to be called. Not its target: busybox tells by the name what it is to be. */
function findInit(tree: Tree): ByteString {
  const found = INITS.find((path) => isProgram(follow(tree, path)));
  if (found !== undefined) return found;
  throw new ImgbuildError(
    "source-invalid",
    `the root file system has no init: no program ${INITS.map(display).join(", ")}`,
    {
      hint: "Install an init: systemd, sysvinit, or busybox with its link /sbin/init. Another one needs a link of that name.",
    },
  );
}

function lacksProgram(tree: Tree, name: string): boolean {
  return !PROGRAM_FOLDERS.some((folder) => isProgram(follow(tree, fromText(`${folder}/${name}`))));
}

/** Returns those of the programs that the root lacks and can boot without. */
function checkPrograms(tree: Tree, wholeRoot: boolean, slots: boolean): string[] {
  const lacks = (name: string) => lacksProgram(tree, name);
  const missing = (wholeRoot ? [...PROGRAMS, "pivot_root"] : PROGRAMS).filter(lacks);
  if (!isProgram(follow(tree, fromText("/bin/sh")))) missing.unshift("/bin/sh");
  if (missing.length === 0) return [...MORE_PROGRAMS, ...(slots ? SLOT_PROGRAMS : [])].filter(lacks);
  throw new ImgbuildError(
    "source-invalid",
    `the root file system lacks programs that set up the overlay: ${missing.join(", ")}`,
    {
      hint: "Install busybox with links for its applets, or coreutils, util-linux and a shell.",
      data: { missing },
    },
  );
}
