/** A tree from a folder of the host. */
import * as fs from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { type ByteString, display, fromBytes, fromText, toBytes } from "../bytes/bytestring.js";
import { breathe } from "../bytes/file-device.js";
import { ImgbuildError } from "../errors.js";
import type { Excludes } from "./excludes.js";
import { isFakeroot, type LibcStat, readLibcStats } from "./fakeroot.js";
import { readHostXattrs, type XattrsByPath } from "./host-xattrs.js";
import { type Directory, type Metadata, NO_XATTRS, type Node, newDirectory } from "./node.js";
import type { Observer } from "./observer.js";
import { fileContent, sourceError } from "./source-file.js";
import type { Tree } from "./tree.js";

export interface DirectoryOptions {
  /** Whether extended attributes are read, which takes a program of the host. Default: true. */
  readonly xattrs?: boolean;
  /** What is left out. Folders that are, are not read at all. */
  readonly excludes?: Excludes | undefined;
  readonly observer?: Observer;
}

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
  const notice = (text: string) => options.observer?.notice?.(text);
  const xattrs: XattrsByPath = options.xattrs === false ? new Map() : await readHostXattrs(path, notice, paths);
  return new DirectoryReader(new HostFolder(path), stats, xattrs).read(excludes);
}

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
  const xattrs = await readHostXattrs(folder, (text) => observer.notice?.(text), [name]);
  return new DirectoryReader(host, stats, xattrs).node(name);
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

/** A folder of the host by the paths below it. */
class HostFolder {
  readonly #prefix: Buffer;

  constructor(folder: string) {
    this.#prefix = Buffer.from(folder.endsWith("/") ? folder : `${folder}/`);
  }

  pathOf(path: ByteString): Buffer {
    return Buffer.concat([this.#prefix, toBytes(path)]);
  }

  shown(path: ByteString): string {
    return `${this.#prefix}${display(path)}`;
  }

  has(path: ByteString): boolean {
    try {
      return fs.lstatSync(this.pathOf(path), { throwIfNoEntry: false }) !== undefined;
    } catch (error) {
      throw sourceError(this.shown(path), error);
    }
  }

  /** The paths of what is in the folder at `path` and not left out. */
  entries(path: ByteString, excludes: Excludes | undefined): [name: ByteString, path: ByteString][] {
    let names: ByteString[];
    try {
      names = fs.readdirSync(this.pathOf(path), { encoding: "buffer" }).map(fromBytes);
    } catch (error) {
      throw sourceError(this.shown(path), error);
    }
    const entries = names.map((name): [ByteString, ByteString] => [
      name,
      (path === "" ? name : `${path}/${name}`) as ByteString,
    ]);
    return excludes === undefined
      ? entries
      : entries.filter(([, child]) => !excludes.has(child, () => this.#isFolder(child)));
  }

  /** Everything that is not left out, the folder itself included. */
  async paths(excludes: Excludes): Promise<ByteString[]> {
    const paths = ["" as ByteString];
    for (let i = 0; i < paths.length; i++) {
      if (i > 0 && !this.#isFolder(paths[i]!)) continue;
      await breathe();
      for (const [, child] of this.entries(paths[i]!, excludes)) paths.push(child);
    }
    return paths;
  }

  #isFolder(path: ByteString): boolean {
    try {
      return fs.lstatSync(this.pathOf(path)).isDirectory();
    } catch (error) {
      throw sourceError(this.shown(path), error);
    }
  }
}

class DirectoryReader {
  readonly #host: HostFolder;
  readonly #stats: ReadonlyMap<ByteString, LibcStat> | undefined;
  readonly #xattrs: XattrsByPath;
  /** Inodes with more than one name. */
  readonly #linked = new Map<string, Node>();

  constructor(host: HostFolder, stats: ReadonlyMap<ByteString, LibcStat> | undefined, xattrs: XattrsByPath) {
    this.#host = host;
    this.#stats = stats;
    this.#xattrs = xattrs;
  }

  async read(excludes: Excludes | undefined): Promise<Tree> {
    const root = this.node("" as ByteString) as Directory;
    const folders: [ByteString, Directory][] = [["" as ByteString, root]];
    for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
      await breathe();
      const [path, directory] = next;
      for (const [name, child] of this.#host.entries(path, excludes)) {
        const node = this.node(child);
        directory.entries.set(name, node);
        if (node.type === "directory") folders.push([child, node]);
      }
    }
    return { root };
  }

  /** The node of what is at `path`; the same one for each name of a hard link. */
  node(path: ByteString): Node {
    const hostPath = this.#host.pathOf(path);
    let stat: fs.BigIntStats;
    try {
      stat = fs.lstatSync(hostPath, { bigint: true });
      // The folder that was given may be a symlink; nothing below it is followed.
      if (path === "" && stat.isSymbolicLink()) stat = fs.statSync(hostPath, { bigint: true });
    } catch (error) {
      throw sourceError(this.#host.shown(path), error);
    }
    const inode = stat.nlink > 1n && !stat.isDirectory() ? `${stat.dev}:${stat.ino}` : undefined;
    const known = inode === undefined ? undefined : this.#linked.get(inode);
    if (known !== undefined) return known;
    const node = this.#describe(path, hostPath, stat);
    if (inode !== undefined) this.#linked.set(inode, node);
    return node;
  }

  #describe(path: ByteString, hostPath: Buffer, stat: fs.BigIntStats): Node {
    const facts = this.#stats === undefined ? kernelStat(stat) : this.#stats.get(path);
    if (facts === undefined) {
      throw new ImgbuildError("source-changed", `${this.#host.shown(path)} appeared while the folder was read`, {
        hint: "Something still writes to the source. Wait until it is done.",
      });
    }
    const nanoseconds = ((stat.mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    const metadata: Metadata = {
      mode: facts.mode & 0o7777,
      uid: facts.uid,
      gid: facts.gid,
      mtime: { seconds: Number((stat.mtimeNs - nanoseconds) / 1_000_000_000n), nanoseconds: Number(nanoseconds) },
      xattrs: this.#xattrs.get(path) ?? NO_XATTRS,
    };
    const type = TYPES.get(facts.mode & S_IFMT);
    switch (type) {
      case "directory":
        return newDirectory(metadata);
      case "file":
        // Where its holes are is not asked: a file without blocks (st_blocks) may well hold data on btrfs, FUSE and others.
        return { type, ...metadata, content: fileContent(hostPath, stat) };
      case "symlink":
        try {
          return { type, ...metadata, target: fromBytes(fs.readlinkSync(hostPath, { encoding: "buffer" })) };
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
