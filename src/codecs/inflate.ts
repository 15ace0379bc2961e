/**
 * DEFLATE (RFC 1951) in the zlib container (RFC 1950), decoded by our own decoder, which is AssemblyScript in inflate/ and
 * comes as WebAssembly: the same on every host, with the reason where data is damaged.
 */
import { blockDecompressor, failureReasons, loadBlockModule } from "./block-module.js";
import type { Decompressor } from "./codec.js";
import { oncePerThread } from "./wasm.js";

/** What the WebAssembly exports; inflate/index.ts documents it. Pointers are numbers. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  input(): number;
  output(): number;
  maxInput(): number;
  maxOutput(): number;
  decompress(length: number, limit: number): number;
}

/** By name, as in inflate/failures.ts. */
const FAILURES = {
  ENDS_EARLY: "it ends early",
  TOO_LONG: "the result is longer than its place",
  NO_ZLIB_HEADER: "it does not begin with a zlib header",
  PRESET_DICTIONARY: "it needs a preset dictionary",
  BLOCK_TYPE: "a block has a type that there is not",
  STORED_LENGTH: "the length of a stored block and its complement do not match",
  TOO_MANY_SYMBOLS: "a block has more symbols than there are",
  REPEATED_LENGTH: "a block repeats a codeword length where there is none",
  OVERSUBSCRIBED: "a block's code is over-subscribed",
  INCOMPLETE: "a block's code is incomplete",
  NO_END_OF_BLOCK: "a block's code has no end of block",
  INVALID_CODEWORD: "a codeword stands for nothing",
  TOO_FAR_BACK: "a match reaches too far back, before the result's beginning",
  CHECKSUM: "the checksum does not match",
  TRAILING_BYTES: "something follows its checksum",
};

/** The decompressor of a thread for the zlib container: blocks of up to 1 MiB, which is what a longer `output` counts as. */
export const zlibDecompressor = oncePerThread(async (): Promise<Decompressor> => {
  const { wasm, buffer } = await loadBlockModule<Exports>(new URL("./inflate.wasm", import.meta.url));
  const format = {
    name: "zlib",
    input: buffer(wasm.input(), wasm.maxInput()),
    output: buffer(wasm.output(), wasm.maxOutput()),
  };
  return blockDecompressor(format, wasm.decompress, failureReasons(wasm, FAILURES));
});
