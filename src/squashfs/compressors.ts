/**
 * The compressors of the format: this table is the one place that knows their names, levels, numbers and stored options, and
 * what a kernel needs to read them. Profiles, the command line and the checks of kernels ask it.
 */
import { BCJ_FILTERS, type BcjFilter, type CodecName, type CodecSpec } from "../codecs/index.js";
import { ImgbuildError } from "../errors.js";
import { gzipOptions, lz4Options, lzoOptions, METADATA_SIZE, XZ_FILTERS, xzOptions, zstdOptions } from "./layout.js";

/** What only xz has. */
export interface SquashfsXzOptions {
  /**
   * Bytes that matches reach back, and that a kernel keeps in memory for each core: from 8192 to the block size, 2^n or
   * 2^n + 2^(n+1). Default: the block size.
   */
  readonly dictionarySize?: number | undefined;
  /** Each block is tried with each of these too, and the smallest result is kept. Default: none. */
  readonly filters?: readonly BcjFilter[] | undefined;
}

/** What was asked for: a level within the compressor's bounds, a block size that is possible. */
export interface CompressionRequest {
  readonly level: number;
  readonly blockSize: number;
  readonly xz?: SquashfsXzOptions | undefined;
}

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
  /** The codec for data. Throws a `usage` error for options of its own that are impossible. */
  codec(request: CompressionRequest): CodecSpec;
  /** The codec for metadata, where that is another one. */
  metadataCodec?(request: CompressionRequest): CodecSpec;
  /** The options as stored behind the superblock; undefined when they are what readers assume, and need not be stored. */
  options(request: CompressionRequest): Uint8Array | undefined;
}

/** What readers assume where no options are stored. Levels are for their information only: they all inflate alike. */
const UNSTORED_GZIP_LEVEL = 9;
/** The same of zstd. */
const UNSTORED_ZSTD_LEVEL = 15;
/** Base-two logarithm of the DEFLATE window, and no strategy but zlib's own. */
const GZIP_WINDOW = 15;
/** The LZ4 block format: the only one there is. Its kernel driver refuses all others (fs/squashfs/lz4_wrapper.c). */
const LZ4_LEGACY = 1;
/** For readers' information: thoroughly compressed. */
const LZ4_HC = 1;

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
    codec: ({ level }) => ({ codec: "zlib", options: { level } }),
    options: ({ level }) =>
      level === UNSTORED_GZIP_LEVEL ? undefined : gzipOptions.encode({ level, windowSize: GZIP_WINDOW }),
  },
  xz: {
    id: 4,
    kernelOption: "CONFIG_SQUASHFS_XZ",
    minLevel: 0,
    maxLevel: 9,
    // As small as mksquashfs or smaller, which always searches as level 6 does: blocks get the context that suits them.
    defaultLevel: 5,
    levels: "0 (fast) to 9 (smallest, several times as long)",
    decoder: "xz",
    codec: ({ level, blockSize, xz }) => ({
      codec: "xz",
      options: { level, dictionarySize: dictionarySize(blockSize, xz), filters: xzFilters(xz) },
    }),
    // Inodes and names have no branches.
    metadataCodec: ({ level }) => ({ codec: "xz", options: { level, dictionarySize: METADATA_SIZE } }),
    options: ({ blockSize, xz }) => {
      const filters = xzFilters(xz).reduce((bits, name) => bits | XZ_FILTERS[name], 0);
      const size = dictionarySize(blockSize, xz);
      return filters === 0 && size === unstoredDictionarySize(blockSize)
        ? undefined
        : xzOptions.encode({ dictionarySize: size, filters });
    },
  },
  zstd: {
    id: 6,
    kernelOption: "CONFIG_SQUASHFS_ZSTD",
    minLevel: 1,
    maxLevel: 22,
    defaultLevel: 15,
    levels: "1 (fast) to 22 (smallest)",
    decoder: "zstd",
    codec: ({ level }) => ({ codec: "zstd", options: { level } }),
    options: ({ level }) => (level === UNSTORED_ZSTD_LEVEL ? undefined : zstdOptions.encode({ level })),
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
    codec: ({ level }) => ({ codec: "lz4", options: { level } }),
    // Kernels do not mount an image without them.
    options: ({ level }) => lz4Options.encode({ version: LZ4_LEGACY, flags: level > 1 ? LZ4_HC : 0 }),
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
    codec: ({ level }) => ({ codec: "lzo", options: { level } }),
    options: ({ level }) =>
      level === UNSTORED_LZO_LEVEL ? undefined : lzoOptions.encode({ algorithm: LZO1X_999, level }),
  },
} as const satisfies Record<string, FormatCompressor>;

export type CompressorName = keyof typeof COMPRESSORS;

/** The names, in the order in which they are offered. */
export const COMPRESSOR_NAMES = Object.keys(COMPRESSORS) as CompressorName[];

/** What has to be set in the configuration of a kernel that mounts such an image. */
export function kernelOptions(name: CompressorName, xz?: SquashfsXzOptions): string[] {
  // Branch filters have an option each ("XZ_DEC_X86", lib/xz/Kconfig): without it, only reading a file fails.
  return [COMPRESSORS[name].kernelOption, ...xzFilters(xz).map((filter) => `CONFIG_XZ_DEC_${filter.toUpperCase()}`)];
}

/** What each compressor's levels are, for help texts. */
export function describeLevels(): string {
  return Object.entries<FormatCompressor>(COMPRESSORS)
    .map(([name, { levels, defaultLevel }]) => `${name}: ${levels}, default ${defaultLevel}`)
    .join("; ");
}

/** What a kernel makes room for where no options are stored: its decoder is used for metadata too. */
function unstoredDictionarySize(blockSize: number): number {
  return Math.max(blockSize, METADATA_SIZE);
}

/** The dictionary for data. Throws a `usage` error where kernels would not mount. */
function dictionarySize(blockSize: number, { dictionarySize }: SquashfsXzOptions = {}): number {
  const most = unstoredDictionarySize(blockSize);
  if (dictionarySize === undefined) return most;
  // The lowest bit that is set: the size is 2^n or 2^n + 2^(n+1).
  const unit = dictionarySize & -dictionarySize;
  const storable = dictionarySize === unit || dictionarySize === 3 * unit;
  if (storable && dictionarySize >= METADATA_SIZE && dictionarySize <= most) return dictionarySize;
  throw new ImgbuildError("usage", `an xz dictionary size of ${dictionarySize} is not possible`, {
    hint: `Choose a power of two, or three times one, from ${METADATA_SIZE} to ${most} (the block size).`,
  });
}

/** The filters in the order of their bits. Throws a `usage` error for one that there is not. */
function xzFilters({ filters = [] }: SquashfsXzOptions = {}): BcjFilter[] {
  const unknown = filters.find((name) => !BCJ_FILTERS.includes(name));
  if (unknown !== undefined) {
    throw new ImgbuildError("usage", `"${unknown}" is not a filter of SquashFS compressed with xz`, {
      hint: `Choose among: ${BCJ_FILTERS.join(", ")}.`,
    });
  }
  return BCJ_FILTERS.filter((name) => filters.includes(name));
}
