/** Compression: codecs by name, the pool that runs them on all cores, and whole files as gzip. */
export { BCJ_FILTERS, type BcjFilter } from "./bcj.js";
export {
  type CodecName,
  type CodecSpec,
  type Compressor,
  createCompressor,
  createDecompressor,
  type Decompressor,
} from "./codec.js";
export { DEFLATE_END, gzip } from "./deflate.js";
export { CompressorPool, type Consumer, type PoolOptions, type Slot } from "./pool.js";
