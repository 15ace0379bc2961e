/** Bitmaps and group descriptors. Linux Documentation/filesystems/ext4, "Block Group Descriptors" and "Bitmaps". */
import { crc32c } from "../bytes/checksum.js";
import { high32, low32 } from "../bytes/halves.js";
import type { InodeAllocator } from "./allocator.js";
import { descriptorChecksum, type GroupChecksums } from "./checksum.js";
import { type Geometry, groupEnd, groupStart, overlap, type Run, superblockArea } from "./geometry.js";
import { GROUP, groupDescriptor } from "./layout.js";

export interface GroupMetadata {
  /** All descriptors, whole blocks. */
  readonly descriptors: Uint8Array;
  /** Those bitmaps that the kernel does not make up by itself, by block. */
  readonly bitmaps: { readonly at: number; readonly bytes: Uint8Array }[];
  readonly freeBlocks: number;
  readonly freeInodes: number;
}

/** Sets bits [start, end). */
function fillBits(bytes: Uint8Array, start: number, end: number): void {
  let bit = start;
  for (; bit < end && bit % 8 !== 0; bit++) bytes[bit >> 3]! |= 1 << (bit & 7);
  const wholeBytes = Math.max(end - bit, 0) >> 3;
  bytes.fill(0xff, bit >> 3, (bit >> 3) + wholeBytes);
  for (bit += wholeBytes * 8; bit < end; bit++) bytes[bit >> 3]! |= 1 << (bit & 7);
}

function blockBitmap(geometry: Geometry, group: number, free: readonly Run[]): Uint8Array {
  const bytes = new Uint8Array(geometry.blockSize);
  const start = groupStart(geometry, group);
  let used = 0;
  for (const run of free) {
    fillBits(bytes, used, run.start - start);
    used = run.end - start;
  }
  fillBits(bytes, used, groupEnd(geometry, group) - start);
  // What a short last group lacks counts as used.
  fillBits(bytes, groupEnd(geometry, group) - start, 8 * geometry.blockSize);
  return bytes;
}

function inodeBitmap(geometry: Geometry, used: number): Uint8Array {
  const bytes = new Uint8Array(geometry.blockSize);
  fillBits(bytes, 0, used);
  fillBits(bytes, geometry.inodesPerGroup, 8 * geometry.blockSize);
  return bytes;
}

/** The blocks of `group` that its own metadata takes: all that the kernel assumes to be used in a BLOCK_UNINIT group. */
function ownMetadataBlocks(geometry: Geometry, group: number): number {
  const extent = { start: groupStart(geometry, group), end: groupEnd(geometry, group) };
  const run = (start: number, length: number) => overlap(extent, { start, end: start + length });
  return (
    superblockArea(geometry, group) +
    run(geometry.blockBitmaps[group]!, 1) +
    run(geometry.inodeBitmaps[group]!, 1) +
    run(geometry.inodeTables[group]!, geometry.inodeTableBlocks)
  );
}

/** Whether groups may be uninitialised, and inode tables have an unused end: only where a checksum guards what says so. */
export function isLazy({ seed, uuid }: GroupChecksums): boolean {
  return seed !== undefined || uuid !== undefined;
}

/**
 * Descriptors and bitmaps of all groups. Where that is allowed, a group that holds nothing but its own metadata is left
 * uninitialised: the kernel makes up its bitmaps when it first uses it. Inode tables are said to be unused behind the last
 * used inode; the kernel clears that part in the background once it is mounted (it is not INODE_ZEROED unless it is used to
 * its end).
 */
export function encodeGroups(
  geometry: Geometry,
  free: readonly (readonly Run[])[],
  inodes: InodeAllocator,
  checksums: GroupChecksums,
): GroupMetadata {
  const { blockSize, inodeSize, inodesPerGroup } = geometry;
  const { seed } = checksums;
  const lazy = isLazy(checksums);
  const descriptors = new Uint8Array(geometry.descriptorBlocks * blockSize);
  const descriptor = new Uint8Array(groupDescriptor.size);
  const bitmaps: GroupMetadata["bitmaps"] = [];
  let freeBlocks = 0;
  let freeInodes = 0;
  for (let group = 0; group < geometry.groups; group++) {
    const freeHere = free[group]!.reduce((sum, { start, end }) => sum + end - start, 0);
    const usedInodes = inodes.used[group]!;
    freeBlocks += freeHere;
    freeInodes += inodesPerGroup - usedInodes;

    let flags = 0;
    let blockChecksum = 0;
    let inodeChecksum = 0;
    // e2fsck wants the bitmap of the last group in any case.
    const inner = group > 0 && group < geometry.groups - 1;
    if (lazy && inner && freeHere === geometry.blocksPerGroup - ownMetadataBlocks(geometry, group)) {
      flags |= GROUP.blockUninit;
    } else {
      const bytes = blockBitmap(geometry, group, free[group]!);
      bitmaps.push({ at: geometry.blockBitmaps[group]!, bytes });
      if (seed !== undefined) blockChecksum = crc32c(bytes, seed);
    }
    if (lazy && usedInodes === 0) {
      flags |= GROUP.inodeUninit;
    } else {
      const bytes = inodeBitmap(geometry, usedInodes);
      bitmaps.push({ at: geometry.inodeBitmaps[group]!, bytes });
      if (seed !== undefined) inodeChecksum = crc32c(bytes.subarray(0, inodesPerGroup / 8), seed);
      const tableBlocks = Math.ceil((usedInodes * inodeSize) / blockSize);
      if (lazy && tableBlocks === geometry.inodeTableBlocks) flags |= GROUP.inodeZeroed;
    }
    groupDescriptor.write(descriptor, 0, {
      blockBitmapLow: low32(geometry.blockBitmaps[group]!),
      blockBitmapHigh: high32(geometry.blockBitmaps[group]!),
      inodeBitmapLow: low32(geometry.inodeBitmaps[group]!),
      inodeBitmapHigh: high32(geometry.inodeBitmaps[group]!),
      inodeTableLow: low32(geometry.inodeTables[group]!),
      inodeTableHigh: high32(geometry.inodeTables[group]!),
      freeBlocks: freeHere,
      freeInodes: inodesPerGroup - usedInodes,
      usedDirectories: inodes.directories[group]!,
      flags,
      blockBitmapChecksumLow: blockChecksum & 0xffff,
      blockBitmapChecksumHigh: blockChecksum >>> 16,
      inodeBitmapChecksumLow: inodeChecksum & 0xffff,
      inodeBitmapChecksumHigh: inodeChecksum >>> 16,
      unusedInodes: lazy ? inodesPerGroup - usedInodes : 0,
    });
    const stored = descriptor.subarray(0, geometry.descriptorSize);
    const checksum = descriptorChecksum(stored, group, checksums);
    new DataView(stored.buffer).setUint16(groupDescriptor.offsets.checksum, checksum, true);
    descriptors.set(stored, group * geometry.descriptorSize);
  }
  bitmaps.sort((a, b) => a.at - b.at);
  return { descriptors, bitmaps, freeBlocks, freeInodes };
}
