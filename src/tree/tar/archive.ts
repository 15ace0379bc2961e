/**
 * A tar archive that can be read at any position: the file itself where it is a plain tar on a disk, a temporary file
 * with the decompressed bytes otherwise.
 */
import * as fs from "node:fs";
import { Socket } from "node:net";
import { breathe, readFully } from "../../bytes/file-device.js";
import { type CompressionFormat, decompress, detectCompression } from "../../codecs/decompress.js";
import { ImgbuildError } from "../../errors.js";
import type { Content } from "../node.js";
import { checkUnchanged, type FileState, readRange, sourceError } from "../source-file.js";
import { appendToSpool, openSpool } from "../spool.js";
import type { Piece } from "./sparse.js";

const CHUNK = 2 ** 18;

export class Archive {
  readonly #fd: number;
  readonly #shown: () => string;
  readonly #state: FileState;
  #window = new Uint8Array(0);
  #windowAt = 0;

  private constructor(fd: number, shown: string) {
    this.#fd = fd;
    this.#shown = () => shown;
    this.#state = fs.fstatSync(fd);
  }

  /**
   * Opens the archive at `source`, or the one that comes out of it. What cannot be read in place goes to a file in the
   * folder `spool`, which has no name any more when this resolves, and vanishes with this process at the latest.
   */
  static async open(source: string | AsyncIterable<Uint8Array>, spool: string): Promise<Archive> {
    if (typeof source !== "string") return Archive.#spool(source, "the tar on standard input", spool);
    let fd: number;
    try {
      // Opening a pipe waits for its writer, and signals wait with it, unless it is told not to: then the socket waits.
      if (fs.statSync(source).isFIFO()) {
        const pipe = fs.openSync(source, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
        return Archive.#spool(new Socket({ fd: pipe, readable: true, writable: false }), source, spool);
      }
      fd = fs.openSync(source, "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw sourceError(source, error);
      throw new ImgbuildError("source-missing", `${source} does not exist`, { hint: "Check the path.", cause: error });
    }
    try {
      if (fs.fstatSync(fd).isFile()) {
        const head = new Uint8Array(6);
        readFully(fd, head, 0);
        if (detectCompression(head) === undefined) return new Archive(fd, source);
      }
    } catch (error) {
      fs.closeSync(fd);
      throw error instanceof ImgbuildError ? error : sourceError(source, error);
    }
    return Archive.#spool(fs.createReadStream(source, { fd, highWaterMark: CHUNK }), source, spool);
  }

  static async #spool(source: AsyncIterable<Uint8Array>, shown: string, folder: string): Promise<Archive> {
    const { format, stream } = await peek(source);
    const fd = openSpool(folder);
    try {
      await appendToSpool(fd, folder, format === undefined ? stream : decompress(format, stream));
      return new Archive(fd, shown);
    } catch (error) {
      fs.closeSync(fd);
      if (!(error instanceof ImgbuildError)) throw sourceError(shown, error);
      if (!error.code.startsWith("source-")) throw error;
      const { hint, data, cause } = error;
      throw new ImgbuildError(error.code, `cannot read ${shown}: ${error.message}`, {
        ...(hint === undefined ? {} : { hint }),
        data,
        cause,
      });
    }
  }

  get size(): number {
    return this.#state.size;
  }

  /** The bytes from `at` on, at most `length`: fewer at the archive's end. For headers, which are near each other. */
  async read(at: number, length: number): Promise<Uint8Array> {
    if (at < this.#windowAt || at + length > this.#windowAt + this.#window.length) {
      await breathe();
      const wanted = Math.max(0, Math.min(Math.max(length, 2 ** 16), this.size - at));
      const window = new Uint8Array(wanted);
      readRange(this.#fd, window, at, this.size, this.#shown);
      this.#window = window;
      this.#windowAt = at;
    }
    return this.#window.subarray(at - this.#windowAt, at - this.#windowAt + length);
  }

  /** A file's content out of pieces of the archive. */
  content(size: number, pieces: readonly Piece[], sparse: boolean): Content {
    return {
      size,
      ...(sparse ? { data: pieces.map(({ start, end }) => ({ start, end })) } : {}),
      open: async () => {
        checkUnchanged(this.#fd, this.#state, this.#shown);
        return {
          read: async (at, into) => {
            await breathe();
            const end = at + into.length;
            if (sparse) into.fill(0);
            for (let i = firstEndingAfter(pieces, at); i < pieces.length && pieces[i]!.start < end; i++) {
              const piece = pieces[i]!;
              const from = Math.max(piece.start, at);
              const to = Math.min(piece.end, end);
              const part = into.subarray(from - at, to - at);
              readRange(this.#fd, part, piece.at + from - piece.start, this.size, this.#shown);
            }
            // Having read the last byte: was it one state of the archive that was read?
            if (end === size) checkUnchanged(this.#fd, this.#state, this.#shown);
          },
          close: async () => {},
        };
      },
    };
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}

function firstEndingAfter(pieces: readonly Piece[], position: number): number {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (pieces[middle]!.end <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Looks at a stream's first bytes, and gives the whole stream back. */
async function peek(
  source: AsyncIterable<Uint8Array>,
): Promise<{ format: CompressionFormat | undefined; stream: AsyncIterable<Uint8Array> }> {
  const iterator = source[Symbol.asyncIterator]();
  let head: Uint8Array = new Uint8Array(0);
  while (head.length < 6) {
    const { done, value } = await iterator.next();
    if (done) break;
    head = head.length === 0 ? value : Buffer.concat([head, value]);
  }
  async function* whole() {
    try {
      if (head.length > 0) yield head;
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  return { format: detectCompression(head), stream: whole() };
}
