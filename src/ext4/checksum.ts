/**
 * The checksums of the metadata_csum feature: CRC-32C over the file system's UUID, what the block belongs to, and its
 * bytes, so that a block of another file system or in the wrong place does not pass. "Checksums".
 */
import { crc32c } from "../bytes/checksum.js";

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
