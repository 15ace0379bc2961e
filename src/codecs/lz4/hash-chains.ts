/**
 * Finds the longest match of each position, or nearly. Positions that begin with the same bytes form a chain, newest first; there are
 * chains for GRAM bytes and chains for LONG_GRAM. They are linked for the whole block before any search, so that a search
 * can use those of later positions too:
 *
 * When a match of `best` bytes is known, a longer one shares each gram of the first best + 1 bytes. So the search may
 * walk the chain of any of them, and walks one that is rare: where the next older position is the furthest away. (The
 * lz4 project calls the idea "chain swap", lib/lz4hc.c, LZ4HC_InsertAndGetWiderMatch, BSD: there it is used from the
 * second match on.) If any gram occurs for the first time, there is no longer match, and nothing is searched at all.
 */
import { commonLength } from "../matching/common-length";
import { hash, longHash } from "../matching/hash";
import { BLOCK, MAX_BLOCK } from "./buffers";
import { LAST_LITERALS, LAST_MATCH, MAX_OFFSET, MIN_MATCH } from "./format";
import { lengthAt, setLength, setMatch, setMatches } from "./path";

const GRAM: i32 = MIN_MATCH;
const LONG_GRAM: i32 = 8;

const MAX_BITS: i32 = 16;
/** By hash: where the gram was last. While the chains are linked only. */
const NEWEST: usize = memory.data(4 << MAX_BITS, 64);
/** In NEWEST, as each byte of an address: further back than any offset from anywhere. */
const NOWHERE: u8 = 0x80;

/** By position: how far back the next older position of the chain is; 0 when there is none within MAX_OFFSET. */
const CHAINS: usize = memory.data(2 * (MAX_BLOCK + 8), 64);
const LONG_CHAINS: usize = memory.data(2 * (MAX_BLOCK + 8), 64);

/** Links the chains of a block of `length` bytes, those of long grams only if asked to. */
function link(length: i32, long: bool): void {
  // More entries than positions, but no more than are worth clearing.
  const bits = min<i32>(32 - clz<i32>(length), MAX_BITS);
  const end = BLOCK + length - GRAM;
  memory.fill(NEWEST, NOWHERE, 4 << bits);
  for (let at = BLOCK, chain = CHAINS; at <= end; at++, chain += 2) {
    append(chain, at, NEWEST + (hash(load<u32>(at), bits) << 2));
  }
  if (!long) return;
  memory.fill(NEWEST, NOWHERE, 4 << bits);
  for (let at = BLOCK, chain = LONG_CHAINS; at <= end; at++, chain += 2) {
    append(chain, at, NEWEST + (longHash(load<u64>(at), bits) << 2));
  }
}

// @ts-ignore: decorator
@inline
function append(chain: usize, at: usize, newest: usize): void {
  const distance = <u32>at - load<u32>(newest);
  store<u32>(newest, <u32>at);
  store<u16>(chain, <u16>select<u32>(distance, 0, distance <= <u32>MAX_OFFSET));
}

/**
 * Which of the grams at `at` to `at` + `last` is the rarest: 0 to `last`. Only the last eight are looked at, all at once,
 * and distances are compared without their low three bits, whose place the number of the gram takes.
 */
// @ts-ignore: decorator
@inline
function rarest(chains: usize, at: usize, last: i32): i32 {
  const first = max<i32>(last - 7, 0);
  const numbers = i16x8(0, 1, 2, 3, 4, 5, 6, 7);
  // No distance, which is 0, becomes the largest.
  let keys = i16x8.sub(v128.load(chains + ((at - BLOCK + first) << 1)), i16x8.splat(1));
  keys = v128.or(v128.and(keys, i16x8.splat(-8)), numbers);
  keys = v128.and(keys, i16x8.le_s(numbers, i16x8.splat(<i16>(last - first))));
  keys = i16x8.max_u(keys, v128.shuffle<i16>(keys, keys, 4, 5, 6, 7, 0, 1, 2, 3));
  keys = i16x8.max_u(keys, v128.shuffle<i16>(keys, keys, 2, 3, 0, 1, 4, 5, 6, 7));
  keys = i16x8.max_u(keys, v128.shuffle<i16>(keys, keys, 1, 0, 2, 3, 4, 5, 6, 7));
  return first + (<i32>i16x8.extract_lane_u(keys, 0) & 7);
}

/**
 * Finds a long match for each position where one may begin, in a block of `length` bytes. It compares at most `depth`
 * earlier positions with each, and none where the match of the position before it leaves `nice` bytes. Where it finds
 * nothing it goes on in steps, which grow by a byte after each 2^`patience` positions.
 */
export function findMatches(length: i32, nice: i32, depth: i32, patience: i32): void {
  // Where nothing is searched once LONG_GRAM bytes match, chains for so many cost more time than they save.
  const longGram = nice > LONG_GRAM ? LONG_GRAM : i32.MAX_VALUE;
  link(length, nice > LONG_GRAM);
  const end = BLOCK + length - LAST_LITERALS;
  const last = length - LAST_MATCH;
  let missed = 1 << patience;
  let offset: usize = 0;
  /** What the match of the position before leaves, or less than a match. */
  let known = MIN_MATCH - 1;
  for (let position = 0; position <= last; ) {
    const at = BLOCK + position;
    const limit = <i32>(end - at);
    const stop = min<i32>(nice, limit);
    let best = known;
    if (best < stop) {
      let gram = GRAM;
      let chains = CHAINS;
      if (best >= longGram - 1) {
        gram = LONG_GRAM;
        chains = LONG_CHAINS;
      }
      let shift: usize = best < MIN_MATCH ? 0 : rarest(chains, at, best + 1 - gram);
      let links = chains + ((shift - BLOCK) << 1);
      let candidate = at;
      const furthest = min<i32>(MAX_OFFSET, position);
      const head = load<u32>(at);
      // The byte after the best match, and the three before it.
      let tail = load<u32>(at + best - 3);
      for (let left = depth; left > 0; left--) {
        const distance = <usize>load<u16>(links + (candidate << 1));
        candidate -= distance;
        if (distance == 0 || <i32>(at - candidate) > furthest) break;
        if (load<u32>(candidate + best - 3) != tail || load<u32>(candidate) != head) continue;
        const common = commonLength(candidate, at, MIN_MATCH, limit);
        if (common <= best) continue;
        best = common;
        offset = at - candidate;
        if (best >= stop) break;
        // On from here, by a gram that both have.
        if (best >= longGram) {
          gram = LONG_GRAM;
          chains = LONG_CHAINS;
        }
        shift = rarest(chains, candidate, best - gram);
        links = chains + ((shift - BLOCK) << 1);
        tail = load<u32>(at + best - 3);
      }
      if (best < MIN_MATCH) {
        const next = min<i32>(position + (missed++ >> patience), last + 1);
        for (; position < next; position++) setLength(position, 0);
        continue;
      }
      missed = 1 << patience;
      if (best > known) extendBack(position, best, offset);
    }
    // The positions up to the next that is searched have the rest of this match.
    const count = best == limit ? last + 1 - position : max<i32>(best - nice, 0) + 1;
    setMatches(position, best, offset, count);
    position += count;
    known = max<i32>(best - count, MIN_MATCH - 1);
  }
}

/**
 * Gives a match to the positions before it too, as far as the bytes there match as well and make it longer than what is
 * known. It was not found there because the search was cut short, or left out: with this, little is lost by either.
 */
// @ts-ignore: decorator
@inline
function extendBack(position: i32, length: i32, offset: usize): void {
  while (position > <i32>offset) {
    const before = BLOCK + --position;
    if (load<u8>(before) != load<u8>(before - offset) || lengthAt(position) >= ++length) break;
    setMatch(position, length, offset);
  }
}
