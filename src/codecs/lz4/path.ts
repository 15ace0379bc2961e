/**
 * What the thorough parser knows of each position of a block. First the longest match that begins there; then what is
 * chosen: the length of a match, or, negative, the number of literals up to the next. The offset does for every shorter
 * match as well.
 */
import { MAX_BLOCK } from "./buffers";

/** Vectors of so many positions are written, past the last one too. */
const LANES: i32 = 8;

const LENGTHS: usize = memory.data(4 * (MAX_BLOCK + 1 + LANES), 64);
const OFFSETS: usize = memory.data(2 * (MAX_BLOCK + 1 + LANES), 64);

// @ts-ignore: decorator
@inline
export function lengthAt(position: i32): i32 {
  return load<i32>(LENGTHS + (<usize>position << 2));
}

// @ts-ignore: decorator
@inline
export function setLength(position: i32, length: i32): void {
  store<i32>(LENGTHS + (<usize>position << 2), length);
}

// @ts-ignore: decorator
@inline
export function offsetAt(position: i32): usize {
  return load<u16>(OFFSETS + (<usize>position << 1));
}

// @ts-ignore: decorator
@inline
export function setMatch(position: i32, length: i32, offset: usize): void {
  setLength(position, length);
  store<u16>(OFFSETS + (<usize>position << 1), <u16>offset);
}

/** Gives a match to `position`, and what is left of it to the next ones: to `count` in all, and to up to 7 more. */
// @ts-ignore: decorator
@inline
export function setMatches(position: i32, length: i32, offset: usize, count: i32): void {
  const offsets = i16x8.splat(<i16>offset);
  const end = position + count;
  for (; position < end; position += LANES, length -= LANES) {
    const to = LENGTHS + (<usize>position << 2);
    v128.store(to, i32x4.sub(i32x4.splat(length), i32x4(0, 1, 2, 3)));
    v128.store(to, i32x4.sub(i32x4.splat(length), i32x4(4, 5, 6, 7)), 16);
    v128.store(OFFSETS + (<usize>position << 1), offsets);
  }
}
