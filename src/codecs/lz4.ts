/**
 * The LZ4 block format, by our own encoder and decoder, which are AssemblyScript in lz4/ and come as WebAssembly. The same
 * block and level give the same bytes everywhere.
 */
import { ImgbuildError } from "../errors.js";
import { blockCompressor, blockDecompressor, failureReasons, loadBlockModule } from "./block-module.js";
import type { Compressor, Decompressor } from "./codec.js";
import { oncePerThread } from "./wasm.js";

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

const load = oncePerThread(async () => {
  const { wasm, buffer } = await loadBlockModule<Exports>(new URL("./lz4.wasm", import.meta.url));
  return {
    wasm,
    block: buffer(wasm.block(), wasm.maxBlock()),
    compressed: buffer(wasm.compressed(), wasm.maxCompressed()),
  };
});

/** A compressor of blocks up to 1 MiB. Throws an `internal` error for an impossible level. */
export async function lz4Compressor({ level }: Lz4Options): Promise<Compressor> {
  if (!Number.isInteger(level) || level < 1 || level > 12) {
    throw new ImgbuildError("internal", `there is no LZ4 level ${level}`);
  }
  const { wasm, block, compressed } = await load();
  return blockCompressor({ name: "LZ4", input: block, output: compressed }, (length) => wasm.compress(length, level));
}

/** By name, as in lz4/decoder.ts. */
const FAILURES = {
  DAMAGED: "it is not a whole block",
  TOO_LONG: "its block is longer than its place",
};

/** The decompressor of a thread, of blocks up to 1 MiB. */
export const lz4Decompressor = oncePerThread(async (): Promise<Decompressor> => {
  const { wasm, block, compressed } = await load();
  return blockDecompressor(
    { name: "LZ4", input: compressed, output: block },
    wasm.decompress,
    failureReasons(wasm, FAILURES),
  );
});
