/** Puts the script that lays the overlays into the root file system, and checks that it will find there what it needs. */
import * as fs from "node:fs";
import { type ByteString, display, fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { contentOf, type Metadata, type Node, newFile, newMetadata, type Timestamp } from "../tree/node.js";
import { follow, realPath } from "../tree/real-path.js";
import { addNode, makeDirectories, type Tree } from "../tree/tree.js";
import { checkRealPath, overlayName, sortOverlays } from "./userdata.js";

export interface OverlayOptions {
  /** The folders that are to be writable, absolute: "/home/root". */
  readonly paths: readonly ByteString[];
  /** UserData's number in the partition table. */
  readonly userdataPartition: number;
  /** Modification time of all that is added. */
  readonly time: Timestamp;
}

export interface InstalledOverlay {
  /** What the kernel has to be told: `init=` this path. */
  readonly init: string;
  /** The real init that the script becomes. */
  readonly realInit: ByteString;
  /** What was put into the tree, in the order in which it was. Absolute paths. */
  readonly added: readonly ByteString[];
}

const SCRIPT = fromText("/usr/lib/imgbuild/preinit");
const CONFIG = fromText("/usr/lib/imgbuild/preinit.conf");
/** Where UserData is mounted. Its own folder in the root: what lies below /mnt, /media and /run may be mounted over. */
const USERDATA = fromText("/userdata");

/** What the kernel tries by itself (init/main.c, kernel_init), and systemd, which a root may have without /sbin/init. */
const INITS = ["/sbin/init", "/lib/systemd/systemd", "/etc/init", "/bin/init", "/bin/sh"].map(fromText);

/** What preinit.sh calls and cannot do without, and where it looks for it. */
const PROGRAMS = ["chmod", "chown", "mkdir", "mount", "mv", "rm", "stat", "sync"];
const PROGRAM_FOLDERS = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** Not on the root file system: mounted over before or by the script. */
const MOUNTED_OVER = ["/dev", "/proc", "/run", "/sys", USERDATA];

const script = new URL("../../../src/overlay/preinit.sh", import.meta.url);

/**
 * Adds the script, its configuration and the mount points that are missing; they belong to root. Throws `profile-invalid`
 * for a path that no overlay can be laid over, and `source-invalid` for a root that lacks an init or a program that the
 * script needs, or has something else where a mount point has to be. The tree is not to be used after an error.
 */
export function installOverlay(tree: Tree, options: OverlayOptions): InstalledOverlay {
  const added: ByteString[] = [];
  const metadata = (mode: number): Metadata => ({ ...newMetadata(mode), mtime: options.time });

  const mountPoint = (path: ByteString, mode = 0o755) => {
    const real = realPath(tree, path);
    const node = follow(tree, path);
    if (node === undefined) {
      makeDirectories(tree, real, metadata(0o755)).mode = mode;
      added.push(real);
    } else if (node.type !== "directory") {
      throw new ImgbuildError("source-invalid", `${display(path)} has to be a folder, but is a ${node.type}`, {
        hint: `Remove it from the root file system; something is to be mounted on it.`,
      });
    }
  };
  const addFile = (path: ByteString, mode: number, bytes: Uint8Array) => {
    const real = realPath(tree, path);
    addNode(tree, real, newFile(contentOf(bytes), metadata(mode)), metadata(0o755));
    added.push(real);
  };

  const realInit = findInit(tree);
  checkPrograms(tree);
  for (const path of ["/dev", "/proc", "/run", "/sys"]) mountPoint(fromText(path));
  mountPoint(fromText("/tmp"), 0o1777);
  mountPoint(USERDATA);

  const config = [`userdata ${options.userdataPartition}`, `mount ${USERDATA}`, `init ${realInit}`];
  const places = new Map<ByteString, ByteString>();
  for (const path of sortOverlays(options.paths)) {
    const name = overlayName(path);
    const real = realPath(tree, path);
    checkRealPath(path, real);
    checkPlace(path, real, places);
    mountPoint(path);
    config.push(`overlay ${name} ${real}`);
  }
  addFile(SCRIPT, 0o755, fs.readFileSync(script));
  addFile(CONFIG, 0o644, Buffer.from(`${config.join("\n")}\n`, "latin1"));
  return { init: SCRIPT, realInit, added };
}

/** Refuses two overlays of one folder, and folders that are not on the root file system. */
function checkPlace(path: ByteString, real: ByteString, places: Map<ByteString, ByteString>): void {
  const other = places.get(real);
  if (other !== undefined) {
    throw new ImgbuildError(
      "profile-invalid",
      `${display(path)} and ${display(other)} are the same folder, by symlinks`,
      {
        hint: "Leave one of them out of the overlays.",
      },
    );
  }
  const over = MOUNTED_OVER.find((folder) => real === folder || real.startsWith(`${folder}/`));
  if (over !== undefined) {
    throw new ImgbuildError(
      "profile-invalid",
      `there can be no overlay of ${display(path)}: ${over} is not on the root`,
      {
        hint: "Leave it out of the overlays; what is written there is not on the read-only root.",
      },
    );
  }
  places.set(real, path);
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

function checkPrograms(tree: Tree): void {
  const has = (path: string) => isProgram(follow(tree, fromText(path)));
  const missing = PROGRAMS.filter((name) => !PROGRAM_FOLDERS.some((folder) => has(`${folder}/${name}`)));
  if (!has("/bin/sh")) missing.unshift("/bin/sh");
  if (missing.length === 0) return;
  throw new ImgbuildError(
    "source-invalid",
    `the root file system lacks programs that set up the overlay: ${missing.join(", ")}`,
    {
      hint: "Install busybox with links for its applets, or coreutils, util-linux and a shell.",
      data: { missing },
    },
  );
}
