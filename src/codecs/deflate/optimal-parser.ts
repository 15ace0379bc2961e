/**
 * The thorough parser. First it collects, for every position of a chunk, the matches that could be taken. Then, block
 * by block, it finds the sequences that take the fewest bits: the shortest path through the block from its end
 * backwards, by dynamic programming (Storer and Szymanski, 1982). What a symbol costs depends on the codes, and they on
 * the path; so it begins with the counts of a greedy parse, and corrects the costs by the counts of the path found,
 * some times over (as Zopfli and libdeflate do).
 */
import { findMatches, SEARCHABLE } from "./binary-trees";
import {
  END_OF_BLOCK,
  FIRST_LENGTH,
  LENGTH_SYMBOLS,
  lengthExtra,
  lengthSymbol,
  MAX_MATCH,
  MIN_MATCH,
  matchLength,
  matchOffset,
  matchOffsetSymbol,
  OFFSET_SYMBOLS,
  offsetExtra,
} from "./format";
import { niceLength, passes, searchDepth } from "./levels";
import { LOGARITHM_FRACTION, logarithm } from "./logarithms";
import { shortestUseful } from "./min-length";
import {
  beginSegment,
  beginSegments,
  COUNTS_SIZE,
  countLiteral,
  countMatch,
  endSegments,
  MAX_CHUNK,
  OBSERVATIONS,
  OFFSET_COUNTS,
} from "./segments";
import { SEQUENCES, writeSequence } from "./sequences";

/** By position: its matches, the shortest first, then their number; 32 bits each. A chunk ends where the room does. */
const MATCHES_SIZE: i32 = 4 * 6 * MAX_CHUNK;
const MATCHES: usize = memory.data(MATCHES_SIZE, 16);
/** A position has at most one match of each length, and their number; after the longest as many positions without. */
const MOST_AT_ONCE: i32 = 4 * 2 * (MAX_MATCH + 1);

/** The greedy parse takes no match of three bytes from further away. */
const FAR_FOR_3: u32 = 4096;

/**
 * Collects the matches of the chunk from `begin`, at most up to `end`, and makes segments of it. Returns where it ends.
 */
export function collectMatches(begin: usize, end: usize, inputEnd: usize): usize {
  const depth = searchDepth;
  const shortest = shortestUseful(begin, end, depth);
  let record = MATCHES;
  beginSegments();
  let counts = beginSegment(begin, record);
  let observed = 0;
  /** Where the greedy parse stands, which is for the counts only. */
  let parsed = begin;
  let at = begin;
  while (at < end && record < MATCHES + MATCHES_SIZE - MOST_AT_ONCE) {
    if (at == parsed && observed >= OBSERVATIONS) {
      counts = beginSegment(at, record);
      observed = 0;
    }
    const limit = min<i32>(MAX_MATCH, <i32>(inputEnd - at));
    const nice = min<i32>(niceLength, limit);
    const first = record;
    if (limit >= SEARCHABLE) record = findMatches(at, limit, nice, depth, true, record);
    const longest = record == first ? 0 : load<u32>(record - 4);
    store<u32>(record, <u32>(record - first) >> 2);
    record += 4;
    if (at == parsed) {
      const tooFar = matchLength(longest) == MIN_MATCH && matchOffset(longest) > FAR_FOR_3;
      if (matchLength(longest) >= shortest && !tooFar) {
        countMatch(counts, longest);
        parsed += matchLength(longest);
      } else {
        countLiteral(counts, load<u8>(at));
        parsed++;
      }
      observed++;
    }
    at++;
    if (matchLength(longest) >= nice && nice >= SEARCHABLE) {
      // What lies inside such a match is not looked at: it will be taken.
      const skipped = min<usize>(at + matchLength(longest) - 1, end);
      for (; at < skipped; at++) {
        enter(at, inputEnd, depth);
        store<u32>(record, 0);
        record += 4;
        if (at >= parsed) {
          countLiteral(counts, load<u8>(at));
          parsed++;
        }
      }
    }
  }
  endSegments(at, record);
  return at;
}

/**
 * Costs have a fraction of this many bits; they are in the upper half of 64 bits, what is chosen for them in the lower.
 */
const COST_FRACTION: i32 = 8;
/** By byte, and by length of a match: the cost, and the length. */
const LITERAL_COSTS: usize = memory.data(8 * 256, 64);
const LENGTH_COSTS: usize = memory.data(8 * (MAX_MATCH + 1), 64);
/** By offset symbol: the cost. */
const OFFSET_COSTS: usize = memory.data(8 * OFFSET_SYMBOLS, 64);
/** By position in the block, up to a match's length past the end: the cost from there to the end, in the upper half. */
const COSTS: usize = memory.data(8 * (MAX_CHUNK + MAX_MATCH + 1), 64);
/** By position in the block: the match to take, or 1 for the literal. */
const CHOICES: usize = memory.data(4 * MAX_CHUNK, 64);
/** What no path costs. */
const IMPOSSIBLE: u64 = 1 << 62;

/**
 * Replaces `counts` by those of the best sequences for the block from `begin` up to `end`, and writes these to
 * SEQUENCES. `records` is where the block's matches end. Returns where the sequences end.
 */
export function parseOptimally(counts: usize, begin: usize, end: usize, records: usize): usize {
  for (let pass = passes; pass > 0; pass--) {
    setCosts(counts);
    findPath(begin, end, records);
    memory.fill(counts, 0, COUNTS_SIZE);
    if (pass > 1) countPath(counts, begin, end);
  }
  return writePath(counts, begin, end);
}

/**
 * The cost of a symbol that occurs `count` times in `total`: its information content, as codewords can be that long.
 */
function symbolCost(count: u32, total: u32): u32 {
  // What does not occur may become worth it: as rare as can be, not impossible.
  const bits = count == 0 ? logarithm(total) + (1 << LOGARITHM_FRACTION) : logarithm(total) - logarithm(count);
  const least: u32 = 1 << LOGARITHM_FRACTION;
  return max<u32>(bits, least) >> (LOGARITHM_FRACTION - COST_FRACTION);
}

function setCosts(counts: usize): void {
  let total: u32 = 1;
  for (let symbol = 0; symbol < FIRST_LENGTH + LENGTH_SYMBOLS; symbol++) total += load<u32>(counts + (symbol << 2));
  for (let byte = 0; byte <= 255; byte++) {
    store<u64>(LITERAL_COSTS + (byte << 3), (<u64>symbolCost(load<u32>(counts + (byte << 2)), total) << 32) | 1);
  }
  for (let length = MIN_MATCH; length <= MAX_MATCH; length++) {
    const symbol = lengthSymbol(length);
    const cost = symbolCost(load<u32>(counts + ((FIRST_LENGTH + symbol) << 2)), total);
    store<u64>(
      LENGTH_COSTS + (length << 3),
      (<u64>(cost + (lengthExtra(symbol) << COST_FRACTION)) << 32) | length,
    );
  }
  total = 1;
  for (let symbol = 0; symbol < OFFSET_SYMBOLS; symbol++) total += load<u32>(counts + OFFSET_COUNTS + (symbol << 2));
  for (let symbol = 0; symbol < OFFSET_SYMBOLS; symbol++) {
    const cost = symbolCost(load<u32>(counts + OFFSET_COUNTS + (symbol << 2)), total);
    store<u64>(OFFSET_COSTS + (symbol << 3), <u64>(cost + (offsetExtra(symbol) << COST_FRACTION)) << 32);
  }
}

/** Chooses for each position, from the last to the first, what makes the rest cheapest. */
function findPath(begin: usize, end: usize, records: usize): void {
  const length = <i32>(end - begin);
  let costs = COSTS + (length << 3);
  store<u64>(costs, 0);
  // Matches may reach past the block's end; there is no way on from there.
  for (let i = 1; i <= MAX_MATCH; i++) store<u64>(costs + (i << 3), IMPOSSIBLE);
  let choices = CHOICES + (length << 2);
  let record = records;
  for (let at = end - 1; at >= begin; at--) {
    costs -= 8;
    choices -= 4;
    let best = load<u64>(costs, 8) + load<u64>(LITERAL_COSTS + (<usize>load<u8>(at) << 3));
    record -= 4;
    const recordsEnd = record;
    record -= load<u32>(record) << 2;
    // A nearer offset does for every length up to the match's own that no still nearer one has.
    let next = costs + (MIN_MATCH << 3);
    let lengthCosts = LENGTH_COSTS + (MIN_MATCH << 3);
    for (let at = record; at < recordsEnd; at += 4) {
      const match = load<u32>(at);
      const withOffset = load<u64>(OFFSET_COSTS + (matchOffsetSymbol(match) << 3)) + (match & ~511);
      const last = LENGTH_COSTS + (matchLength(match) << 3);
      do {
        const cost = load<u64>(next) + load<u64>(lengthCosts) + withOffset;
        best = min<u64>(best, cost);
        next += 8;
        lengthCosts += 8;
      } while (lengthCosts <= last);
    }
    store<u64>(costs, best & 0xffffffff00000000);
    store<u32>(choices, <u32>best);
  }
}

function choice(position: usize): u32 {
  return load<u32>(CHOICES + (position << 2));
}

function countPath(counts: usize, begin: usize, end: usize): void {
  for (let at = begin; at < end; ) {
    const chosen = choice(at - begin);
    if (chosen == 1) countLiteral(counts, load<u8>(at));
    else countMatch(counts, chosen);
    at += matchLength(chosen);
  }
  store<u32>(counts + 4 * END_OF_BLOCK, 1);
}

/** Counts the path, and writes it as sequences. Returns where they end. */
function writePath(counts: usize, begin: usize, end: usize): usize {
  let sequence = SEQUENCES;
  let run = 0;
  for (let at = begin; at < end; ) {
    const chosen = choice(at - begin);
    if (chosen == 1) {
      countLiteral(counts, load<u8>(at));
      run++;
    } else {
      countMatch(counts, chosen);
      sequence = writeSequence(sequence, run, chosen);
      run = 0;
    }
    at += matchLength(chosen);
  }
  return run > 0 ? writeSequence(sequence, run, 0) : sequence;
}

/** Enters the positions of the history. */
export function enterHistory(begin: usize, end: usize, inputEnd: usize): void {
  for (let at = begin; at < end; at++) enter(at, inputEnd, searchDepth);
}

/** Enters a position whose matches are not wanted. */
function enter(at: usize, inputEnd: usize, depth: u32): void {
  const limit = min<i32>(MAX_MATCH, <i32>(inputEnd - at));
  if (limit >= SEARCHABLE) findMatches(at, limit, min<i32>(niceLength, limit), depth, false, 0);
}
