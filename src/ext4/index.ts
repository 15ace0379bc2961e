/**
 * ext4: a fresh file system with content in it, as the kernel, e2fsck and U-Boot know it, without mke2fs.
 *
 * What is where, in the order of the disk, with blocks of 4 KiB (with 1 KiB, the superblock is in block 1 and groups begin
 * there). A group is 8 x blockSize blocks; metadata of 16 groups (a flex group) is gathered at the start of the first.
 *
 *     byte 0                    boot sector: zeros
 *     byte 1024                 superblock                                     superblock.ts
 *     block 1                   descriptors of all groups                      groups.ts
 *                               blocks reserved for more of them               resize-inode.ts
 *     each flex group           block bitmaps of its groups                    groups.ts
 *                               inode bitmaps
 *                               inode tables                                   inode.ts, inode-tables.ts
 *                               content: journal, then for each directory      journal.ts, content.ts
 *                               its entries and its files, with the blocks     directory.ts, htree.ts, hash.ts
 *                               of extent trees or block maps and of           extents.ts, block-map.ts (mapping.ts)
 *                               attributes behind                              xattrs.ts, acl.ts
 *     groups 1, 3^n, 5^n, 7^n   begin with a copy of superblock, descriptors   geometry.ts (hasSuperblock)
 *
 * survey.ts looks at the tree, holes.ts into its files if it must, geometry.ts and plan.ts lay out the disk, placement.ts
 * and allocator.ts say what goes where, writer.ts writes. feature-table.ts has the features by name, and so what may be where;
 * layout.ts declares the structures, checksum.ts where their checksums start. The folder reader has the other direction, for
 * all that mke2fs and the kernel write.
 */
import type { Device } from "../bytes/device.js";
import { isUuid, uuidBytes } from "../bytes/uuid.js";
import { ImgbuildError } from "../errors.js";
import type { Observer } from "../tree/observer.js";
import type { Tree } from "../tree/tree.js";
import { parseFeatures } from "./features.js";
import type { BlockSize, InodeSize } from "./format.js";
import { scanForHoles } from "./holes.js";
import { timeRange } from "./inode.js";
import { ON_ERROR } from "./layout.js";
import { parseMountOptions } from "./mount-options.js";
import {
  checkJournalSize,
  doesNotFit,
  MAX_INODE_RATIO,
  MIN_INODE_RATIO,
  type Plan,
  type PlanOptions,
  planWithin,
  smallestSize,
} from "./plan.js";
import type { OnError } from "./superblock.js";
import { type Survey, type SurveyOptions, surveyTree } from "./survey.js";
import { Ext4Writer, type Identity } from "./writer.js";

export { parseFeatures } from "./features.js";
export { parseMountOptions } from "./mount-options.js";
export { type InodeShortage, shortageText } from "./plan.js";

export const ERROR_BEHAVIOURS = Object.keys(ON_ERROR) as readonly OnError[];

export { openExt4 } from "./open.js";
export type { Ext4Entry } from "./reader/directories.js";
export type { DeviceInode, DirectoryInode, FileInode, InodeFacts, SpecialInode } from "./reader/inodes.js";
export type { Ext4Facts, Ext4Reader, Ext4Recovery } from "./reader/reader.js";
export type { Ext4Inode, SymlinkInode } from "./reader/symlinks.js";

export interface Ext4Options {
  /** The volume's name: at most 16 bytes of UTF-8. Default: none. */
  readonly label?: string;
  readonly uuid: string;
  /** A UUID: the seed of the hashes that large directories are ordered by. */
  readonly hashSeed: string;
  /**
   * Seconds since 1970: every time that the format itself makes. The times of files are their own. Beyond 2446, the last
   * that can be stored is.
   */
  readonly time: number;
  /** In bytes. Default: 4096, on small file systems too: it is what a grown one wants, and what flash likes. */
  readonly blockSize?: BlockSize;
  /** One inode for so many bytes. Default: 16384. There are always enough for the tree, and a sixteenth more. */
  readonly inodeRatio?: number;
  /** How much of the space is kept for root, 0 to 50. Default: 1. */
  readonly reservedPercent?: number;
  /** In bytes; 0 for no journal. Default: by the file system's size, up to 64 MiB. */
  readonly journalSize?: number;
  /**
   * What the file system can be grown to, in bytes, by resize2fs and while it is mounted: descriptors are kept free for so
   * much. The default journal suits that size as well. Default: 1024 times its own size.
   */
  readonly growTo?: number | undefined;
  /**
   * Changes to the default features: names as mke2fs -O has them, between commas, "+" or nothing before one to add, "-" or
   * "^" before one to remove. Begins with ext2 or ext3 to start from theirs. The default has what Linux 4.9 and U-Boot know;
   * 64bit is there only beyond 2^32 blocks: U-Boot before 2016 misreads it, and small descriptors serve twice as many
   * groups; it buys the upper half of the bitmaps' checksums.
   */
  readonly features?: string | undefined;
  /** In bytes. Default: 256. 128 saves little, but is all that some bootloaders read. */
  readonly inodeSize?: InodeSize;
  /**
   * What the kernel mounts it with unless told otherwise: names of tune2fs -o, and other options of mount, between commas.
   * Default: user_xattr,acl.
   */
  readonly mountOptions?: string | undefined;
  /** Default: continue. */
  readonly errors?: OnError;
  readonly observer?: Observer;
}

export interface Ext4Summary {
  /** Of the file system, in bytes: at most the device's size, whole blocks. */
  readonly size: number;
  readonly blockSize: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly inodes: number;
  readonly freeInodes: number;
  /** In bytes. */
  readonly journalSize: number;
}

interface Settings {
  readonly survey: SurveyOptions;
  readonly plan: PlanOptions;
  readonly reservedPercent: number;
  readonly identity: Omit<Identity, "reservedBlocks">;
}

/** The options with their defaults. Throws `usage` errors. */
function settle(options: Ext4Options): Settings {
  const { blockSize = 4096, inodeSize = 256, inodeRatio = 16_384, reservedPercent = 1, growTo } = options;
  const demand = (holds: boolean, what: string, hint: string) => {
    if (!holds) throw new ImgbuildError("usage", `ext4: ${what} is not possible`, { hint });
  };
  const label = new TextEncoder().encode(options.label ?? "");
  for (const id of [options.uuid, options.hashSeed])
    demand(isUuid(id), `the UUID "${id}"`, "Give a UUID in its usual form.");
  demand([1024, 2048, 4096].includes(blockSize), `a block size of ${blockSize} bytes`, "Give 1024, 2048 or 4096.");
  demand(inodeSize === 128 || inodeSize === 256, `an inode size of ${inodeSize} bytes`, "Give 128 or 256.");
  demand(
    inodeRatio >= MIN_INODE_RATIO && inodeRatio <= MAX_INODE_RATIO,
    `one inode for ${inodeRatio} bytes`,
    `Give ${MIN_INODE_RATIO} to ${MAX_INODE_RATIO} bytes.`,
  );
  demand(reservedPercent >= 0 && reservedPercent <= 50, `reserving ${reservedPercent} percent`, "Give 0 to 50.");
  demand(label.length <= 16, `the label "${options.label}"`, "Give at most 16 bytes.");
  demand(Number.isInteger(options.time), `the time ${options.time}`, "Give whole seconds since 1970.");
  demand(
    options.errors === undefined || options.errors in ON_ERROR,
    `"${options.errors}" on errors`,
    `Give one of ${ERROR_BEHAVIOURS.join(", ")}.`,
  );
  const features = parseFeatures(options.features ?? "", { blockSize, inodeSize });
  const format = { blockSize, inodeSize, features };
  const journalSize = features.has("has_journal") ? options.journalSize : 0;
  demand(
    !options.journalSize || features.has("has_journal"),
    "a journal without the feature has_journal",
    "Switch has_journal on, or leave the journal's size out (--journal-size, journalSize).",
  );
  demand(
    growTo === undefined || features.has("resize_inode"),
    "growing without resize_inode",
    "Switch resize_inode on, or leave the size to grow to out (--grow-to, growTo).",
  );
  const time = Math.min(Math.max(options.time, 0), timeRange(inodeSize).last);
  const seed = new DataView(uuidBytes(options.hashSeed).buffer);
  const plan = { format, inodeRatio, growTo, journalSize };
  checkJournalSize(plan);
  const hashSeed = Int32Array.from({ length: 4 }, (_, i) => seed.getInt32(4 * i, true));
  return {
    survey: { format, hashSeed, time },
    plan,
    reservedPercent,
    identity: {
      ...{ format, label, time, uuid: options.uuid, hashSeed: options.hashSeed },
      errors: options.errors ?? "continue",
      mountOptions: parseMountOptions(options.mountOptions ?? "user_xattr,acl"),
    },
  };
}

/**
 * Plans `tree` into `size` bytes. A tree that does not fit when every file counts in full is counted again, by what is in its
 * files: that reads all of it, which the usual tree is spared.
 */
async function fit(size: number, tree: Tree | undefined, settings: Settings): Promise<{ survey: Survey; plan: Plan }> {
  const { growTo } = settings.plan;
  if (growTo !== undefined && growTo < size) {
    throw new ImgbuildError("usage", `ext4: growing from ${size} bytes to ${growTo} is not possible`, {
      hint: "Give a size to grow to that is larger than its own (--grow-to, growTo), or leave it out.",
    });
  }
  let survey = surveyTree(tree, settings.survey);
  let plan = planWithin(size, survey, settings.plan);
  if (plan === undefined && survey.unknown.length > 0) {
    survey = await scanForHoles(survey, settings.plan.format);
    plan = planWithin(size, survey, settings.plan);
  }
  if (plan === undefined) throw doesNotFit(size, tree, survey, settings.plan);
  return { survey, plan };
}

/**
 * Makes an ext4 file system on all of `device`, with `tree` in it, or empty. Its features unless `features` changes them:
 * has_journal ext_attr resize_inode dir_index, filetype extent flex_bg, sparse_super large_file huge_file dir_nlink
 * extra_isize metadata_csum; beyond 2^32 blocks 64bit instead of resize_inode. Every kernel since 4.9 reads and writes it.
 * Unused inode tables are not written, and need not be zeros; without metadata_csum and uninit_bg they must be.
 *
 * Throws before anything is written: `does-not-fit` with `{ needed, available, largest }` in bytes, with `inodes`, needed and
 * available, where it is those that are too many, and with an `inodeRatio` that would do; `not-representable` for a name,
 * id, size or attributes that ext4 cannot hold, `source-invalid`, `usage`. What reading the content throws comes later, or
 * before `does-not-fit`: then holes count as holes, also those that nobody knew of in files from 64 KiB on.
 */
export async function writeExt4(device: Device, tree: Tree | undefined, options: Ext4Options): Promise<Ext4Summary> {
  const settings = settle(options);
  const { survey, plan } = await fit(device.size, tree, settings);
  const { geometry, journalBlocks } = plan;
  const reservedBlocks = Math.floor((geometry.blocks * settings.reservedPercent) / 100);
  const writer = new Ext4Writer(device, survey, plan, { ...settings.identity, reservedBlocks }, options.observer ?? {});
  const { freeBlocks, freeInodes } = await writer.write();
  if (survey.clampedTimes > 0) {
    options.observer?.notice?.(
      `ext4 has times from 1901 to ${settings.plan.format.inodeSize === 128 ? 2038 : 2446}: ${survey.clampedTimes} modification times outside were moved to the nearest`,
    );
  }
  return {
    size: geometry.blocks * geometry.blockSize,
    blockSize: geometry.blockSize,
    blocks: geometry.blocks,
    freeBlocks,
    inodes: geometry.groups * geometry.inodesPerGroup,
    freeInodes,
    journalSize: journalBlocks * geometry.blockSize,
  };
}

/**
 * Throws what `writeExt4` throws before it writes, for a device of `size` bytes. Like that it reads contents only where the
 * tree would fit if they had holes.
 */
export async function checkExt4(size: number, tree: Tree | undefined, options: Ext4Options): Promise<void> {
  await fit(size, tree, settle(options));
}

/**
 * The smallest size in bytes, a multiple of the block size, that `writeExt4` takes `tree` at; so does it every larger one.
 * Reads no content: a file whose holes are not known counts in full, though `writeExt4` would find them and do with less.
 * Every build asks for this size and hardly any has such holes. Throws what `writeExt4` throws about the tree.
 */
export function measureExt4(tree: Tree | undefined, options: Ext4Options): number {
  const settings = settle(options);
  return smallestSize(surveyTree(tree, settings.survey), settings.plan);
}
