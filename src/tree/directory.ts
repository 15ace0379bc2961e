/** A tree from a folder of the host. */
import * as fs from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { type ByteString, display, fromText } from "../bytes/bytestring.js";
import { breathe } from "../bytes/file-device.js";
import { ImgbuildError } from "../errors.js";
import type { Excludes } from "./excludes.js";
import { isFakeroot, type LibcStat, readLibcStats } from "./fakeroot.js";
import {
  type Directory,
  type Metadata,
  NO_XATTRS,
  type Node,
  newDirectory,
  newFile,
  type Timestamp,
  timestamp,
} from "./node.js";
import type { Observer } from "./observer.js";
import { atHostPath, fileContent, sourceError } from "./source-file.js";
import { lookup, type Tree } from "./tree.js";

export interface DirectoryOptions {
  /** Whether extended attributes are read, which takes a program of the host. Default: true. */
  readonly xattrs?: boolean;
  /** Whether attributes that cannot be read are an error. Default: a notice says so. */
  readonly strictXattrs?: boolean | undefined;
  /** What is left out. Folders that are, are not read at all. */
  readonly excludes?: Excludes | undefined;
  readonly observer?: Observer;
}

const STRICT_HINT =
  "Install getfattr (package attr) and see that it may read everything, or leave out --strict-xattrs.";

/**
 * Reads the folder at `path`, other file systems that are mounted below it included. Owners and modes are as found, under
 * fakeroot and pseudo as these have them. Names that are hard links of each other become one node. Contents stay in their
 * files until they are asked for, and have to be unchanged then.
 *
 * Rejects with `source-missing`, `source-invalid` (not a folder), `source-unreadable`, `source-changed`.
 */
export async function readDirectory(path: string, options: DirectoryOptions = {}): Promise<Tree> {
  refuseOthers(path);
  const { excludes } = options;
  const paths = excludes === undefined ? undefined : await new HostFolder(path).paths(excludes);
  const stats = isFakeroot() ? await readLibcStats(path, paths) : undefined;
  const notice = (text: string) => {
    if (options.strictXattrs) throw new ImgbuildError("source-unreadable", text, { hint: STRICT_HINT });
    options.observer?.notice?.(text);
  };
  const readHostXattrs = options.xattrs === false ? undefined : await loadXattrReader();
  const [xattrs, tree] = await Promise.all([
    // Another program. It is started first, to run at the same time.
    readHostXattrs?.(path, notice, paths),
    new DirectoryReader(new HostFolder(path), stats).read(excludes),
  ]);
  for (const [of, attributes] of xattrs ?? []) {
    const node = lookup(tree, of);
    if (node !== undefined) node.xattrs = attributes;
  }
  return tree;
}

/** Loaded when it is needed: what starts programs takes longer to load than a small folder to read. */
const loadXattrReader = async () => (await import("./host-xattrs.js")).readHostXattrs;

/**
 * The node that a single file of the host makes, extended attributes and all; for a folder, one without entries. Rejects
 * with `source-missing` and as `readDirectory` does.
 */
export async function readHostNode(file: string, observer: Observer = {}): Promise<Node> {
  const folder = dirname(resolve(file));
  const name = fromText(basename(resolve(file)));
  const host = new HostFolder(folder);
  if (!host.has(name)) {
    throw new ImgbuildError("source-missing", `${file} does not exist`, { hint: "Check the path." });
  }
  const stats = isFakeroot() ? await readLibcStats(folder, [name]) : undefined;
  const readHostXattrs = await loadXattrReader();
  const xattrs = await readHostXattrs(folder, (text) => observer.notice?.(text), [name]);
  const node = new DirectoryReader(host, stats).node("" as ByteString, name);
  node.xattrs = xattrs.get(name) ?? NO_XATTRS;
  return node;
}

function refuseOthers(path: string): void {
  let stat: fs.Stats;
  try {
    stat = fs.statSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw sourceError(path, error);
    throw new ImgbuildError("source-missing", `${path} does not exist`, { hint: "Check the path.", cause: error });
  }
  if (stat.isDirectory()) return;
  throw new ImgbuildError("source-invalid", `${path} is not a folder`, {
    hint: "Give the folder that holds the root file system, or a tar of it.",
  });
}

const S_IFMT = 0o170000;
const TYPES = new Map<number, Node["type"]>([
  [0o040000, "directory"],
  [0o100000, "file"],
  [0o120000, "symlink"],
  [0o060000, "block"],
  [0o020000, "character"],
  [0o010000, "fifo"],
  [0o140000, "socket"],
]);

/** The path of what is called `name` in the folder at `path`. */
const below = (path: ByteString, name: ByteString) => (path === "" ? name : `${path}/${name}`) as ByteString;

/** A folder of the host by the paths below it. */
class HostFolder {
  readonly #prefix: ByteString;

  constructor(folder: string) {
    this.#prefix = fromText(folder.endsWith("/") ? folder : `${folder}/`);
  }

  /** On the host. */
  bytesOf(path: ByteString): ByteString {
    return `${this.#prefix}${path}` as ByteString;
  }

  /** Calls `call` with the path on the host. */
  at<T>(path: ByteString, call: (path: string | Buffer) => T): T {
    return atHostPath(this.bytesOf(path), call);
  }

  shown(path: ByteString): string {
    return display(this.bytesOf(path));
  }

  has(path: ByteString): boolean {
    try {
      return this.at(path, (at) => fs.lstatSync(at, { throwIfNoEntry: false }) !== undefined);
    } catch (error) {
      // A folder on the way to it, where the path is too long for one call.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw sourceError(this.shown(path), error);
    }
  }

  /** The names of what is in the folder at `path` and not left out. */
  entries(path: ByteString, excludes: Excludes | undefined): ByteString[] {
    let names: ByteString[];
    try {
      names = this.at(path, (at) => fs.readdirSync(at, { encoding: "latin1" })) as ByteString[];
    } catch (error) {
      throw sourceError(this.shown(path), error);
    }
    if (excludes === undefined) return names;
    return names.filter((name) => {
      const child = below(path, name);
      return !excludes.has(child, () => this.#isFolder(child));
    });
  }

  /** Everything that is not left out, the folder itself included. */
  async paths(excludes: Excludes): Promise<ByteString[]> {
    const paths = ["" as ByteString];
    for (let i = 0; i < paths.length; i++) {
      const path = paths[i]!;
      if (i > 0 && !this.#isFolder(path)) continue;
      await breathe();
      for (const name of this.entries(path, excludes)) paths.push(below(path, name));
    }
    return paths;
  }

  #isFolder(path: ByteString): boolean {
    try {
      return this.at(path, (at) => fs.lstatSync(at).isDirectory());
    } catch (error) {
      throw sourceError(this.shown(path), error);
    }
  }
}

class DirectoryReader {
  readonly #host: HostFolder;
  readonly #stats: ReadonlyMap<ByteString, LibcStat> | undefined;
  /** Inodes with more than one name. */
  readonly #linked = new Map<string, Node>();
  #lastFolder = "" as ByteString;
  #lastHostFolder: ByteString;
  #lastTime = 0n;
  #lastTimestamp = timestamp(this.#lastTime);

  constructor(host: HostFolder, stats: ReadonlyMap<ByteString, LibcStat> | undefined) {
    this.#host = host;
    this.#stats = stats;
    this.#lastHostFolder = host.bytesOf(this.#lastFolder);
  }

  async read(excludes: Excludes | undefined): Promise<Tree> {
    const root = this.node("" as ByteString, "" as ByteString) as Directory;
    const folders: [ByteString, Directory][] = [["" as ByteString, root]];
    for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
      await breathe();
      const [path, directory] = next;
      const folder = (path === "" ? path : `${path}/`) as ByteString;
      for (const name of this.#host.entries(path, excludes)) {
        const node = this.node(folder, name);
        directory.entries.set(name, node);
        if (node.type === "directory") folders.push([`${folder}${name}` as ByteString, node]);
      }
    }
    return { root };
  }

  /**
   * The node of what is called `name` in `folder`, which ends with a slash or is empty; the same one for each name of a hard
   * link. Without extended attributes.
   */
  node(folder: ByteString, name: ByteString): Node {
    const path = `${folder}${name}` as ByteString;
    let stat: fs.BigIntStats;
    try {
      // The folder that was given may be a symlink; nothing below it is followed.
      const look = path === "" ? fs.statSync : fs.lstatSync;
      stat = this.#host.at(path, (at) => look(at, { bigint: true }));
    } catch (error) {
      throw sourceError(this.#host.shown(path), error);
    }
    const inode = stat.nlink > 1n && !stat.isDirectory() ? `${stat.dev}:${stat.ino}` : undefined;
    const known = inode === undefined ? undefined : this.#linked.get(inode);
    if (known !== undefined) return known;
    const node = this.#describe(folder, name, stat);
    if (inode !== undefined) this.#linked.set(inode, node);
    return node;
  }

  /** Where a folder is on the host: one string for all files in it. */
  #hostFolder(folder: ByteString): ByteString {
    if (folder !== this.#lastFolder) {
      this.#lastFolder = folder;
      this.#lastHostFolder = this.#host.bytesOf(folder);
    }
    return this.#lastHostFolder;
  }

  /** Files that were unpacked or installed together often have one time: one object for all of them. */
  #timeOf(nanoseconds: bigint): Timestamp {
    if (nanoseconds !== this.#lastTime) {
      this.#lastTime = nanoseconds;
      this.#lastTimestamp = timestamp(nanoseconds);
    }
    return this.#lastTimestamp;
  }

  #describe(folder: ByteString, name: ByteString, stat: fs.BigIntStats): Node {
    const path = `${folder}${name}` as ByteString;
    const facts = this.#stats === undefined ? kernelStat(stat) : this.#stats.get(path);
    if (facts === undefined) {
      throw new ImgbuildError("source-changed", `${this.#host.shown(path)} appeared while the folder was read`, {
        hint: "Something still writes to the source. Wait until it is done.",
      });
    }
    const mtime = this.#timeOf(stat.mtimeNs);
    const metadata: Metadata = { mode: facts.mode & 0o7777, uid: facts.uid, gid: facts.gid, mtime, xattrs: NO_XATTRS };
    const type = TYPES.get(facts.mode & S_IFMT);
    switch (type) {
      case "directory":
        return newDirectory(metadata);
      case "file":
        // Where its holes are is not asked: a file without blocks (st_blocks) may well hold data on btrfs, FUSE and others.
        return newFile(
          fileContent({ folder: this.#hostFolder(folder), name, size: Number(stat.size), mtime }),
          metadata,
        );
      case "symlink":
        try {
          return {
            type,
            ...metadata,
            target: this.#host.at(path, (at) => fs.readlinkSync(at, { encoding: "latin1" })) as ByteString,
          };
        } catch (error) {
          throw sourceError(this.#host.shown(path), error);
        }
      case "block":
      case "character":
        return { type, ...metadata, major: facts.major, minor: facts.minor };
      case "fifo":
      case "socket":
        return { type, ...metadata };
      default:
        throw new ImgbuildError(
          "source-unsupported",
          `${this.#host.shown(path)} is of a type that Linux does not have`,
          {
            hint: "Remove it from the source.",
          },
        );
    }
  }
}

/** What the kernel says, as libc would put it. The device's number is split as gnu_dev_major and gnu_dev_minor do. */
function kernelStat({ mode, uid, gid, rdev }: fs.BigIntStats): LibcStat {
  return {
    mode: Number(mode),
    uid: Number(uid),
    gid: Number(gid),
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xffff_f000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffff_ff00n)),
  };
}
