/**
 * Bits as RFC 1951, section 3.1.1 packs them: out of bytes from the lowest bit up. Mutable globals are memory accesses,
 * so whoever reads much keeps `bits`, `bitCount` and `position` in locals and gives them back.
 *
 * The reader never asks where the input ends before it loads: zeros follow, and `overrun` says afterwards whether they
 * were taken for data. Whoever loops calls `exhausted` on each round, which bounds how far past the end the reader
 * comes.
 */
import { INPUT, PADDING } from "./buffers";

/** The next bits, the first one lowest. Above `bitCount` of them are zeros, or bits that will be loaded again. */
export let bits: u64 = 0;
export let bitCount: u64 = 0;
/** The next byte to load. */
export let position: usize = INPUT;
/** Where the input ends. */
export let inputEnd: usize = INPUT;

/** Begins with the `length` bytes at INPUT. */
export function beginReading(length: i32): void {
  bits = 0;
  bitCount = 0;
  position = INPUT;
  inputEnd = INPUT + length;
  memory.fill(inputEnd, 0, PADDING);
}

export function setReader(bitsNow: u64, bitCountNow: u64, positionNow: usize): void {
  bits = bitsNow;
  bitCount = bitCountNow;
  position = positionNow;
}

/**
 * Makes `bitCount` 56 at least. Loads eight bytes and counts as many as fit; the others are loaded again the next time,
 * with the same result. (Giesen, "Reading bits in far too many ways", part 2, 2018, variant 4.)
 */
export function refill(): void {
  bits |= load<u64>(position) << bitCount;
  position += <usize>((63 - bitCount) >> 3);
  bitCount |= 56;
}

/** The next `count` bits, at most 32, which `refill` has to have provided. */
export function take(count: u32): u32 {
  const value = <u32>(bits & (((<u64>1) << count) - 1));
  bits >>= count;
  bitCount -= count;
  return value;
}

/** Whether the next byte to load is so far past the input's end that all of the input was taken. */
export function exhausted(): bool {
  return position >= inputEnd + 8;
}

/** Whether more was taken than the input has. */
export function overrun(): bool {
  return nextByte() > inputEnd;
}

/** The first byte of which nothing was taken yet. */
export function nextByte(): usize {
  return position - <usize>(bitCount >> 3);
}

/** Goes on at a whole byte. */
export function seek(to: usize): void {
  bits = 0;
  bitCount = 0;
  position = to;
}
