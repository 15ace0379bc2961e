/** The compressors of the format: number in the superblock, codec, and how their options are stored. */
import type { CodecSpec } from "../codecs/index.js";
import { gzipOptions } from "./layout.js";

interface FormatCompressor {
  /** In the superblock (squashfs_fs.h, "definitions for structures on disk"). */
  readonly id: number;
  readonly maxLevel: number;
  readonly defaultLevel: number;
  codec(level: number): CodecSpec;
  /** The options as stored behind the superblock; undefined when they are the defaults, which are not stored. */
  options(level: number): Uint8Array | undefined;
}

/** What readers assume where no options are stored. Levels are for their information only: they all inflate alike. */
const UNSTORED_GZIP_LEVEL = 9;
/** Base-two logarithm of the DEFLATE window, and no strategy but zlib's own. */
const GZIP_WINDOW = 15;

export const COMPRESSORS = {
  gzip: {
    id: 1,
    maxLevel: 9,
    // Six times as fast as zlib at its smallest, and smaller; 9 takes as long as that.
    defaultLevel: 6,
    codec: (level) => ({ codec: "zlib", options: { level } }),
    options: (level) =>
      level === UNSTORED_GZIP_LEVEL ? undefined : gzipOptions.encode({ level, windowSize: GZIP_WINDOW }),
  },
} as const satisfies Record<string, FormatCompressor>;

export type CompressorName = keyof typeof COMPRESSORS;
