/**
 * Finds matches by hash chains, for the greedy and lazy parsers: the positions whose next four bytes hash alike form a
 * list, newest first (the technique is described in RFC 1951, section 4). Of three-byte matches only the newest is
 * known, and only M2 makes them worth it.
 */
import { commonLength } from "../matching/common-length";
import { hash } from "../matching/hash";
import { M2_MAX_DISTANCE, MAX_MATCH, MIN_MATCH, makeMatch, matchSize } from "./format";
import { LAST_POSITION, OUT_OF_REACH, RING } from "./positions";

const BITS_OF_3: i32 = 14;
const BITS_OF_4: i32 = 15;
/** By hash of three bytes: the newest position. */
const NEWEST_OF_3: usize = memory.data((4 << BITS_OF_3) + (4 << BITS_OF_4) + 2 * RING, 64);
/** By hash of four bytes: the newest position. */
const NEWEST_OF_4: usize = NEWEST_OF_3 + (4 << BITS_OF_3);
/**
 * By position modulo RING: how far back the next older one with the same hash of four bytes is, at most OUT_OF_REACH.
 */
const OLDER: usize = NEWEST_OF_4 + (4 << BITS_OF_4);

/** The first position that no block has used yet. */
let next: i32 = 0;

/** Where position 0 would be, and where the block ends. */
let base: usize = 0;
let blockEnd: usize = 0;

/** The positions to come begin at `begin` and end at `end`. */
export function beginChains(begin: usize, end: usize): void {
  const length = <i32>(end - begin);
  if (next > LAST_POSITION - OUT_OF_REACH - length) {
    next = 0;
    memory.fill(NEWEST_OF_3, 0, OLDER - NEWEST_OF_3);
  }
  next += OUT_OF_REACH;
  base = begin - next;
  next += length;
  blockEnd = end;
}

/** Enters the positions from `from` up to `to` without looking for matches. */
export function skip(from: usize, to: usize): void {
  const end = min<usize>(to, blockEnd - 3);
  for (let at = from; at < end; at++) {
    const position = <i32>(at - base);
    const bytes = load<u32>(at);
    const slot4 = NEWEST_OF_4 + (hash(bytes, BITS_OF_4) << 2);
    store<i32>(NEWEST_OF_3 + (hash(bytes << 8, BITS_OF_3) << 2), position);
    store<u16>(OLDER + ((position & (RING - 1)) << 1), <u16>min<i32>(position - load<i32>(slot4), OUT_OF_REACH));
    store<i32>(slot4, position);
  }
}

/**
 * Enters the position `at`, and looks for the match that saves the most bytes, more than `least`; 0 when there is none.
 * Compares at most `depth` earlier positions and stops at a length of `nice`. Positions are entered one after the
 * other.
 */
// @ts-ignore: decorator
@inline
export function bestMatch(at: usize, least: i32, nice: i32, depth: u32): u32 {
  const limit = min<i32>(MAX_MATCH, <i32>(blockEnd - at));
  if (limit < 4) return 0;
  const position = <i32>(at - base);
  const bytes = load<u32>(at);
  const slot3 = NEWEST_OF_3 + (hash(bytes << 8, BITS_OF_3) << 2);
  const slot4 = NEWEST_OF_4 + (hash(bytes, BITS_OF_4) << 2);
  let distance = min<i32>(position - load<i32>(slot4), OUT_OF_REACH);
  const distance3 = position - load<i32>(slot3);
  store<i32>(slot3, position);
  store<i32>(slot4, position);
  store<u16>(OLDER + ((position & (RING - 1)) << 1), <u16>distance);

  let saved = least;
  let best: u32 = 0;
  if (saved < 1 && <u32>distance3 <= M2_MAX_DISTANCE && ((load<u32>(at - distance3) ^ bytes) << 8) == 0) {
    best = makeMatch(MIN_MATCH, distance3);
    saved = 1;
  }
  // What saves more is longer by that at least, and by the two bytes of an instruction; and the hash is of four bytes.
  let length = max<i32>(saved + 2, 3);
  let left = depth;
  while (distance < OUT_OF_REACH) {
    const earlier = at - distance;
    const candidate = distance;
    distance += load<u16>(OLDER + (((position - distance) & (RING - 1)) << 1));
    // A longer match agrees in its first four bytes and in the four that end one byte past the best so far.
    if (load<u32>(earlier + length - 3) == load<u32>(at + length - 3) && load<u32>(earlier) == bytes) {
      const found = commonLength(earlier, at, 4, limit);
      if (found > length) {
        const saving = found - matchSize(found, candidate);
        if (saving > saved) {
          saved = saving;
          best = makeMatch(found, candidate);
          length = found;
          if (found >= nice) break;
        }
      }
    }
    if (--left == 0) break;
  }
  return best;
}
