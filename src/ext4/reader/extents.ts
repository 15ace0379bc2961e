/** Extent trees: "Extent Tree" in Documentation/filesystems/ext4. Every node is checked as a whole before it is used. */
import { crc32c } from "../../bytes/checksum.js";
import {
  EXTENT_MAGIC,
  extentHeader,
  extentIndex,
  extentLeaf,
  inode as inodeLayout,
  MAX_EXTENT_BLOCKS,
} from "../layout.js";
import type { Budget, MappedBlocks, Run, StoredMap } from "./block-map.js";
import { corrupt } from "./corrupt.js";
import type { Image } from "./image.js";
import type { InodeFacts } from "./inodes.js";

const MAX_DEPTH = 5;
/** Blocks of a file: their numbers have 32 bits. `run` answers for no other. */
const MAX_BLOCKS = 2 ** 32;
const ENTRY_SIZE = extentLeaf.size;

interface Node {
  /** Where it is in the image, in bytes. */
  readonly at: number;
  readonly depth: number;
  /** Where each entry begins in the file, ascending. */
  readonly starts: Float64Array;
  /** Where it leads to: a node, or data. */
  readonly blocks: Float64Array;
  /** Blocks of the extent, in leaves; negative when they were never written. */
  readonly lengths: Int32Array;
}

export class ExtentTree implements StoredMap {
  readonly #image: Image;
  readonly #inode: InodeFacts;
  readonly #budget: Budget | undefined;
  readonly #root: Node;
  /** The nodes that led to the last run, by depth. */
  readonly #path: { node: Node; block: number; start: number }[] = [];

  constructor(image: Image, inode: InodeFacts, budget: Budget | undefined) {
    this.#image = image;
    this.#inode = inode;
    this.#budget = budget;
    if (inode.size > MAX_BLOCKS * image.superblock.blockSize) {
      throw corrupt(
        inode.at + inodeLayout.offsets.sizeLow,
        `inode ${inode.number} has ${inode.size} bytes, more than its extents can lead to`,
      );
    }
    this.#root = this.#parse(inode.stored.block, inode.at + inodeLayout.offsets.block, undefined, 0, MAX_BLOCKS);
  }

  async run(number: number): Promise<Run> {
    let node = this.#root;
    let end = MAX_BLOCKS;
    for (;;) {
      const i = lastUpTo(node.starts, number);
      const next = Math.min(end, node.starts[i + 1] ?? end);
      if (i < 0) return { start: number, end: next, block: undefined };
      const start = node.starts[i]!;
      if (node.depth === 0) {
        const length = node.lengths[i]!;
        const behind = start + Math.abs(length);
        if (number >= behind) return { start: number, end: next, block: undefined };
        return { start: number, end: behind, block: length < 0 ? undefined : node.blocks[i]! + number - start };
      }
      end = next;
      node = await this.#child(node, node.blocks[i]!, start, end);
    }
  }

  blocks(): AsyncGenerator<MappedBlocks> {
    return this.#blocksBelow(this.#root, MAX_BLOCKS);
  }

  async *#blocksBelow(node: Node, end: number): AsyncGenerator<MappedBlocks> {
    for (let i = 0; i < node.starts.length; i++) {
      const start = node.starts[i]!;
      const block = node.blocks[i]!;
      if (node.depth === 0) {
        const length = node.lengths[i]!;
        yield { kind: length < 0 ? "unwritten" : "data", start, block, count: Math.abs(length) };
        continue;
      }
      yield { kind: "map", start, block, count: 1 };
      const next = node.starts[i + 1] ?? end;
      yield* this.#blocksBelow(await this.#child(node, block, start, next), next);
    }
  }

  async #child(parent: Node, block: number, start: number, end: number): Promise<Node> {
    const depth = parent.depth - 1;
    const known = this.#path[depth];
    if (known?.block === block && known.start === start) return known.node;
    this.#budget?.take(1, parent.at, () => `the extent tree of inode ${this.#inode.number}`);
    const bytes = await this.#image.block(block);
    const node = this.#parse(bytes, block * this.#image.superblock.blockSize, depth, start, end);
    this.#path[depth] = { node, block, start };
    return node;
  }

  /** Reads a node whose entries have to be within [from, to) of the file; `depth` is undefined for the root. */
  #parse(bytes: Uint8Array, at: number, depth: number | undefined, from: number, to: number): Node {
    const wrong = (within: number, message: string) =>
      corrupt(at + within, `the extent tree of inode ${this.#inode.number} ${message}`);
    const header = extentHeader.read(bytes);
    if (header.magic !== EXTENT_MAGIC) throw wrong(0, "lacks its magic number");
    const room = Math.floor((bytes.length - extentHeader.size) / ENTRY_SIZE);
    if (header.max > room || header.entries > header.max || (header.entries === 0 && header.depth > 0)) {
      throw wrong(extentHeader.offsets.entries, `has a node of ${header.entries} entries, with room for ${header.max}`);
    }
    if (header.depth > MAX_DEPTH || (depth !== undefined && header.depth !== depth)) {
      throw wrong(
        extentHeader.offsets.depth,
        `has a node of depth ${header.depth} where ${depth ?? "0 to 5"} is possible`,
      );
    }
    if (depth !== undefined && this.#image.superblock.checksums) {
      const tail = extentHeader.size + header.max * ENTRY_SIZE;
      if (tail + 4 > bytes.length) throw wrong(extentHeader.offsets.max, "has no room for a node's checksum");
      const stored = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(tail, true);
      if (crc32c(bytes.subarray(0, tail), this.#inode.stored.seed) !== stored) {
        throw wrong(tail, "has a node with a wrong checksum");
      }
    }
    const node: Node = {
      at,
      depth: header.depth,
      starts: new Float64Array(header.entries),
      blocks: new Float64Array(header.entries),
      lengths: new Int32Array(header.depth === 0 ? header.entries : 0),
    };
    let free = from;
    for (let i = 0; i < header.entries; i++) {
      const entry = extentHeader.size + i * ENTRY_SIZE;
      const { start, block, length } = header.depth === 0 ? readLeaf(bytes, entry) : readIndex(bytes, entry);
      const blocks = Math.abs(length);
      if (start < free || start + blocks > to || blocks === 0) {
        throw wrong(
          entry,
          `has ${blocks} blocks from block ${start} of the file on: they should be within ${free} to ${to}`,
        );
      }
      if (!this.#image.has(block, header.depth === 0 ? blocks : 1)) {
        throw wrong(entry, `leads to block ${block}, which is none of the file system's`);
      }
      node.starts[i] = start;
      node.blocks[i] = block;
      if (header.depth === 0) node.lengths[i] = length;
      free = start + blocks;
    }
    return node;
  }
}

function readLeaf(bytes: Uint8Array, at: number) {
  const { block, length, startHigh, startLow } = extentLeaf.read(bytes, at);
  const unwritten = length > MAX_EXTENT_BLOCKS;
  return {
    start: block,
    block: startLow + startHigh * 2 ** 32,
    length: unwritten ? MAX_EXTENT_BLOCKS - length : length,
  };
}

/** An index entry leads to one block of the file at least. */
function readIndex(bytes: Uint8Array, at: number) {
  const { block, leafLow, leafHigh } = extentIndex.read(bytes, at);
  return { start: block, block: leafLow + leafHigh * 2 ** 32, length: 1 };
}

/** The index of the last of `starts` that is at most `number`; -1 for none. */
function lastUpTo(starts: Float64Array, number: number): number {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (starts[middle]! <= number) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
