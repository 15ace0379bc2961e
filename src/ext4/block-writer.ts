/** Gathers what goes to adjacent places into large writes, and lets one of them go on while the next is gathered. */
import type { Device } from "../bytes/device.js";

const BUFFER_SIZE = 2 ** 20;
/** With less room than this left in the buffer it is written out before more is read into it. */
const LEAST_ROOM = 2 ** 17;

export class BlockWriter {
  readonly #device: Device;
  #buffer = new Uint8Array(BUFFER_SIZE);
  #at = 0;
  #length = 0;
  /** The other buffer, from which the last write takes its bytes until it is done. */
  #other = new Uint8Array(BUFFER_SIZE);
  #underWay: Promise<void> = Promise.resolve();

  constructor(device: Device) {
    this.#device = device;
  }

  /** The unused end of the buffer. What is read into it and then given to `write` need not be copied. Valid until then. */
  async room(): Promise<Uint8Array> {
    if (BUFFER_SIZE - this.#length < LEAST_ROOM) await this.#writeOut();
    return this.#buffer.subarray(this.#length);
  }

  /** Puts `bytes` at byte `at` of the device, now or later. The caller may reuse them. */
  async write(at: number, bytes: Uint8Array): Promise<void> {
    // `bytes` may be what `room` gave, and its beginning written already. Its rest survives both a change of buffers, which
    // leaves the bytes alone, and what is then copied into its own buffer, which ends before it.
    if (at !== this.#at + this.#length) await this.#writeOut();
    for (let done = 0; done < bytes.length; ) {
      if (this.#length === BUFFER_SIZE) await this.#writeOut();
      if (this.#length === 0) this.#at = at + done;
      const part = bytes.subarray(done, done + BUFFER_SIZE - this.#length);
      const inPlace = part.buffer === this.#buffer.buffer && part.byteOffset === this.#length;
      if (!inPlace) this.#buffer.set(part, this.#length);
      this.#length += part.length;
      done += part.length;
    }
  }

  /** Waits until all is written. */
  async flush(): Promise<void> {
    await this.#writeOut();
    await this.#underWay;
  }

  /** Starts to write what is in the buffer, and goes on with the other one as soon as that is free. */
  async #writeOut(): Promise<void> {
    if (this.#length === 0) return;
    await this.#underWay;
    this.#underWay = this.#device.write(this.#at, this.#buffer.subarray(0, this.#length));
    // Whoever waits for it next gets the error; until then it is nobody's.
    this.#underWay.catch(() => {});
    [this.#buffer, this.#other] = [this.#other, this.#buffer];
    this.#length = 0;
  }
}
