/**
 * What a codec is, and the list of them. A codec is one file that exports functions making a Compressor and a Decompressor;
 * its lines below name it and its options. It is loaded when it is first asked for, in whichever thread asks.
 */
import type { DeflateOptions } from "./deflate.js";
import type { Lz4Options } from "./lz4.js";
import type { LzoOptions } from "./lzo.js";
import type { XzOptions } from "./xz.js";
import type { ZstdOptions } from "./zstd.js";

/** Compresses independent blocks, one after the other. Belongs to one thread. */
export interface Compressor {
  /**
   * Compresses all of `input` into `output`. Returns the number of bytes written, or 0 when the result does not fit: with
   * an output one byte shorter than the input, 0 says that the block does not shrink.
   */
  compress(input: Uint8Array, output: Uint8Array): number;
}

/** Decompresses independent blocks, one after the other. Belongs to one thread. */
export interface Decompressor {
  /**
   * Decompresses all of `input`, which is one block as the Compressor makes it, and returns the number of bytes written to
   * `output`. Never writes beyond it, whatever the input. Throws an `image-corrupt` error when the input is damaged, when
   * it is longer or shorter than its block, or when the result does not fit.
   */
  decompress(input: Uint8Array, output: Uint8Array): number;
}

/** The options of each codec's Compressor, by name. Plain data: they are sent to workers. */
export interface CodecOptions {
  readonly zlib: DeflateOptions;
  readonly xz: XzOptions;
  readonly zstd: ZstdOptions;
  readonly lzo: LzoOptions;
  readonly lz4: Lz4Options;
}

export type CodecName = keyof CodecOptions;

/** A codec with its options. The same spec gives the same bytes in every thread. */
export type CodecSpec = {
  [Name in CodecName]: { readonly codec: Name; readonly options: CodecOptions[Name] };
}[CodecName];

const COMPRESSORS: { readonly [Name in CodecName]: (options: CodecOptions[Name]) => Promise<Compressor> } = {
  zlib: async (options) => (await import("./deflate.js")).zlibCompressor(options),
  xz: async (options) => (await import("./xz.js")).xzCompressor(options),
  zstd: async (options) => (await import("./zstd.js")).zstdCompressor(options),
  lzo: async (options) => (await import("./lzo.js")).lzoCompressor(options),
  lz4: async (options) => (await import("./lz4.js")).lz4Compressor(options),
};

const DECOMPRESSORS: { readonly [Name in CodecName]: () => Promise<Decompressor> } = {
  zlib: async () => (await import("./inflate.js")).zlibDecompressor(),
  xz: async () => (await import("./xz.js")).xzDecompressor(),
  zstd: async () => (await import("./zstd.js")).zstdDecompressor(),
  lzo: async () => (await import("./lzo.js")).lzoDecompressor(),
  lz4: async () => (await import("./lz4.js")).lz4Decompressor(),
};

/** A compressor for the calling thread. */
export function createCompressor<Name extends CodecName>(spec: {
  readonly codec: Name;
  readonly options: CodecOptions[Name];
}): Promise<Compressor> {
  return COMPRESSORS[spec.codec](spec.options);
}

/** A decompressor for the calling thread. */
export function createDecompressor(codec: CodecName): Promise<Decompressor> {
  return DECOMPRESSORS[codec]();
}
