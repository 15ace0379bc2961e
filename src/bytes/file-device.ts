/**
 * Files of the host as devices. The calls below are synchronous inside: the page cache answers them in microseconds, where
 * a trip through the thread pool costs tens; only large writes take it. So that timers and signals are still served, they
 * pause now and then.
 */
import * as fs from "node:fs";
import { performance } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { ImgbuildError } from "../errors.js";
import { checkRange, type Device, type ReadableDevice } from "./device.js";
import { hostReadError, hostWriteError } from "./host-error.js";

/** From so many bytes on, it pays to have them copied to the page cache by another thread. */
const WRITE_ASIDE = 2 ** 19;
const writeAside = promisify(fs.write);

/** After so many bytes the disk is given what was written, and takes it while more is written. */
const WRITE_BACK_EVERY = 2 ** 25;

const PAUSE_EVERY_MS = 30;
let lastPause = 0;

/**
 * Lets timers, signals and worker messages through when the thread has been kept busy for some time; undefined when it has
 * not. It is asked for every file and every read: no promise is made for nothing.
 */
export function breathe(): Promise<void> | undefined {
  return performance.now() - lastPause < PAUSE_EVERY_MS ? undefined : pause();
}

async function pause(): Promise<void> {
  await setImmediate();
  lastPause = performance.now();
}

/** Fills `into` from byte `at` of an open file. Returns how many bytes there were: less than asked only at the file's end. */
export function readFully(fd: number, into: Uint8Array, at: number): number {
  let done = 0;
  while (done < into.length) {
    const count = fs.readSync(fd, into, done, into.length - done, at + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** An existing file or block device, to read. Close it; closing it again does nothing. */
export class FileReader implements ReadableDevice {
  readonly path: string;
  readonly size: number;
  readonly #fd: number;
  #open = true;

  constructor(path: string) {
    this.path = path;
    try {
      this.#fd = fs.openSync(path, "r");
    } catch (error) {
      throw hostReadError(path, error);
    }
    this.size = fs.fstatSync(this.#fd).size;
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    await breathe();
    const bytes = new Uint8Array(length);
    let count: number;
    try {
      count = readFully(this.#fd, bytes, at);
    } catch (error) {
      throw new ImgbuildError("io-failed", `cannot read ${this.path}: ${(error as NodeJS.ErrnoException).code}`, {
        cause: error,
      });
    }
    if (count < length) {
      throw new ImgbuildError(
        "image-corrupt",
        `${this.path} ends at byte ${at + count}, ${length - count} bytes early`,
      );
    }
    return bytes;
  }

  close(): void {
    if (this.#open) fs.closeSync(this.#fd);
    this.#open = false;
  }
}

/**
 * A new file that is written as a device: sparse, all zeros at first. An existing file is emptied. One without a size grows
 * with what is written, without a limit, until `resize` gives it one. `durable`: it is going to be synced, and is put on the
 * disk while it is written. Close it; closing it again does nothing.
 */
export class FileDevice implements Device {
  readonly path: string;
  readonly #fd: number;
  readonly #writeBack: WriteBack | undefined;
  #open = true;
  #size: number;

  constructor(path: string, size?: number, { durable = false }: { durable?: boolean } = {}) {
    this.path = path;
    this.#size = size ?? Number.MAX_SAFE_INTEGER;
    try {
      this.#fd = fs.openSync(path, "w+");
    } catch (error) {
      throw hostWriteError(path, error);
    }
    this.#writeBack = durable ? new WriteBack(path) : undefined;
    if (size !== undefined) this.resize(size);
  }

  get size(): number {
    return this.#size;
  }

  /** Cuts or lengthens the file; what is added is a hole. */
  resize(size: number): void {
    try {
      fs.ftruncateSync(this.#fd, size);
    } catch (error) {
      throw hostWriteError(this.path, error);
    }
    this.#size = size;
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    checkRange(this, "a read", at, length);
    await breathe();
    const bytes = new Uint8Array(length);
    const failed = (reason: string | undefined, cause?: unknown) =>
      new ImgbuildError("io-failed", `cannot read ${length} bytes at ${at} of ${this.path}: ${reason}`, {
        hint: "Check the disk, and that nothing else writes to the file.",
        cause,
      });
    let count: number;
    try {
      count = readFully(this.#fd, bytes, at);
    } catch (error) {
      throw failed((error as NodeJS.ErrnoException).code, error);
    }
    if (count < length) throw failed(`it ends at byte ${at + count}`);
    return bytes;
  }

  async write(at: number, bytes: Uint8Array): Promise<void> {
    checkRange(this, "a write", at, bytes.length);
    // Without a pause the write is begun before this returns: whoever does not wait for it goes on for a while.
    const pause = breathe();
    if (pause !== undefined) await pause;
    try {
      for (let done = 0; done < bytes.length; ) {
        const rest = bytes.length - done;
        done +=
          rest < WRITE_ASIDE
            ? fs.writeSync(this.#fd, bytes, done, rest, at + done)
            : (await writeAside(this.#fd, bytes, done, rest, at + done)).bytesWritten;
      }
    } catch (error) {
      throw hostWriteError(this.path, error);
    }
    this.#writeBack?.written(bytes.length);
  }

  async zero(at: number, length: number): Promise<void> {
    checkRange(this, "a write", at, length);
    const zeros = new Uint8Array(Math.min(length, 2 ** 20));
    for (let done = 0; done < length; done += zeros.length) {
      await this.write(at + done, zeros.subarray(0, Math.min(zeros.length, length - done)));
    }
  }

  /** Waits until the bytes are on the disk. */
  sync(): void {
    try {
      fs.fsyncSync(this.#fd);
    } catch (error) {
      throw hostWriteError(this.path, error);
    }
  }

  close(): void {
    if (this.#open) fs.closeSync(this.#fd);
    this.#open = false;
    this.#writeBack?.close();
  }
}

/**
 * Has a file put on the disk bit by bit while it is written, so that `sync` at its end does not have to wait for all of it.
 * Only a head start: it has a descriptor of its own, because an error is reported once to each, and `sync` must see it.
 */
class WriteBack {
  readonly #path: string;
  #fd: number | undefined;
  #length = 0;
  #underWay = false;
  #closed = false;

  constructor(path: string) {
    this.#path = path;
  }

  written(length: number): void {
    this.#length += length;
    if (this.#length < WRITE_BACK_EVERY || this.#underWay || this.#closed) return;
    this.#length = 0;
    try {
      this.#fd ??= fs.openSync(this.#path, "r+");
    } catch {
      this.#closed = true;
      return;
    }
    this.#underWay = true;
    fs.fdatasync(this.#fd, () => {
      this.#underWay = false;
      if (this.#closed) this.close();
    });
  }

  close(): void {
    this.#closed = true;
    // The call that is under way still needs it: the number might be another file's by then.
    if (this.#fd === undefined || this.#underWay) return;
    fs.closeSync(this.#fd);
    this.#fd = undefined;
  }
}
