/**
 * Content that is in a file of the host. The file is opened when a writer asks for the content, and has to be then what
 * it was when the tree was read.
 */
import * as fs from "node:fs";
import { type ByteString, display } from "../bytes/bytestring.js";
import { breathe, readFully } from "../bytes/file-device.js";
import { ImgbuildError } from "../errors.js";
import type { Content, ContentReader, Timestamp } from "./node.js";

/** What tells one state of a file from another. */
export interface FileState {
  readonly size: number;
  /** As fs.Stats has it: exact to a quarter of a microsecond, and read in half the time of nanoseconds as a BigInt. */
  readonly mtimeMs: number;
}

// A fifo that took the place of a file would block open() for ever, and a symlink lead elsewhere. Windows has neither flag.
const OPEN_FLAGS = fs.constants.O_RDONLY | (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NONBLOCK ?? 0);

/** What says that a file is none any more: nothing, or a symlink, a folder, a socket, a pipe. */
const GONE: ReadonlySet<string> = new Set(["ENOENT", "ELOOP", "EISDIR", "ENXIO", "ESPIPE"]);

/** The error of a failed system call on a source. `shown` is the path for the message. */
export function sourceError(shown: string, error: unknown): ImgbuildError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (GONE.has(code ?? "")) {
    return changed(shown, "it was there, and is gone");
  }
  if (code === "EACCES" || code === "EPERM") {
    return new ImgbuildError("source-unreadable", `cannot read ${shown}: ${code}`, {
      hint: "Run as a user who may read it, or change its permissions; a tar made by that user works as well.",
      data: { path: shown },
      cause: error,
    });
  }
  if (code === "ENAMETOOLONG") {
    return new ImgbuildError("source-unreadable", `cannot read ${shown}: its path is longer than this host takes`, {
      hint: "Begin further down, or give a tar of it.",
      data: { path: shown },
      cause: error,
    });
  }
  return new ImgbuildError("io-failed", `cannot read ${shown}: ${code ?? message}`, {
    hint: "Check the disk.",
    data: { path: shown },
    cause: error,
  });
}

function changed(shown: string, how: string): ImgbuildError {
  return new ImgbuildError("source-changed", `${shown} changed while it was read: ${how}`, {
    hint: "Something still writes to the source. Wait until it is done, or build from a copy or a tar.",
    data: { path: shown },
  });
}

/**
 * Rejects a file that is not what it was. A shorter file cannot fill the space that was planned for it; a longer one, or
 * one that was written to, would leave a half-old content in the image that nobody ever had, and a different one with the
 * next build. The inode's number is not compared: some network file systems make a new one up each time.
 */
export function checkUnchanged(fd: number, state: FileState, shown: () => string): void {
  const now = fs.fstatSync(fd);
  if (now.size !== state.size) throw changed(shown(), `it had ${state.size} bytes, and has ${now.size} now`);
  if (now.mtimeMs !== state.mtimeMs) throw changed(shown(), "its modification time is another one");
}

/** Fills `into`; less than that means that the file has shrunk. */
export function readRange(fd: number, into: Uint8Array, at: number, size: number, shown: () => string): void {
  let count: number;
  try {
    count = readFully(fd, into, at);
  } catch (error) {
    throw sourceError(shown(), error);
  }
  if (count < into.length) throw changed(shown(), `it had ${size} bytes, and ends at byte ${at + count} now`);
}

/**
 * A path for Node's calls. Text where that means the same bytes, which takes a fraction of the time of a Buffer.
 */
export function hostPath(path: ByteString): string | Buffer {
  return /[\x80-\xff]/.test(path) ? Buffer.from(path, "latin1") : path;
}

/** Bytes of a path that Linux takes in one call, without the NUL behind it. Folders may well be deeper. */
const LONGEST_PATH = 4095;

/**
 * Calls `call` with a path that the host takes for `path`: where that is too long for one call of Linux, it leads through a
 * folder on the way, which is open meanwhile. Throws what `call` throws.
 */
export function atHostPath<T>(path: ByteString, call: (path: string | Buffer) => T): T {
  if (path.length <= LONGEST_PATH || process.platform !== "linux") return call(hostPath(path));
  let folder: number | undefined;
  try {
    let rest = path;
    while (rest.length > LONGEST_PATH) {
      const cut = rest.lastIndexOf("/", LONGEST_PATH);
      const next = fs.openSync(hostPath(rest.slice(0, cut) as ByteString), fs.constants.O_DIRECTORY);
      if (folder !== undefined) fs.closeSync(folder);
      folder = next;
      rest = `/proc/self/fd/${folder}/${rest.slice(cut + 1)}` as ByteString;
    }
    return call(hostPath(rest));
  } finally {
    if (folder !== undefined) fs.closeSync(folder);
  }
}

/** What is known of a file of the host. There may be millions: strings and objects that others have are shared with them. */
export interface HostFileFacts {
  /** The path of its folder, with the separator at its end, and its name; both together are the path. */
  readonly folder: ByteString;
  readonly name: ByteString;
  readonly size: number;
  readonly mtime: Timestamp;
  /** How messages call it, when that is not its path. */
  readonly shown?: string;
}

/** The whole content of a file, which has to be what the facts say when it is read. */
export function fileContent(facts: HostFileFacts): Content {
  return new HostFile(facts);
}

class HostFile implements Content {
  readonly size: number;
  readonly #folder: ByteString;
  readonly #name: ByteString;
  readonly #mtime: Timestamp;
  readonly #shown: string | undefined;

  constructor({ folder, name, size, mtime, shown }: HostFileFacts) {
    this.size = size;
    this.#folder = folder;
    this.#name = name;
    this.#mtime = mtime;
    this.#shown = shown;
  }

  get #path(): ByteString {
    return `${this.#folder}${this.#name}` as ByteString;
  }

  shown(): string {
    return this.#shown ?? display(this.#path);
  }

  /** As Node computes it. */
  get mtimeMs(): number {
    return this.#mtime.seconds * 1000 + this.#mtime.nanoseconds / 1e6;
  }

  /** Fills `into` from an open descriptor. */
  read(fd: number, into: Uint8Array, at: number): void {
    const shown = () => this.shown();
    readRange(fd, into, at, this.size, shown);
    // Having read the last byte: was it one state of the file that was read?
    if (at + into.length === this.size) checkUnchanged(fd, this, shown);
  }

  readWhole(into: Uint8Array): Promise<void> | undefined {
    const pause = breathe();
    if (pause !== undefined) return pause.then(() => this.#fill(into));
    this.#fill(into);
    return undefined;
  }

  #fill(into: Uint8Array): void {
    const fd = this.#openFile();
    try {
      this.read(fd, into, 0);
    } finally {
      fs.closeSync(fd);
    }
  }

  async open(): Promise<ContentReader> {
    const fd = this.#openFile();
    try {
      checkUnchanged(fd, this, () => this.shown());
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    return new HostFileReader(this, fd);
  }

  #openFile(): number {
    try {
      return atHostPath(this.#path, (path) => fs.openSync(path, OPEN_FLAGS));
    } catch (error) {
      throw sourceError(this.shown(), error);
    }
  }
}

class HostFileReader implements ContentReader {
  readonly #file: HostFile;
  readonly #fd: number;

  constructor(file: HostFile, fd: number) {
    this.#file = file;
    this.#fd = fd;
  }

  async read(at: number, into: Uint8Array): Promise<void> {
    await breathe();
    this.#file.read(this.#fd, into, at);
  }

  async close(): Promise<void> {
    fs.closeSync(this.#fd);
  }
}
