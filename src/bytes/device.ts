/**
 * Block devices as the formats see them: a size, and bytes at positions. No format knows whether a file, a window of an
 * image or an array stands behind one. All positions and lengths are in bytes.
 */
import { ImgbuildError } from "../errors.js";
import { type Extent, ExtentSet } from "./extent.js";

export interface ReadableDevice {
  /** Length in bytes. */
  readonly size: number;
  /** Exactly `length` bytes from `at`. Rejects when the range leaves the device. The caller may keep and change them. */
  read(at: number, length: number): Promise<Uint8Array>;
}

export interface Device extends ReadableDevice {
  /** Stores `bytes` at `at`. Once it has resolved, the caller may reuse the array. Rejects when the range leaves the device. */
  write(at: number, bytes: Uint8Array): Promise<void>;
  /** Makes [at, at + length) zero, where a format needs zeros: unlike never-written bytes they belong to the image. */
  zero(at: number, length: number): Promise<void>;
}

/** Throws a `does-not-fit` error for a range of `length` bytes at `at` that is not within the device. */
export function checkRange(device: ReadableDevice, what: string, at: number, length: number): void {
  if (!Number.isSafeInteger(at) || !Number.isSafeInteger(length) || at < 0 || length < 0 || at + length > device.size) {
    throw new ImgbuildError(
      "does-not-fit",
      `${what} of ${length} bytes at ${at} leaves the device of ${device.size} bytes`,
    );
  }
}

/** A window of `device` that begins at `offset` and is `size` bytes long. Positions in it are relative to `offset`. */
export function slice(device: Device, offset: number, size: number): Device;
export function slice(device: ReadableDevice, offset: number, size: number): ReadableDevice;
export function slice(device: ReadableDevice | Device, offset: number, size: number): ReadableDevice | Device {
  checkRange(device, "a window", offset, size);
  const window: ReadableDevice = {
    size,
    async read(at, length) {
      checkRange(window, "a read", at, length);
      return device.read(offset + at, length);
    },
  };
  if (!("write" in device)) return window;
  return Object.assign(window, {
    async write(at: number, bytes: Uint8Array) {
      checkRange(window, "a write", at, bytes.length);
      return device.write(offset + at, bytes);
    },
    async zero(at: number, length: number) {
      checkRange(window, "a write", at, length);
      return device.zero(offset + at, length);
    },
  });
}

/** A device in memory. */
export class MemoryDevice implements Device {
  readonly bytes: Uint8Array;

  /** Of `size` zero bytes, or over an array that is given. */
  constructor(content: number | Uint8Array) {
    // A plain array: what `slice` of Node's Buffer returns would be no copy.
    this.bytes =
      typeof content === "number"
        ? new Uint8Array(content)
        : new Uint8Array(content.buffer, content.byteOffset, content.length);
  }

  get size(): number {
    return this.bytes.length;
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    checkRange(this, "a read", at, length);
    return this.bytes.slice(at, at + length);
  }

  async write(at: number, bytes: Uint8Array): Promise<void> {
    checkRange(this, "a write", at, bytes.length);
    this.bytes.set(bytes, at);
  }

  async zero(at: number, length: number): Promise<void> {
    checkRange(this, "a write", at, length);
    this.bytes.fill(0, at, at + length);
  }
}

/**
 * Remembers which bytes of a fresh device, which is all zeros, were written. Zeros that a format asks for are remembered
 * too, but never written: the image stays sparse, and yet tells "must be zero" from "nobody cares".
 */
export class RecordingDevice implements Device {
  readonly #device: Device;
  readonly #written = new ExtentSet();
  readonly #data = new ExtentSet();

  /** `device` must be all zeros. */
  constructor(device: Device) {
    this.#device = device;
  }

  get size(): number {
    return this.#device.size;
  }

  /** What belongs to the image: data, and zeros that must be there. */
  get written(): Iterable<Extent> {
    return this.#written;
  }

  /** What was written as data; zeros outside of it are holes. */
  get data(): ExtentSet {
    return this.#data;
  }

  read(at: number, length: number): Promise<Uint8Array> {
    return this.#device.read(at, length);
  }

  async write(at: number, bytes: Uint8Array): Promise<void> {
    await this.#device.write(at, bytes);
    this.#written.add(at, at + bytes.length);
    this.#data.add(at, at + bytes.length);
  }

  async zero(at: number, length: number): Promise<void> {
    checkRange(this, "a write", at, length);
    for (const { start, end } of this.#data.intersect(at, at + length)) await this.#device.zero(start, end - start);
    this.#written.add(at, at + length);
  }
}
