/**
 * Directories: entry by entry, block by block. The blocks of an index look like blocks without entries, so that what lists a
 * directory need not know of it. "Directory Entries" in Documentation/filesystems/ext4.
 */
import { type ByteString, display, fromBytes } from "../../bytes/bytestring.js";
import { crc32c } from "../../bytes/checksum.js";
import * as layout from "../layout.js";
import { Budget, blockMapOf } from "./block-map.js";
import { inlineParts } from "./content.js";
import { corrupt } from "./corrupt.js";
import type { Image } from "./image.js";
import type { DirectoryInode, InodeType } from "./inodes.js";
import { hasIncompatible } from "./superblock.js";

export interface Ext4Entry {
  readonly name: ByteString;
  readonly inodeNumber: number;
  /** As the entry has it; undefined in file systems without the filetype feature. */
  readonly type: InodeType | undefined;
  /** Where the entry is in the image, in bytes. */
  readonly at: number;
}

const TYPES = new Map(
  Object.entries(layout.FILE_TYPES).map(([name, { entry }]) => [entry as number, name as InodeType]),
);
/** Within an inode, the parent's number stands before the entries, and takes the place of "." and "..". */
const INLINE_PARENT_SIZE = 4;

/** A directory's entries as they are now: those in its blocks, and what fast commits have made of them. As `storedEntries`. */
export async function* readEntries(
  image: Image,
  directory: DirectoryInode,
  options: { parent?: number; budget?: Budget } = {},
): AsyncGenerator<Ext4Entry[]> {
  const { fastCommits } = image;
  if (fastCommits === undefined) {
    yield* storedEntries(image, directory, options);
    return;
  }
  const { number, at } = directory;
  const added = new Map(fastCommits.addedTo(number));
  if (!fastCommits.isNewDirectory(number)) {
    for await (const entries of storedEntries(image, directory, options)) {
      const kept = entries.filter(({ name, inodeNumber }) => !fastCommits.isRemoved(number, name, inodeNumber));
      for (const { name } of kept) added.delete(name);
      yield kept;
    }
  }
  yield [...added].map(([name, inodeNumber]) => ({ name, inodeNumber, type: undefined, at }));
}

/**
 * A directory's entries without "." and "..", which are checked: the second against `parent` where that is known. In the order
 * of the disk, those of a block at a time.
 */
async function* storedEntries(
  image: Image,
  directory: DirectoryInode,
  { parent, budget = new Budget(image) }: { parent?: number; budget?: Budget } = {},
): AsyncGenerator<Ext4Entry[]> {
  const parser = new EntryParser(image, directory, parent);
  if (directory.stored.hasInlineData) {
    yield parser.inline();
    return;
  }
  const { blockSize } = image.superblock;
  const wrong = (message: string) =>
    corrupt(directory.at + layout.inode.offsets.sizeLow, `the directory that is inode ${directory.number} ${message}`);
  if (directory.size === 0 || directory.size % blockSize !== 0) {
    throw wrong(`has ${directory.size} bytes, which is no number of blocks`);
  }
  const blocks = directory.size / blockSize;
  const map = blockMapOf(image, directory, budget);
  for (let number = 0; number < blocks; ) {
    const run = await map.run(number);
    if (run.block === undefined) throw wrong(`lacks its block ${number}`);
    for (let block = run.block; number < Math.min(run.end, blocks); number++, block++) {
      budget.take(1, block * blockSize, () => `the directory that is inode ${directory.number}`);
      yield parser.block(await image.block(block), number, block * blockSize);
    }
  }
}

class EntryParser {
  readonly #image: Image;
  readonly #directory: DirectoryInode;
  readonly #parent: number | undefined;
  readonly #hasTypes: boolean;

  constructor(image: Image, directory: DirectoryInode, parent: number | undefined) {
    this.#image = image;
    this.#directory = directory;
    this.#parent = parent;
    this.#hasTypes = hasIncompatible(image.superblock, layout.INCOMPATIBLE.filetype);
  }

  /** The entries within the inode. */
  inline(): Ext4Entry[] {
    const entries: Ext4Entry[] = [];
    for (const [i, { bytes, at }] of inlineParts(this.#directory).entries()) {
      if (i === 0) this.#checkParent(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true), at);
      for (const entry of this.#parse(bytes, i === 0 ? INLINE_PARENT_SIZE : 0, bytes.length, at))
        entries.push(this.#child(entry));
    }
    return entries;
  }

  /** The entries of block `number` of the directory, which is at byte `at` of the image. */
  block(bytes: Uint8Array, number: number, at: number): Ext4Entry[] {
    const end = this.#image.superblock.checksums ? this.#verify(bytes, number, at) : bytes.length;
    const entries = this.#parse(bytes, 0, end, at);
    if (number === 0) {
      const [self, parent] = entries.splice(0, 2);
      if (self?.name !== "." || self.inodeNumber !== this.#directory.number) {
        throw this.#wrong(at, `begins with no "." of its own`);
      }
      if (parent?.name !== "..") throw this.#wrong(at, `lacks ".."`);
      this.#checkParent(parent.inodeNumber, parent.at);
    }
    return entries.map((entry) => this.#child(entry));
  }

  #wrong(at: number, message: string) {
    return corrupt(at, `the directory that is inode ${this.#directory.number} ${message}`);
  }

  #checkParent(found: number, at: number): void {
    if (this.#parent !== undefined && found !== this.#parent) {
      throw this.#wrong(at, `is in inode ${this.#parent}, and says that it is in ${found}`);
    }
  }

  /** Returns where the entries end. */
  #verify(bytes: Uint8Array, number: number, at: number): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const { seed } = this.#directory.stored;
    const index = this.#directory.stored.isIndexed ? indexOffset(view, number) : undefined;
    if (index !== undefined) {
      const limit = view.getUint16(index, true);
      const count = view.getUint16(index + 2, true);
      const tail = index + limit * layout.INDEX_ENTRY_SIZE;
      if (count > limit || tail + layout.INDEX_TAIL_SIZE > bytes.length) {
        throw this.#wrong(at + index, `has an index of ${count} entries, with room for ${limit}`);
      }
      const used = crc32c(bytes.subarray(0, index + count * layout.INDEX_ENTRY_SIZE), seed);
      const sum = crc32c(new Uint8Array(4), crc32c(bytes.subarray(tail, tail + 4), used));
      if (sum !== view.getUint32(tail + 4, true))
        throw this.#wrong(at + tail + 4, "has an index with a wrong checksum");
      return bytes.length;
    }
    const tail = bytes.length - layout.LEAF_TAIL_SIZE;
    const isTail =
      view.getUint32(tail, true) === 0 &&
      view.getUint16(tail + 4, true) === layout.LEAF_TAIL_SIZE &&
      view.getUint16(tail + 6, true) === layout.LEAF_TAIL_TYPE << 8;
    if (!isTail || crc32c(bytes.subarray(0, tail), seed) !== view.getUint32(tail + 8, true)) {
      throw this.#wrong(at + tail, `has a wrong checksum in its block ${number}`);
    }
    return tail;
  }

  /** All entries that are in use between `start` and `end`. */
  #parse(bytes: Uint8Array, start: number, end: number, base: number): Ext4Entry[] {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const entries: Ext4Entry[] = [];
    for (let at = start; at < end; ) {
      if (at + layout.ENTRY_HEADER_SIZE > end) throw this.#wrong(base + at, "has an entry that does not end");
      const length = recordLength(view.getUint16(at + 4, true), this.#image.superblock.blockSize);
      const nameLength = this.#hasTypes ? bytes[at + 6]! : view.getUint16(at + 6, true);
      const inodeNumber = view.getUint32(at, true);
      const needed = layout.ENTRY_HEADER_SIZE + (inodeNumber === 0 ? 0 : nameLength);
      if (length < needed || length % 4 !== 0 || at + length > end) {
        throw this.#wrong(base + at, `has an entry of ${length} bytes with a name of ${nameLength}`);
      }
      if (inodeNumber !== 0) {
        const from = at + layout.ENTRY_HEADER_SIZE;
        const name = fromBytes(bytes.subarray(from, from + nameLength));
        if (nameLength === 0 || nameLength > layout.MAX_NAME || /[\0/]/.test(name)) {
          throw this.#wrong(base + at, `has an entry with the name "${display(name)}", which is none`);
        }
        entries.push({
          name,
          inodeNumber,
          type: this.#hasTypes ? TYPES.get(bytes[at + 7]!) : undefined,
          at: base + at,
        });
      }
      at += length;
    }
    return entries;
  }

  /** Checks an entry that is neither of the first two. */
  #child(entry: Ext4Entry): Ext4Entry {
    const { name, inodeNumber, at } = entry;
    if (name === "." || name === "..") throw this.#wrong(at, `has "${name}" among its entries`);
    const { firstInode, inodes } = this.#image.superblock;
    if (inodeNumber < firstInode || inodeNumber > inodes) {
      throw this.#wrong(
        at,
        `has the entry "${display(name)}" with inode ${inodeNumber}: ${firstInode} to ${inodes} are possible`,
      );
    }
    return entry;
  }
}

/** Lengths of 64 KiB and beyond do not fit into 16 bits: the lower two, which are not in use else, are their upper ones. */
function recordLength(stored: number, blockSize: number): number {
  if (blockSize < 65_536) return stored;
  return stored === 0 || stored === 0xffff ? blockSize : (stored & 0xfffc) | ((stored & 3) << 16);
}

/** Where the entries of the index begin, when block `number` of an indexed directory is part of that. */
function indexOffset(view: DataView, number: number): number | undefined {
  if (number === 0) return layout.INDEX_ROOT_OFFSET;
  const isUnused = view.getUint32(0, true) === 0;
  return isUnused && recordLength(view.getUint16(4, true), view.byteLength) === view.byteLength
    ? layout.INDEX_NODE_OFFSET
    : undefined;
}
