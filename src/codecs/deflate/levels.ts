/**
 * What each level does. Which combinations of search depth, sufficient length and parser are worth having follows
 * libdeflate (lib/deflate_compress.c, MIT), which publishes them; the scale is that of gzip and `mksquashfs
 * -Xcompression-level`.
 *
 * | level | parser                                  |
 * | ----- | --------------------------------------- |
 * | 1 - 3 | takes each match that it finds (greedy) |
 * | 4 - 6 | looks one byte further before (lazy)    |
 * | 7     | looks two bytes further                 |
 * | 8 - 9 | finds the cheapest path (optimal)       |
 */

/** How many positions after a match are tried before it is taken; OPTIMAL: the other parser. */
export let lookahead: i32 = 0;
export const OPTIMAL: i32 = -1;

/** How many earlier positions are compared with one. */
export let searchDepth: u32 = 0;

/** A match of this length is taken without looking further. */
export let niceLength: i32 = 0;

/** How often the optimal parser corrects its costs. */
export let passes: i32 = 0;

export function setLevel(level: i32): void {
  switch (level) {
    case 1:
      return set(0, 6, 10);
    case 2:
      return set(0, 12, 14);
    case 3:
      return set(0, 16, 30);
    case 4:
      return set(1, 16, 30);
    case 5:
      return set(1, 35, 65);
    case 6:
      return set(1, 70, 100);
    case 7:
      return set(2, 300, 258);
    case 8:
      return set(OPTIMAL, 20, 50, 2);
    default:
      return set(OPTIMAL, 50, 100, 3);
  }
}

function set(lookaheadOf: i32, depth: u32, nice: i32, passCount: i32 = 0): void {
  lookahead = lookaheadOf;
  searchDepth = depth;
  niceLength = nice;
  passes = passCount;
}
