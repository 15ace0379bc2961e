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
}

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
   * false. Returns the checksum of the input.
   */
  deflate(input: Uint8Array, level: number, kind: Checksum, write: (piece: Uint8Array) => boolean): number {
    const wasm = this.#wasm;
    const from = wasm.input();
    let checksum = kind === "adler32" ? 1 : 0;
    wasm.begin(level);
    let at = 0;
    do {
      const length = Math.min(input.length - at, this.#maxInput);
      const history = Math.min(at, this.#maxHistory);
      this.#input.fill(input.subarray(at - history, at + length), this.#maxHistory - history);
      checksum = wasm[kind](from, length, checksum) >>> 0;
      at += length;
      const size = wasm.compress(length, history, at === input.length);
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

/** A compressor into the zlib container. Throws an `internal` error for an impossible level. */
export async function zlibCompressor({ level }: DeflateOptions): Promise<Compressor> {
  const deflater = await encoder(level);
  const [method, flags] = zlibHeader(level);
  return {
    compress(input, output) {
      let size = 2;
      const write = (piece: Uint8Array) => {
        if (size + piece.length + (ZLIB_OVERHEAD - 2) > output.length) {
          size = 0;
          return false;
        }
        output.set(piece, size);
        size += piece.length;
        return true;
      };
      const adler = deflater.deflate(input, level, "adler32", write);
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
