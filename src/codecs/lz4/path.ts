/**
 * What the thorough parser knows of each position of a block. First the longest match that begins there; then what is
 * chosen: the length of a match, or 0 for a literal. The offset does for every shorter match as well.
 */
import { MAX_BLOCK } from "./buffers";

const LENGTHS: usize = memory.data(4 * (MAX_BLOCK + 1), 64);
const OFFSETS: usize = memory.data(2 * (MAX_BLOCK + 1), 64);

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
export function setOffset(position: i32, offset: usize): void {
  store<u16>(OFFSETS + (<usize>position << 1), <u16>offset);
}
