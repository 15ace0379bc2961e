/**
 * Reads every file of a file system that may be damaged, and goes on where it finds damage: what is said is which paths are
 * affected, and at which byte of the image.
 */
import type { ByteString } from "../bytes/bytestring.js";
import type { Finding } from "../bytes/finding.js";
import { ImgbuildError } from "../errors.js";
import type { FatEntry, FatFile } from "../fat/index.js";
import type { Content } from "../tree/node.js";
import type { Observer } from "../tree/observer.js";
import type { FileSystem, FormatReader } from "./file-system.js";

/** Names that are looked at: where the tree is damaged, there could be no end of them. */
const MOST_NAMES = 2 ** 23;
/** A file's content is read in such pieces. */
const CHUNK = 2 ** 20;
/**
 * So many bytes of files are read for one of the file system, and a gigabyte for free. No compressor gets beyond it with
 * files that are anybody's; damage, and malice, can make a small image say that it holds petabytes.
 */
const MOST_EXPANSION = 32_768;
const FREE_BYTES = 2 ** 30;

export interface CheckedFiles {
  names: number;
  files: number;
  /** Of the contents, as far as they are not holes and were not the same data as a file's before. */
  bytes: number;
}

/** What the readers have in common: an inode of any of them, and how to get on from it. */
interface Walkable<I> {
  readonly root: I;
  entries(directory: I): AsyncIterable<{ readonly name: ByteString; readonly inode: () => Promise<I> }>;
  /** The same for names of one inode, and different for different ones. */
  key(inode: I): number;
  isFolder(inode: I): boolean;
  /** The content of a file, and a key of where its data is; undefined for anything else. */
  file(inode: I): Promise<{ content: Content; data: string } | undefined>;
  xattrs(inode: I): Promise<unknown>;
}

/**
 * Yields what is damaged in the tree of `fileSystem` and in the files' contents; counts what was read in `checked`. First
 * asks for the tree, which checks it as a whole; where that fails, every part of it that can still be reached is looked at,
 * up to `mostNames` names.
 */
export async function* checkFiles(
  { format, tree }: FileSystem,
  size: number,
  checked: CheckedFiles,
  observer: Observer = {},
  mostNames = MOST_NAMES,
): AsyncGenerator<FileFinding> {
  try {
    await tree();
  } catch (error) {
    yield findingOf(error);
  }
  const room = FREE_BYTES + size * MOST_EXPANSION;
  yield* withWalkable(format, (walkable) =>
    new Checker(walkable, { room, most: mostNames }, checked, observer).check(),
  );
}

/** A finding about a file or folder. */
export interface FileFinding extends Finding {
  readonly path?: ByteString | undefined;
}

/** An error of a reader as a finding, with the path that it is about. Throws all errors that say nothing about the image. */
export function findingOf(error: unknown, path?: ByteString): FileFinding {
  const told = error instanceof ImgbuildError && ["image-corrupt", "source-unsupported"].includes(error.code);
  if (!told) throw error;
  const { message, data, code } = error;
  const offset = typeof data.offset === "number" ? data.offset : undefined;
  return { severity: code === "image-corrupt" ? "error" : "warning", message, offset, path };
}

class Checker<I> {
  readonly #walkable: Walkable<I>;
  readonly #checked: CheckedFiles;
  readonly #observer: Observer;
  readonly #seen = new Set<number>();
  /** Data that was read: SquashFS has equal files once. */
  readonly #read = new Set<string>();
  #room: number;
  readonly #most: number;
  #isCut = false;

  constructor(
    walkable: Walkable<I>,
    limits: { room: number; most: number },
    checked: CheckedFiles,
    observer: Observer,
  ) {
    this.#walkable = walkable;
    this.#room = limits.room;
    this.#most = limits.most;
    this.#checked = checked;
    this.#observer = observer;
  }

  async *check(): AsyncGenerator<FileFinding> {
    const { root } = this.#walkable;
    const pending: { path: ByteString; inode: I }[] = [{ path: "" as ByteString, inode: root }];
    this.#seen.add(this.#walkable.key(root));
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { path, inode } = next;
      try {
        await this.#walkable.xattrs(inode);
        if (!this.#walkable.isFolder(inode)) {
          await this.#readFile(inode);
          continue;
        }
      } catch (error) {
        yield findingOf(error, path);
      }
      if (this.#walkable.isFolder(inode)) yield* this.#list(path, inode, pending);
    }
  }

  async *#list(path: ByteString, folder: I, pending: { path: ByteString; inode: I }[]): AsyncGenerator<FileFinding> {
    try {
      for await (const entry of this.#walkable.entries(folder)) {
        if (this.#checked.names === this.#most) {
          if (!this.#isCut)
            yield { severity: "warning", message: `only ${this.#most} names were looked at, and there are more` };
          this.#isCut = true;
          return;
        }
        this.#checked.names++;
        const name = (path === "" ? entry.name : `${path}/${entry.name}`) as ByteString;
        try {
          const inode = await entry.inode();
          const key = this.#walkable.key(inode);
          if (this.#seen.has(key)) continue;
          this.#seen.add(key);
          pending.push({ path: name, inode });
        } catch (error) {
          yield findingOf(error, name);
        }
      }
    } catch (error) {
      yield findingOf(error, path);
    }
  }

  async #readFile(inode: I): Promise<void> {
    const file = await this.#walkable.file(inode);
    if (file === undefined) return;
    this.#checked.files++;
    this.#observer.progress?.(0, 1);
    const { content, data } = file;
    if (content.size === 0 || this.#read.has(data)) return;
    this.#read.add(data);
    const reader = await content.open();
    try {
      const buffer = new Uint8Array(Math.min(CHUNK, content.size));
      for (const { start, end } of content.data ?? [{ start: 0, end: content.size }]) {
        for (let at = start; at < end; at += CHUNK) {
          const length = Math.min(CHUNK, end - at);
          this.#room -= length;
          if (this.#room < 0) {
            throw new ImgbuildError(
              "image-corrupt",
              "the files together are too large for this image: they are not all read",
            );
          }
          await reader.read(at, buffer.subarray(0, length));
          this.#checked.bytes += length;
          this.#observer.progress?.(length, 0);
        }
      }
    } finally {
      await reader.close();
    }
  }
}

/** Calls `use` with the reader in the common form. */
function withWalkable(
  format: FormatReader,
  use: <I>(walkable: Walkable<I>) => AsyncGenerator<FileFinding>,
): AsyncGenerator<FileFinding> {
  switch (format.kind) {
    case "squashfs": {
      const { reader } = format;
      return use<typeof reader.root | Awaited<ReturnType<typeof reader.inode>>>({
        root: reader.root,
        async *entries(folder) {
          if (folder.type !== "directory") return;
          for await (const entry of reader.entries(folder))
            yield { name: entry.name, inode: () => reader.inode(entry) };
        },
        key: ({ reference }) => reference,
        isFolder: ({ type }) => type === "directory",
        async file(inode) {
          if (inode.type !== "file") return undefined;
          const { start, size, blocks, fragment } = inode;
          const data = `${start} ${size} ${blocks} ${fragment?.number} ${fragment?.offset}`;
          return { content: await reader.content(inode), data };
        },
        xattrs: (inode) => reader.xattrs(inode),
      });
    }
    case "ext4": {
      const { reader } = format;
      return use<typeof reader.root | Awaited<ReturnType<typeof reader.inode>>>({
        root: reader.root,
        async *entries(folder) {
          if (folder.type !== "directory") return;
          for await (const entry of reader.entries(folder))
            yield { name: entry.name, inode: () => reader.inode(entry) };
        },
        key: ({ number }) => number,
        isFolder: ({ type }) => type === "directory",
        async file(inode) {
          return inode.type === "file" ? { content: await reader.content(inode), data: `${inode.number}` } : undefined;
        },
        xattrs: (inode) => reader.xattrs(inode),
      });
    }
    case "fat": {
      const { reader } = format;
      return use<FatEntry>({
        root: reader.root,
        async *entries(folder) {
          if (folder.type !== "directory") return;
          for await (const entry of reader.entries(folder)) yield { name: entry.name, inode: async () => entry };
        },
        // The root has no entry: its place is that of what is in it.
        key: (inode) => (inode === reader.root ? -1 : inode.at),
        isFolder: ({ type }) => type === "directory",
        async file(inode) {
          return inode.type === "file" ? { content: reader.content(inode as FatFile), data: `${inode.at}` } : undefined;
        },
        xattrs: async () => {},
      });
    }
  }
}
