/**
 * A tar archive on disk: a sequence of members, each a header block and its content, in blocks of 512 bytes.
 *
 *   header block          below; its type flag says what follows
 *   content               `size` bytes, padded with zeros to a whole block
 *   ...                   more members; members of type x, g, L and K describe the one after them
 *   two blocks of zeros   the end
 *
 * Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Interchange Format"; the GNU tar manual, "Basic Tar
 * Format" (tar.h) for the GNU fields.
 */
import { bytes, struct, u8 } from "../../bytes/struct.js";

export const BLOCK = 512;

/** The header block. Numbers are octal text, or big-endian binary when the first byte has its top bit set (GNU, star). */
export const header = struct("tar_header", BLOCK, {
  name: [0, bytes(100)],
  mode: [100, bytes(8)],
  uid: [108, bytes(8)],
  gid: [116, bytes(8)],
  size: [124, bytes(12)],
  mtime: [136, bytes(12)],
  checksum: [148, bytes(8)],
  type: [156, u8],
  linkName: [157, bytes(100)],
  magic: [257, bytes(8)],
  deviceMajor: [329, bytes(8)],
  deviceMinor: [337, bytes(8)],
  prefix: [345, bytes(155)],
});

/** What an old GNU sparse member (type S) keeps where ustar has its prefix. */
export const gnuSparseHeader = struct("tar_gnu_sparse", BLOCK, {
  map: [386, bytes(4 * 24)],
  isExtended: [482, u8],
  realSize: [483, bytes(12)],
});

/** A further block of an old GNU sparse member's map. */
export const gnuSparseExtension = struct("tar_gnu_sparse_extension", BLOCK, {
  map: [0, bytes(21 * 24)],
  isExtended: [504, u8],
});

/** "ustar" and NUL: the prefix field counts. GNU tar's own format has a blank in place of the NUL, and other fields there. */
export const USTAR_MAGIC = "ustar\0";

/** The sum of a header's bytes with its checksum field taken as blanks; old programs added them as signed. */
export function checksums(block: Uint8Array): { unsigned: number; signed: number } {
  let unsigned = 8 * 0x20;
  let negative = 0;
  for (let i = 0; i < BLOCK; i++) {
    if (i >= header.offsets.checksum && i < header.offsets.checksum + 8) continue;
    unsigned += block[i]!;
    if (block[i]! >= 0x80) negative++;
  }
  return { unsigned, signed: unsigned - 256 * negative };
}

/** Whether an archive may begin with `block`: with a header, or with the zeros of an archive without members. */
export function isHeader(block: Uint8Array): boolean {
  if (block.length < BLOCK) return false;
  if (block.every((byte) => byte === 0)) return true;
  const stored = Number.parseInt(String.fromCharCode(...header.read(block).checksum).replace(/\0/g, " "), 8);
  const { unsigned, signed } = checksums(block);
  return stored === unsigned || stored === signed;
}
