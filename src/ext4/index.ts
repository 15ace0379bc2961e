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
 *                               of extent trees and of attributes behind       extents.ts, xattrs.ts, acl.ts
 *     groups 1, 3^n, 5^n, 7^n   begin with a copy of superblock, descriptors   geometry.ts (hasSuperblock)
 *
 * survey.ts looks at the tree, holes.ts into its files if it must, geometry.ts and plan.ts lay out the disk, placement.ts
 * and allocator.ts say what goes where, writer.ts writes. layout.ts declares the structures, checksum.ts where their
 * checksums start. The folder reader has the other direction, for all that mke2fs and the kernel write.
 */
import type { Device } from "../bytes/device.js";
import { isUuid, uuidBytes } from "../bytes/uuid.js";
import { ImgbuildError } from "../errors.js";
import type { Observer } from "../tree/observer.js";
import type { Tree } from "../tree/tree.js";
import type { BlockSize } from "./geometry.js";
import { scanForHoles } from "./holes.js";
import { TIME_RANGE } from "./inode.js";
import { checkJournalSize, doesNotFit, type Plan, type PlanOptions, planWithin, smallestSize } from "./plan.js";
import { type Survey, type SurveyOptions, surveyTree } from "./survey.js";
import { Ext4Writer } from "./writer.js";

export type { Ext4Entry } from "./reader/directories.js";
export type { DeviceInode, DirectoryInode, FileInode, InodeFacts, SpecialInode } from "./reader/inodes.js";
export { type Ext4Facts, type Ext4Reader, type Ext4Recovery, openExt4 } from "./reader/reader.js";
export type { Ext4Inode, SymlinkInode } from "./reader/symlinks.js";

export interface Ext4Options {
  /** The volume's name: at most 16 bytes of UTF-8. Default: none. */
  readonly label?: string;
  readonly uuid: string;
  /** A UUID: the seed of the hashes that large directories are ordered by. */
  readonly hashSeed: string;
  /**
   * Seconds since 1970: every time that the format itself makes. The times of files are their own. Beyond 2446,
   * the last that can be stored is. */
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
   * The 64bit feature: descriptors of 64 bytes. Default: only beyond 2^32 blocks, which need it. U-Boot before 2016 misreads
   * it, and the small descriptors serve twice as many groups; it buys the upper half of the bitmaps' checksums.
   */
  readonly wide?: boolean;
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
  readonly label: Uint8Array;
}

/** The options with their defaults. Throws `usage` errors. */
function settle(options: Ext4Options): Settings {
  const { blockSize = 4096, inodeRatio = 16_384, reservedPercent = 1, journalSize, wide = false } = options;
  const demand = (holds: boolean, what: string, wanted: string) => {
    if (!holds) throw new ImgbuildError("usage", `ext4: ${what} is not possible`, { hint: `Give ${wanted}.` });
  };
  const label = new TextEncoder().encode(options.label ?? "");
  for (const id of [options.uuid, options.hashSeed]) demand(isUuid(id), `the UUID "${id}"`, "a UUID in its usual form");
  demand([1024, 2048, 4096].includes(blockSize), `a block size of ${blockSize}`, "1024, 2048 or 4096");
  demand(inodeRatio >= 1024 && inodeRatio <= 2 ** 26, `one inode for ${inodeRatio} bytes`, "1024 to 67108864 bytes");
  demand(reservedPercent >= 0 && reservedPercent <= 50, `reserving ${reservedPercent} percent`, "0 to 50");
  demand(label.length <= 16, `the label "${options.label}"`, "at most 16 bytes");
  demand(Number.isInteger(options.time), `the time ${options.time}`, "whole seconds since 1970");
  const time = Math.min(Math.max(options.time, 0), TIME_RANGE.last);
  const seed = new DataView(uuidBytes(options.hashSeed).buffer);
  const plan = { blockSize, inodeRatio, journalSize, wide };
  checkJournalSize(plan);
  const hashSeed = Int32Array.from({ length: 4 }, (_, i) => seed.getInt32(4 * i, true));
  return {
    survey: { blockSize, hashSeed, time },
    plan,
    reservedPercent,
    label,
  };
}

/**
 * Plans `tree` into `size` bytes. A tree that does not fit when every file counts in full is counted again, by what is in its
 * files: that reads all of it, which the usual tree is spared.
 */
async function fit(size: number, tree: Tree | undefined, settings: Settings): Promise<{ survey: Survey; plan: Plan }> {
  let survey = surveyTree(tree, settings.survey);
  let plan = planWithin(size, survey, settings.plan);
  if (plan === undefined && survey.unknown.length > 0) {
    survey = await scanForHoles(survey, settings.plan.blockSize);
    plan = planWithin(size, survey, settings.plan);
  }
  if (plan === undefined) throw doesNotFit(size, survey, settings.plan);
  return { survey, plan };
}

/**
 * Makes an ext4 file system on all of `device`, with `tree` in it, or empty. Its features: has_journal ext_attr resize_inode
 * dir_index, filetype extent flex_bg, sparse_super large_file huge_file dir_nlink extra_isize metadata_csum; beyond
 * 2^32 blocks 64bit instead of resize_inode. Every kernel since 4.9 reads and writes it. It can grow to 1024 times its size while
 * it is mounted. Unused inode tables are not written: they need not be zeros.
 *
 * Throws before anything is written: `does-not-fit` with `{ needed, available }` in bytes, `not-representable` for a name,
 * id, size or attributes that ext4 cannot hold, `source-invalid`, `usage`. What reading the content throws comes later, or
 * before `does-not-fit`: then holes count as holes, also those that nobody knew of in files from 64 KiB on.
 */
export async function writeExt4(device: Device, tree: Tree | undefined, options: Ext4Options): Promise<Ext4Summary> {
  const settings = settle(options);
  const { survey, plan } = await fit(device.size, tree, settings);
  const { geometry, journalBlocks } = plan;
  const { uuid, hashSeed } = options;
  const reservedBlocks = Math.floor((geometry.blocks * settings.reservedPercent) / 100);
  const identity = { label: settings.label, uuid, hashSeed, time: settings.survey.time, reservedBlocks };
  const writer = new Ext4Writer(device, survey, plan, identity, options.observer ?? {});
  const { freeBlocks, freeInodes } = await writer.write();
  if (survey.clampedTimes > 0) {
    options.observer?.notice?.(
      `ext4 has times from 1901 to 2446: ${survey.clampedTimes} modification times outside were moved to the nearest`,
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
 * The smallest size in bytes, a multiple of the block size, that `writeExt4` takes `tree` at; so does it every larger one.
 * Reads no content: a file whose holes are not known counts in full, though `writeExt4` would find them and do with less.
 * Every build asks for this size and hardly any has such holes. Throws what `writeExt4` throws about the tree.
 */
export function measureExt4(tree: Tree | undefined, options: Ext4Options): number {
  const settings = settle(options);
  return smallestSize(surveyTree(tree, settings.survey), settings.plan);
}
