/**
 * Bits as RFC 1951, section 3.1.1 packs them: into bytes from the lowest bit up. Mutable globals are memory accesses,
 * so whoever writes much keeps `bits`, `bitCount` and `position` in locals and gives them back.
 */
import { OUTPUT } from "./buffers";

/** Bits not yet in the output, and their number: below 8 whenever this file's functions return. */
export let bits: u64 = 0;
export let bitCount: u32 = 0;
/** Where the next byte goes. Up to eight bytes from there are written to. */
export let position: usize = OUTPUT;

/** Goes back to the beginning of the output. Bits that are left over stay. */
export function rewind(): void {
  position = OUTPUT;
}

/** Forgets the bits that are left over. */
export function resetBits(): void {
  bits = 0;
  bitCount = 0;
}

export function setWriter(bitsNow: u64, bitCountNow: u32, positionNow: usize): void {
  bits = bitsNow;
  bitCount = bitCountNow;
  position = positionNow;
}

/** Appends the low `count` bits of `value`, whose other bits are zero: at most 32. */
export function writeBits(value: u32, count: u32): void {
  bits |= (<u64>value) << bitCount;
  bitCount += count;
  store<u64>(position, bits);
  position += bitCount >> 3;
  bits >>= bitCount & ~7;
  bitCount &= 7;
}

/** Zeros up to the next whole byte. */
export function alignToByte(): void {
  writeBits(0, -bitCount & 7);
}

/** Appends whole bytes; the writer stands at a byte's beginning. */
export function writeBytes(from: usize, length: i32): void {
  memory.copy(position, from, length);
  position += length;
}
