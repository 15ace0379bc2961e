/**
 * The checksums of the containers: Adler-32 of zlib (RFC 1950, section 8.2) and CRC-32 of gzip (RFC 1952, section 8).
 */

const MODULUS: u32 = 65521;
/** The most bytes whose sums stay below 2^32, as RFC 1950's sample code has it, in whole vectors. */
const MAX_SUMMED: i32 = 5552 & ~15;

/** Continues an Adler-32, which begins as 1, over `length` bytes. */
export function adler32(from: usize, length: i32, seed: u32): u32 {
  let low = seed & 0xffff;
  let high = seed >> 16;
  let at = from;
  let left = length;
  while (left >= 16) {
    const piece = min<i32>(left, MAX_SUMMED) & ~15;
    left -= piece;
    // A byte counts in `high` once for each byte from it to the piece's end: vector by vector, then within the vectors.
    high += low * piece;
    let sums = i32x4.splat(0);
    let prefixes = i32x4.splat(0);
    let weighted = i32x4.splat(0);
    for (const end = at + piece; at < end; at += 16) {
      const bytes = v128.load(at);
      prefixes = i32x4.add(prefixes, sums);
      sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(bytes)));
      const first = i16x8.extend_low_i8x16_u(bytes);
      const second = i16x8.extend_high_i8x16_u(bytes);
      weighted = i32x4.add(weighted, i32x4.dot_i16x8_s(first, i16x8(16, 15, 14, 13, 12, 11, 10, 9)));
      weighted = i32x4.add(weighted, i32x4.dot_i16x8_s(second, i16x8(8, 7, 6, 5, 4, 3, 2, 1)));
    }
    high = (high + 16 * sumOf(prefixes) + sumOf(weighted)) % MODULUS;
    low = (low + sumOf(sums)) % MODULUS;
  }
  for (; left > 0; left--) {
    low += load<u8>(at++);
    high += low;
  }
  return (high % MODULUS << 16) | low % MODULUS;
}

function sumOf(vector: v128): u32 {
  return (
    i32x4.extract_lane(vector, 0) +
    i32x4.extract_lane(vector, 1) +
    i32x4.extract_lane(vector, 2) +
    i32x4.extract_lane(vector, 3)
  );
}

/** By byte: the register after it. */
const CRC_OF_BYTE: usize = memory.data(4 * 256, 16);

/** Has to be called once before crc32. */
export function prepareCrc32(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value >> 1) ^ (0xedb88320 & -(value & 1));
    store<u32>(CRC_OF_BYTE + (byte << 2), value);
  }
}

/** Continues a CRC-32, which begins as 0, over `length` bytes. */
export function crc32(from: usize, length: i32, seed: u32): u32 {
  let value = ~seed;
  for (let at = from; at < from + length; at++) {
    value = (value >> 8) ^ load<u32>(CRC_OF_BYTE + (((value ^ load<u8>(at)) & 0xff) << 2));
  }
  return ~value;
}
