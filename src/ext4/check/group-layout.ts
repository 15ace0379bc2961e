/** What a group holds that belongs to no inode: "Layout" and "Meta Block Groups" in Documentation/filesystems/ext4. */
import type { StructValues } from "../../bytes/struct.js";
import { hasFeature } from "../feature-table.js";
import type { groupDescriptor } from "../layout.js";
import type { Image } from "../reader/image.js";
import type { Superblock } from "../reader/superblock.js";

export type Descriptor = StructValues<typeof groupDescriptor>;

/** A descriptor's fields whose upper halves are there with the 64bit feature. */
export interface GroupFacts {
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  readonly freeBlocks: number;
  readonly freeInodes: number;
  readonly usedDirectories: number;
  /** Inodes at the end of the table that were never used, and that nobody looks at. */
  readonly unusedInodes: number;
  /** Whether the bitmap is none yet: nothing is in use but the group's own metadata. */
  readonly blockBitmapUnset: boolean;
  readonly inodeBitmapUnset: boolean;
}

const BLOCK_UNSET = 0x2;
const INODES_UNSET = 0x1;

export function groupFacts({ fields }: Superblock, descriptor: Descriptor): GroupFacts {
  const wide = hasFeature(fields, "64bit");
  const join = (low: number, high: number, bits: number) => low + (wide ? high * 2 ** bits : 0);
  // Without checksums of descriptors nobody trusts them so far.
  const trusted = hasFeature(fields, "metadata_csum") || hasFeature(fields, "uninit_bg");
  const { flags } = descriptor;
  return {
    blockBitmap: join(descriptor.blockBitmapLow, descriptor.blockBitmapHigh, 32),
    inodeBitmap: join(descriptor.inodeBitmapLow, descriptor.inodeBitmapHigh, 32),
    inodeTable: join(descriptor.inodeTableLow, descriptor.inodeTableHigh, 32),
    freeBlocks: join(descriptor.freeBlocks, descriptor.freeBlocksHigh, 16),
    freeInodes: join(descriptor.freeInodes, descriptor.freeInodesHigh, 16),
    usedDirectories: join(descriptor.usedDirectories, descriptor.usedDirectoriesHigh, 16),
    unusedInodes: trusted ? join(descriptor.unusedInodes, descriptor.unusedInodesHigh, 16) : 0,
    blockBitmapUnset: trusted && (flags & BLOCK_UNSET) !== 0,
    inodeBitmapUnset: trusted && (flags & INODES_UNSET) !== 0,
  };
}

/** With bigalloc, bitmaps and groups' counts are of clusters of so many blocks; else of one. */
export function blocksOfCluster({ fields }: Superblock): number {
  return hasFeature(fields, "bigalloc") ? 2 ** (fields.logClusterSize - fields.logBlockSize) : 1;
}

export interface BlockRange {
  readonly what: string;
  readonly block: number;
  readonly count: number;
}

/** The blocks that are reserved for more descriptors, behind those of each copy; they are the resize inode's. */
export function reservedDescriptors(image: Image, group: number): BlockRange | undefined {
  const { reservedDescriptorBlocks } = image.superblock.fields;
  if (group > 0 && !image.hasSuperblock(group)) return undefined;
  const descriptors = descriptorBlocks(image);
  const block = groupStart(image, group) + 1 + descriptors;
  return { what: "the blocks reserved for descriptors", block, count: reservedDescriptorBlocks };
}

/** Descriptor blocks that follow the superblock and each of its copies. */
function descriptorBlocks({ superblock }: Image): number {
  const { fields, groups, blockSize, descriptorSize } = superblock;
  return hasFeature(fields, "meta_bg")
    ? fields.firstMetaGroup
    : Math.ceil(groups / Math.floor(blockSize / descriptorSize));
}

/** The first block of a group that holds something. */
export function groupStart({ superblock }: Image, group: number): number {
  const { firstDataBlock, blocksPerGroup, blockSize } = superblock;
  // With blocks of 1 KiB and clusters, block 0 belongs to group 0, and the superblock is in block 1 nonetheless.
  return Math.max(firstDataBlock + group * blocksPerGroup, blockSize === 1024 ? 1 : 0);
}

/** Copy of the superblock, descriptors, bitmaps and inode table of `group`, wherever they are. */
export function groupMetadata(image: Image, group: number, facts: GroupFacts): BlockRange[] {
  const { superblock } = image;
  const { blockSize, descriptorSize, inodesPerGroup, inodeSize, fields } = superblock;
  const start = groupStart(image, group);
  const hasSuperblock = group === 0 || image.hasSuperblock(group);
  const ranges: BlockRange[] = [
    { what: "the block bitmap", block: facts.blockBitmap, count: 1 },
    { what: "the inode bitmap", block: facts.inodeBitmap, count: 1 },
    {
      what: "the inode table",
      block: facts.inodeTable,
      count: Math.ceil((inodesPerGroup * inodeSize) / blockSize),
    },
  ];
  // Block 0 of group 0 where the superblock is in block 1: part of a cluster that is in use.
  if (hasSuperblock) ranges.push({ what: "the superblock", block: start, count: 1 });
  const perBlock = Math.floor(blockSize / descriptorSize);
  const metaGroup = Math.floor(group / perBlock);
  if (!hasFeature(fields, "meta_bg") || metaGroup < fields.firstMetaGroup) {
    if (hasSuperblock) {
      ranges.push({ what: "the descriptors", block: start + 1, count: descriptorBlocks(image) });
      if (!hasFeature(fields, "meta_bg")) ranges.push(reservedDescriptors(image, group)!);
    }
  } else if ([0, 1, perBlock - 1].includes(group % perBlock)) {
    ranges.push({ what: "the descriptors", block: start + (hasSuperblock ? 1 : 0), count: 1 });
  }
  return ranges.filter(({ count }) => count > 0);
}
