/**
 * How the match finders count positions: 32 bits, and on from block to block, with a window between them. So what an
 * earlier block left in the tables is too far back for any position of this one, and nothing need be cleared: that would
 * take longer than to compress a small block.
 */
import { M4_MAX_DISTANCE } from "./format";

/** Further back than any match. Position 0 is further back than anything. */
export const OUT_OF_REACH: i32 = M4_MAX_DISTANCE + 1;

/** Tables by position are this long: a power of two, not less than the window. */
export const RING: i32 = 1 << 16;

const LAST_POSITION: i32 = 0x7fff0000;

/** The first position that no block has used yet. */
let next: i32 = 0;

/**
 * The position of the first byte of a block of `length` bytes. When positions run out, they begin again and `table`, of
 * `size` bytes, is cleared.
 */
export function firstPosition(length: i32, table: usize, size: usize): i32 {
  if (next > LAST_POSITION - OUT_OF_REACH - length) {
    next = 0;
    memory.fill(table, 0, size);
  }
  const first = next + OUT_OF_REACH;
  next = first + length;
  return first;
}
