/** Gathers what goes to adjacent places into large writes. */
import type { Device } from "../bytes/device.js";

const BUFFER_SIZE = 2 ** 20;
/** With less room than this left in the buffer it is written out before more is read into it. */
const LEAST_ROOM = 2 ** 17;

export class BlockWriter {
  readonly #device: Device;
  readonly #buffer = new Uint8Array(BUFFER_SIZE);
  #at = 0;
  #length = 0;

  constructor(device: Device) {
    this.#device = device;
  }

  /** The unused end of the buffer. What is read into it and then given to `write` need not be copied. Valid until then. */
  async room(): Promise<Uint8Array> {
    if (BUFFER_SIZE - this.#length < LEAST_ROOM) await this.flush();
    return this.#buffer.subarray(this.#length);
  }

  /** Puts `bytes` at byte `at` of the device, now or later. The caller may reuse them. */
  async write(at: number, bytes: Uint8Array): Promise<void> {
    if (at !== this.#at + this.#length) await this.flush();
    for (let done = 0; done < bytes.length; ) {
      if (this.#length === BUFFER_SIZE) await this.flush();
      if (this.#length === 0) this.#at = at + done;
      const part = bytes.subarray(done, done + BUFFER_SIZE - this.#length);
      const inPlace = part.buffer === this.#buffer.buffer && part.byteOffset === this.#length;
      if (!inPlace) this.#buffer.set(part, this.#length);
      this.#length += part.length;
      done += part.length;
    }
  }

  async flush(): Promise<void> {
    if (this.#length > 0) await this.#device.write(this.#at, this.#buffer.subarray(0, this.#length));
    this.#length = 0;
  }
}
