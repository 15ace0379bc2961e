/** Streams directories and files to a device: small ones together in one write, holes as zeros that stay holes. */
import type { Device } from "../bytes/device.js";
import type { Extent } from "../bytes/extent.js";
import { isZero } from "../bytes/zeros.js";
import type { Content, ContentReader } from "../tree/node.js";
import type { Observer } from "../tree/observer.js";

const BUFFER_BYTES = 2 ** 20;
/** A shorter hole is cheaper as data. */
const HOLE_BYTES = 2 ** 16;

export class ContentWriter {
  readonly #device: Device;
  readonly #observer: Observer | undefined;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  /** Where on the device the buffer's first byte goes. */
  #start = 0;
  #used = 0;
  #next: number | undefined;

  constructor(device: Device, observer: Observer | undefined) {
    this.#device = device;
    this.#observer = observer;
  }

  /** What comes next begins at `position`, which is not before the end of what was written. The gap becomes zeros. */
  moveTo(position: number): void {
    this.#next = position;
  }

  /** Writes a directory. */
  async put(bytes: Uint8Array): Promise<void> {
    await this.#skip();
    for (let at = 0; at < bytes.length; ) {
      if (this.#used === BUFFER_BYTES) await this.flush();
      const piece = bytes.subarray(at, at + BUFFER_BYTES - this.#used);
      this.#buffer.set(piece, this.#used);
      this.#used += piece.length;
      at += piece.length;
    }
  }

  /** Writes all of `content`. */
  async append(content: Content): Promise<void> {
    await this.#skip();
    if (content.size > 0) {
      const reader = await content.open();
      try {
        let at = 0;
        for (const { start, end } of holesOf(content)) {
          await this.#copy(reader, at, start);
          await this.#hole(end - start);
          at = end;
        }
        await this.#copy(reader, at, content.size);
      } finally {
        await reader.close();
      }
    }
    this.#observer?.progress?.(0, 1);
  }

  /** Hands over what is still in the buffer. */
  async flush(): Promise<void> {
    // Zeros need not take room on the disk: a sparse file of the host is read as zeros, and nobody says where its holes are.
    const hole = this.#used >= HOLE_BYTES && isZero(this.#buffer, 0, this.#used);
    if (hole) await this.#device.zero(this.#start, this.#used);
    else if (this.#used > 0) await this.#device.write(this.#start, this.#buffer.subarray(0, this.#used));
    this.#start += this.#used;
    this.#used = 0;
  }

  async #skip(): Promise<void> {
    if (this.#next === undefined) return;
    const gap = this.#next - this.#start - this.#used;
    if (gap >= 0 && this.#used > 0 && gap <= BUFFER_BYTES - this.#used) {
      this.#buffer.fill(0, this.#used, this.#used + gap);
      this.#used += gap;
    } else {
      await this.flush();
      this.#start = this.#next;
    }
    this.#next = undefined;
  }

  async #copy(reader: ContentReader, from: number, to: number): Promise<void> {
    for (let at = from; at < to; ) {
      if (this.#used === BUFFER_BYTES) await this.flush();
      const count = Math.min(to - at, BUFFER_BYTES - this.#used);
      await reader.read(at, this.#buffer.subarray(this.#used, this.#used + count));
      this.#used += count;
      at += count;
      this.#observer?.progress?.(count, 0);
    }
  }

  async #hole(length: number): Promise<void> {
    await this.flush();
    await this.#device.zero(this.#start, length);
    this.#start += length;
    this.#observer?.progress?.(length, 0);
  }
}

/** The holes of a content that are worth leaving out. */
function* holesOf(content: Content): Generator<Extent> {
  if (content.data === undefined) return;
  let at = 0;
  for (const { start, end } of [...content.data, { start: content.size, end: content.size }]) {
    if (start - at >= HOLE_BYTES) yield { start: at, end: start };
    at = end;
  }
}
