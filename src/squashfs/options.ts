/** What the writer can be told, and what follows from it. */
import type { CodecSpec } from "../codecs/index.js";
import { ImgbuildError } from "../errors.js";
import type { Node } from "../tree/node.js";
import type { Observer } from "../tree/observer.js";
import {
  COMPRESSOR_NAMES,
  COMPRESSORS,
  type CompressorName,
  type FormatCompressor,
  type SquashfsXzOptions,
} from "./compressors.js";
import { storedTime } from "./layout.js";
import { workersFor } from "./workers.js";

/**
 * Parts of an image that can be stored as they are: "inodes" are all metadata but the parts named here, "data" and
 * "fragments" the two kinds of blocks, the latter with their table, "xattrs" the extended attributes, "ids" the owners.
 */
export const PARTS = ["inodes", "data", "fragments", "xattrs", "ids"] as const;
export type Part = (typeof PARTS)[number];

/** What sort files of mksquashfs have for a priority. */
export const MIN_PRIORITY = -32_768;
export const MAX_PRIORITY = 32_767;

/** More workers than any host has cores for, and as many as the command line takes. */
export const MAX_JOBS = 256;

/** Options that are on or off. */
const FLAG_OPTIONS = ["fragments", "dedupe", "sparse", "xattrs", "strictXattrs", "exports"] as const;

export interface SquashfsOptions {
  /** Default: gzip. */
  readonly compressor?: CompressorName | undefined;
  /** Of the compressor; compressors.ts has what each of them offers, and its default. */
  readonly level?: number | undefined;
  /** With the compressor xz only. */
  readonly xz?: SquashfsXzOptions | undefined;
  /** Bytes of a data block: a power of two from 4096 to 1,048,576. Kernels cannot mount blocks smaller than their pages. Default: 131,072. */
  readonly blockSize?: number | undefined;
  /** When the file system was made, in seconds since 1970. As with inodes, what is before 1970 or after 2106 becomes the nearest that can be stored. */
  readonly time: number;
  /**
   * Whether files shorter than a block share fragment blocks; "always": also the ends of longer ones, which is smaller and
   * takes a second read. Default: true.
   */
  readonly fragments?: boolean | "always" | undefined;
  /** Whether files with the same bytes are stored once. Default: true. */
  readonly dedupe?: boolean | undefined;
  /** Whether blocks of zeros are left out. Default: true. */
  readonly sparse?: boolean | undefined;
  /** What is stored uncompressed, as with mksquashfs -noI, -noD, -noF, -noX and -noId. "inodes" includes "ids". Default: nothing. */
  readonly uncompressed?: readonly Part[] | undefined;
  /**
   * In which order the data of files is stored: those of higher priority (-32,768 to 32,767) first, those of equal priority
   * in the order of their paths. Files that are not in the map have priority 0. `readSortFile` makes the map from a sort file. Default: none has another.
   */
  readonly priorities?: ReadonlyMap<Node, number> | undefined;
  /** Whether extended attributes are stored. Default: true. */
  readonly xattrs?: boolean | undefined;
  /**
   * Whether an extended attribute that the format cannot hold, as POSIX ACLs are, is an error. Otherwise a notice counts
   * those that were left out. Default: false.
   */
  readonly strictXattrs?: boolean | undefined;
  /**
   * Whether the table is written that finds inodes by number, which exporting over NFS needs. An overlay's lower layer is
   * better without: handles of an earlier image would be decoded. Default: false.
   */
  readonly exports?: boolean | undefined;
  /** The image's length is a multiple of this many bytes. Loop devices need 4096. Default: 4096. */
  readonly pad?: number | undefined;
  /**
   * Number of worker threads, 1 to 256; without Node there are none. The image does not depend on it. Default: one for each
   * core. With large blocks there are fewer where many would take more than 256 MiB for blocks: 42 at most for 1 MiB.
   */
  readonly jobs?: number | undefined;
  readonly observer?: Observer | undefined;
}

/** The options with every default filled in. */
export interface Settings {
  readonly compressorId: number;
  /** Of data and fragments. */
  readonly codec: CodecSpec;
  readonly metadataCodec: CodecSpec;
  /** What is stored after the superblock; undefined when the defaults are in use. */
  readonly compressorOptions: Uint8Array | undefined;
  readonly blockSize: number;
  readonly time: number;
  readonly fragments: boolean | "always";
  readonly dedupe: boolean;
  readonly sparse: boolean;
  readonly uncompressed: ReadonlySet<Part>;
  readonly priorities: ReadonlyMap<Node, number>;
  readonly xattrs: boolean;
  readonly strictXattrs: boolean;
  readonly exports: boolean;
  readonly pad: number;
  /** Undefined where there are no workers. */
  readonly jobs: number | undefined;
  readonly observer: Observer;
}

/** In bytes: the powers of two from 4 KiB to 1 MiB. */
const BLOCK_SIZES: readonly number[] = Array.from({ length: 9 }, (_, i) => 4096 << i);

/** Throws a `usage` error that names the option. */
export function resolveOptions(options: SquashfsOptions): Settings {
  const { compressor: name = "gzip", blockSize = 131_072, time, pad = 4096, jobs } = options;
  const { uncompressed = [], priorities = new Map() } = options;
  if (!Object.hasOwn(COMPRESSORS, name)) {
    throw new ImgbuildError("usage", `"${name}" is not a SquashFS compressor that can be written`, {
      hint: `Choose one of: ${COMPRESSOR_NAMES.join(", ")}.`,
    });
  }
  const compressor: FormatCompressor = COMPRESSORS[name];
  const level = options.level ?? compressor.defaultLevel;
  inRange(`${name} level`, level, compressor.minLevel, compressor.maxLevel);
  if (!BLOCK_SIZES.includes(blockSize)) {
    throw new ImgbuildError("usage", `a SquashFS block size of ${blockSize} is not a power of two from 4K to 1M`, {
      hint: "Choose 4K, 8K, 16K, 32K, 64K, 128K, 256K, 512K or 1M.",
    });
  }
  if (options.xz !== undefined && name !== "xz") {
    throw new ImgbuildError("usage", `options for xz cannot be given with the compressor ${name}`, {
      hint: "Choose the compressor xz, or leave its options out.",
    });
  }
  if (!Number.isInteger(time)) {
    throw new ImgbuildError("usage", `a SquashFS time of ${time} is not possible`, { hint: "Give whole seconds." });
  }
  inRange("padding", pad, 1, 2 ** 30);
  if (jobs !== undefined) inRange("number of jobs", jobs, 1, MAX_JOBS);
  for (const flag of FLAG_OPTIONS) checkFlag(flag, options[flag], flag === "fragments" ? ["always"] : []);
  for (const priority of priorities.values()) inRange("priority", priority, MIN_PRIORITY, MAX_PRIORITY);
  for (const part of uncompressed) {
    if (!PARTS.includes(part)) {
      throw new ImgbuildError("usage", `"${part}" is no part of a SquashFS that can be stored uncompressed`, {
        hint: `Choose from: ${PARTS.join(", ")}.`,
      });
    }
  }
  const request = { level, blockSize, xz: options.xz };
  const codec = compressor.codec(request);
  return {
    compressorId: compressor.id,
    codec,
    metadataCodec: compressor.metadataCodec?.(request) ?? codec,
    compressorOptions: compressor.options(request),
    blockSize,
    time: storedTime(time),
    fragments: options.fragments ?? true,
    dedupe: options.dedupe ?? true,
    sparse: options.sparse ?? true,
    uncompressed: new Set(uncompressed),
    priorities,
    xattrs: options.xattrs ?? true,
    strictXattrs: options.strictXattrs ?? false,
    exports: options.exports ?? false,
    pad,
    jobs: workersFor(jobs, blockSize),
    observer: options.observer ?? {},
  };
}

/** Throws a `usage` error for a value that would only pass for true or false. */
function checkFlag(option: string, value: unknown, others: readonly string[]): void {
  if (value === undefined || typeof value === "boolean" || others.includes(value as string)) return;
  throw new ImgbuildError("usage", `the SquashFS option ${option} cannot be ${JSON.stringify(value)}`, {
    hint: `Give true or false${others.map((other) => `, or "${other}"`).join("")}.`,
  });
}

function inRange(what: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new ImgbuildError("usage", `a SquashFS ${what} of ${value} is not possible`, {
    hint: `Choose a whole number from ${least} to ${most}.`,
  });
}
