/**
 * A block device, or a file that stands in for one, as it is written by `imgbuild flash`. Block devices are opened so that the
 * kernel refuses when anything else holds them (O_EXCL), and past its page cache where the host can (O_DIRECT): errors come with
 * the write that they are about, and what is read back comes from the medium.
 */
import * as fs from "node:fs";
import { promisify } from "node:util";
import { checkRange, type Device } from "../bytes/device.js";
import { type HostFailures, hostError } from "../bytes/host-error.js";
import { alignUp } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { lengthOfDevice } from "./block-device.js";
import { deviceNumberOf, HOST, type HostPaths } from "./device-uses.js";

/** What is read and written at once, in bytes. */
export const PIECE = 2 ** 20;
const WASM_PAGE = 2 ** 16;

/** Declared in the types of browsers only. */
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
};

const writeAside = promisify(fs.write);
const readAside = promisify(fs.read);

/** What the host's error codes mean for media other than for files. */
const FAILURES: HostFailures = {
  EBUSY: [
    "device-refused",
    "something uses it: a mount, also one in another namespace or container, a RAID, LVM, or another program that writes it",
    "Unmount all of it and close what has it open. `lsblk` and `fuser -v DEVICE` show more.",
  ],
  ENOENT: [
    "source-missing",
    "it does not exist",
    "`lsblk` lists the devices. A file has to be made first, with the medium's length: truncate -s 4G FILE.",
  ],
  EPERM: [
    "io-failed",
    "it is not permitted",
    "Run it as root; an eMMC's boot partition has to be unlocked (force_ro).",
  ],
  EROFS: ["device-refused", "it is read-only", "Look for the card's write protection switch."],
  ETXTBSY: ["device-refused", "it is used for swap, or runs as a program", "swapoff, and end the program."],
};

const mediumError = (what: string, error: unknown) => hostError(what, error, FAILURES);

export interface MediumOptions {
  /** To look at only: nobody is shut out, and nothing can be written. */
  readonly readOnly?: boolean;
  readonly host?: HostPaths;
}

/**
 * An open medium. Reads and writes of whole blocks go to it as they are; others read what is around them first. Those that are asked
 * for at the same time happen one after the other, in that order.
 */
export class Medium implements Device {
  readonly path: string;
  readonly size: number;
  /** Whether it is a device of the host, and no file. */
  readonly isDevice: boolean;
  /** Whether what is read comes from the medium itself, not from the host's memory. */
  readonly isDirect: boolean;
  /** Whole blocks of so many bytes can be read and written. */
  readonly block: number;
  readonly #fd: number;
  /** The memory of WebAssembly begins at a page of the processor, as O_DIRECT wants it; other buffers begin anywhere. */
  readonly #buffer = new Uint8Array(
    new WebAssembly.Memory({ initial: PIECE / WASM_PAGE, maximum: PIECE / WASM_PAGE }).buffer,
  );
  /** What was asked for last, which never rejects: one buffer serves all. */
  #last: Promise<unknown> = Promise.resolve();
  #open = true;

  /** Throws `device-refused` for one that is in use or read-only, `source-missing`, or `io-failed`. `block`: see there. */
  constructor(path: string, block: number, { readOnly = false, host = HOST }: MediumOptions = {}) {
    this.path = path;
    const { O_RDONLY, O_RDWR, O_EXCL, O_DIRECT } = fs.constants;
    try {
      this.isDevice = !fs.statSync(path).isFile();
      const flags = (readOnly ? O_RDONLY : O_RDWR) | (this.isDevice && !readOnly ? O_EXCL : 0);
      // Not every driver can do without the page cache, and not every host has the flag.
      const direct = this.isDevice && O_DIRECT !== undefined ? openOr(path, flags | O_DIRECT, "EINVAL") : undefined;
      this.isDirect = direct !== undefined;
      this.#fd = direct ?? fs.openSync(path, flags);
    } catch (error) {
      throw mediumError(`open ${path}`, error);
    }
    this.size = this.isDevice ? this.#length(host) : fs.fstatSync(this.#fd).size;
    this.block = this.isDevice && this.size % block === 0 ? block : 1;
  }

  /** What the kernel says; there is no call for it that Node knows. */
  #length(host: HostPaths): number {
    const number = deviceNumberOf(this.path);
    return (number === undefined ? undefined : lengthOfDevice(number, host)) ?? this.#readableLength();
  }

  /** Where reading ends, for hosts that do not tell. Tried by halves, in sectors of 512 bytes. */
  #readableLength(): number {
    const isThere = (sector: number) => {
      try {
        return fs.readSync(this.#fd, this.#buffer, 0, 4096, Math.floor(sector / 8) * 4096) > (sector % 8) * 512;
      } catch (error) {
        if (["EINVAL", "ENXIO"].includes((error as NodeJS.ErrnoException).code!) && sector > 0) return false;
        throw mediumError(`read ${this.path}`, error);
      }
    };
    let end = 1;
    while (end < 2 ** 43 && isThere(end - 1)) end *= 2;
    let start = 0;
    while (start < end) {
      const middle = Math.floor((start + end) / 2);
      if (isThere(middle)) start = middle + 1;
      else end = middle;
    }
    return start * 512;
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    checkRange(this, "a read", at, length);
    return this.#inTurn(() => this.#read(at, length));
  }

  async write(at: number, bytes: Uint8Array): Promise<void> {
    checkRange(this, "a write", at, bytes.length);
    return this.#inTurn(() => this.#write(at, bytes));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  async #read(at: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const piece = this.#blocks(at + done, length - done);
      await this.#fill(piece.start, piece.length);
      const found = this.#buffer.subarray(at + done - piece.start, piece.length).subarray(0, length - done);
      bytes.set(found, done);
      done += found.length;
    }
    return bytes;
  }

  async #write(at: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { start, length } = this.#blocks(at + done, bytes.length - done);
      const before = at + done - start;
      const part = bytes.subarray(done, done + length - before);
      if (part.length < length) await this.#fill(start, length);
      this.#buffer.set(part, before);
      await this.#store(start, length);
      done += part.length;
    }
  }

  async zero(at: number, length: number): Promise<void> {
    const zeros = new Uint8Array(Math.min(length, PIECE));
    for (let done = 0; done < length; done += zeros.length) {
      await this.write(at + done, zeros.subarray(0, Math.min(zeros.length, length - done)));
    }
  }

  /** The whole blocks that begin `length` bytes at `at`: at most as many as the buffer takes. */
  #blocks(at: number, length: number): { start: number; length: number } {
    const start = at - (at % this.block);
    return { start, length: Math.min(PIECE, alignUp(at + length, this.block) - start) };
  }

  async #fill(at: number, length: number): Promise<void> {
    for (let done = 0; done < length; ) {
      const { bytesRead } = await readAside(this.#fd, this.#buffer, done, length - done, at + done).catch((error) => {
        throw mediumError(`read ${this.path} at byte ${at + done}`, error);
      });
      if (bytesRead === 0) {
        throw new ImgbuildError("io-failed", `cannot read ${this.path}: it ends at byte ${at + done}`, {
          hint: "Has it been unplugged?",
        });
      }
      done += bytesRead;
    }
  }

  async #store(at: number, length: number): Promise<void> {
    for (let done = 0; done < length; ) {
      const { bytesWritten } = await writeAside(this.#fd, this.#buffer, done, length - done, at + done).catch(
        (error) => {
          throw mediumError(`write ${this.path} at byte ${at + done}`, error);
        },
      );
      done += bytesWritten;
    }
  }

  /** Waits until everything is on the medium, and out of the caches of the host and the drive. */
  sync(): void {
    try {
      fs.fsyncSync(this.#fd);
    } catch (error) {
      throw mediumError(`write ${this.path} to the end`, error);
    }
  }

  /** Closing it again does nothing. */
  close(): void {
    if (this.#open) fs.closeSync(this.#fd);
    this.#open = false;
  }
}

function openOr(path: string, flags: number, accepted: string): number | undefined {
  try {
    return fs.openSync(path, flags);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === accepted) return undefined;
    throw error;
  }
}
