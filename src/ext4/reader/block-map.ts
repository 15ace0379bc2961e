/** Where the blocks of a file are: a run of them at a time, so that a file of terabytes, most of it holes, takes no memory. */
import type { Extent } from "../../bytes/extent.js";
import { hasFeature } from "../feature-table.js";
import { inode as layout } from "../layout.js";
import { corrupt } from "./corrupt.js";
import { ExtentTree } from "./extents.js";
import type { Image } from "./image.js";
import { IndirectMap } from "./indirect.js";
import type { InodeFacts } from "./inodes.js";

/** Adjacent blocks of a file, [start, end), which are adjacent in the image too, or which are zeros. */
export interface Run {
  readonly start: number;
  readonly end: number;
  /** Where `start` is; undefined when they are holes, or were allocated and never written. */
  readonly block: number | undefined;
}

export interface BlockMap {
  /** The run that block `number` of the file is in. It may end early. */
  run(number: number): Promise<Run>;
}

/** Blocks that a file uses, adjacent in the image. */
export interface MappedBlocks {
  /** "map": they are part of the map itself. "unwritten": allocated, and zeros until they are written. */
  readonly kind: "map" | "data" | "unwritten";
  /** Where they are in the file; of maps, where what they lead to begins. */
  readonly start: number;
  readonly block: number;
  readonly count: number;
}

export interface StoredMap extends BlockMap {
  /** All blocks that the file uses, in the order of the file, each part of the map before what it leads to. */
  blocks(): AsyncGenerator<MappedBlocks>;
}

/** Extents that are told apart. What comes behind counts as data, which costs time but is not wrong. */
const MAX_EXTENTS = 2 ** 16;

/**
 * How many blocks of maps, of directories, of attributes and of data may still come. Sound file systems use each of their
 * blocks once; so time and memory stay within a factor of the image's length, whatever the image says.
 */
export class Budget {
  #left: number;

  constructor(image: Image) {
    this.#left = image.superblock.blocks;
  }

  /** Throws an `image-corrupt` error at byte `at` when `blocks` are more than are left. */
  take(blocks: number, at: number, what: () => string): void {
    this.#left -= blocks;
    if (this.#left < 0) throw corrupt(at, `${what()} uses blocks that other files use too`);
  }
}

/**
 * The map of `inode`, which has no inline data. Throws an `image-corrupt` error for an extent tree whose root is damaged. Who
 * goes through all of a map has to have a budget; who looks up what he is asked for needs none.
 */
export function blockMapOf(image: Image, inode: InodeFacts, budget?: Budget): BlockMap {
  const stored = storedMapOf(image, inode, budget);
  return image.fastCommits?.map(inode.number, stored) ?? stored;
}

/** The same without what fast commits have changed. */
export function storedMapOf(image: Image, inode: InodeFacts, budget?: Budget): StoredMap {
  return inode.stored.hasExtents ? new ExtentTree(image, inode, budget) : new IndirectMap(image, inode, budget);
}

/** Where the file has data, in bytes; neighbouring blocks are one extent. Goes through all of its map. */
export async function dataExtents(image: Image, inode: InodeFacts, budget: Budget): Promise<Extent[]> {
  const map = blockMapOf(image, inode, budget);
  // Android's file systems have equal blocks once (shared_blocks).
  const unique = !hasFeature(image.superblock.fields, "shared_blocks");
  const what = () => `inode ${inode.number}`;
  const { blockSize } = image.superblock;
  const blocks = Math.ceil(inode.size / blockSize);
  const extents: { start: number; end: number }[] = [];
  for (let at = 0; at < blocks; ) {
    const { end, block } = await map.run(at);
    if (block !== undefined) {
      if (unique) budget.take(Math.min(end, blocks) - at, inode.at + layout.offsets.block, what);
      const from = at * blockSize;
      const to = Math.min(end * blockSize, inode.size);
      const last = extents.at(-1);
      if (last !== undefined && last.end === from) last.end = to;
      else extents.push({ start: from, end: to });
      if (extents.length === MAX_EXTENTS) {
        extents.at(-1)!.end = inode.size;
        break;
      }
    }
    at = end;
  }
  return extents;
}
