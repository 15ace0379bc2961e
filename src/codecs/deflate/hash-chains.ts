/**
 * Finds matches by hash chains, for the greedy and lazy parsers: the positions whose next four bytes hash alike form a
 * list, newest first (RFC 1951, section 4). Of three-byte matches only the newest is known: further away they are not
 * worth it.
 */
import { commonLength } from "../matching/common-length";
import { hash } from "../matching/hash";
import { makeMatch, MIN_MATCH, WINDOW } from "./format";
import { forget, slide } from "./positions";

const BITS_OF_3: i32 = 15;
const BITS_OF_4: i32 = 16;
/** By hash of three bytes: the newest position. */
const NEWEST_OF_3: usize = memory.data((2 << BITS_OF_3) + (2 << BITS_OF_4) + 2 * WINDOW, 64);
/** By hash of four bytes: the newest position. */
const NEWEST_OF_4: usize = NEWEST_OF_3 + (2 << BITS_OF_3);
/** By position modulo the window: the next older one with the same hash of four bytes. */
const OLDER: usize = NEWEST_OF_4 + (2 << BITS_OF_4);
const SIZE: usize = OLDER + 2 * WINDOW - NEWEST_OF_3;

/** Where position 0 is, and where the input ends. */
let base: usize = 0;
let inputEnd: usize = 0;

export function beginChains(begin: usize, end: usize): void {
  base = begin;
  inputEnd = end;
  forget(NEWEST_OF_3, OLDER - NEWEST_OF_3);
}

function moveOn(): void {
  base += WINDOW;
  slide(NEWEST_OF_3, SIZE);
}

/** Enters the positions from `from` up to `to` without looking for matches. */
export function skip(from: usize, to: usize): void {
  const end = min<usize>(to, inputEnd - 3);
  if (from >= end) return;
  let position = <i32>(from - base);
  for (let at = from; at < end; at++, position++) {
    if (position >= WINDOW) {
      moveOn();
      position -= WINDOW;
    }
    const bytes = load<u32>(at);
    const slot4 = NEWEST_OF_4 + (hash(bytes, BITS_OF_4) << 1);
    store<i16>(NEWEST_OF_3 + (hash(bytes << 8, BITS_OF_3) << 1), <i16>position);
    store<i16>(OLDER + (position << 1), load<i16>(slot4));
    store<i16>(slot4, <i16>position);
  }
}

/**
 * Enters the position `at`, and looks for the longest match that is longer than `longerThan` and at most `limit`,
 * comparing at most `depth` earlier positions and stopping at a length of `nice`. Positions are entered one after the
 * other.
 */
// @ts-ignore: decorator
@inline
export function longestMatch(at: usize, longerThan: i32, limit: i32, nice: i32, depth: u32): u32 {
  if (limit < 4) return 0;
  let position = <i32>(at - base);
  if (position >= WINDOW) {
    moveOn();
    position -= WINDOW;
  }
  const start = base;
  const bytes = load<u32>(at);
  const slot3 = NEWEST_OF_3 + (hash(bytes << 8, BITS_OF_3) << 1);
  const slot4 = NEWEST_OF_4 + (hash(bytes, BITS_OF_4) << 1);
  const newest3 = <i32>load<i16>(slot3);
  let candidate = <i32>load<i16>(slot4);
  store<i16>(slot3, <i16>position);
  store<i16>(slot4, <i16>position);
  store<i16>(OLDER + (position << 1), <i16>candidate);

  const tooFar = position - WINDOW;
  let best = longerThan;
  let found: usize = 0;
  let left = depth;
  if (best < MIN_MATCH && newest3 > tooFar && ((load<u32>(start + newest3) ^ bytes) << 8) == 0) {
    best = MIN_MATCH;
    found = start + newest3;
  }
  // A longer match agrees in its first four bytes and in the four that end one byte past the best so far.
  let tail = max<i32>(best - 3, 0);
  let wanted = load<u32>(at + tail);
  if (best < nice) {
    while (candidate > tooFar) {
      const earlier = start + candidate;
      // Asked for before it is needed, because it may be far from the processor.
      candidate = <i32>load<i16>(OLDER + ((candidate & (WINDOW - 1)) << 1));
      if (load<u32>(earlier + tail) == wanted && load<u32>(earlier) == bytes) {
        const length = commonLength(earlier, at, 4, limit);
        if (length > best) {
          best = length;
          found = earlier;
          if (length >= nice) break;
          tail = length - 3;
          wanted = load<u32>(at + tail);
        }
      }
      if (--left == 0) break;
    }
  }
  return found == 0 ? 0 : makeMatch(best, <u32>(at - found));
}
