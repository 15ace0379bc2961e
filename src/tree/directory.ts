/** A tree from a folder of the host. */
import * as fs from "node:fs";
import { type ByteString, display, fromBytes, toBytes } from "../bytes/bytestring.js";
import { breathe } from "../bytes/file-device.js";
import { ImgbuildError } from "../errors.js";
import { isFakeroot, type LibcStat, readLibcStats } from "./fakeroot.js";
import { readHostXattrs, type XattrsByPath } from "./host-xattrs.js";
import { type Directory, type Metadata, NO_XATTRS, type Node, newDirectory } from "./node.js";
import type { Observer } from "./observer.js";
import { fileContent, sourceError } from "./source-file.js";
import type { Tree } from "./tree.js";

export interface DirectoryOptions {
  /** Whether extended attributes are read, which takes a program of the host. Default: true. */
  readonly xattrs?: boolean;
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
  const stats = isFakeroot() ? await readLibcStats(path) : undefined;
  const notice = (text: string) => options.observer?.notice?.(text);
  const xattrs: XattrsByPath = options.xattrs === false ? new Map() : await readHostXattrs(path, notice);
  return new DirectoryReader(path, stats, xattrs).read();
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

class DirectoryReader {
  readonly #host: Buffer;
  readonly #stats: ReadonlyMap<ByteString, LibcStat> | undefined;
  readonly #xattrs: XattrsByPath;
  /** Inodes with more than one name. */
  readonly #linked = new Map<string, Node>();

  constructor(folder: string, stats: ReadonlyMap<ByteString, LibcStat> | undefined, xattrs: XattrsByPath) {
    this.#host = Buffer.from(folder.endsWith("/") ? folder : `${folder}/`);
    this.#stats = stats;
    this.#xattrs = xattrs;
  }

  async read(): Promise<Tree> {
    const root = this.#node("" as ByteString) as Directory;
    const folders: [ByteString, Directory][] = [["" as ByteString, root]];
    for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
      await breathe();
      const [path, directory] = next;
      for (const name of this.#names(path)) {
        const child = (path === "" ? name : `${path}/${name}`) as ByteString;
        const node = this.#node(child);
        directory.entries.set(name, node);
        if (node.type === "directory") folders.push([child, node]);
      }
    }
    return { root };
  }

  #hostPath(path: ByteString): Buffer {
    return Buffer.concat([this.#host, toBytes(path)]);
  }

  #shown(path: ByteString): string {
    return `${this.#host}${display(path)}`;
  }

  #names(path: ByteString): ByteString[] {
    try {
      return fs.readdirSync(this.#hostPath(path), { encoding: "buffer" }).map(fromBytes);
    } catch (error) {
      throw sourceError(this.#shown(path), error);
    }
  }

  #node(path: ByteString): Node {
    const hostPath = this.#hostPath(path);
    let stat: fs.BigIntStats;
    try {
      stat = fs.lstatSync(hostPath, { bigint: true });
      // The folder that was given may be a symlink; nothing below it is followed.
      if (path === "" && stat.isSymbolicLink()) stat = fs.statSync(hostPath, { bigint: true });
    } catch (error) {
      throw sourceError(this.#shown(path), error);
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
      throw new ImgbuildError("source-changed", `${this.#shown(path)} appeared while the folder was read`, {
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
          throw sourceError(this.#shown(path), error);
        }
      case "block":
      case "character":
        return { type, ...metadata, major: facts.major, minor: facts.minor };
      case "fifo":
      case "socket":
        return { type, ...metadata };
      default:
        throw new ImgbuildError("source-unsupported", `${this.#shown(path)} is of a type that Linux does not have`, {
          hint: "Remove it from the source.",
        });
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
