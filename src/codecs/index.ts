/** Compression: codecs by name, and the pool that runs them on all cores. */
export { type CodecSpec, type Compressor, createCompressor } from "./codec.js";
export { CompressorPool, type Consumer, type PoolOptions, type Slot } from "./pool.js";
