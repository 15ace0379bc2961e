/** The decoder: takes any block of the format, and notices any other. */
import { BLOCK, COMPRESSED, copyVectors } from "./buffers";
import { MIN_MATCH, MORE } from "./format";

// Why an input cannot be decoded: lz4.ts beside this folder has the words, by their names.

/** The input is no block. */
export const DAMAGED: i32 = -1;
/** The block has more bytes than there is room for. */
export const TOO_LONG: i32 = -2;

/** Where the length after a token ends, and its value. */
let lengthEnd: usize = 0;

/** Adds up the bytes of length from `at`; at `end` there are no more. */
function readLength(at: usize, end: usize): u32 {
  // An input of a megabyte cannot make it overflow.
  let length: u32 = MORE;
  let byte: u32 = 255;
  while (byte == 255 && at < end) {
    byte = load<u8>(at++);
    length += byte;
  }
  lengthEnd = at;
  return length;
}

/**
 * Decompresses `length` bytes of COMPRESSED to at most `room` bytes in BLOCK. Returns how many there are, or what is wrong.
 */
export function decompress(length: i32, room: i32): i32 {
  const end = COMPRESSED + length;
  const toEnd = BLOCK + room;
  let at = COMPRESSED;
  let to = BLOCK;
  while (at < end) {
    const token = <u32>load<u8>(at++);
    let literals = token >> 4;
    if (literals == MORE) {
      literals = readLength(at, end);
      at = lengthEnd;
    }
    if (literals > <u32>(end - at)) return DAMAGED;
    if (literals > <u32>(toEnd - to)) return TOO_LONG;
    copyVectors(to, at, literals);
    at += literals;
    to += literals;
    if (at == end) return <i32>(to - BLOCK);

    if (end - at < 2) return DAMAGED;
    const offset = <usize>load<u16>(at);
    at += 2;
    let matched = token & MORE;
    if (matched == MORE) {
      matched = readLength(at, end);
      at = lengthEnd;
    }
    matched += MIN_MATCH;
    if (offset == 0 || offset > to - BLOCK) return DAMAGED;
    if (matched > <u32>(toEnd - to)) return TOO_LONG;
    copyMatch(to, offset, matched);
    to += matched;
  }
  return DAMAGED;
}

/** Copies `length` bytes from `offset` bytes before; they may overlap, and then repeat. */
// @ts-ignore: decorator
@inline
function copyMatch(to: usize, offset: usize, length: u32): void {
  if (offset >= 16) {
    copyVectors(to, to - offset, length);
  } else {
    // Sixteen bytes one by one; further back by a multiple of the offset is the same.
    for (let i: usize = 0; i < 16; i++) store<u8>(to + i, load<u8>(to + i - offset));
    if (length > 16) copyVectors(to + 16, to + 16 - offset * (<usize>16 / offset + 1), length - 16);
  }
}
