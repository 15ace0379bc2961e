/**
 * Where everything that is there before the first file goes: groups, superblock copies, group descriptors, bitmaps and
 * inode tables. Pure arithmetic on numbers of blocks. Linux Documentation/filesystems/ext4, "Layout", "Flexible Block
 * Groups" and "Special inodes".
 */
import { alignUp } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import type { BlockSize, Format } from "./format.js";
import { DESCRIPTOR_SIZE, groupDescriptor, INODE } from "./layout.js";

/** Adjacent blocks, half-open. */
export interface Run {
  start: number;
  end: number;
}

/** All numbers are of blocks of the file system, from its start, unless said otherwise. */
export interface Geometry {
  readonly blockSize: BlockSize;
  readonly inodeSize: number;
  readonly blocks: number;
  /** 1 with 1 KiB blocks, whose first one holds the boot sector alone; else 0. */
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly groups: number;
  /** Bitmaps and inode tables of so many groups lie together: 1 without the feature flex_bg. */
  readonly groupsPerFlex: number;
  /** Whether a few groups only have copies of the superblock (sparse_super). */
  readonly sparse: boolean;
  readonly inodesPerGroup: number;
  readonly inodeTableBlocks: number;
  /** Whether descriptors have room for block numbers of 64 bits (the 64bit feature). */
  readonly wide: boolean;
  /** In bytes. */
  readonly descriptorSize: number;
  readonly descriptorBlocks: number;
  /** Kept behind the descriptors, for those of groups that are added when the file system grows. */
  readonly reservedDescriptorBlocks: number;
  /** By group. */
  readonly blockBitmaps: readonly number[];
  readonly inodeBitmaps: readonly number[];
  readonly inodeTables: readonly number[];
  /** What is left, by flex group: neither touching nor overlapping, ascending. */
  readonly free: readonly (readonly Run[])[];
}

/** What the metadata depends on, besides the size. */
export interface MetadataOptions {
  readonly format: Format;
  /** One inode for so many bytes. */
  readonly inodeRatio: number;
  /** At least so many inodes, the reserved ones included. */
  readonly inodes: number;
  /** In bytes: descriptors are reserved for a file system of at least that size. Undefined: 1024 times its own. */
  readonly growTo: number | undefined;
}

export interface GeometryOptions extends MetadataOptions {
  /** In bytes. */
  readonly size: number;
}

/** With flex_bg. It leaves long free runs. As mke2fs has it. */
const GROUPS_PER_FLEX = 16;
/** A last group with fewer usable blocks than this is left out. As mke2fs has it. */
const SMALLEST_LAST_GROUP = 50;
/** How many times larger the file system may become through the reserved descriptor blocks. As mke2fs has it. */
const GROWTH = 1024;
/** The part of a group that superblock and descriptors may take; the rest is for bitmaps and inode tables. */
const MOST_FOR_DESCRIPTORS = 3 / 4;
const MAX_32 = 2 ** 32 - 1;

/** Whether `group` begins with a copy of superblock and descriptors: with `sparse` 0, 1, and powers of 3, 5 and 7 do. */
export function hasSuperblock(group: number, sparse: boolean): boolean {
  if (group <= 1 || !sparse) return true;
  return [3, 5, 7].some((base) => {
    let power = base;
    while (power < group) power *= base;
    return power === group;
  });
}

export function groupStart(geometry: Pick<Geometry, "firstDataBlock" | "blocksPerGroup">, group: number): number {
  return geometry.firstDataBlock + group * geometry.blocksPerGroup;
}

/** The end of a group; the last one may be short. */
export function groupEnd(geometry: Geometry, group: number): number {
  return Math.min(groupStart(geometry, group + 1), geometry.blocks);
}

export function groupOfBlock(geometry: Geometry, block: number): number {
  return Math.floor((block - geometry.firstDataBlock) / geometry.blocksPerGroup);
}

/** Superblock, descriptors and reserved descriptor blocks at the start of `group`, in blocks. */
export function superblockArea(
  geometry: Pick<Geometry, "sparse" | "descriptorBlocks" | "reservedDescriptorBlocks">,
  group: number,
): number {
  return hasSuperblock(group, geometry.sparse) ? 1 + geometry.descriptorBlocks + geometry.reservedDescriptorBlocks : 0;
}

/** The groups after the first that hold copies of the superblock. */
export function backupGroups(geometry: Geometry): number[] {
  return Array.from({ length: geometry.groups }, (_, group) => group).filter(
    (group) => group > 0 && hasSuperblock(group, geometry.sparse),
  );
}

/** The blocks of `a` and `b` that are the same. */
export function overlap(a: Run, b: Run): number {
  return Math.max(0, Math.min(a.end, b.end) - Math.max(a.start, b.start));
}

/**
 * Lays out a file system of at most `size` bytes: a last group that could not hold its own metadata is left out. Undefined
 * when the metadata alone does not fit, or so many inodes do not. Throws a `not-representable` error beyond what
 * descriptors at the start of each group can describe, and a `usage` error for growth that they cannot.
 */
export function computeGeometry(options: GeometryOptions): Geometry | undefined {
  const { blockSize } = options.format;
  for (let blocks = Math.floor(options.size / blockSize); ; ) {
    const counts = countMetadata(options, blocks);
    if (counts === undefined) return undefined;
    const { firstDataBlock, blocksPerGroup, groups, inodeTableBlocks } = counts;
    const inLastGroup = (blocks - firstDataBlock) % blocksPerGroup;
    const needed = superblockArea(counts, groups - 1) + 2 + inodeTableBlocks + SMALLEST_LAST_GROUP;
    if (groups === 1 || inLastGroup === 0 || inLastGroup >= needed) return placeMetadata(counts);
    blocks -= inLastGroup;
  }
}

/**
 * The largest number of blocks below `blocks` with which other metadata comes: from there to `blocks`, every block more is
 * one more for content. Where the metadata grows with the size, it does so in steps, a block in each group or in each copy
 * of the descriptors, and a step takes more than the one block that brings it.
 */
export function blocksBelowStep(options: MetadataOptions, blocks: number): number {
  const metadata = (of: number) => {
    const counts = countMetadata(options, of);
    return counts && [counts.groups, counts.inodesPerGroup, counts.reservedDescriptorBlocks].join();
  };
  const blocksPerGroup = 8 * options.format.blockSize;
  const firstDataBlock = firstDataBlockOf(options.format);
  // Within a group, neither inodes nor descriptors become fewer: so one search finds the step.
  let low = firstDataBlock + Math.floor((blocks - firstDataBlock - 1) / blocksPerGroup) * blocksPerGroup;
  const here = metadata(blocks);
  for (let high = blocks; high - low > 1; ) {
    const middle = Math.floor((low + high) / 2);
    if (metadata(middle) === here) high = middle;
    else low = middle;
  }
  return low;
}

/** 1 with 1 KiB blocks, of which the first has the boot sector alone. */
function firstDataBlockOf({ blockSize }: Format): number {
  return blockSize === 1024 ? 1 : 0;
}

/** How much metadata a file system of exactly `blocks` has. Undefined for so many inodes that they do not fit. */
function countMetadata(options: MetadataOptions, blocks: number) {
  const { blockSize, inodeSize, features } = options.format;
  const firstDataBlock = firstDataBlockOf(options.format);
  const blocksPerGroup = 8 * blockSize;
  if (blocks <= firstDataBlock) return undefined;
  const groups = Math.ceil((blocks - firstDataBlock) / blocksPerGroup);
  const inodesPerGroup = countInodes(options, blocks, groups);
  if (inodesPerGroup === undefined) return undefined;
  const counts = {
    ...{ blockSize, inodeSize, blocks, firstDataBlock, blocksPerGroup, groups, inodesPerGroup },
    groupsPerFlex: features.has("flex_bg") ? GROUPS_PER_FLEX : 1,
    sparse: features.has("sparse_super"),
    inodeTableBlocks: (inodesPerGroup * inodeSize) / blockSize,
  };
  return { ...counts, ...descriptorCounts(counts, options) };
}

type Counts = Pick<Geometry, "blockSize" | "blocks" | "firstDataBlock" | "blocksPerGroup" | "groups">;

function descriptorCounts(counts: Counts, { format: { features }, growTo }: MetadataOptions) {
  const { blockSize, blocks, firstDataBlock, blocksPerGroup, groups } = counts;
  const size = blocks * blockSize;
  const beyond32 = blocks > MAX_32;
  if (beyond32 && (features.never64bit || !features.has("extent"))) {
    throw new ImgbuildError("not-representable", `an ext4 file system of ${size} bytes needs the feature 64bit`, {
      hint: features.has("extent") ? "Do not switch it off." : "Switch extent on.",
    });
  }
  const wide = beyond32 || features.has("64bit");
  const descriptorSize = wide ? groupDescriptor.size : DESCRIPTOR_SIZE;
  const descriptorBlocks = Math.ceil((groups * descriptorSize) / blockSize);
  // The resize inode keeps the reserved blocks. It is block-mapped: 32-bit numbers, and one block of pointers at most.
  const largest = Math.max(Math.ceil((growTo ?? size * GROWTH) / blockSize), blocks);
  const grownGroups = Math.ceil((Math.min(largest, MAX_32) - firstDataBlock) / blocksPerGroup);
  const wanted = Math.max(Math.ceil((grownGroups * descriptorSize) / blockSize) - descriptorBlocks, 1);
  const most = blockSize / 4;
  if (growTo !== undefined && growTo > size && (largest > MAX_32 || wanted > most)) {
    const groupsReached = Math.floor(((descriptorBlocks + most) * blockSize) / descriptorSize);
    throw new ImgbuildError("usage", `ext4: descriptors cannot be reserved for ${growTo} bytes`, {
      hint: `With blocks of ${blockSize} bytes, room can be kept for ${Math.min(groupsReached * blocksPerGroup, MAX_32) * blockSize}.`,
    });
  }
  const reservedDescriptorBlocks = features.has("resize_inode") && !beyond32 ? Math.min(wanted, most) : 0;
  if (1 + descriptorBlocks + reservedDescriptorBlocks > blocksPerGroup * MOST_FOR_DESCRIPTORS) {
    throw new ImgbuildError(
      "not-representable",
      `an ext4 file system of ${size} bytes is too large for blocks of ${blockSize} bytes`,
      { hint: "Use blocks of 4096 bytes." },
    );
  }
  return { wide, descriptorSize, descriptorBlocks, reservedDescriptorBlocks };
}

/** Inodes a group: whole blocks of the inode table, whole bytes of the bitmap, one bitmap block at most. */
function countInodes(options: MetadataOptions, blocks: number, groups: number): number | undefined {
  const { inodeRatio } = options;
  const { blockSize, inodeSize } = options.format;
  const most = 8 * blockSize;
  const byRatio = Math.min(Math.floor((blocks * blockSize) / inodeRatio), groups * most, MAX_32 - most);
  const wanted = Math.max(byRatio, options.inodes, INODE.firstFree + 1);
  const inodesPerGroup = alignUp(Math.ceil(wanted / groups), Math.max(blockSize / inodeSize, 8));
  return inodesPerGroup > most ? undefined : inodesPerGroup;
}

/** Puts the bitmaps and inode tables of each flex group at its start, behind superblock copies. */
function placeMetadata(counts: Omit<Geometry, "blockBitmaps" | "inodeBitmaps" | "inodeTables" | "free">) {
  const blockBitmaps: number[] = [];
  const inodeBitmaps: number[] = [];
  const inodeTables: number[] = [];
  const free: Run[][] = [];
  for (let first = 0; first < counts.groups; first += counts.groupsPerFlex) {
    const last = Math.min(first + counts.groupsPerFlex, counts.groups);
    const runs: Run[] = [];
    for (let group = first; group < last; group++) {
      const start = groupStart(counts, group) + superblockArea(counts, group);
      const end = Math.min(groupStart(counts, group + 1), counts.blocks);
      const previous = runs.at(-1);
      if (previous?.end === start) previous.end = end;
      else if (start < end) runs.push({ start, end });
    }
    for (const [list, length] of [
      [blockBitmaps, 1],
      [inodeBitmaps, 1],
      [inodeTables, counts.inodeTableBlocks],
    ] as const) {
      for (let group = first; group < last; group++) {
        const run = runs.find(({ start, end }) => end - start >= length);
        if (run === undefined) return undefined;
        list.push(run.start);
        run.start += length;
      }
    }
    free.push(runs.filter(({ start, end }) => start < end));
  }
  return { ...counts, blockBitmaps, inodeBitmaps, inodeTables, free };
}
