/** DEFLATE in the zlib container (RFC 1951, RFC 1950), by the host's zlib. */
import { deflateSync } from "node:zlib";
import type { Compressor } from "./codec.js";

export interface ZlibOptions {
  /** 1 (fast) to 9 (small). */
  readonly level: number;
}

/** zlib never needs more than this beyond its input (deflateBound); with room for it the result comes in one piece. */
const overhead = (length: number) => (length >>> 10) + 64;

export function zlibCompressor({ level }: ZlibOptions): Compressor {
  return {
    compress(input, output) {
      const compressed = deflateSync(input, { level, chunkSize: input.length + overhead(input.length) });
      if (compressed.length > output.length) return 0;
      output.set(compressed);
      return compressed.length;
    },
  };
}
