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

/** What 32 bits of seconds leave over: two more, and the nanoseconds. */
function extraTime({ seconds, nanoseconds }: Timestamp): number {
  const epoch = (seconds - (seconds | 0)) / 2 ** 32;
  return nanoseconds * 4 + (epoch & 3);
}

const field = inode.offsets;

/**
 * Writes an inode, checksum included, over `into`, which is all zeros. `seed` is the inode's own checksum seed. File systems
 * have millions of them: the fields are written without the detour over a table of them.
 */
export function encodeInode(into: Uint8Array, values: InodeValues, seed: ChecksumSeed): void {
  const inodeSize = into.length as InodeSize;
  const view = new DataView(into.buffer, into.byteOffset, inodeSize);
  // A tree knows when content was changed and nothing else; the other times of a file are taken to be the same.
  const mtime = storedTime(values.mtime, inodeSize);
  view.setUint16(field.mode, values.mode, true);
  view.setUint16(field.uidLow, low16(values.uid), true);
  view.setUint16(field.uidHigh, high16(values.uid), true);
  view.setUint16(field.gidLow, low16(values.gid), true);
  view.setUint16(field.gidHigh, high16(values.gid), true);
  view.setUint32(field.sizeLow, low32(values.size), true);
  view.setUint32(field.sizeHigh, high32(values.size), true);
  view.setUint32(field.atime, mtime.seconds, true);
  view.setUint32(field.ctime, mtime.seconds, true);
  view.setUint32(field.mtime, mtime.seconds, true);
  view.setUint16(field.links, values.links, true);
  view.setUint32(field.blocksLow, low32(values.sectors), true);
  view.setUint16(field.blocksHigh, high32(values.sectors), true);
  view.setUint32(field.flags, values.flags, true);
  into.set(values.block, field.block);
  const xattrBlock = values.xattrBlock ?? 0;
  view.setUint32(field.xattrBlockLow, low32(xattrBlock), true);
  view.setUint16(field.xattrBlockHigh, high32(xattrBlock), true);
  if (inodeSize === INODE_SIZE) {
    const extra = extraTime(mtime);
    view.setUint16(field.extraSize, EXTRA_INODE_SIZE, true);
    view.setUint32(field.atimeExtra, extra, true);
    view.setUint32(field.ctimeExtra, extra, true);
    view.setUint32(field.mtimeExtra, extra, true);
    view.setUint32(field.crtime, values.crtime, true);
    view.setUint32(field.crtimeExtra, extraTime({ seconds: values.crtime, nanoseconds: 0 }), true);
    if (values.xattrs) into.set(values.xattrs, field.xattrs);
  }
  if (seed === undefined) return;
  const checksum = crc32c(into, seed);
  view.setUint16(field.checksumLow, low16(checksum), true);
  if (inodeSize === INODE_SIZE) view.setUint16(field.checksumHigh, high16(checksum), true);
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
