/** Fragment blocks: the ends of files, and small files, side by side in blocks that are compressed as a whole. */
import type { CompressorPool, Slot } from "../codecs/index.js";
import type { StoredFile } from "./data.js";
import { BLOCK_STORED, fragmentEntry } from "./layout.js";
import type { Settings } from "./options.js";
import type { Output } from "./output.js";

export class FragmentWriter {
  readonly #output: Output;
  readonly #pool: CompressorPool;
  readonly #blockSize: number;
  readonly #compress: boolean;
  /** The block that is being filled. */
  #slot: Slot | undefined;
  #filled = 0;
  #submitted = 0;
  readonly #entries: { readonly start: number; readonly size: number }[] = [];

  constructor(output: Output, pool: CompressorPool, { blockSize, uncompressed }: Settings) {
    this.#output = output;
    this.#pool = pool;
    this.#blockSize = blockSize;
    this.#compress = !uncompressed.has("fragments");
  }

  /** Fragment blocks that were submitted. */
  get count(): number {
    return this.#submitted;
  }

  /** Adds the end of a file, shorter than a block, and notes with the file where it is. */
  async add(tail: Uint8Array, file: StoredFile): Promise<void> {
    if (this.#filled + tail.length > this.#blockSize) this.flush();
    this.#slot ??= await this.#pool.acquire();
    this.#slot.input.set(tail, this.#filled);
    file.fragment = this.#submitted;
    file.offset = this.#filled;
    this.#filled += tail.length;
  }

  /** Submits the block that is being filled. */
  flush(): void {
    if (this.#slot === undefined) return;
    this.#pool.submit(this.#slot, this.#filled, this.#compress, async (bytes, compressed) => {
      const size = compressed ? bytes.length : bytes.length | BLOCK_STORED;
      this.#entries.push({ start: await this.#output.append(bytes), size });
    });
    this.#slot = undefined;
    this.#filled = 0;
    this.#submitted++;
  }

  /** The fragment table. Complete once the pool is drained. */
  encode(): Uint8Array {
    const table = new Uint8Array(fragmentEntry.size * this.#entries.length);
    for (const [i, entry] of this.#entries.entries()) fragmentEntry.write(table, i * fragmentEntry.size, entry);
    return table;
  }
}
