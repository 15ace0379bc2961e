/** The extent tree of an inode: where its blocks are. Linux Documentation/filesystems/ext4, "Extent Tree". */
import { crc32c } from "../bytes/checksum.js";
import { high32, low32 } from "../bytes/halves.js";
import type { ChecksumSeed } from "./checksum.js";
import type { Run } from "./geometry.js";
import { EXTENT_MAGIC, extentHeader, extentIndex, extentLeaf, INODE_BLOCK_BYTES, MAX_EXTENT_BLOCKS } from "./layout.js";

/** `length` blocks of a file, from its block `logical` on, are at block `physical` of the file system and after. */
export interface FileExtent {
  readonly logical: number;
  readonly physical: number;
  length: number;
}

/** Collects the extents of a file in ascending order; what continues the one before makes it longer. */
export class ExtentList {
  readonly extents: FileExtent[] = [];
  blocks = 0;

  add(logical: number, { start, end }: Run): void {
    this.blocks += end - start;
    const last = this.extents.at(-1);
    let at = start;
    if (last && last.logical + last.length === logical && last.physical + last.length === start) {
      const longer = Math.min(end - start, MAX_EXTENT_BLOCKS - last.length);
      last.length += longer;
      at += longer;
    }
    for (; at < end; at += MAX_EXTENT_BLOCKS) {
      const length = Math.min(end - at, MAX_EXTENT_BLOCKS);
      this.extents.push({ logical: logical + at - start, physical: at, length });
    }
  }
}

const { offsets: header } = extentHeader;
const { offsets: leaf } = extentLeaf;
const { offsets: index } = extentIndex;
const ENTRY_SIZE = extentLeaf.size;
const ROOT_ENTRIES = INODE_BLOCK_BYTES / ENTRY_SIZE - 1;

/** Entries of a block of the tree. What the division leaves over holds the checksum. */
function entriesPerBlock(blockSize: number): number {
  return Math.floor((blockSize - extentHeader.size) / ENTRY_SIZE);
}

/** How many blocks a tree of `extents` extents takes beside its root, which is in the inode. */
export function extentTreeBlocks(extents: number, blockSize: number): number {
  let blocks = 0;
  for (let entries = extents; entries > ROOT_ENTRIES; blocks += entries) {
    entries = Math.ceil(entries / entriesPerBlock(blockSize));
  }
  return blocks;
}

interface TreeNode {
  readonly depth: number;
  readonly entries: readonly FileExtent[];
}

// Written byte by byte: a DataView would make V8 give each of millions of small arrays a buffer outside of its heap.

function put16(into: Uint8Array, at: number, value: number): void {
  into[at] = value;
  into[at + 1] = value >>> 8;
}

function put32(into: Uint8Array, at: number, value: number): void {
  put16(into, at, value);
  put16(into, at + 2, value >>> 16);
}

/** Writes a node over `into`, which is all zeros. */
function encodeNode({ depth, entries }: TreeNode, into: Uint8Array, max: number): void {
  put16(into, header.magic, EXTENT_MAGIC);
  put16(into, header.entries, entries.length);
  put16(into, header.max, max);
  put16(into, header.depth, depth);
  let at = extentHeader.size;
  for (const { logical, physical, length } of entries) {
    if (depth === 0) {
      put32(into, at + leaf.block, logical);
      put16(into, at + leaf.length, length);
      put16(into, at + leaf.startHigh, high32(physical));
      put32(into, at + leaf.startLow, low32(physical));
    } else {
      put32(into, at + index.block, logical);
      put32(into, at + index.leafLow, low32(physical));
      put16(into, at + index.leafHigh, high32(physical));
    }
    at += ENTRY_SIZE;
  }
}

/**
 * The root for i_block, and the blocks of the tree below it, each at a block that `allocate` gives. `seed` is the inode's
 * checksum seed.
 */
export function encodeExtentTree(
  extents: readonly FileExtent[],
  blockSize: number,
  seed: ChecksumSeed,
  allocate: () => number,
): { root: Uint8Array; blocks: { at: number; bytes: Uint8Array }[] } {
  const max = entriesPerBlock(blockSize);
  const blocks: { at: number; bytes: Uint8Array }[] = [];
  let level: TreeNode = { depth: 0, entries: extents };
  while (level.entries.length > ROOT_ENTRIES) {
    const parents: FileExtent[] = [];
    for (let first = 0; first < level.entries.length; first += max) {
      const entries = level.entries.slice(first, first + max);
      const bytes = new Uint8Array(blockSize);
      encodeNode({ depth: level.depth, entries }, bytes, max);
      const tail = extentHeader.size + max * ENTRY_SIZE;
      if (seed !== undefined) put32(bytes, tail, crc32c(bytes.subarray(0, tail), seed));
      const at = allocate();
      blocks.push({ at, bytes });
      parents.push({ logical: entries[0]!.logical, physical: at, length: 0 });
    }
    level = { depth: level.depth + 1, entries: parents };
  }
  const root = new Uint8Array(INODE_BLOCK_BYTES);
  encodeNode(level, root, ROOT_ENTRIES);
  return { root, blocks };
}
