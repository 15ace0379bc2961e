/**
 * What a codec is, and the list of them. A codec is one file that exports a function making a Compressor; its line below
 * names it and its options. It is loaded when it is first asked for, in whichever thread asks.
 */
import type { DeflateOptions } from "./deflate.js";

/** Compresses independent blocks, one after the other. Belongs to one thread. */
export interface Compressor {
  /**
   * Compresses all of `input` into `output`. Returns the number of bytes written, or 0 when the result does not fit: with
   * an output one byte shorter than the input, 0 says that the block does not shrink.
   */
  compress(input: Uint8Array, output: Uint8Array): number;
}

/** The options of each codec, by name. Plain data: they are sent to workers. */
export interface CodecOptions {
  readonly zlib: DeflateOptions;
}

type CodecName = keyof CodecOptions;

/** A codec with its options. The same spec gives the same bytes in every thread. */
export type CodecSpec = {
  [Name in CodecName]: { readonly codec: Name; readonly options: CodecOptions[Name] };
}[CodecName];

const LOADERS: { readonly [Name in CodecName]: (options: CodecOptions[Name]) => Promise<Compressor> } = {
  zlib: async (options) => (await import("./deflate.js")).zlibCompressor(options),
};

/** A compressor for the calling thread. */
export function createCompressor(spec: CodecSpec): Promise<Compressor> {
  return LOADERS[spec.codec](spec.options);
}
