/**
 * Block maps of ext2 and ext3: twelve block numbers, then one each of a block of numbers, of a block of such, and of a block
 * of those. "Direct/Indirect Block Addressing" in Documentation/filesystems/ext4.
 */
import { DIRECT_POINTERS, INDIRECT_LEVELS, inode as inodeLayout, POINTER_SIZE } from "../layout.js";
import type { Budget, MappedBlocks, Run, StoredMap } from "./block-map.js";
import { corrupt } from "./corrupt.js";
import type { Image } from "./image.js";
import type { InodeFacts } from "./inodes.js";

export class IndirectMap implements StoredMap {
  readonly #image: Image;
  readonly #inode: InodeFacts;
  readonly #budget: Budget | undefined;
  /** The blocks of numbers that led to the last run, by their level. */
  readonly #path: { block: number; start: number; view: DataView }[] = [];

  constructor(image: Image, inode: InodeFacts, budget: Budget | undefined) {
    this.#image = image;
    this.#inode = inode;
    this.#budget = budget;
  }

  async run(number: number): Promise<Run> {
    const { block } = this.#inode.stored;
    const { blockSize } = this.#image.superblock;
    let view = new DataView(block.buffer, block.byteOffset, block.length);
    let at = this.#inode.at + inodeLayout.offsets.block;
    if (number < DIRECT_POINTERS) return this.#adjacent(view, at, number, DIRECT_POINTERS, number);

    const perBlock = this.#perBlock;
    let within = number - DIRECT_POINTERS;
    let level = 1;
    for (; level <= INDIRECT_LEVELS && within >= perBlock ** level; level++) within -= perBlock ** level;
    if (level > INDIRECT_LEVELS) {
      throw corrupt(
        this.#inode.at + inodeLayout.offsets.sizeLow,
        `inode ${this.#inode.number} is larger than its map can be`,
      );
    }
    let index = DIRECT_POINTERS + level - 1;
    for (; level > 0; level--) {
      const next = this.#pointer(view, at, index);
      const covered = perBlock ** level;
      if (next === 0) return { start: number, end: number - within + covered, block: undefined };
      view = await this.#read(level, next, number - within, at + index * POINTER_SIZE);
      at = next * blockSize;
      index = Math.floor(within / (covered / perBlock));
      within %= covered / perBlock;
    }
    return this.#adjacent(view, at, index, perBlock, number);
  }

  async *blocks(): AsyncGenerator<MappedBlocks> {
    const { block } = this.#inode.stored;
    const view = new DataView(block.buffer, block.byteOffset, block.length);
    const at = this.#inode.at + inodeLayout.offsets.block;
    yield* this.#dataOf(view, at, DIRECT_POINTERS, 0);
    let start = DIRECT_POINTERS;
    for (let level = 1; level <= INDIRECT_LEVELS; level++) {
      const index = DIRECT_POINTERS + level - 1;
      const next = this.#pointer(view, at, index);
      if (next !== 0) yield* this.#blocksBelow(level, next, start, at + index * POINTER_SIZE);
      start += this.#perBlock ** level;
    }
  }

  async *#blocksBelow(level: number, block: number, start: number, pointerAt: number): AsyncGenerator<MappedBlocks> {
    yield { kind: "map", start, block, count: 1 };
    const view = await this.#read(level, block, start, pointerAt);
    const at = block * this.#image.superblock.blockSize;
    if (level === 1) {
      yield* this.#dataOf(view, at, this.#perBlock, start);
      return;
    }
    for (let i = 0; i < this.#perBlock; i++) {
      const next = this.#pointer(view, at, i);
      const from = start + i * this.#perBlock ** (level - 1);
      if (next !== 0) yield* this.#blocksBelow(level - 1, next, from, at + i * POINTER_SIZE);
    }
  }

  /** What a list of `count` data blocks leads to, from block `first` of the file on. */
  *#dataOf(view: DataView, at: number, count: number, first: number): Generator<MappedBlocks> {
    for (let i = 0; i < count; ) {
      const { start, end, block } = this.#adjacent(view, at, i, count, first + i);
      if (block !== undefined) yield { kind: "data", start, block, count: end - start };
      i += end - start;
    }
  }

  get #perBlock(): number {
    return this.#image.superblock.blockSize / POINTER_SIZE;
  }

  /** The run from number `index` of a list of data blocks on. */
  #adjacent(view: DataView, at: number, index: number, count: number, start: number): Run {
    const block = this.#pointer(view, at, index);
    let i = index + 1;
    while (i < count && this.#pointer(view, at, i) === (block === 0 ? 0 : block + i - index)) i++;
    return { start, end: start + i - index, block: block === 0 ? undefined : block };
  }

  #pointer(view: DataView, at: number, index: number): number {
    const block = view.getUint32(index * POINTER_SIZE, true);
    if (block !== 0 && !this.#image.has(block)) {
      throw corrupt(
        at + index * POINTER_SIZE,
        `the block map of inode ${this.#inode.number} leads to block ${block}, which is none of the file system's`,
      );
    }
    return block;
  }

  /** Reads the list at `block`, for what is in the file from block `start` on. */
  async #read(level: number, block: number, start: number, at: number): Promise<DataView> {
    const known = this.#path[level];
    if (known?.block === block && known.start === start) return known.view;
    this.#budget?.take(1, at, () => `the block map of inode ${this.#inode.number}`);
    const bytes = await this.#image.block(block);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#path[level] = { block, start, view };
    return view;
  }
}
