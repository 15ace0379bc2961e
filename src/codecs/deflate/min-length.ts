/**
 * The shortest match worth taking. Where few different bytes are in use, literals cost few bits, and short matches,
 * whose offsets cost many, do harm. That this is worth having, and about where to draw the lines, is libdeflate's
 * finding (lib/deflate_compress.c, choose_min_match_len, MIT). It looks at the first 4 KiB; here the whole chunk is
 * looked at, because programs begin with headers full of zeros.
 */
import { MIN_MATCH } from "./format";

/** Every so manieth byte is looked at: an odd number, because data comes in words. */
const STRIDE: i32 = 5;

const USED: usize = memory.data(4 * 256, 16);

/** For the bytes from `begin` up to `end`, and searches of `depth` candidates. */
export function shortestUseful(begin: usize, end: usize, depth: u32): i32 {
  memory.fill(USED, 0, 4 * 256);
  for (let at = begin; at < end; at += STRIDE) {
    const count = USED + (<usize>load<u8>(at) << 2);
    store<u32>(count, load<u32>(count) + 1);
  }
  // Bytes that hardly occur cost nothing to speak of.
  const rare = <u32>(end - begin) / STRIDE >> 10;
  let used = 0;
  for (let byte = 0; byte < 256; byte++) {
    if (load<u32>(USED + (byte << 2)) > rare) used++;
  }
  const length = forUsed(used);
  // Searches that soon give up find short matches where longer ones are: do not hold out for what they will not find.
  if (depth < 16) return min<i32>(length, depth < 10 ? 4 : 6);
  return length;
}

function forUsed(used: i32): i32 {
  if (used < 6) return 9;
  if (used < 8) return 8;
  if (used < 10) return 7;
  if (used < 16) return 6;
  if (used < 45) return 5;
  if (used < 60) return 4;
  return MIN_MATCH;
}
