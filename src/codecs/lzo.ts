/**
 * LZO1X, the format that Linux's Documentation/staging/lzo.rst describes, bitstream version 0. The encoder is our own:
 * AssemblyScript in lzo/, that comes as WebAssembly. The same input and level give the same bytes everywhere. The decoder is
 * lzo-decoder.ts.
 */
import { ImgbuildError } from "../errors.js";
import { blockCompressor, loadBlockModule } from "./block-module.js";
import type { Compressor, Decompressor } from "./codec.js";
import { decompress } from "./lzo-decoder.js";
import { oncePerThread } from "./wasm.js";

export interface LzoOptions {
  /** 1 (fast) to 9 (small); lzo/levels.ts has what they do. */
  readonly level: number;
}

/** What the WebAssembly exports; lzo/index.ts documents it. Pointers are numbers. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  input(): number;
  output(): number;
  maxInput(): number;
  maxOutput(): number;
  compress(length: number, level: number): number;
}

const load = oncePerThread(async () => {
  const { wasm, buffer } = await loadBlockModule<Exports>(new URL("./lzo.wasm", import.meta.url));
  return {
    wasm,
    format: {
      name: "LZO",
      input: buffer(wasm.input(), wasm.maxInput()),
      output: buffer(wasm.output(), wasm.maxOutput()),
    },
  };
});

/** A compressor for blocks of at most 1 MiB. Throws an `internal` error for an impossible level, and for a longer block. */
export async function lzoCompressor({ level }: LzoOptions): Promise<Compressor> {
  if (!Number.isInteger(level) || level < 1 || level > 9) {
    throw new ImgbuildError("internal", `there is no LZO level ${level}`);
  }
  const { wasm, format } = await load();
  return blockCompressor(format, (length) => wasm.compress(length, level));
}

/** A decompressor. It takes what any LZO1X encoder writes, except for the zero runs of bitstream version 1 (LZO-RLE). */
export function lzoDecompressor(): Decompressor {
  return { decompress };
}
