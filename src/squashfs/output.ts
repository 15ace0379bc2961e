/** Appends to the window that the image is written to, in large pieces, and counts on when the window is full. */
import type { Device } from "../bytes/device.js";

const BUFFER_SIZE = 2 ** 20;

export class Output {
  readonly #device: Device;
  readonly #buffer = new Uint8Array(BUFFER_SIZE);
  #filled = 0;
  #position: number;

  /** Begins at byte `start` of `device`. */
  constructor(device: Device, start: number) {
    this.#device = device;
    this.#position = start;
  }

  /** Where the next byte goes. Also right beyond the end of the device, where nothing is stored. */
  get position(): number {
    return this.#position;
  }

  /** Appends `bytes`, which may be reused afterwards, and returns where they begin. */
  async append(bytes: Uint8Array): Promise<number> {
    const start = this.#position;
    for (let done = 0; done < bytes.length; ) {
      const piece = bytes.subarray(done, done + BUFFER_SIZE - this.#filled);
      this.#buffer.set(piece, this.#filled);
      this.#filled += piece.length;
      this.#position += piece.length;
      done += piece.length;
      if (this.#filled === BUFFER_SIZE) await this.flush();
    }
    return start;
  }

  /** Writes what was appended, as far as the device reaches. */
  async flush(): Promise<void> {
    const at = this.#position - this.#filled;
    const length = Math.min(this.#filled, Math.max(0, this.#device.size - at));
    if (length > 0) await this.#device.write(at, this.#buffer.subarray(0, length));
    this.#filled = 0;
  }
}
