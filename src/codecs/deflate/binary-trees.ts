/**
 * Finds matches by binary trees, for the optimal parser: of the positions whose next four bytes hash alike, each tree
 * is sorted by what follows them, and by age from the root down. A search walks down as if to insert the position by
 * its bytes, passes the longest match for each offset on its way, and makes the position the new root. (Lempel-Ziv with
 * binary trees: Bell, 1986; with the newest at the root: LZMA and libdeflate's bt_matchfinder.h, MIT.) For matches of
 * three bytes the two newest positions are known.
 */
import { commonLength } from "../matching/common-length";
import { hash } from "../matching/hash";
import { makeMatch, MIN_MATCH, WINDOW } from "./format";
import { forget, NOWHERE, slide } from "./positions";

const BITS_OF_3: i32 = 15;
const BITS_OF_4: i32 = 16;
/** By hash of three bytes: the two newest positions. */
const NEWEST_OF_3: usize = memory.data((4 << BITS_OF_3) + (2 << BITS_OF_4) + 4 * WINDOW, 64);
/** By hash of four bytes: the root. */
const ROOT_OF_4: usize = NEWEST_OF_3 + (4 << BITS_OF_3);
/** By position modulo the window: the child that sorts below, and the one that sorts above. */
const CHILDREN: usize = ROOT_OF_4 + (2 << BITS_OF_4);
const SIZE: usize = CHILDREN + 4 * WINDOW - NEWEST_OF_3;

/** Where position 0 is. */
let base: usize = 0;

/** Forgets everything; the positions to come begin at `begin`. */
export function beginTrees(begin: usize): void {
  base = begin;
  forget(NEWEST_OF_3, CHILDREN - NEWEST_OF_3);
}

function children(position: i32): usize {
  return CHILDREN + ((position & (WINDOW - 1)) << 2);
}

/** The least that a position needs to have before it to be searched: its hash is of four bytes. */
export const SEARCHABLE: i32 = 4;

/**
 * Enters the position `at` and writes the matches that it finds to `matches`, 32 bits each, each longer than the one
 * before. They are at most `limit` long, SEARCHABLE or more; it ends with one of `nice`, which is at most `limit`, or
 * after `depth` comparisons. Returns where the matches end. Positions are entered one after the other.
 */
// @ts-ignore: decorator
@inline
export function findMatches(at: usize, limit: i32, nice: i32, depth: u32, record: bool, matches: usize): usize {
  let position = <i32>(at - base);
  if (position >= WINDOW) {
    base += WINDOW;
    slide(NEWEST_OF_3, SIZE);
    position -= WINDOW;
  }
  const start = base;
  const tooFar = position - WINDOW;
  const bytes = load<u32>(at);
  const slot3 = NEWEST_OF_3 + (hash(bytes << 8, BITS_OF_3) << 2);
  const slot4 = ROOT_OF_4 + (hash(bytes, BITS_OF_4) << 1);
  let candidate = <i32>load<i16>(slot4);
  store<i16>(slot4, <i16>position);
  const newest3 = <i32>load<i16>(slot3);
  const second3 = <i32>load<i16>(slot3, 2);
  store<i16>(slot3, <i16>position);
  store<i16>(slot3, <i16>newest3, 2);
  let best = MIN_MATCH;
  if (record) {
    if (newest3 > tooFar && ((load<u32>(start + newest3) ^ bytes) << 8) == 0) {
      store<u32>(matches, makeMatch(MIN_MATCH, position - newest3));
      matches += 4;
    } else if (second3 > tooFar && ((load<u32>(start + second3) ^ bytes) << 8) == 0) {
      store<u32>(matches, makeMatch(MIN_MATCH, position - second3));
      matches += 4;
    }
  }

  /**
   * Where the next node that sorts below the position is to be hung, and above; and how far those already there match.
   */
  let below = children(position);
  let above = below + 2;
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
      if (length > best) {
        best = length;
        if (record) {
          store<u32>(matches, makeMatch(length, position - candidate));
          matches += 4;
        }
      }
      if (length >= nice) {
        // As good as the same string: the position takes the candidate's place.
        store<u16>(below, load<u16>(child));
        store<u16>(above, load<u16>(child, 2));
        return matches;
      }
    }
    if (load<u8>(earlier + length) < load<u8>(at + length)) {
      store<i16>(below, <i16>candidate);
      below = child + 2;
      candidate = <i32>load<i16>(below);
      lengthBelow = length;
      length = min<i32>(length, lengthAbove);
    } else {
      store<i16>(above, <i16>candidate);
      above = child;
      candidate = <i32>load<i16>(above);
      lengthAbove = length;
      length = min<i32>(length, lengthBelow);
    }
  }
  store<i16>(below, NOWHERE);
  store<i16>(above, NOWHERE);
  return matches;
}
