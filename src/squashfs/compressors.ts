/**
 * The compressors of the format: this table is the one place that knows their names, levels, numbers and stored options, and
 * what a kernel needs to read them. Profiles, the command line and the checks of kernels ask it.
 */
import type { CodecName, CodecSpec } from "../codecs/index.js";
import { gzipOptions, lzoOptions } from "./layout.js";

export interface FormatCompressor {
  /** In the superblock (squashfs_fs.h, "definitions for structures on disk"). */
  readonly id: number;
  /** What has to be set in the kernel's configuration. */
  readonly kernelOption: string;
  readonly minLevel: number;
  readonly maxLevel: number;
  readonly defaultLevel: number;
  /** What the levels mean, for help texts: a few words. */
  readonly levels: string;
  /** What decodes it. */
  readonly decoder: CodecName;
  /** The codec for a level within the bounds. */
  codec(level: number, blockSize: number): CodecSpec;
  /** The options as stored behind the superblock; undefined when they are what readers assume, and need not be stored. */
  options(level: number, blockSize: number): Uint8Array | undefined;
}

/** What readers assume where no options are stored. Levels are for their information only: they all inflate alike. */
const UNSTORED_GZIP_LEVEL = 9;
/** Base-two logarithm of the DEFLATE window, and no strategy but zlib's own. */
const GZIP_WINDOW = 15;

/** The number of lzo1x_999 in squashfs-tools (lzo_wrapper.h); and its level that readers assume. Levels decompress alike. */
const LZO1X_999 = 4;
const UNSTORED_LZO_LEVEL = 8;

export const COMPRESSORS = {
  gzip: {
    id: 1,
    kernelOption: "CONFIG_SQUASHFS_ZLIB",
    minLevel: 1,
    maxLevel: 9,
    // Six times as fast as zlib at its smallest, and smaller; 9 takes as long as that.
    defaultLevel: 6,
    levels: "1 (fast) to 9 (smallest, six times as long)",
    decoder: "zlib",
    codec: (level) => ({ codec: "zlib", options: { level } }),
    options: (level) =>
      level === UNSTORED_GZIP_LEVEL ? undefined : gzipOptions.encode({ level, windowSize: GZIP_WINDOW }),
  },
  lzo: {
    id: 3,
    kernelOption: "CONFIG_SQUASHFS_LZO",
    minLevel: 1,
    maxLevel: 9,
    // Smaller than lzo1x_999 by 1.5 %, in two thirds of its time; 9 gains half a thousandth more.
    defaultLevel: 8,
    levels: "1 (fast) to 9 (smallest)",
    decoder: "lzo",
    codec: (level) => ({ codec: "lzo", options: { level } }),
    options: (level) => (level === UNSTORED_LZO_LEVEL ? undefined : lzoOptions.encode({ algorithm: LZO1X_999, level })),
  },
} as const satisfies Record<string, FormatCompressor>;

export type CompressorName = keyof typeof COMPRESSORS;

/** The names, in the order in which they are offered. */
export const COMPRESSOR_NAMES = Object.keys(COMPRESSORS) as CompressorName[];

/** What each compressor's levels are, for help texts. */
export function describeLevels(): string {
  return Object.entries<FormatCompressor>(COMPRESSORS)
    .map(([name, { levels, defaultLevel }]) => `${name}: ${levels}, default ${defaultLevel}`)
    .join("; ");
}
