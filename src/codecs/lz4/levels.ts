/**
 * What each level does. The sizes are those of a Debian system in blocks of 128 KiB, over that of liblz4's LZ4HC at its
 * level 12, which is next to the least there is; of LZ4HC, 3 has 1.029, and 9 has 1.005.
 *
 * | level | parser                                            | size   |
 * | ----- | ------------------------------------------------- | ------ |
 * | 1     | takes each match that it finds                    | 1.18   |
 * | 2 - 5 | optimal, of the matches that a few looks find     | 1.030 - 1.014 |
 * | 10    |                                                   | 1.001        |
 * | 12    | optimal, of matches that are as long as there are | 1.000        |
 */

/** The level with the fast parser; the optimal one has the others. */
export const FAST: i32 = 1;

/** A match that leaves this many bytes to the next position is not improved there. */
export let niceLength: i32 = 0;

/** How many earlier positions are compared with one. */
export let searchDepth: i32 = 0;

/** The match finder's steps grow by a byte after so many positions without a match, in powers of two. */
export let patience: i32 = 0;

export function setLevel(level: i32): void {
  patience = 10;
  switch (level) {
    case 1:
      return;
    case 2:
      return set(4, 4);
    case 3:
      return set(5, 4);
    case 4:
      return set(6, 4);
    case 5:
      return set(8, 4);
    case 6:
      return set(10, 4);
    case 7:
      return set(12, 8);
    case 8:
      return set(16, 16);
    case 9:
      return set(24, 24);
    case 10:
      return set(48, 64);
    case 11:
      return set(64, 256);
    default:
      patience = 30;
      return set(1024, 8192);
  }
}

function set(nice: i32, depth: i32): void {
  niceLength = nice;
  searchDepth = depth;
}
