/** The shape of a hash tree, and its hash. */
import { hash } from "node:crypto";
import { BLOCK_SIZE, DIGESTS_PER_BLOCK } from "./layout.js";

/** A level of the tree: blocks full of digests of the blocks below. */
export interface Level {
  /** In blocks from the superblock on, which is block 0. */
  readonly at: number;
  readonly blocks: number;
}

/** The levels over so many data blocks, the lowest first. A single data block has none: its digest is the root hash. */
export function levelsOf(dataBlocks: number): Level[] {
  const counts: number[] = [];
  for (let below = dataBlocks; below > 1; below = counts.at(-1)!) counts.push(Math.ceil(below / DIGESTS_PER_BLOCK));
  // The highest lies first on the disk.
  const levels: Level[] = [];
  let at = 1;
  for (const blocks of counts.reverse()) {
    levels.push({ at, blocks });
    at += blocks;
  }
  return levels.reverse();
}

/** What superblock and tree take behind `dataSize` bytes, which are whole blocks. In bytes. */
export function veritySize(dataSize: number): number {
  const levels = levelsOf(dataSize / BLOCK_SIZE);
  return (1 + levels.reduce((sum, { blocks }) => sum + blocks, 0)) * BLOCK_SIZE;
}

/** Digests of blocks. Each block is copied behind the salt: one call of the library for each. */
export class BlockHash {
  readonly #buffer: Uint8Array;
  readonly #block: Uint8Array;

  constructor(salt: Uint8Array) {
    this.#buffer = new Uint8Array(salt.length + BLOCK_SIZE);
    this.#buffer.set(salt);
    this.#block = this.#buffer.subarray(salt.length);
  }

  /** The 32 bytes of `block`'s digest. */
  digest(block: Uint8Array): Uint8Array {
    this.#block.set(block);
    return hash("sha256", this.#buffer, "buffer");
  }

  /** The digests of the whole blocks in `bytes`, one behind the other. */
  digests(bytes: Uint8Array, into: Uint8Array, at: number): number {
    for (let start = 0; start < bytes.length; start += BLOCK_SIZE) {
      into.set(this.digest(bytes.subarray(start, start + BLOCK_SIZE)), at);
      at += 32;
    }
    return at;
  }
}
