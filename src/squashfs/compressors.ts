/**
 * The compressors of the format: this table is the one place that knows their names, levels, numbers and stored options, and
 * what a kernel needs to read them. Profiles, the command line and the checks of kernels ask it.
 */
import type { CodecName, CodecSpec } from "../codecs/index.js";
import { gzipOptions, lz4Options } from "./layout.js";

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
/** The LZ4 block format: the only one there is. Its kernel driver refuses all others (fs/squashfs/lz4_wrapper.c). */
const LZ4_LEGACY = 1;
/** For readers' information: thoroughly compressed. */
const LZ4_HC = 1;

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
  lz4: {
    id: 5,
    kernelOption: "CONFIG_SQUASHFS_LZ4",
    minLevel: 1,
    maxLevel: 12,
    // As small as `mksquashfs -Xhc` to a thousandth, in less than half its time.
    defaultLevel: 10,
    levels: "1 (fast), 2 to 12 (high compression, slower and smaller)",
    decoder: "lz4",
    codec: (level) => ({ codec: "lz4", options: { level } }),
    // Kernels do not mount an image without them.
    options: (level) => lz4Options.encode({ version: LZ4_LEGACY, flags: level > 1 ? LZ4_HC : 0 }),
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
