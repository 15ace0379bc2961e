/**
 * Appends to the window that the image is written to, in large pieces, and counts on when the window is full. One piece is
 * written while the next one is filled.
 */
import type { Device } from "../bytes/device.js";

/** Larger ones leave the cache of a core before they are written; for smaller ones, threads wake each other more often. */
const BUFFER_SIZE = 2 ** 21;

export class Output {
  readonly #device: Device;
  /** What is being filled, and what is being written. */
  #buffer = new Uint8Array(BUFFER_SIZE);
  #other = new Uint8Array(BUFFER_SIZE);
  #filled = 0;
  #position: number;
  #writing: Promise<void> = Promise.resolve();

  /** Begins at byte `start` of `device`. */
  constructor(device: Device, start: number) {
    this.#device = device;
    this.#position = start;
  }

  /** Where the next byte goes. Also right beyond the end of the device, where nothing is stored. */
  get position(): number {
    return this.#position;
  }

  /**
   * Appends `bytes`, which may be reused once this has resolved, and returns where they begin. Rejects with the device's
   * error, also with one of something appended before.
   */
  async append(bytes: Uint8Array): Promise<number> {
    const start = this.#position;
    for (let done = 0; done < bytes.length; ) {
      const piece = bytes.subarray(done, done + BUFFER_SIZE - this.#filled);
      this.#buffer.set(piece, this.#filled);
      this.#filled += piece.length;
      this.#position += piece.length;
      done += piece.length;
      if (this.#filled === BUFFER_SIZE) await this.#writeBuffer();
    }
    return start;
  }

  /**
   * Room for `length` bytes at the end, no more than two mebibytes: what is put there needs no copying, and belongs to the
   * output once `take` is called. To be asked for anew after every other call.
   */
  async room(length: number): Promise<Uint8Array> {
    if (this.#filled + length > BUFFER_SIZE) await this.#writeBuffer();
    return this.#buffer.subarray(this.#filled, this.#filled + length);
  }

  /** Appends the first `length` bytes of the room that was asked for last, and returns where they begin. */
  take(length: number): number {
    const start = this.#position;
    this.#filled += length;
    this.#position += length;
    return start;
  }

  /** Writes what was appended, as far as the device reaches. */
  async flush(): Promise<void> {
    await this.#writeBuffer();
    await this.#writing;
  }

  /** Waits until nothing is being written any more, whatever became of it. To be called before the device is closed. */
  async settle(): Promise<void> {
    await this.#writing.catch(() => {});
  }

  /** Begins to write the buffer, when the other one is written. */
  async #writeBuffer(): Promise<void> {
    await this.#writing;
    const at = this.#position - this.#filled;
    const length = Math.min(this.#filled, Math.max(0, this.#device.size - at));
    if (length > 0) {
      this.#writing = this.#device.write(at, this.#buffer.subarray(0, length));
      // Whoever waits for it next gets the error.
      this.#writing.catch(() => {});
    }
    [this.#buffer, this.#other] = [this.#other, this.#buffer];
    this.#filled = 0;
  }
}
