/** Inodes. Linux Documentation/filesystems/ext4, "Index Nodes". */
import { crc32c } from "../bytes/checksum.js";
import { high16, high32, low16, low32 } from "../bytes/halves.js";
import { encodeDeviceNumber } from "../tree/device-number.js";
import type { DeviceNode, Timestamp } from "../tree/node.js";
import type { ChecksumSeed } from "./checksum.js";
import type { InodeSize } from "./format.js";
import { EXTRA_INODE_SIZE, INODE_BLOCK_BYTES, INODE_SIZE, inode } from "./layout.js";

/** The times that an inode can hold, in seconds: 1901 to 2446, or to 2038 where it has 128 bytes. */
export function timeRange(inodeSize: InodeSize): { first: number; last: number } {
  return { first: -(2 ** 31), last: inodeSize === INODE_SIZE ? 2 ** 34 - 2 ** 31 - 1 : 2 ** 31 - 1 };
}

/** An inode before it is encoded. */
export interface InodeValues {
  /** With the file type. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** In bytes. */
  readonly size: number;
  readonly links: number;
  /** All blocks that it takes, those of its extent tree and attributes included, in units of 512 bytes. */
  readonly sectors: number;
  readonly flags: number;
  /** i_block: 60 bytes. */
  readonly block: Uint8Array;
  readonly mtime: Timestamp;
  /** When the file system was made, in seconds. */
  readonly crtime: number;
  readonly xattrs?: Uint8Array | undefined;
  readonly xattrBlock?: number | undefined;
}

/** The time itself where an inode can hold it, else the nearest second that it can. */
export function storedTime(time: Timestamp, inodeSize: InodeSize): Timestamp {
  const { first, last } = timeRange(inodeSize);
  const seconds = Math.min(Math.max(time.seconds, first), last);
  return seconds === time.seconds ? time : { seconds, nanoseconds: 0 };
}

/** 32 bits of seconds; two more, and the nanoseconds, are in the other field. */
function splitTime(time: Timestamp, inodeSize: InodeSize): [time: number, extra: number] {
  const { seconds, nanoseconds } = storedTime(time, inodeSize);
  const epoch = (seconds - (seconds | 0)) / 2 ** 32;
  return [seconds >>> 0, nanoseconds * 4 + (epoch & 3)];
}

const scratch = new Uint8Array(INODE_SIZE);
const scratchView = new DataView(scratch.buffer);

/** Writes an inode, checksum included, over all of `into`. `seed` is the inode's own checksum seed. */
export function encodeInode(into: Uint8Array, values: InodeValues, seed: ChecksumSeed): void {
  const inodeSize = into.length as InodeSize;
  // A tree knows when content was changed and nothing else; the other times of a file are taken to be the same.
  const [time, timeExtra] = splitTime(values.mtime, inodeSize);
  const [crtime, crtimeExtra] = splitTime({ seconds: values.crtime, nanoseconds: 0 }, inodeSize);
  inode.write(scratch, 0, {
    mode: values.mode,
    uidLow: low16(values.uid),
    uidHigh: high16(values.uid),
    gidLow: low16(values.gid),
    gidHigh: high16(values.gid),
    sizeLow: low32(values.size),
    sizeHigh: high32(values.size),
    links: values.links,
    blocksLow: low32(values.sectors),
    blocksHigh: high32(values.sectors),
    flags: values.flags,
    block: values.block,
    xattrBlockLow: low32(values.xattrBlock ?? 0),
    xattrBlockHigh: high32(values.xattrBlock ?? 0),
    extraSize: EXTRA_INODE_SIZE,
    atime: time,
    atimeExtra: timeExtra,
    ctime: time,
    ctimeExtra: timeExtra,
    mtime: time,
    mtimeExtra: timeExtra,
    crtime,
    crtimeExtra,
    ...(values.xattrs && { xattrs: values.xattrs }),
  });
  const used = scratch.subarray(0, inodeSize);
  if (seed !== undefined) {
    const checksum = crc32c(used, seed);
    scratchView.setUint16(inode.offsets.checksumLow, low16(checksum), true);
    // The other half is beyond the end of a small inode.
    scratchView.setUint16(inode.offsets.checksumHigh, high16(checksum), true);
  }
  into.set(used);
}

/** i_block of a device: the old 16-bit form where both numbers fit, else the new one. */
export function encodeDevice(node: DeviceNode): Uint8Array {
  const { major, minor } = node;
  const block = new Uint8Array(INODE_BLOCK_BYTES);
  const view = new DataView(block.buffer);
  if (major < 256 && minor < 256) view.setUint32(0, major * 256 + minor, true);
  else view.setUint32(4, encodeDeviceNumber(node), true);
  return block;
}
