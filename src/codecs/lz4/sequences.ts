/** Writes sequences (format.ts says what they are). */
import { copyVectors } from "./buffers";
import { MIN_MATCH, MORE } from "./format";

/** Writes `literals` bytes from `from`, then a match. Returns where the sequence ends; up to 16 bytes more are touched. */
// @ts-ignore: decorator
@inline
export function writeSequence(to: usize, from: usize, literals: i32, offset: usize, length: i32): usize {
  const token = to;
  to = writeLiterals(to, from, literals);
  store<u16>(to, <u16>offset);
  to += 2;
  const more = length - MIN_MATCH;
  store<u8>(token, load<u8>(token) | <u8>min<i32>(more, MORE));
  return more < MORE ? to : writeLength(to, more);
}

/** Writes a sequence without a match: the last one of a block. */
// @ts-ignore: decorator
@inline
export function writeLiterals(to: usize, from: usize, literals: i32): usize {
  store<u8>(to, <u8>(min<i32>(literals, MORE) << 4));
  to++;
  if (literals >= MORE) to = writeLength(to, literals);
  copyVectors(to, from, literals);
  return to + literals;
}

// @ts-ignore: decorator
@inline
function writeLength(to: usize, length: i32): usize {
  let more = length - MORE;
  for (; more >= 255; more -= 255) store<u8>(to++, 255);
  store<u8>(to, <u8>more);
  return to + 1;
}
