/**
 * The index of a large directory: hashes of names, ascending, each with the leaf that holds the names from there on. Linux
 * Documentation/filesystems/ext4, "Hash Tree Directories".
 */
import { type ByteString, compareBytes, display } from "../bytes/bytestring.js";
import { crc32c } from "../bytes/checksum.js";
import { ImgbuildError } from "../errors.js";
import { type DirectoryNumbers, entrySize, type NamedNode } from "./directory.js";
import type { Format } from "./format.js";
import { hashName } from "./hash.js";
import {
  FILE_TYPES,
  HASH_HALF_MD4,
  INDEX_ENTRY_SIZE,
  INDEX_NODE_OFFSET,
  INDEX_ROOT_OFFSET,
  INDEX_TAIL_SIZE,
} from "./layout.js";

interface IndexEntry {
  readonly hash: number;
  /** Of the directory. */
  readonly block: number;
}

/** The nodes of the index, which are the directory's first blocks: the root, then those between it and the leaves. */
export interface DirectoryIndex {
  readonly blocks: number;
  readonly nodes: readonly (readonly IndexEntry[])[];
}

/** How many entries a node has room for, which is less with a checksum behind them. */
function capacity(blockSize: number, offset: number, checksums: boolean): number {
  return Math.floor((blockSize - offset - (checksums ? INDEX_TAIL_SIZE : 0)) / INDEX_ENTRY_SIZE);
}

/** Sorts entries by hash into leaves of `room` bytes, and builds the index above them. Errors as `layoutDirectory`. */
export function buildIndex(
  entries: readonly NamedNode[],
  options: { format: Format; hashSeed: Int32Array; path: ByteString; room: number },
): { index: DirectoryIndex; leaves: NamedNode[][] } {
  const { hashSeed, path, room } = options;
  const { blockSize, features } = options.format;
  const hashed = entries
    .map((entry) => ({ entry, ...hashName(entry[0], hashSeed) }))
    .sort((a, b) => a.major - b.major || a.minor - b.minor || compareBytes(a.entry[0], b.entry[0]));

  const leaves: NamedNode[][] = [];
  const hashes: number[] = [];
  let left = 0;
  let previous = 0;
  for (const { entry, major } of hashed) {
    const size = entrySize(entry[0]);
    if (size > left) {
      // A leaf that goes on with the hash of the one before says so in bit 0, which no hash has.
      hashes.push(leaves.length === 0 ? 0 : major + (major === previous ? 1 : 0));
      leaves.push([]);
      left = room;
    }
    leaves.at(-1)!.push(entry);
    left -= size;
    previous = major;
  }

  const checksums = features.has("metadata_csum");
  const inRoot = capacity(blockSize, INDEX_ROOT_OFFSET, checksums);
  const inNode = capacity(blockSize, INDEX_NODE_OFFSET, checksums);
  const between = leaves.length <= inRoot ? 0 : Math.ceil(leaves.length / inNode);
  if (between > inRoot) {
    throw new ImgbuildError(
      "not-representable",
      `/${display(path)} has ${entries.length} entries, more than the index of an ext4 directory reaches`,
      { hint: "Spread the files over more folders, or use larger blocks." },
    );
  }
  const blocks = 1 + between;
  const toLeaves = hashes.map((hash, i) => ({ hash, block: blocks + i }));
  if (between === 0) return { index: { blocks, nodes: [toLeaves] }, leaves };
  const nodes = Array.from({ length: between }, (_, i) => toLeaves.slice(i * inNode, (i + 1) * inNode));
  const root = nodes.map((node, i) => ({ hash: node[0]!.hash, block: 1 + i }));
  return { index: { blocks, nodes: [root, ...nodes] }, leaves };
}

/** The bytes of block `block` of the index, into a zeroed array of one block. To what knows no index it looks empty. */
export function encodeIndexBlock(
  index: DirectoryIndex,
  block: number,
  numbers: DirectoryNumbers,
  into: Uint8Array,
): void {
  const view = new DataView(into.buffer, into.byteOffset, into.length);
  const offset = block === 0 ? INDEX_ROOT_OFFSET : INDEX_NODE_OFFSET;
  if (block === 0) {
    // "." and "..", the latter up to the end of the block, with the index inside; then dx_root_info.
    view.setUint32(0, numbers.self, true);
    view.setUint16(4, 12, true);
    const type = numbers.fileTypes ? FILE_TYPES.directory.entry : 0;
    into.set([1, type, 0x2e], 6);
    view.setUint32(12, numbers.parent, true);
    view.setUint16(16, into.length - 12, true);
    into.set([2, type, 0x2e, 0x2e], 18);
    const levels = index.blocks === 1 ? 0 : 1;
    into.set([HASH_HALF_MD4, 8, levels], 28);
  } else {
    view.setUint16(4, into.length, true);
  }

  const entries = index.nodes[block]!;
  const limit = capacity(into.length, offset, numbers.seed !== undefined);
  entries.forEach(({ hash, block }, i) => {
    view.setUint32(offset + i * INDEX_ENTRY_SIZE, hash, true);
    view.setUint32(offset + i * INDEX_ENTRY_SIZE + 4, block, true);
  });
  // The first entry's hash is known: all below what comes next. Limit and count are kept in its place.
  view.setUint16(offset, limit, true);
  view.setUint16(offset + 2, entries.length, true);

  if (numbers.seed === undefined) return;
  const used = into.subarray(0, offset + entries.length * INDEX_ENTRY_SIZE);
  const checksum = crc32c(new Uint8Array(INDEX_TAIL_SIZE), crc32c(used, numbers.seed));
  view.setUint32(offset + limit * INDEX_ENTRY_SIZE + 4, checksum, true);
}
