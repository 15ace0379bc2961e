/**
 * Directories: one block of entries, or, when they need more, leaves ordered by hash below an index. Linux
 * Documentation/filesystems/ext4, "Linear (Classic) Directories"; htree.ts has the index.
 */
import type { ByteString } from "../bytes/bytestring.js";
import { crc32c } from "../bytes/checksum.js";
import { alignUp } from "../bytes/size.js";
import type { Node } from "../tree/node.js";
import type { ChecksumSeed } from "./checksum.js";
import type { Format } from "./format.js";
import { buildIndex, type DirectoryIndex, encodeIndexBlock } from "./htree.js";
import { ENTRY_HEADER_SIZE, FILE_TYPES, LEAF_TAIL_SIZE, LEAF_TAIL_TYPE } from "./layout.js";

export type NamedNode = readonly [name: ByteString, node: Node];

/** Which entry is in which block. Inode numbers are not known yet. */
export interface DirectoryLayout {
  readonly blocks: number;
  /** Absent without dir_index, when one block holds all entries, or when blocks behind the first one are empty. */
  readonly index?: DirectoryIndex | undefined;
  /** The entries of each leaf, "." and ".." left out. */
  readonly leaves: readonly (readonly NamedNode[])[];
}

/** The numbers that go into the blocks of one directory. */
export interface DirectoryNumbers {
  readonly self: number;
  readonly parent: number;
  /** The checksum seed of the directory's inode. */
  readonly seed: ChecksumSeed;
  /** Whether entries have the type of what they name (the feature filetype). */
  readonly fileTypes: boolean;
  of(node: Node): number;
}

/** What an entry takes, its name padded to four bytes. */
export function entrySize(name: ByteString): number {
  return alignUp(ENTRY_HEADER_SIZE + name.length, 4);
}

const DOT_ENTRIES_SIZE = 2 * 12;

/**
 * Lays a directory out, with at least `minimumBlocks`, of which those that are not needed hold no entries. Throws a
 * `not-representable` error, which names `path`, when there are more entries than two levels of index lead to.
 */
export function layoutDirectory(
  entries: readonly NamedNode[],
  options: { format: Format; hashSeed: Int32Array; path: ByteString; minimumBlocks?: number },
): DirectoryLayout {
  const { blockSize, features } = options.format;
  const room = blockSize - (features.has("metadata_csum") ? LEAF_TAIL_SIZE : 0);
  const size = entries.reduce((sum, [name]) => sum + entrySize(name), DOT_ENTRIES_SIZE);
  if (size <= room) {
    const blocks = options.minimumBlocks ?? 1;
    return { blocks, leaves: Array.from({ length: blocks }, (_, i) => (i === 0 ? entries : [])) };
  }
  if (!features.has("dir_index")) return layoutLinear(entries, room, options.minimumBlocks ?? 1);
  const { index, leaves } = buildIndex(entries, { ...options, room });
  return { blocks: index.blocks + leaves.length, index, leaves };
}

/** The blocks of a directory without an index: in the order of the names. */
function layoutLinear(entries: readonly NamedNode[], room: number, minimumBlocks: number): DirectoryLayout {
  const leaves: NamedNode[][] = [[]];
  let left = room - DOT_ENTRIES_SIZE;
  for (const entry of entries) {
    const size = entrySize(entry[0]);
    if (size > left) {
      leaves.push([]);
      left = room;
    }
    leaves.at(-1)!.push(entry);
    left -= size;
  }
  while (leaves.length < minimumBlocks) leaves.push([]);
  return { blocks: leaves.length, leaves };
}

/** The bytes of block `block` of a directory, into a zeroed array of one block. */
export function encodeDirectoryBlock(
  layout: DirectoryLayout,
  block: number,
  numbers: DirectoryNumbers,
  into: Uint8Array,
): void {
  if (layout.index && block < layout.index.blocks) {
    encodeIndexBlock(layout.index, block, numbers, into);
    return;
  }
  const entries = layout.leaves[block - (layout.index?.blocks ?? 0)]!;
  const { seed, fileTypes } = numbers;
  const writer = new EntryWriter(into, into.length - (seed === undefined ? 0 : LEAF_TAIL_SIZE), fileTypes);
  if (block === 0) {
    writer.add("." as ByteString, numbers.self, FILE_TYPES.directory.entry);
    writer.add(".." as ByteString, numbers.parent, FILE_TYPES.directory.entry);
  }
  for (const [name, node] of entries) writer.add(name, numbers.of(node), FILE_TYPES[node.type].entry);
  writer.end();
  if (seed !== undefined) writeTail(into, seed);
}

/** Writes entries one after the other; the last one reaches up to the end, which may be that of the block or the checksum. */
class EntryWriter {
  readonly #into: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  readonly #fileTypes: boolean;
  #last = 0;
  #at = 0;

  constructor(into: Uint8Array, end: number, fileTypes: boolean) {
    this.#into = into;
    this.#view = new DataView(into.buffer, into.byteOffset, into.length);
    this.#end = end;
    this.#fileTypes = fileTypes;
  }

  add(name: ByteString, inode: number, type: number): void {
    const at = this.#at;
    const size = entrySize(name);
    this.#view.setUint32(at, inode, true);
    this.#view.setUint16(at + 4, size, true);
    this.#view.setUint8(at + 6, name.length);
    this.#view.setUint8(at + 7, this.#fileTypes ? type : 0);
    for (let i = 0; i < name.length; i++) this.#into[at + ENTRY_HEADER_SIZE + i] = name.charCodeAt(i);
    this.#last = at;
    this.#at = at + size;
  }

  /** Without entries this leaves one that is unused: its inode is 0. */
  end(): void {
    this.#view.setUint16(this.#last + 4, this.#end - this.#last, true);
  }
}

function writeTail(block: Uint8Array, seed: number): void {
  const at = block.length - LEAF_TAIL_SIZE;
  const view = new DataView(block.buffer, block.byteOffset + at, LEAF_TAIL_SIZE);
  view.setUint16(4, LEAF_TAIL_SIZE, true);
  view.setUint8(7, LEAF_TAIL_TYPE);
  view.setUint32(8, crc32c(block.subarray(0, at), seed), true);
}
