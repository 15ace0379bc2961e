/** A stream that is read at ascending positions: what lies between them is passed over, never kept. */
export class StreamWindow {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);
  #heldAt = 0;

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#iterator = stream[Symbol.asyncIterator]();
  }

  /** The bytes from `at` on, at most `length`: fewer at the stream's end. `at` must not go below an earlier one. */
  async read(at: number, length: number): Promise<Uint8Array> {
    while (this.#heldAt + this.#held.length < at + length) {
      const { done, value } = await this.#iterator.next();
      if (done) break;
      const end = this.#heldAt + this.#held.length;
      this.#held = end <= at ? value : Buffer.concat([this.#held, value]);
      if (end <= at) this.#heldAt = end;
    }
    const skipped = Math.min(at - this.#heldAt, this.#held.length);
    this.#held = this.#held.subarray(skipped);
    this.#heldAt += skipped;
    return this.#held.subarray(0, length);
  }

  /** Reads on to the end, so that whoever writes is not stopped. */
  async drain(): Promise<void> {
    while (!(await this.#iterator.next()).done);
  }
}
