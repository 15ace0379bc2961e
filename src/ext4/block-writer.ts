/** Gathers what goes to adjacent places into large writes, which go on while more is gathered. */
import type { Device } from "../bytes/device.js";

const BUFFER_SIZE = 2 ** 20;
/** What `room` has at least. Less in the buffer, and it is written out first. */
export const LEAST_ROOM = 2 ** 17;
/** So many buffers may be on their way to the device before `behind` asks for a pause. */
const MOST_UNDER_WAY = 3;

/** Nothing waits for the device but `catchUp` and `flush`: a writer of many small pieces has no use for a promise a piece. */
export class BlockWriter {
  readonly #device: Device;
  #buffer = new Uint8Array(BUFFER_SIZE);
  #at = 0;
  #length = 0;
  /** Buffers that were written. */
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];
  /** Writes that were begun, until they are done. They may be done in any order: no block is written twice. */
  readonly #writes = new Set<Promise<void>>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** The unused end of the buffer. What is read into it and then given to `write` need not be copied. Valid until then. */
  room(): Uint8Array {
    if (BUFFER_SIZE - this.#length < LEAST_ROOM) this.#writeOut();
    return this.#buffer.subarray(this.#length);
  }

  /** Puts `bytes` at byte `at` of the device, now or later. The caller may reuse them. */
  write(at: number, bytes: Uint8Array): void {
    // `bytes` may be what `room` gave, and its beginning written already. Its rest survives both a change of buffers, which
    // leaves the bytes alone, and what is then copied into its own buffer, which ends before it.
    if (at !== this.#at + this.#length) this.#writeOut();
    for (let done = 0; done < bytes.length; ) {
      if (this.#length === BUFFER_SIZE) this.#writeOut();
      if (this.#length === 0) this.#at = at + done;
      const count = Math.min(bytes.length - done, BUFFER_SIZE - this.#length);
      const inPlace = bytes.buffer === this.#buffer.buffer && bytes.byteOffset + done === this.#length;
      if (!inPlace) this.#buffer.set(bytes.subarray(done, done + count), this.#length);
      this.#length += count;
      done += count;
    }
  }

  /** Whether so much is on its way that `catchUp` should be waited for. */
  get behind(): boolean {
    return this.#writes.size >= MOST_UNDER_WAY;
  }

  /** Waits until the device has caught up. Rejects as the device does. */
  async catchUp(): Promise<void> {
    while (this.behind) await Promise.race(this.#writes);
  }

  /** Waits until all is written. Rejects as the device does. */
  async flush(): Promise<void> {
    this.#writeOut();
    await Promise.all(this.#writes);
  }

  /** Waits until nothing is on its way any more, whatever became of it. To be called before the device may be closed. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#writes);
  }

  /** Has what is in the buffer written, and goes on with another buffer. */
  #writeOut(): void {
    if (this.#length === 0) return;
    const buffer = this.#buffer;
    const write = this.#device.write(this.#at, buffer.subarray(0, this.#length)).then(() => {
      this.#writes.delete(write);
      this.#spare.push(buffer);
    });
    // One that failed stays, and whoever waits next gets its error; until then it is nobody's.
    write.catch(() => {});
    this.#writes.add(write);
    this.#buffer = this.#spare.pop() ?? new Uint8Array(BUFFER_SIZE);
    this.#length = 0;
  }
}
