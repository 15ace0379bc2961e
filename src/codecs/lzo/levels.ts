/**
 * What each level does. The scale is that of lzo1x_999 and `mksquashfs -Xcompression-level`; what they stand for is
 * ours.
 *
 * | level | parser                                  | matches      |
 * | ----- | --------------------------------------- | ------------ |
 * | 1 - 2 | takes each match that it finds (greedy) | hash chains  |
 * | 3 - 5 | looks one byte further before (lazy)    | hash chains  |
 * | 6 - 9 | finds the cheapest path (optimal)       | binary trees |
 */

/** Whether the optimal parser is used; and if not, whether the other one is lazy. */
export let optimal: bool = false;
export let lazy: bool = false;

/** How many earlier positions are compared with one. */
export let searchDepth: u32 = 0;

/** A match of this length is taken without looking further. */
export let niceLength: i32 = 0;

export function setLevel(level: i32): void {
  optimal = level >= 6;
  lazy = level >= 3;
  switch (level) {
    case 1:
      return search(4, 16);
    case 2:
      return search(8, 24);
    case 3:
      return search(8, 32);
    case 4:
      return search(20, 64);
    case 5:
      return search(60, 128);
    case 6:
      return search(8, 32);
    case 7:
      return search(16, 48);
    case 8:
      return search(40, 96);
    default:
      return search(400, 512);
  }
}

function search(depth: u32, nice: i32): void {
  searchDepth = depth;
  niceLength = nice;
}
