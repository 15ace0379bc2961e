/** A tree from a tar archive, with the meaning that GNU tar gives the members when root extracts them in order. */
import { type ByteString, display } from "../../bytes/bytestring.js";
import { ImgbuildError } from "../../errors.js";
import { type Excludes, removeExcluded } from "../excludes.js";
import { type Content, type Directory, type Node, newDirectory, newFile } from "../node.js";
import type { Observer } from "../observer.js";
import { splitPath, type Tree } from "../tree.js";
import { Archive } from "./archive.js";
import { tarError } from "./fields.js";
import { BLOCK, isHeader } from "./layout.js";
import { type Member, readMembers } from "./members.js";

export interface TarOptions {
  /** A folder of the host for a temporary file, as large as the decompressed archive. */
  readonly spool: string;
  /** What is left out. Another name of the same file keeps its content. */
  readonly excludes?: Excludes | undefined;
  /** Whether access control lists stored as text, which are not read, are an error. Default: a notice says so. */
  readonly strictXattrs?: boolean | undefined;
  readonly observer?: Observer;
}

/** A tree whose contents are in an archive. */
export interface TarTree extends Tree {
  /** The folders that have no entry of their own, only something below them: their metadata is made up. */
  readonly implied: ReadonlySet<Directory>;
  /** Gives the archive, and the temporary file if there is one, free. Contents cannot be opened afterwards. */
  close(): void;
}

/**
 * Reads the tar at `source`, which is a path, or a stream such as standard input; plain, or compressed with gzip, xz or
 * zstd. Takes V7, ustar, GNU and pax archives. Owners are the numbers in the archive; names of users are not looked at.
 * Without an entry for the root ("./"), the root belongs to root:root, with mode 0755 and a time of 0, and so do folders
 * that have no entry of their own.
 *
 * Rejects with `source-missing`, `source-unreadable`, `source-invalid` (with the byte of the archive in `data.offset`) or
 * `source-unsupported`.
 */
export async function readTar(source: string | AsyncIterable<Uint8Array>, options: TarOptions): Promise<TarTree> {
  const archive = await Archive.open(source, options.spool);
  try {
    const shown = typeof source === "string" ? source : "standard input";
    await refuseOtherFormats(archive, shown);
    const told = new Set<string>();
    const notice = (text: string) => {
      if (!told.has(text)) options.observer?.notice?.(`${shown}: ${text}`);
      told.add(text);
    };
    const { strictXattrs = false } = options;
    const read = (at: number, length: number) => archive.read(at, length);
    const members = readMembers({ read, size: archive.size, notice, strictXattrs });
    const builder = new TreeBuilder((member) => archive.content(member.size, member.pieces, member.sparse));
    for await (const member of members) builder.add(member);
    const tree = { root: builder.finish(), implied: builder.implied, close: () => archive.close() };
    if (options.excludes !== undefined) removeExcluded(tree, options.excludes);
    return tree;
  } catch (error) {
    archive.close();
    throw error;
  }
}

const OTHER_FORMATS: readonly [name: string, magic: string][] = [
  ["a bzip2 file", "BZh"],
  ["an lz4 file", "\x04\x22\x4d\x18"],
  ["an lzip file", "LZIP"],
  ["a zip archive", "PK\x03\x04"],
  ["a cpio archive", "070701"],
  ["a SquashFS image", "hsqs"],
  ["a Debian package", "!<arch>\n"],
];

async function refuseOtherFormats(archive: Archive, shown: string): Promise<void> {
  const head = String.fromCharCode(...(await archive.read(0, 8)));
  if (head === "")
    throw new ImgbuildError("source-invalid", `${shown} is empty, not a tar`, {
      hint: "Check what should have written it.",
    });
  const other = OTHER_FORMATS.find(([, magic]) => head.startsWith(magic));
  if (other === undefined) {
    if (isHeader(await archive.read(0, BLOCK))) return;
    throw new ImgbuildError("source-invalid", `${shown} is neither a folder nor a tar`, {
      hint: "A single file is packed from a folder that it is in. A tar may have been damaged on its way: compare checksums.",
    });
  }
  throw new ImgbuildError("source-unsupported", `${shown} is ${other[0]}, not a tar`, {
    hint: "Give a folder, or a tar that is plain or compressed with gzip, xz or zstd.",
  });
}

/** Puts members into a tree one after the other. */
class TreeBuilder {
  readonly #root = newDirectory();
  readonly implied = new Set<Directory>([this.#root]);
  readonly #content: (member: Member) => Content;
  /** Hard links whose other name had not come yet. */
  readonly #waiting: Member[] = [];

  constructor(content: (member: Member) => Content) {
    this.#content = content;
  }

  add(member: Member): void {
    const names = memberPath(member);
    if (names.length === 0) {
      if (member.type !== "directory") throw tarError(member.at, "a member that is no folder has an empty name");
      this.#takeMetadata(this.#root, member);
      return;
    }
    if (member.type === "hardlink") {
      if (!this.#link(member)) this.#waiting.push(member);
      return;
    }
    const name = names.pop()!;
    const parent = this.#parent(names, member);
    const existing = parent.entries.get(name);
    if (existing?.type === "directory") {
      if (member.type === "directory") {
        this.#takeMetadata(existing, member);
        return;
      }
      if (existing.entries.size > 0) {
        throw tarError(member.at, `${display(member.path)} is a ${member.type}, but was a folder with entries before`);
      }
    }
    parent.entries.set(name, this.#node(member));
  }

  /** The root, when all members have been added. */
  finish(): Directory {
    // A link may wait for one that waits itself: go on as long as one more is found.
    for (let waiting = this.#waiting; waiting.length > 0; ) {
      const left = waiting.filter((member) => !this.#link(member));
      if (left.length === waiting.length) {
        const { at, path, target } = left[0]!;
        throw tarError(at, `${display(path)} is a hard link to ${display(target)}, which is not in the archive`);
      }
      waiting = left;
    }
    return this.#root;
  }

  /** Gives the node at the link's target its second name. False when there is none yet. */
  #link(member: Member): boolean {
    const target = this.#find(splitPath(checked(member.target, member)));
    if (target === undefined) return false;
    if (target.type === "directory") {
      throw tarError(member.at, `${display(member.path)} is a hard link to the folder ${display(member.target)}`);
    }
    const names = memberPath(member);
    const name = names.pop()!;
    const { entries } = this.#parent(names, member);
    if (entries.get(name)?.type === "directory") {
      throw tarError(member.at, `${display(member.path)} is a hard link, but was a folder before`);
    }
    entries.set(name, target);
    return true;
  }

  #find(names: readonly ByteString[]): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const name of names) node = node?.type === "directory" ? node.entries.get(name) : undefined;
    return node;
  }

  /** The folder of a member; missing ones are made. Through a symlink it could lead anywhere, the host's own files included. */
  #parent(names: readonly ByteString[], member: Member): Directory {
    let directory: Directory = this.#root;
    for (const [i, name] of names.entries()) {
      let next = directory.entries.get(name);
      if (next === undefined) {
        next = newDirectory();
        this.implied.add(next);
        directory.entries.set(name, next);
      }
      if (next.type !== "directory") {
        const what = next.type === "symlink" ? `a symlink to ${display(next.target)}` : `a ${next.type}`;
        const through = display(names.slice(0, i + 1).join("/") as ByteString);
        throw tarError(member.at, `${display(member.path)} lies below ${through}, which is ${what}`);
      }
      directory = next;
    }
    return directory;
  }

  #takeMetadata(directory: Directory, { mode, uid, gid, mtime, xattrs }: Member): void {
    Object.assign(directory, { mode, uid, gid, mtime, xattrs });
    this.implied.delete(directory);
  }

  #node(member: Member): Node {
    const { mode, uid, gid, mtime, xattrs, major, minor } = member;
    const metadata = { mode, uid, gid, mtime, xattrs };
    switch (member.type) {
      case "directory":
        return newDirectory(metadata);
      case "symlink":
        if (member.target === "" || member.target.includes("\0")) {
          throw tarError(member.at, `the symlink ${display(member.path)} has no proper target`);
        }
        return { type: "symlink", ...metadata, target: member.target };
      case "block":
      case "character":
        return { type: member.type, ...metadata, major, minor };
      case "fifo":
        return { type: "fifo", ...metadata };
      default:
        return newFile(this.#content(member), metadata);
    }
  }
}

/** The names of a member's path: leading "/" and "./" mean nothing, ".." is refused. */
const memberPath = (member: Member) => splitPath(checked(member.path, member));

function checked(path: ByteString, member: Member): ByteString {
  if (path.includes("\0")) throw tarError(member.at, `the name ${display(path)} has a NUL in it`);
  if (path.split("/").includes("..")) {
    throw new ImgbuildError(
      "source-unsupported",
      `${display(member.path)}, at byte ${member.at} of the tar, ${path === member.path ? "" : `links to ${display(path)}, which `}goes up with ".."`,
      {
        hint: "Make the archive with paths below its root, as `tar -C ROOTFS -c .` does.",
        data: { offset: member.at },
      },
    );
  }
  return path;
}
