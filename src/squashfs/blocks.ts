/**
 * Where blocks of data and of fragments go: to the end of the output, in the order in which they come. Through a pool that
 * compresses them; or, when nothing is to be compressed, right to the output: what is read there is not copied again.
 */
import type { CompressorPool, Slot } from "../codecs/index.js";
import { BLOCK_STORED } from "./layout.js";
import type { Settings } from "./options.js";
import type { Output } from "./output.js";

export type BlockKind = "data" | "fragments";

/** Told where a block is in the image, and its size as inodes and the fragment table have it. */
export type Placed = (start: number, size: number) => void;

export interface BlockStore {
  /** Room for a block. Of each kind one may be held at a time. */
  acquire(kind: BlockKind): Promise<Slot>;
  /** Gives back room that is not needed. */
  release(slot: Slot): void;
  /** Appends the first `length` bytes of a slot. `placed` is called sooner or later, in the order of the blocks. */
  put(slot: Slot, length: number, kind: BlockKind, placed: Placed): Promise<void>;
  /** Waits until every block has its place. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** Blocks that a pool compresses, but for kinds that are to stay uncompressed. */
export class CompressedBlocks implements BlockStore {
  readonly #output: Output;
  readonly #pool: CompressorPool;
  readonly #uncompressed: Settings["uncompressed"];

  constructor(output: Output, pool: CompressorPool, { uncompressed }: Settings) {
    this.#output = output;
    this.#pool = pool;
    this.#uncompressed = uncompressed;
  }

  acquire(): Promise<Slot> {
    return this.#pool.acquire();
  }

  release(slot: Slot): void {
    this.#pool.release(slot);
  }

  async put(slot: Slot, length: number, kind: BlockKind, placed: Placed): Promise<void> {
    this.#pool.submit(slot, length, !this.#uncompressed.has(kind), async (bytes, compressed) => {
      const start = await this.#output.append(bytes);
      placed(start, compressed ? bytes.length : bytes.length | BLOCK_STORED);
    });
  }

  drain(): Promise<void> {
    return this.#pool.drain();
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}

/** Blocks that are stored as they are. */
export class StoredBlocks implements BlockStore {
  readonly #output: Output;
  readonly #blockSize: number;
  /** A fragment block is held while data is written, so its room is none in the output. */
  readonly #fragment: Slot;

  constructor(output: Output, { blockSize }: Settings) {
    this.#output = output;
    this.#blockSize = blockSize;
    this.#fragment = { input: new Uint8Array(blockSize) };
  }

  async acquire(kind: BlockKind): Promise<Slot> {
    return kind === "fragments" ? this.#fragment : { input: await this.#output.room(this.#blockSize) };
  }

  release(): void {}

  async put(slot: Slot, length: number, kind: BlockKind, placed: Placed): Promise<void> {
    const start =
      kind === "fragments" ? await this.#output.append(slot.input.subarray(0, length)) : this.#output.take(length);
    placed(start, length | BLOCK_STORED);
  }

  async drain(): Promise<void> {}

  async close(): Promise<void> {}
}
