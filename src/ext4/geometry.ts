/**
 * Where everything that is there before the first file goes: groups, superblock copies, group descriptors, bitmaps and
 * inode tables. Pure arithmetic on numbers of blocks. Linux Documentation/filesystems/ext4, "Layout", "Flexible Block
 * Groups" and "Special inodes".
 */
import { alignUp } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { DESCRIPTOR_SIZE, groupDescriptor, INODE, INODE_SIZE } from "./layout.js";

export type BlockSize = 1024 | 2048 | 4096;

/** Adjacent blocks, half-open. */
export interface Run {
  start: number;
  end: number;
}

/** All numbers are of blocks of the file system, from its start, unless said otherwise. */
export interface Geometry {
  readonly blockSize: BlockSize;
  readonly blocks: number;
  /** 1 with 1 KiB blocks, whose first one holds the boot sector alone; else 0. */
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly groups: number;
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

export interface GeometryOptions {
  /** In bytes. */
  readonly size: number;
  readonly blockSize: BlockSize;
  /** One inode for so many bytes. */
  readonly inodeRatio: number;
  /** At least so many inodes, the reserved ones included. */
  readonly inodes: number;
  /** Whether block numbers get 64 bits where they need not. */
  readonly wide: boolean;
}

/** Bitmaps and inode tables of so many groups lie together, which leaves long free runs. As mke2fs has it. */
export const LOG_GROUPS_PER_FLEX = 4;
export const GROUPS_PER_FLEX = 2 ** LOG_GROUPS_PER_FLEX;
/** A last group with fewer usable blocks than this is left out. As mke2fs has it. */
const SMALLEST_LAST_GROUP = 50;
/** How many times larger the file system may become through the reserved descriptor blocks. As mke2fs has it. */
const GROWTH = 1024;
/** The part of a group that superblock and descriptors may take; the rest is for bitmaps and inode tables. */
const MOST_FOR_DESCRIPTORS = 3 / 4;
const MAX_32 = 2 ** 32 - 1;

/** Whether `group` begins with a copy of superblock and descriptors: 0, 1, and powers of 3, 5 and 7 (sparse_super). */
function hasSuperblock(group: number): boolean {
  if (group <= 1) return true;
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
  geometry: Pick<Geometry, "descriptorBlocks" | "reservedDescriptorBlocks">,
  group: number,
): number {
  return hasSuperblock(group) ? 1 + geometry.descriptorBlocks + geometry.reservedDescriptorBlocks : 0;
}

/** The groups after the first that hold copies of the superblock. */
export function backupGroups(geometry: Geometry): number[] {
  return Array.from({ length: geometry.groups }, (_, group) => group).filter(
    (group) => group > 0 && hasSuperblock(group),
  );
}

/** The blocks of `a` and `b` that are the same. */
export function overlap(a: Run, b: Run): number {
  return Math.max(0, Math.min(a.end, b.end) - Math.max(a.start, b.start));
}

/**
 * Lays out a file system of at most `size` bytes: a last group that could not hold its own metadata is left out. Undefined
 * when the metadata alone does not fit, or so many inodes do not. Throws a `not-representable` error beyond what
 * descriptors at the start of each group can describe.
 */
export function computeGeometry(options: GeometryOptions): Geometry | undefined {
  const { blockSize } = options;
  const firstDataBlock = blockSize === 1024 ? 1 : 0;
  const blocksPerGroup = 8 * blockSize;
  let blocks = Math.floor(options.size / blockSize);
  for (;;) {
    if (blocks <= firstDataBlock) return undefined;
    const groups = Math.ceil((blocks - firstDataBlock) / blocksPerGroup);
    const counts = { blockSize, blocks, firstDataBlock, blocksPerGroup, groups };
    const descriptors = descriptorCounts(counts, options.wide);
    const inodesPerGroup = countInodes(options, blocks, groups);
    if (inodesPerGroup === undefined) return undefined;
    const inodeTableBlocks = (inodesPerGroup * INODE_SIZE) / blockSize;

    const inLastGroup = (blocks - firstDataBlock) % blocksPerGroup;
    const needed = superblockArea(descriptors, groups - 1) + 2 + inodeTableBlocks + SMALLEST_LAST_GROUP;
    if (groups > 1 && inLastGroup > 0 && inLastGroup < needed) {
      blocks -= inLastGroup;
      continue;
    }
    return placeMetadata({ ...counts, ...descriptors, inodesPerGroup, inodeTableBlocks });
  }
}

type Counts = Pick<Geometry, "blockSize" | "blocks" | "firstDataBlock" | "blocksPerGroup" | "groups">;

function descriptorCounts({ blockSize, blocks, firstDataBlock, blocksPerGroup, groups }: Counts, alwaysWide: boolean) {
  const beyond32 = blocks > MAX_32;
  const wide = alwaysWide || beyond32;
  const descriptorSize = wide ? groupDescriptor.size : DESCRIPTOR_SIZE;
  const descriptorBlocks = Math.ceil((groups * descriptorSize) / blockSize);
  // The resize inode keeps the reserved blocks. It is block-mapped: 32-bit numbers, and one block of pointers at most.
  const largest = Math.min(blocks * GROWTH, MAX_32);
  const grown = Math.ceil((Math.ceil((largest - firstDataBlock) / blocksPerGroup) * descriptorSize) / blockSize);
  const reservedDescriptorBlocks = beyond32 ? 0 : Math.min(Math.max(grown - descriptorBlocks, 1), blockSize / 4);
  if (1 + descriptorBlocks + reservedDescriptorBlocks > blocksPerGroup * MOST_FOR_DESCRIPTORS) {
    throw new ImgbuildError(
      "not-representable",
      `an ext4 file system of ${blocks * blockSize} bytes is too large for blocks of ${blockSize} bytes`,
      { hint: "Use blocks of 4096 bytes." },
    );
  }
  return { wide, descriptorSize, descriptorBlocks, reservedDescriptorBlocks };
}

/** Inodes a group: whole blocks of the inode table, whole bytes of the bitmap, one bitmap block at most. */
function countInodes(options: GeometryOptions, blocks: number, groups: number): number | undefined {
  const { blockSize, inodeRatio } = options;
  const most = 8 * blockSize;
  const byRatio = Math.min(Math.floor((blocks * blockSize) / inodeRatio), groups * most, MAX_32 - most);
  const wanted = Math.max(byRatio, options.inodes, INODE.firstFree + 1);
  const inodesPerGroup = alignUp(Math.ceil(wanted / groups), Math.max(blockSize / INODE_SIZE, 8));
  return inodesPerGroup > most ? undefined : inodesPerGroup;
}

/** Puts the bitmaps and inode tables of each flex group at its start, behind superblock copies. */
function placeMetadata(counts: Omit<Geometry, "blockBitmaps" | "inodeBitmaps" | "inodeTables" | "free">) {
  const blockBitmaps: number[] = [];
  const inodeBitmaps: number[] = [];
  const inodeTables: number[] = [];
  const free: Run[][] = [];
  for (let first = 0; first < counts.groups; first += GROUPS_PER_FLEX) {
    const last = Math.min(first + GROUPS_PER_FLEX, counts.groups);
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
