/**
 * What reading all files does not come by: the bitmaps and counts by which the kernel finds room, and the copies of the
 * superblock that e2fsck falls back to. "Block and Inode Bitmaps" and "Checksums" in Documentation/filesystems/ext4.
 */
import { crc32c } from "../../bytes/checksum.js";
import type { Finding } from "../../bytes/finding.js";
import { ImgbuildError } from "../../errors.js";
import {
  GROUP,
  groupDescriptor,
  INCOMPATIBLE,
  superblock as layout,
  STATE_CLEAN,
  SUPERBLOCK_MAGIC,
  SUPERBLOCK_OFFSET,
} from "../layout.js";
import { FEATURE } from "./features.js";
import type { Descriptor, Image } from "./image.js";
import { hasIncompatible, hasReadOnlyCompatible } from "./superblock.js";

const error = (message: string, offset: number): Finding => ({ severity: "error", message, offset });

/** Checks descriptors, bitmaps with their checksums, counts, and copies of the superblock, group by group. */
export async function* checkImage(image: Image): AsyncGenerator<Finding> {
  const { superblock } = image;
  let free = { blocks: 0, inodes: 0 };
  let known = true;
  for (let group = 0; group < superblock.groups; group++) {
    if (group > 0 && image.hasSuperblock(group)) yield* checkCopy(image, group);
    let descriptor: { fields: Descriptor; at: number };
    try {
      descriptor = await image.descriptor(group);
      await image.inodeOffset(group * superblock.inodesPerGroup + 1);
    } catch (thrown) {
      known = false;
      yield findingOf(thrown);
      continue;
    }
    const { fields, at } = descriptor;
    free = { blocks: free.blocks + freeBlocks(image, fields), inodes: free.inodes + freeInodes(image, fields) };
    yield* checkBitmaps(image, group, fields, at);
  }
  if (known) yield* checkTotals(image, free);
}

function findingOf(thrown: unknown): Finding {
  if (!(thrown instanceof ImgbuildError) || thrown.code !== "image-corrupt") throw thrown;
  return error(thrown.message, thrown.data.offset as number);
}

const isWide = ({ superblock }: Image) => hasIncompatible(superblock, INCOMPATIBLE.is64bit);
/** Bits 16 and up of what is stored in halves. */
const joined = (image: Image, low: number, high: number, bits: number) => low + (isWide(image) ? high * 2 ** bits : 0);

const freeBlocks = (image: Image, fields: Descriptor) => joined(image, fields.freeBlocks, fields.freeBlocksHigh, 16);
const freeInodes = (image: Image, fields: Descriptor) => joined(image, fields.freeInodes, fields.freeInodesHigh, 16);

/** With bigalloc, bitmaps and groups' counts are of clusters. */
function blocksOfCluster({ superblock }: Image): number {
  const { logClusterSize, logBlockSize } = superblock.fields;
  return hasReadOnlyCompatible(superblock, FEATURE.bigalloc) ? 2 ** (logClusterSize - logBlockSize) : 1;
}

/** The bitmaps of a group: where they are, their checksums, and how many of their bits are clear. */
async function* checkBitmaps(image: Image, group: number, fields: Descriptor, at: number): AsyncGenerator<Finding> {
  const { superblock } = image;
  const { firstDataBlock, blocksPerGroup, blocks, inodesPerGroup } = superblock;
  const clusterRatio = blocksOfCluster(image);
  const ownBlocks = Math.min(blocksPerGroup, blocks - firstDataBlock - group * blocksPerGroup);
  const bitmaps = [
    {
      what: "block" as const,
      uninitialised: GROUP.blockUninit,
      block: joined(image, fields.blockBitmapLow, fields.blockBitmapHigh, 32),
      bits: Math.ceil(ownBlocks / clusterRatio),
      // All of it that a full group would use has a checksum.
      summed: blocksPerGroup / clusterRatio / 8,
      checksum: [fields.blockBitmapChecksumLow, fields.blockBitmapChecksumHigh] as const,
      free: freeBlocks(image, fields),
      countAt: groupDescriptor.offsets.freeBlocks,
    },
    {
      what: "inode" as const,
      uninitialised: GROUP.inodeUninit,
      block: joined(image, fields.inodeBitmapLow, fields.inodeBitmapHigh, 32),
      bits: inodesPerGroup,
      summed: inodesPerGroup / 8,
      checksum: [fields.inodeBitmapChecksumLow, fields.inodeBitmapChecksumHigh] as const,
      free: freeInodes(image, fields),
      countAt: groupDescriptor.offsets.freeInodes,
    },
  ];
  for (const { what, uninitialised, block, bits, summed, checksum, free, countAt } of bitmaps) {
    if ((fields.flags & uninitialised) !== 0) continue;
    if (!image.has(block)) {
      yield error(`the descriptor of group ${group} says that its ${what} bitmap is at block ${block}`, at);
      continue;
    }
    const bytes = await image.block(block);
    const place = block * superblock.blockSize;
    if (superblock.checksums) {
      const found = crc32c(bytes.subarray(0, summed), superblock.seed);
      const [low, high] = checksum;
      if (low !== (found & 0xffff) || (isWide(image) && high !== found >>> 16)) {
        yield error(`the ${what} bitmap of group ${group} has a wrong checksum (byte ${place})`, place);
        continue;
      }
    }
    const clear = clearBits(bytes, bits);
    if (clear !== free && (superblock.fields.state & STATE_CLEAN) !== 0) {
      const position = at + countAt;
      yield error(
        `group ${group} has ${clear} free ${what}s by its bitmap, and its descriptor counts ${free} (byte ${position})`,
        position,
      );
    }
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

/** The counts of the superblock, which the kernel brings up to date when it unmounts. */
function* checkTotals(image: Image, free: { blocks: number; inodes: number }): Generator<Finding> {
  const { superblock } = image;
  const { fields } = superblock;
  if ((fields.state & STATE_CLEAN) === 0 || hasIncompatible(superblock, FEATURE.needsRecovery)) return;
  const counts = [
    ["blocks", joined(image, fields.freeBlocksLow, fields.freeBlocksHigh, 32), free.blocks * blocksOfCluster(image)],
    ["inodes", fields.freeInodes, free.inodes],
  ] as const;
  for (const [what, stored, counted] of counts) {
    if (stored === counted) continue;
    const at = SUPERBLOCK_OFFSET + layout.offsets[what === "blocks" ? "freeBlocksLow" : "freeInodes"];
    // e2fsck mends it without a word, and the kernel counts anew when it mounts.
    yield {
      severity: "warning",
      message: `the superblock counts ${stored} free ${what}, and the groups ${counted} (byte ${at})`,
      offset: at,
    };
  }
}

/** The copy of the superblock in `group`: for the same file system, and as long. Other fields are as of when it was made. */
async function* checkCopy(image: Image, group: number): AsyncGenerator<Finding> {
  const { superblock } = image;
  const { blockSize, firstDataBlock, blocksPerGroup, checksums, fields } = superblock;
  const at = (firstDataBlock + group * blocksPerGroup) * blockSize;
  const wrong = (message: string) => error(`the copy of the superblock in group ${group} ${message} (byte ${at})`, at);
  const bytes = await image.read(at, layout.size);
  const copy = layout.read(bytes);
  if (copy.magic !== SUPERBLOCK_MAGIC) yield wrong("is missing");
  else if (checksums && crc32c(bytes.subarray(0, layout.offsets.checksum), 0xffffffff) !== copy.checksum) {
    yield wrong("has a wrong checksum");
  } else if (copy.uuid.some((byte, i) => byte !== fields.uuid[i])) yield wrong("is of another file system");
  else if (copy.blocksCountLow !== fields.blocksCountLow || copy.inodesPerGroup !== fields.inodesPerGroup) {
    yield wrong("has another length of the file system");
  }
}
