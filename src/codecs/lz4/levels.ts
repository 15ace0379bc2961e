/**
 * What each level does. The sizes are those of a Debian system in blocks of 128 KiB, over that of liblz4's LZ4HC at its
 * level 12, which is next to the least there is.
 *
 * | level | parser                                            | size         |
 * | ----- | ------------------------------------------------- | ------------ |
 * | 1     | takes each match that it finds                    | 1.17         |
 * | 2 - 9 | optimal, of more and more matches                 | 1.05 - 1.002 |
 * | 10    |                                                   | 1.001        |
 * | 12    | optimal, of matches that are as long as there are | 1.000        |
 */

/** The level with the fast parser; the optimal one has the others. */
export const FAST: i32 = 1;

/** A match that leaves this many bytes to the next position is not improved there. */
export let niceLength: i32 = 0;

/** How many earlier positions are compared with one. */
export let searchDepth: i32 = 0;

export function setLevel(level: i32): void {
  switch (level) {
    case 1:
      return;
    case 2:
      return set(8, 2);
    case 3:
      return set(12, 4);
    case 4:
      return set(16, 4);
    case 5:
      return set(16, 8);
    case 6:
      return set(24, 16);
    case 7:
      return set(32, 32);
    case 8:
      return set(48, 64);
    case 9:
      return set(64, 128);
    case 10:
      return set(128, 256);
    case 11:
      return set(256, 1024);
    default:
      return set(1024, 8192);
  }
}

function set(nice: i32, depth: i32): void {
  niceLength = nice;
  searchDepth = depth;
}
