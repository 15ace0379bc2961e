/**
 * Tables of positions in the window, 16 bits each so that they stay in the processor's cache. A position counts from a
 * base that moves on by a window at a time; then all tables slide: their positions shrink by a window, and what was
 * further back than that becomes NOWHERE. (The idea is that of zlib's and libdeflate's match finders.)
 */

/** At least a window before every position. */
export const NOWHERE: i16 = -32768;

/** Makes every position of a table NOWHERE. Its size in bytes is a multiple of 16. */
export function forget(table: usize, size: usize): void {
  for (let at: usize = 0; at < size; at += 16) v128.store(table + at, i16x8.splat(NOWHERE));
}

/** Moves a table's base on by a window: the saturating addition leaves NOWHERE as it is. */
export function slide(table: usize, size: usize): void {
  for (let at: usize = 0; at < size; at += 16) {
    v128.store(table + at, i16x8.add_sat_s(v128.load(table + at), i16x8.splat(NOWHERE)));
  }
}
