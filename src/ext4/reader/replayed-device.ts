/** A device as it is once the journal was replayed. No block is copied before it is read: memory holds where they are. */
import type { ReadableDevice } from "../../bytes/device.js";
import { JOURNAL_MAGIC } from "../layout.js";
import type { Redirect } from "./transactions.js";

export class ReplayedDevice implements ReadableDevice {
  readonly #device: ReadableDevice;
  readonly #blockSize: number;
  readonly #redirects: ReadonlyMap<number, Redirect>;

  constructor(device: ReadableDevice, blockSize: number, redirects: ReadonlyMap<number, Redirect>) {
    this.#device = device;
    this.#blockSize = blockSize;
    this.#redirects = redirects;
  }

  get size(): number {
    return this.#device.size;
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    const bytes = await this.#device.read(at, length);
    const size = this.#blockSize;
    for (let block = Math.floor(at / size); block * size < at + length; block++) {
      const redirect = this.#redirects.get(block);
      if (redirect === undefined) continue;
      const copy = await this.#device.read(redirect.at, size);
      if (redirect.escaped) new DataView(copy.buffer, copy.byteOffset, size).setUint32(0, JOURNAL_MAGIC);
      const from = Math.max(at, block * size);
      const to = Math.min(at + length, (block + 1) * size);
      bytes.set(copy.subarray(from - block * size, to - block * size), from - at);
    }
    return bytes;
  }
}
