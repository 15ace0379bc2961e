/**
 * The LZ4 block format, by our own encoder and decoder, which are AssemblyScript in lz4/ and come as WebAssembly. The same
 * block and level give the same bytes everywhere.
 */
import { ImgbuildError } from "../errors.js";
import type { Compressor, Decompressor } from "./codec.js";
import { instantiateWasm } from "./wasm.js";

export interface Lz4Options {
  /** 1 (fast), or 2 to 12 (small), which decode as fast or faster; lz4/levels.ts has what they do. */
  readonly level: number;
}

/** What the WebAssembly exports; lz4/index.ts documents it. Pointers are numbers. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  block(): number;
  compressed(): number;
  maxBlock(): number;
  maxCompressed(): number;
  compress(length: number, level: number): number;
  decompress(length: number, room: number): number;
}

/** The encoder and decoder of a thread. It does one thing after the other, so everyone can have the same. */
interface Lz4 {
  readonly wasm: Exports;
  readonly memory: Uint8Array;
}

let loading: Promise<Lz4> | undefined;

function load(): Promise<Lz4> {
  loading ??= instantiateWasm<Exports>(new URL("./lz4.wasm", import.meta.url)).then((wasm) => ({
    wasm,
    memory: new Uint8Array(wasm.memory.buffer),
  }));
  return loading;
}

/** A compressor of blocks up to 1 MiB. Throws an `internal` error for an impossible level. */
export async function lz4Compressor({ level }: Lz4Options): Promise<Compressor> {
  if (!Number.isInteger(level) || level < 1 || level > 12) {
    throw new ImgbuildError("internal", `there is no LZ4 level ${level}`);
  }
  const { wasm, memory } = await load();
  const [block, compressed, maxBlock] = [wasm.block(), wasm.compressed(), wasm.maxBlock()];
  return {
    compress(input, output) {
      if (input.length > maxBlock) {
        throw new ImgbuildError("internal", `${input.length} bytes are too many for an LZ4 block`);
      }
      memory.set(input, block);
      const size = wasm.compress(input.length, level);
      if (size > output.length) return 0;
      output.set(memory.subarray(compressed, compressed + size));
      return size;
    },
  };
}

/** A decompressor of blocks up to 1 MiB. */
export async function lz4Decompressor(): Promise<Decompressor> {
  const { wasm, memory } = await load();
  const [block, compressed, maxBlock, maxCompressed] = [
    wasm.block(),
    wasm.compressed(),
    wasm.maxBlock(),
    wasm.maxCompressed(),
  ];
  return {
    decompress(input, output) {
      if (input.length > maxCompressed) throw damaged("it is longer than that of any block");
      memory.set(input, compressed);
      const size = wasm.decompress(input.length, Math.min(output.length, maxBlock));
      if (size < 0) throw damaged(size === TOO_LONG ? "its block is longer than its place" : "it is not a whole block");
      output.set(memory.subarray(block, block + size));
      return size;
    },
  };
}

/** What the decoder returns for a block with more bytes than there is room for (lz4/decoder.ts). */
const TOO_LONG = -2;

function damaged(reason: string): ImgbuildError {
  return new ImgbuildError("image-corrupt", `LZ4 data is damaged: ${reason}`);
}
