/** Fragment blocks: the ends of files, and small files, side by side in blocks that are compressed as a whole. */
import type { Slot } from "../codecs/index.js";
import type { BlockStore } from "./blocks.js";
import { BLOCK_STORED, fragmentEntry } from "./layout.js";
import type { Settings } from "./options.js";
import type { Inode } from "./plan.js";
import type { StoredFiles } from "./stored-files.js";

export class FragmentWriter {
  readonly #blocks: BlockStore;
  readonly #files: StoredFiles;
  readonly #blockSize: number;
  /** The block that is being filled. */
  #slot: Slot | undefined;
  #filled = 0;
  #submitted = 0;
  readonly #entries: { readonly start: number; readonly size: number }[] = [];

  constructor(blocks: BlockStore, files: StoredFiles, { blockSize }: Settings) {
    this.#blocks = blocks;
    this.#files = files;
    this.#blockSize = blockSize;
  }

  /** Fragment blocks that were submitted. */
  get count(): number {
    return this.#submitted;
  }

  /**
   * Room for `length` bytes in the block that is being filled: what is put there needs no copying, and belongs to the block
   * once `take` is called. Undefined where there is none.
   */
  room(length: number): Uint8Array | undefined {
    return this.#filled + length > this.#blockSize
      ? undefined
      : this.#slot?.input.subarray(this.#filled, this.#filled + length);
  }

  /** Makes the first `length` bytes of the room that was asked for last the end of a file, and notes where it is. */
  take(length: number, file: Inode): void {
    this.#files.fragments[file] = this.#submitted;
    this.#files.offsets[file] = this.#filled;
    this.#filled += length;
  }

  /** Adds the end of a file, shorter than a block, and notes where it is. */
  async add(tail: Uint8Array, file: Inode): Promise<void> {
    if (this.#filled + tail.length > this.#blockSize) await this.flush();
    this.#slot ??= await this.#blocks.acquire("fragments");
    this.#slot.input.set(tail, this.#filled);
    this.take(tail.length, file);
  }

  /** Submits the block that is being filled. */
  async flush(): Promise<void> {
    const slot = this.#slot;
    if (slot === undefined) return;
    const length = this.#filled;
    this.#slot = undefined;
    this.#filled = 0;
    this.#submitted++;
    await this.#blocks.put(slot, length, "fragments", (start, size) => this.#entries.push({ start, size }));
  }

  /** What each block takes, in bytes. Complete once all blocks have their place. */
  storedSizes(): number[] {
    return this.#entries.map(({ size }) => size & ~BLOCK_STORED);
  }

  /** The fragment table. Complete once all blocks have their place. */
  encode(): Uint8Array {
    const table = new Uint8Array(fragmentEntry.size * this.#entries.length);
    for (const [i, entry] of this.#entries.entries()) fragmentEntry.write(table, i * fragmentEntry.size, entry);
    return table;
  }
}
