/** Bitmaps and counts of a group, against who uses what. "Block and Inode Bitmaps" and "Checksums" in Documentation/filesystems/ext4. */
import { crc32c } from "../../bytes/checksum.js";
import { hasFeature } from "../feature-table.js";
import { groupDescriptor as layout } from "../layout.js";
import type { Image } from "../reader/image.js";
import { blocksOfCluster, type GroupFacts, groupMetadata } from "./group-layout.js";
import type { Report } from "./report.js";

/** What a group should have in use: the bits of its bitmaps; undefined for none at all. */
export interface UsedOfGroup {
  readonly blocks: Uint8Array | undefined;
  readonly inodes: Uint8Array | undefined;
  readonly directories: number;
}

/** One of the two bitmaps. */
interface Bitmap {
  readonly what: "block" | "inode";
  readonly block: number;
  /** What stands for the bitmap where there is none yet. */
  readonly unset: Uint8Array | undefined;
  /** Bits that mean something. All behind them are set. */
  readonly bits: number;
  /** Bytes that the checksum is over: as many as a full group uses. */
  readonly summed: number;
  readonly checksum: readonly [low: number, high: number];
  readonly free: number;
  readonly countAt: number;
  readonly used: Uint8Array | undefined;
  /** The number of what the first bit stands for. */
  readonly first: number;
  /** How many of them a bit stands for. */
  readonly unit: number;
}

/** Checks a group whose descriptor is at byte `at`; `used` is undefined where nobody knows what is in use. */
export async function checkGroup(
  image: Image,
  group: number,
  { facts, at }: { readonly facts: GroupFacts; readonly at: number },
  used: UsedOfGroup | undefined,
  report: Report,
): Promise<void> {
  for (const bitmap of await bitmapsOf(image, group, facts, used)) {
    await checkBitmap(image, group, bitmap, at, used !== undefined, report);
  }
  if (used === undefined || used.directories === facts.usedDirectories) return;
  report.error(
    `group ${group} has ${used.directories} directories, and its descriptor counts ${facts.usedDirectories}`,
    at + layout.offsets.usedDirectories,
  );
}

async function bitmapsOf(
  image: Image,
  group: number,
  facts: GroupFacts,
  used: UsedOfGroup | undefined,
): Promise<Bitmap[]> {
  const { superblock } = image;
  const { firstDataBlock, blocksPerGroup, blocks, inodesPerGroup } = superblock;
  const ratio = blocksOfCluster(superblock);
  const { fields } = await image.descriptor(group);
  const first = firstDataBlock + group * blocksPerGroup;
  const own = Math.min(blocksPerGroup, blocks - first);
  return [
    {
      what: "block",
      block: facts.blockBitmap,
      unset: facts.blockBitmapUnset ? ownMetadata(image, group, facts) : undefined,
      bits: Math.ceil(own / ratio),
      summed: blocksPerGroup / ratio / 8,
      checksum: [fields.blockBitmapChecksumLow, fields.blockBitmapChecksumHigh],
      free: facts.freeBlocks,
      countAt: layout.offsets.freeBlocks,
      used: used?.blocks,
      first,
      unit: ratio,
    },
    {
      what: "inode",
      block: facts.inodeBitmap,
      unset: facts.inodeBitmapUnset ? new Uint8Array(inodesPerGroup / 8) : undefined,
      bits: inodesPerGroup,
      summed: inodesPerGroup / 8,
      checksum: [fields.inodeBitmapChecksumLow, fields.inodeBitmapChecksumHigh],
      free: facts.freeInodes,
      countAt: layout.offsets.freeInodes,
      used: used?.inodes,
      first: group * inodesPerGroup + 1,
      unit: 1,
    },
  ];
}

/** The bits of a group in which nothing is but what belongs to the group itself. */
function ownMetadata(image: Image, group: number, facts: GroupFacts): Uint8Array {
  const { blocksPerGroup, firstDataBlock } = image.superblock;
  const ratio = blocksOfCluster(image.superblock);
  const bits = new Uint8Array(Math.ceil(blocksPerGroup / ratio / 8));
  const start = firstDataBlock + group * blocksPerGroup;
  for (const { block, count } of groupMetadata(image, group, facts)) {
    for (let at = Math.max(block, start); at < Math.min(block + count, start + blocksPerGroup); at++) {
      const bit = Math.floor((at - start) / ratio);
      bits[bit >> 3]! |= 1 << (bit & 7);
    }
  }
  return bits;
}

async function checkBitmap(
  image: Image,
  group: number,
  bitmap: Bitmap,
  descriptorAt: number,
  isKnown: boolean,
  report: Report,
): Promise<void> {
  const { what, block, unset, bits, free } = bitmap;
  const { blockSize } = image.superblock;
  if (!image.has(block)) {
    report.error(`the descriptor of group ${group} says that its ${what} bitmap is at block ${block}`, descriptorAt);
    return;
  }
  const place = block * blockSize;
  const stored = unset ?? (await image.block(block));
  if (unset === undefined) {
    if (!checksumHolds(image, stored, bitmap)) {
      report.error(`the ${what} bitmap of group ${group} has a wrong checksum`, place);
      return;
    }
    if (clearBits(stored, 8 * blockSize) !== clearBits(stored, bits)) {
      report.error(
        `the ${what} bitmap of group ${group} has bits behind its end that are not set`,
        place + (bits >> 3),
      );
    }
  }
  if (isKnown) compare(group, bitmap, stored, place, report);
  const clear = clearBits(stored, bits);
  if (clear === free) return;
  report.error(
    `group ${group} has ${clear} free ${what}s by its bitmap, and its descriptor counts ${free}`,
    descriptorAt + bitmap.countAt,
  );
}

function checksumHolds({ superblock }: Image, bytes: Uint8Array, { summed, checksum: [low, high] }: Bitmap): boolean {
  if (!superblock.checksums) return true;
  const found = crc32c(bytes.subarray(0, summed), superblock.seed);
  return low === (found & 0xffff) && (!hasFeature(superblock.fields, "64bit") || high === found >>> 16);
}

/** Says how many bits differ from those in use, and which is the first, in either direction. */
function compare(group: number, bitmap: Bitmap, stored: Uint8Array, place: number, report: Report): void {
  const { what, bits, used, first, unit } = bitmap;
  const free = { count: 0, first: 0 };
  const taken = { count: 0, first: 0 };
  for (let i = 0; i < Math.ceil(bits / 8); i++) {
    const [is, should] = [stored[i]!, used?.[i] ?? 0];
    if (is === should) continue;
    for (let bit = 8 * i; bit < Math.min(8 * i + 8, bits); bit++) {
      const mask = 1 << (bit & 7);
      if (((is ^ should) & mask) === 0) continue;
      const side = (should & mask) !== 0 ? free : taken;
      if (side.count++ === 0) side.first = bit;
    }
  }
  for (const [{ count, first: bit }, message] of [
    [free, `${what}s that are in use as free`],
    [taken, `${what}s as in use that nothing uses`],
  ] as const) {
    if (count === 0) continue;
    const number = first + bit * unit;
    report.error(
      `the ${what} bitmap of group ${group} has ${count} ${message}: the first is ${what} ${number}`,
      place + (bit >> 3),
    );
  }
}

const CLEAR_BITS = Uint8Array.from({ length: 256 }, (_, byte) => {
  let clear = 8;
  for (let rest = byte; rest > 0; rest >>= 1) clear -= rest & 1;
  return clear;
});

/** How many of the first `bits` bits are 0. */
function clearBits(bytes: Uint8Array, bits: number): number {
  let clear = 0;
  for (let i = 0; i < bits >> 3; i++) clear += CLEAR_BITS[bytes[i]!]!;
  if (bits % 8 > 0) clear += CLEAR_BITS[(bytes[bits >> 3]! | (0xff << (bits % 8))) & 0xff]!;
  return clear;
}
