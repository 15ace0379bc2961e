/**
 * DEFLATE (RFC 1951) in the zlib container (RFC 1950) and in the gzip container (RFC 1952), by our own encoder, which is
 * AssemblyScript in deflate/ and comes as WebAssembly. The same input and level give the same bytes everywhere.
 */
import { ImgbuildError } from "../errors.js";
import { type BlockModule, loadBlockModule, type ModuleBuffer } from "./block-module.js";
import type { Compressor } from "./codec.js";
import { oncePerThread } from "./wasm.js";

export interface DeflateOptions {
  /** 1 (fast) to 9 (small); deflate/levels.ts has what they do. */
  readonly level: number;
  /**
   * Blocks are no streams of their own, but pieces of one DEFLATE stream, of whole bytes each. The stream is any number of
   * them and DEFLATE_END, in whatever container.
   */
  readonly pieces?: boolean;
}

/** Ends a DEFLATE stream that was made in pieces: an empty block by the fixed codes, which is the last. */
export const DEFLATE_END: Readonly<Uint8Array> = Uint8Array.of(3, 0);

/** What the WebAssembly exports; deflate/index.ts documents it. Pointers are numbers. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  input(): number;
  output(): number;
  maxInput(): number;
  maxOutput(): number;
  maxHistory(): number;
  begin(level: number): void;
  compress(length: number, history: number, last: boolean): number;
  flush(): number;
  adler32(from: number, length: number, seed: number): number;
  crc32(from: number, length: number, seed: number): number;
}

type Checksum = "adler32" | "crc32";

/** The encoder of a thread. It does one thing after the other, so everyone can have the same. */
class Encoder {
  readonly #wasm: Exports;
  readonly #maxInput: number;
  readonly #maxHistory: number;
  /** The history and the input, one after the other. */
  readonly #input: ModuleBuffer;
  readonly #output: ModuleBuffer;

  constructor({ wasm, buffer }: BlockModule<Exports>) {
    this.#wasm = wasm;
    this.#maxInput = wasm.maxInput();
    this.#maxHistory = wasm.maxHistory();
    this.#input = buffer(wasm.input() - this.#maxHistory, this.#maxHistory + this.#maxInput);
    this.#output = buffer(wasm.output(), wasm.maxOutput());
  }

  /**
   * Compresses `input` and hands the result to `write` in pieces, each valid until it returns; ends early where that returns
   * false. Returns the checksum of the input, if one is asked for; without one, the result is a piece of a stream.
   */
  deflate(input: Uint8Array, level: number, kind: Checksum | undefined, write: (piece: Uint8Array) => boolean): number {
    const wasm = this.#wasm;
    const from = wasm.input();
    let checksum = kind === "adler32" ? 1 : 0;
    wasm.begin(level);
    let at = 0;
    do {
      const length = Math.min(input.length - at, this.#maxInput);
      const history = Math.min(at, this.#maxHistory);
      this.#input.fill(input.subarray(at - history, at + length), this.#maxHistory - history);
      if (kind !== undefined) checksum = wasm[kind](from, length, checksum) >>> 0;
      at += length;
      const last = at === input.length;
      let size = wasm.compress(length, history, last && kind !== undefined);
      if (last && kind === undefined) size = wasm.flush();
      if (!write(this.#output.first(size))) break;
    } while (at < input.length);
    return checksum;
  }
}

const load = oncePerThread(
  async () => new Encoder(await loadBlockModule<Exports>(new URL("./deflate.wasm", import.meta.url))),
);

function encoder(level: number): Promise<Encoder> {
  if (!Number.isInteger(level) || level < 1 || level > 9) {
    throw new ImgbuildError("internal", `there is no DEFLATE level ${level}`);
  }
  return load();
}

const ZLIB_OVERHEAD = 6;

/** Puts what it is given into `output`, from `start` on and up to `end`; `size` is where it got, 0 when that is too far. */
class Room {
  size: number;
  readonly #output: Uint8Array;
  readonly #end: number;

  constructor(output: Uint8Array, start: number, end: number) {
    this.size = start;
    this.#output = output;
    this.#end = end;
  }

  readonly write = (piece: Uint8Array): boolean => {
    if (this.size + piece.length > this.#end) {
      this.size = 0;
      return false;
    }
    this.#output.set(piece, this.size);
    this.size += piece.length;
    return true;
  };
}

/** A compressor into the zlib container, or of pieces. Throws an `internal` error for an impossible level. */
export async function zlibCompressor({ level, pieces = false }: DeflateOptions): Promise<Compressor> {
  const deflater = await encoder(level);
  if (pieces) {
    return {
      compress(input, output) {
        const room = new Room(output, 0, output.length);
        deflater.deflate(input, level, undefined, room.write);
        return room.size;
      },
    };
  }
  const [method, flags] = zlibHeader(level);
  return {
    compress(input, output) {
      const room = new Room(output, 2, output.length - (ZLIB_OVERHEAD - 2));
      const adler = deflater.deflate(input, level, "adler32", room.write);
      let { size } = room;
      if (size === 0) return 0;
      output[0] = method;
      output[1] = flags;
      for (const shift of [24, 16, 8, 0]) output[size++] = adler >>> shift;
      return size;
    },
  };
}

/** RFC 1950, section 2.2: DEFLATE with a window of 32 KiB; how thoroughly it was compressed; a remainder modulo 31 of 0. */
function zlibHeader(level: number): [number, number] {
  const method = 0x78;
  const thoroughness = level === 1 ? 0 : level < 6 ? 1 : level === 6 ? 2 : 3;
  const flags = thoroughness << 6;
  return [method, flags + 31 - (((method << 8) | flags) % 31)];
}

/**
 * `bytes` as a gzip file, without name and time, and without the system that it was made on (RFC 1952, section 2.3.1).
 * Throws an `internal` error for an impossible level.
 */
export async function gzip(bytes: Uint8Array, level: number): Promise<Uint8Array> {
  const deflater = await encoder(level);
  const thoroughness = level === 9 ? 2 : level === 1 ? 4 : 0;
  const unknownSystem = 255;
  const pieces = [Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, thoroughness, unknownSystem)];
  const crc = deflater.deflate(bytes, level, "crc32", (piece) => pieces.push(piece.slice()) > 0);
  const trailer = new DataView(new ArrayBuffer(8));
  trailer.setUint32(0, crc, true);
  trailer.setUint32(4, bytes.length, true);
  pieces.push(new Uint8Array(trailer.buffer));
  const file = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    file.set(piece, at);
    at += piece.length;
  }
  return file;
}
