/** Inodes as they are read: of 128 bytes or more, with their checksum. "Index Nodes" in Documentation/filesystems/ext4. */
import { crc32c } from "../../bytes/checksum.js";
import { decodeDeviceNumber } from "../../tree/device-number.js";
import type { Timestamp } from "../../tree/node.js";
import { checksumNumber } from "../checksum.js";
import { hasFeature } from "../feature-table.js";
import { FILE_TYPES, INODE_FLAG, INODE_SIZE, inode as layout } from "../layout.js";
import { corrupt, unsupported } from "./corrupt.js";
import type { Image } from "./image.js";

/** The part of an inode that all have; the rest is there as far as i_extra_isize says. */
export const BASE_INODE_SIZE = 128;
/** Flags that the writer does not set. */
const FLAG = { encrypted: 0x800, hugeFile: 0x40000, eaInode: 0x200000, inlineData: 0x10000000 } as const;

export type InodeType = keyof typeof FILE_TYPES;

/** What every inode has. */
export interface InodeFacts {
  /** From 1. Two names with one number are hard links. */
  readonly number: number;
  /** Where it is in the image, in bytes. */
  readonly at: number;
  /** The lower twelve bits of st_mode. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
  /** Names that lead to it, as it says itself; a directory of 65,000 folders or more may say 1. */
  readonly links: number;
  /** In bytes. */
  readonly size: number;
  /** All of its blocks, those of its map and its attributes included, in units of 512 bytes. */
  readonly sectors: number;
  readonly stored: StoredInode;
}

/** What leads on from an inode. */
export interface StoredInode {
  /** All bytes of the inode. */
  readonly bytes: Uint8Array;
  /** i_block: the root of the extent tree, block numbers, a short symlink's target, or data. */
  readonly block: Uint8Array;
  readonly hasExtents: boolean;
  readonly hasInlineData: boolean;
  /** Whether it is a directory with an index. */
  readonly isIndexed: boolean;
  /** Whether it holds the value of an extended attribute. */
  readonly isXattrValue: boolean;
  /** The attributes' block, or 0. */
  readonly xattrBlock: number;
  /** Bytes of fields behind the first 128. Extended attributes follow. */
  readonly extraSize: number;
  /** Of an inode with the value of an attribute: the checksum of that. */
  readonly atime: number;
  /** Where the checksums of its directory and map blocks start. */
  readonly seed: number;
}

export interface DirectoryInode extends InodeFacts {
  readonly type: "directory";
}
export interface FileInode extends InodeFacts {
  readonly type: "file";
}
/** Its target is read by `readInode` in symlinks.ts. */
export interface BareSymlink extends InodeFacts {
  readonly type: "symlink";
}
export interface DeviceInode extends InodeFacts {
  readonly type: "block" | "character";
  readonly major: number;
  readonly minor: number;
}
export interface SpecialInode extends InodeFacts {
  readonly type: "fifo" | "socket";
}
export type BareInode = DirectoryInode | FileInode | BareSymlink | DeviceInode | SpecialInode;

const TYPE_BITS = 0o170000;
const TYPES = new Map(Object.entries(FILE_TYPES).map(([name, { mode }]) => [mode as number, name as InodeType]));

/**
 * Reads inode `number`, which has to be from 1 to the number of inodes. Rejects with `image-corrupt` when it is not in use, or
 * damaged, and with `source-unsupported` when it is encrypted; with `any`, both are taken.
 */
export async function readBareInode(image: Image, number: number, { any = false } = {}): Promise<BareInode> {
  const { superblock } = image;
  const { inodeSize, blockSize } = superblock;
  const at = await image.inodeOffset(number);
  const within = at % blockSize;
  const stored = (await image.block((at - within) / blockSize)).subarray(within, within + inodeSize);
  const committed = image.fastCommits?.inode(number, stored);
  const bytes = committed ?? stored;
  const fields = layout.read(padded(bytes));
  const wrong = (field: keyof typeof layout.offsets, message: string) =>
    corrupt(at + layout.offsets[field], `inode ${number} ${message}`);

  if (fields.links === 0 && !any) throw wrong("links", "is not in use");
  const seed = checksumNumber(checksumNumber(superblock.seed, number), fields.generation);
  const extraSize = inodeSize > BASE_INODE_SIZE ? fields.extraSize : 0;
  // What fast commits changed has the checksum of what it was.
  if (superblock.checksums && committed === undefined && !checksumHolds(bytes, fields, extraSize, seed)) {
    throw wrong("checksumLow", "has a wrong checksum");
  }
  const type = TYPES.get(fields.mode & TYPE_BITS);
  if (type === undefined) throw wrong("mode", `has the mode 0${fields.mode.toString(8)}, which is of no type`);
  if (extraSize % 4 !== 0 || BASE_INODE_SIZE + extraSize > inodeSize) {
    throw wrong("extraSize", `says that its fields have ${extraSize} bytes more than 128`);
  }
  if ((fields.flags & FLAG.encrypted) !== 0 && !any) {
    throw unsupported(`inode ${number} is encrypted`, "Copy the files on a system that has the key.");
  }
  // Where the kernel does not take the upper halves, others may have left anything in them.
  const largeSize = type === "file" || (type === "directory" && hasFeature(superblock.fields, "large_dir"));
  const size = fields.sizeLow + (largeSize ? fields.sizeHigh * 2 ** 32 : 0);
  if (!Number.isSafeInteger(size)) throw wrong("sizeHigh", `has ${size} bytes, which is more than a file can have`);
  const reaches = (field: keyof typeof layout.offsets) => layout.offsets[field] + 4 <= BASE_INODE_SIZE + extraSize;
  const hugeFile = hasFeature(superblock.fields, "huge_file");
  const units = fields.blocksLow + (hugeFile ? fields.blocksHigh * 2 ** 32 : 0);
  const facts: InodeFacts = {
    number,
    at,
    mode: fields.mode & ~TYPE_BITS,
    uid: fields.uidLow + fields.uidHigh * 2 ** 16,
    gid: fields.gidLow + fields.gidHigh * 2 ** 16,
    mtime: joinTime(fields.mtime, reaches("mtimeExtra") ? fields.mtimeExtra : 0),
    links: fields.links,
    size,
    sectors: hugeFile && (fields.flags & FLAG.hugeFile) !== 0 ? units * (blockSize / 512) : units,
    stored: {
      bytes,
      block: fields.block,
      hasExtents: (fields.flags & INODE_FLAG.extents) !== 0,
      hasInlineData: (fields.flags & FLAG.inlineData) !== 0,
      isIndexed: (fields.flags & INODE_FLAG.index) !== 0,
      isXattrValue: (fields.flags & FLAG.eaInode) !== 0,
      xattrBlock: fields.xattrBlockLow + (hasFeature(superblock.fields, "64bit") ? fields.xattrBlockHigh * 2 ** 32 : 0),
      extraSize,
      atime: fields.atime,
      seed,
    },
  };
  if (type === "block" || type === "character") return { type, ...facts, ...deviceNumbers(fields.block) };
  return { type, ...facts };
}

/** Inodes of 128 bytes lack the other fields: they are zeros. */
function padded(bytes: Uint8Array): Uint8Array {
  if (bytes.length >= INODE_SIZE) return bytes;
  const whole = new Uint8Array(INODE_SIZE);
  whole.set(bytes);
  return whole;
}

const ZERO_CHECKSUM = new Uint8Array(2);

/** While the checksum is computed, its own fields are zeros. The upper half is there when the inode has the field. */
function checksumHolds(
  bytes: Uint8Array,
  { checksumLow, checksumHigh }: { checksumLow: number; checksumHigh: number },
  extraSize: number,
  seed: number,
): boolean {
  const { offsets } = layout;
  let sum = crc32c(bytes.subarray(0, offsets.checksumLow), seed);
  sum = crc32c(bytes.subarray(offsets.checksumLow + 2, BASE_INODE_SIZE), crc32c(ZERO_CHECKSUM, sum));
  const behind = offsets.checksumHigh + 2;
  if (bytes.length <= BASE_INODE_SIZE) return (sum & 0xffff) === checksumLow;
  if (BASE_INODE_SIZE + extraSize < behind) {
    return (crc32c(bytes.subarray(BASE_INODE_SIZE), sum) & 0xffff) === checksumLow;
  }
  sum = crc32c(bytes.subarray(BASE_INODE_SIZE, offsets.checksumHigh), sum);
  sum = crc32c(bytes.subarray(behind), crc32c(ZERO_CHECKSUM, sum));
  return sum === checksumLow + checksumHigh * 2 ** 16;
}

/** 32 bits of seconds, signed, two bits above them, and the nanoseconds. */
function joinTime(time: number, extra: number): Timestamp {
  return { seconds: (time | 0) + (extra & 3) * 2 ** 32, nanoseconds: Math.min(extra >>> 2, 999_999_999) };
}

/** In the first word in the old form, of 16 bits, else in the second one. */
function deviceNumbers(block: Uint8Array): { major: number; minor: number } {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  const old = view.getUint32(0, true);
  return old === 0 ? decodeDeviceNumber(view.getUint32(4, true)) : { major: (old >>> 8) & 0xff, minor: old & 0xff };
}
