/**
 * Our own codecs, which are AssemblyScript and come as WebAssembly: what all of them do to get bytes in and out. The memory of
 * such a module is static: it never grows, and its buffers are where they are for as long as it lives. The instance is a
 * thread's, and calls return before the next begins, so everyone in the thread can have the same.
 */
import { ImgbuildError } from "../errors.js";
import type { Compressor, Decompressor } from "./codec.js";
import { instantiateWasm } from "./wasm.js";

/** What every module exports. Pointers are numbers. */
interface ModuleExports {
  readonly memory: { readonly buffer: ArrayBuffer };
}

/** An instance. */
export interface BlockModule<Exports> {
  readonly wasm: Exports;
  /** Its buffer of `size` bytes at `pointer`. */
  buffer(pointer: number, size: number): ModuleBuffer;
}

/** A new instance of the module at `url`, for `oncePerThread`. Errors are those of `instantiateWasm`. */
export async function loadBlockModule<Exports extends ModuleExports>(url: URL): Promise<BlockModule<Exports>> {
  const wasm = await instantiateWasm<Exports>(url);
  const memory = new Uint8Array(wasm.memory.buffer);
  return { wasm, buffer: (pointer, size) => new ModuleBuffer(memory.subarray(pointer, pointer + size)) };
}

/** A buffer in the memory of a module: where a block goes, or comes. */
export class ModuleBuffer {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** In bytes. */
  get size(): number {
    return this.#bytes.length;
  }

  /** Copies bytes into it, from its byte `at` on. They have to fit. */
  fill(bytes: Uint8Array, at = 0): void {
    this.#bytes.set(bytes, at);
  }

  /** Its first `length` bytes: valid until the module's next call. */
  first(length: number): Uint8Array {
    return this.#bytes.subarray(0, length);
  }
}

/** A compressor or decompressor of blocks: what it is called in messages, and the buffers it reads and writes. */
interface BlockFormat {
  readonly name: string;
  readonly input: ModuleBuffer;
  readonly output: ModuleBuffer;
}

/**
 * A compressor. `compress` compresses the first `length` bytes of the input and returns how many are in the output, which has
 * room for whatever becomes of a block. The compressor throws an `internal` error for a block that is longer than the input.
 */
export function blockCompressor(
  { name, input, output }: BlockFormat,
  compress: (length: number) => number,
): Compressor {
  return {
    compress(block, result) {
      if (block.length > input.size) {
        throw new ImgbuildError("internal", `${name} blocks are at most ${input.size} bytes long, not ${block.length}`);
      }
      input.fill(block);
      const size = compress(block.length);
      if (size > result.length) return 0;
      result.set(output.first(size));
      return size;
    },
  };
}

/**
 * A decompressor. `decompress` decompresses the first `length` bytes of the input and returns how many are in the output, at
 * most `room`; or, below 0, a number for which `reasons` has what is wrong with the input.
 */
export function blockDecompressor(
  { name, input, output }: BlockFormat,
  decompress: (length: number, room: number) => number,
  reasons: ReadonlyMap<number, string>,
): Decompressor {
  const damaged = (reason: string) => new ImgbuildError("image-corrupt", `${name} data is damaged: ${reason}`);
  return {
    decompress(compressed, result) {
      if (compressed.length > input.size) throw damaged(`${compressed.length} bytes are more than any block has`);
      input.fill(compressed);
      const size = decompress(compressed.length, Math.min(result.length, output.size));
      if (size < 0) throw damaged(reasons.get(size)!);
      result.set(output.first(size));
      return size;
    },
  };
}

/** The value of a constant that a module exports: a WebAssembly.Global, which TypeScript declares for browsers only. */
interface Constant {
  readonly value: number;
}

/**
 * By its number, what each failure of a decoder means. A module exports the numbers, each under its failure's name, and no other
 * constants; `words` has what to say, by the same names. Throws an `internal` error when one has a name that the other lacks.
 */
export function failureReasons(wasm: object, words: Readonly<Record<string, string>>): ReadonlyMap<number, string> {
  const constants = Object.entries(wasm).filter(([, value]) => isConstant(value));
  const known = Object.keys(words).sort();
  const names = constants.map(([name]) => name).sort();
  if (names.join() !== known.join()) {
    throw new ImgbuildError("internal", `a decoder has the failures ${names}, but there are words for ${known}`);
  }
  return new Map(constants.map(([name, constant]) => [(constant as Constant).value, words[name]!]));
}

function isConstant(exported: unknown): exported is Constant {
  return Object.prototype.toString.call(exported) === "[object WebAssembly.Global]";
}
