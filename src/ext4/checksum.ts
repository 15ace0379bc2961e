/**
 * The checksums of the metadata_csum feature: CRC-32C over the file system's UUID, what the block belongs to, and its
 * bytes, so that a block of another file system or in the wrong place does not pass. "Checksums". Before it there was
 * uninit_bg, with a CRC-16 of descriptors alone.
 */
import { crc32c } from "../bytes/checksum.js";
import { crc16 } from "./crc16.js";
import { groupDescriptor } from "./layout.js";

const number = new Uint8Array(8);
const view = new DataView(number.buffer);
const lowHalf = number.subarray(0, 4);

/** Where the checksums of one thing start; undefined without the feature, when there are none. */
export type ChecksumSeed = number | undefined;

/** Continues `seed` over a 32-bit number. */
export function checksumNumber(seed: number, value: number): number {
  view.setUint32(0, value, true);
  return crc32c(lowHalf, seed);
}

/** Where all checksums of a file system start, but for the superblock's own. */
export function fileSystemSeed(uuid: Uint8Array): number {
  return crc32c(uuid, 0xffffffff);
}

/** Where the checksums of an inode and of its directory and extent blocks start. Generations are all 0 in a new file system. */
export function inodeSeed(seed: ChecksumSeed, inodeNumber: number): ChecksumSeed {
  if (seed === undefined) return undefined;
  return checksumNumber(checksumNumber(seed, inodeNumber), 0);
}

/** Where the checksum of the attribute block at block `block` starts. */
export function xattrBlockSeed(seed: number, block: number): number {
  view.setBigUint64(0, BigInt(block), true);
  return crc32c(number, seed);
}

/** How descriptors are protected. */
export interface GroupChecksums {
  /** With metadata_csum: where the checksums of descriptors and bitmaps start. */
  readonly seed: ChecksumSeed;
  /** With uninit_bg: the file system's, with which the checksums of descriptors start. */
  readonly uuid: Uint8Array | undefined;
}

const ZERO_CHECKSUM = new Uint8Array(2);

/**
 * Of a group's descriptor, which is as long as it is stored: the lower half of a CRC-32C with zeros for the field of the
 * checksum, or a CRC-16 that leaves it out.
 */
export function descriptorChecksum(descriptor: Uint8Array, group: number, { seed, uuid }: GroupChecksums): number {
  const at = groupDescriptor.offsets.checksum;
  const [before, behind] = [descriptor.subarray(0, at), descriptor.subarray(at + 2)];
  if (seed !== undefined) {
    const sum = crc32c(ZERO_CHECKSUM, crc32c(before, checksumNumber(seed, group)));
    return crc32c(behind, sum) & 0xffff;
  }
  if (uuid === undefined) return 0;
  view.setUint32(0, group, true);
  return crc16(behind, crc16(before, crc16(lowHalf, crc16(uuid, 0xffff))));
}
