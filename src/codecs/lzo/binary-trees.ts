/**
 * Finds matches by binary trees, for the optimal parser: of the positions whose next four bytes hash alike, each tree
 * is sorted by what follows them, and by age from the root down. A search walks down as if to insert the position by
 * its bytes, passes the longest match for each distance on its way, and makes the position the new root. (Lempel-Ziv
 * with binary trees: Bell, 1986; with the newest at the root: LZMA and libdeflate's bt_matchfinder.h, MIT.) For the
 * matches of two and three bytes the newest position is known.
 */
import { commonLength } from "../matching/common-length";
import { hash } from "../matching/hash";
import { isTriple, M2_MAX_DISTANCE, M3_MAX_DISTANCE, makeMatch, PAIR_MAX_DISTANCE } from "./format";
import { LAST_POSITION, OUT_OF_REACH, RING } from "./positions";

const BITS_OF_3: i32 = 15;
const BITS_OF_4: i32 = 16;
/** By two bytes: the newest position. */
const NEWEST_OF_2: usize = memory.data((4 << 16) + (4 << BITS_OF_3) + (4 << BITS_OF_4) + 8 * RING, 64);
/** By hash of three bytes: the newest position. */
const NEWEST_OF_3: usize = NEWEST_OF_2 + (4 << 16);
/** By hash of four bytes: the root. */
const ROOT_OF_4: usize = NEWEST_OF_3 + (4 << BITS_OF_3);
/** By position modulo RING: the child that sorts below, and the one that sorts above. */
const CHILDREN: usize = ROOT_OF_4 + (4 << BITS_OF_4);

/** No child: further back than anything. */
const NOWHERE: i32 = 0;

/**
 * What is found, 32 bits each; 0 is none. Each of the last three is longer than those before it, and the longest for
 * what its distance costs.
 */
export const PAIR: usize = 0;
export const TRIPLE: usize = 4;
export const NEAR: usize = 8;
export const MIDDLE: usize = 12;
export const FAR: usize = 16;
export const MATCHES_SIZE: i32 = 20;

/** The first position that no block has used yet. */
let next: i32 = 0;

/** Where position 0 would be. */
let base: usize = 0;

/** The positions to come begin at `begin` and end at `end`. */
export function beginTrees(begin: usize, end: usize): void {
  const length = <i32>(end - begin);
  if (next > LAST_POSITION - OUT_OF_REACH - length) {
    next = 0;
    memory.fill(NEWEST_OF_2, 0, CHILDREN - NEWEST_OF_2);
  }
  next += OUT_OF_REACH;
  base = begin - next;
  next += length;
}

function children(position: i32): usize {
  return CHILDREN + ((position & (RING - 1)) << 3);
}

/** Where a match of that distance is recorded. */
// @ts-ignore: decorator
@inline
function byDistance(distance: u32): usize {
  return NEAR + (<usize>(distance > M2_MAX_DISTANCE) << 2) + (<usize>(distance > M3_MAX_DISTANCE) << 2);
}

/** The least that a position needs to have before it to be searched. */
export const SEARCHABLE: i32 = 2;

/**
 * Enters the position `at` and records the matches that it finds in `matches`, which is zero. They are at most `limit`
 * long, SEARCHABLE or more; it ends with one of `nice`, which is at most `limit`, or after `depth` comparisons. Returns
 * the length of the longest. Positions are entered one after the other.
 */
// @ts-ignore: decorator
@inline
export function findMatches(at: usize, limit: i32, nice: i32, depth: u32, record: bool, matches: usize): i32 {
  const start = base;
  const position = <i32>(at - start);
  const bytes = load<u32>(at);
  const slot2 = NEWEST_OF_2 + (<usize>(bytes & 0xffff) << 2);
  const slot3 = NEWEST_OF_3 + (hash(bytes << 8, BITS_OF_3) << 2);
  const distance2 = position - load<i32>(slot2);
  const distance3 = position - load<i32>(slot3);
  store<i32>(slot2, position);
  store<i32>(slot3, position);
  let best = 0;
  if (record) {
    if (<u32>distance2 <= PAIR_MAX_DISTANCE) store<u32>(matches + PAIR, makeMatch(2, distance2));
    if (limit > 2 && distance3 < OUT_OF_REACH && ((load<u32>(at - distance3) ^ bytes) << 8) == 0) {
      best = 3;
      const match = makeMatch(3, distance3);
      store<u32>(matches + byDistance(distance3), match);
      if (isTriple(match)) store<u32>(matches + TRIPLE, match);
    }
  }

  // The trees are of four bytes that are there.
  if (limit < 4) return best;
  const slot4 = ROOT_OF_4 + (hash(bytes, BITS_OF_4) << 2);
  let candidate = load<i32>(slot4);
  store<i32>(slot4, position);
  const tooFar = position - OUT_OF_REACH;
  /**
   * Where the next node that sorts below the position is to be hung, and above; and how far those already there match.
   */
  let below = children(position);
  let above = below + 4;
  let lengthBelow = 0;
  let lengthAbove = 0;
  let length = 0;
  let left = depth;
  while (candidate > tooFar && left != 0) {
    left--;
    const earlier = start + candidate;
    const child = children(candidate);
    if (load<u8>(earlier + length) == load<u8>(at + length)) {
      length = commonLength(earlier, at, length + 1, limit);
      if (record && length > best) {
        best = length;
        const distance = position - candidate;
        store<u32>(matches + byDistance(distance), makeMatch(length, distance));
      }
      if (length >= nice) {
        // As good as the same string: the position takes the candidate's place.
        store<i32>(below, load<i32>(child));
        store<i32>(above, load<i32>(child, 4));
        return best;
      }
    }
    if (load<u8>(earlier + length) < load<u8>(at + length)) {
      store<i32>(below, candidate);
      below = child + 4;
      candidate = load<i32>(below);
      lengthBelow = length;
      length = min<i32>(length, lengthAbove);
    } else {
      store<i32>(above, candidate);
      above = child;
      candidate = load<i32>(above);
      lengthAbove = length;
      length = min<i32>(length, lengthBelow);
    }
  }
  store<i32>(below, NOWHERE);
  store<i32>(above, NOWHERE);
  return best;
}
