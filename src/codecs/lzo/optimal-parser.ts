/**
 * The thorough parser. First it collects, for every position of the block, the matches that could be taken. Then it
 * finds the instructions that take the fewest bytes: the shortest path through the block from its end backwards, by
 * dynamic programming (Storer and Szymanski, 1982). LZO has no codes to be chosen, so what an instruction costs is
 * known, and one pass is enough; but it depends on how many literals are before it. So each position has three costs
 * beside that of its best way: from there on with a match, after no literals, after 1 to 3, and after more.
 */
import { beginTrees, FAR, findMatches, MATCHES_SIZE, MIDDLE, NEAR, PAIR, SEARCHABLE, TRIPLE } from "./binary-trees";
import { MAX_INPUT, OUTPUT } from "./buffers";
import {
  extraLengthBytes,
  M1_SIZE,
  M2_MAX_LENGTH,
  M2_SIZE,
  M3_MAX_SHORT_LENGTH,
  M3_SIZE,
  M4_MAX_SHORT_LENGTH,
  M4_SIZE,
  MAX_FIRST_RUN,
  MAX_MATCH,
  MAX_STATE_LITERALS,
  MIN_MATCH,
  matchDistance,
  matchLength,
  runSize,
} from "./format";
import { writeEnd, writeLiterals, writeMatch } from "./instruction-writer";
import { niceLength, searchDepth } from "./levels";

/** By position: the matches, as binary-trees.ts records them. */
const MATCHES: usize = memory.data(MATCHES_SIZE * MAX_INPUT, 64);
/** By position: the cost from there, after a match, to the end. */
const COSTS: usize = memory.data(4 * (MAX_INPUT + 1), 64);

/** Where the matches were, the choices come. By position: how many literals are best there. */
const LITERALS: usize = 0;
/** The match that is best right there, and those after literals. 0 where the block ends. */
const MATCH: usize = 4;
const MATCH_AFTER_FEW: usize = 8;
const MATCH_AFTER_MANY: usize = 12;

/**
 * Costs count bytes in the upper bits, and in the others, so that they only decide between equals, the instructions:
 * each takes the reader time.
 */
const BYTE: u32 = 64;
const INSTRUCTION: u32 = 1;
/** What no path costs. */
const IMPOSSIBLE: u32 = 1 << 30;

/** Compresses the block from `begin` up to `end`. Returns where the output ends. */
export function parseOptimally(begin: usize, end: usize): usize {
  collectMatches(begin, end);
  findPath(<i32>(end - begin));
  return writePath(begin, end);
}

function collectMatches(begin: usize, end: usize): void {
  const depth = searchDepth;
  const niceAlways = niceLength;
  const length = <i32>(end - begin);
  memory.fill(MATCHES, 0, MATCHES_SIZE * length);
  beginTrees(begin, end);
  let matches = MATCHES;
  const last = length < SEARCHABLE ? begin : end - SEARCHABLE + 1;
  for (let at = begin; at < last; at++) {
    const left = <i32>(end - at);
    const nice = min<i32>(niceAlways, left);
    const longest = findMatches(at, min<i32>(MAX_MATCH, left), nice, depth, true, matches);
    matches += MATCHES_SIZE;
    if (longest >= niceAlways) {
      // What lies inside such a match is not looked at: it will be taken.
      const inside = min<usize>(at + longest, last);
      matches += MATCHES_SIZE * (<i32>(inside - at) - 1);
      while (++at < inside) {
        const limit = min<i32>(niceAlways, <i32>(end - at));
        findMatches(at, limit, limit, depth, false, 0);
      }
      at--;
    }
  }
}

/** A cost in the upper half, what it is for in the lower. */
// @ts-ignore: decorator
@inline
function pair(cost: u32, choice: u32): u64 {
  return (<u64>cost << 32) | choice;
}

/** The better of `best` and a match at `distance` with a length from `from` to `to`, all of which take `size` bytes. */
// @ts-ignore: decorator
@inline
function better(best: u64, costs: usize, from: i32, to: i32, distance: u32, size: i32): u64 {
  const last = costs + (to << 2);
  let choice = pair(size * BYTE + INSTRUCTION, from | (distance << 16));
  for (let next = costs + (from << 2); next <= last; next += 4) {
    best = min<u64>(best, (<u64>load<u32>(next) << 32) + choice);
    choice++;
  }
  return best;
}

/** The same for one length. */
// @ts-ignore: decorator
@inline
function betterWhole(best: u64, costs: usize, match: u32, size: i32): u64 {
  return min<u64>(best, pair(load<u32>(costs + (matchLength(match) << 2)) + size * BYTE + INSTRUCTION, match));
}

/**
 * The best match at a position; `costs` are those of the positions from there on. Of matches so long that their length
 * takes further bytes, only the whole is looked at.
 */
// @ts-ignore: decorator
@inline
function bestMatch(matches: usize, costs: usize): u64 {
  let best = pair(IMPOSSIBLE, 0);
  let length = MIN_MATCH - 1;
  const near = load<u32>(matches + NEAR);
  if (near != 0) {
    const distance = matchDistance(near);
    const whole = matchLength(near);
    best = better(best, costs, MIN_MATCH, min<i32>(whole, M2_MAX_LENGTH), distance, M2_SIZE);
    best = better(best, costs, M2_MAX_LENGTH + 1, min<i32>(whole, M3_MAX_SHORT_LENGTH), distance, M3_SIZE);
    if (whole > M3_MAX_SHORT_LENGTH) {
      best = betterWhole(best, costs, near, M3_SIZE + extraLengthBytes(whole, M3_MAX_SHORT_LENGTH));
    }
    length = whole;
  }
  const middle = load<u32>(matches + MIDDLE);
  if (middle != 0) {
    const whole = matchLength(middle);
    best = better(best, costs, length + 1, min<i32>(whole, M3_MAX_SHORT_LENGTH), matchDistance(middle), M3_SIZE);
    if (whole > M3_MAX_SHORT_LENGTH) {
      best = betterWhole(best, costs, middle, M3_SIZE + extraLengthBytes(whole, M3_MAX_SHORT_LENGTH));
    }
    length = whole;
  }
  const far = load<u32>(matches + FAR);
  if (far != 0) {
    const whole = matchLength(far);
    best = better(best, costs, length + 1, min<i32>(whole, M4_MAX_SHORT_LENGTH), matchDistance(far), M4_SIZE);
    if (whole > M4_MAX_SHORT_LENGTH) {
      best = betterWhole(best, costs, far, M4_SIZE + extraLengthBytes(whole, M4_MAX_SHORT_LENGTH));
    }
  }
  return best;
}

/** `best`, or the M1 `match` where there is one and it is better. */
// @ts-ignore: decorator
@inline
function orShort(best: u64, costs: usize, match: u32): u64 {
  return match == 0 ? best : betterWhole(best, costs, match, M1_SIZE);
}

function costOf(pair: u64): u32 {
  return <u32>(pair >> 32);
}

/** Chooses for each position, from the last to the first, what makes the rest cheapest. */
function findPath(length: i32): void {
  let costs = COSTS + (length << 2);
  store<u32>(costs, 0);
  let matches = MATCHES + MATCHES_SIZE * length;
  /** The costs of going on with a match after 1 to 3 literals, 1 to 3 positions further on. */
  let few1: u32 = 0;
  let few2 = IMPOSSIBLE;
  let few3 = IMPOSSIBLE;
  /**
   * The costs of as many more literals as are best, 1 to 4 positions further on, and their number: without the
   * literals' instruction, so that the choice between two runs is good, and not always the best.
   */
  let many1 = pair(0, 0);
  let many2 = pair(IMPOSSIBLE, 0);
  let many3 = many2;
  let many4 = many2;
  for (let position = length - 1; position >= 0; position--) {
    costs -= 4;
    matches -= MATCHES_SIZE;
    const match = bestMatch(matches, costs);
    const few = orShort(match, costs, load<u32>(matches + PAIR));
    const many = orShort(match, costs, load<u32>(matches + TRIPLE));

    let best = pair(costOf(match), 0);
    best = min<u64>(best, pair(few1 + BYTE, 1));
    best = min<u64>(best, pair(few2 + 2 * BYTE, 2));
    best = min<u64>(best, pair(few3 + 3 * BYTE, 3));
    const run = 4 + <i32>(<u32>many4);
    best = min<u64>(best, pair(costOf(many4) + (4 + runSize(run)) * BYTE + INSTRUCTION, run));
    if (position == 0) best = bestFirstRun(few1, few2, few3, many4);

    store<u32>(costs, costOf(best));
    store<u32>(matches + LITERALS, <u32>best);
    store<u32>(matches + MATCH, <u32>match);
    store<u32>(matches + MATCH_AFTER_FEW, <u32>few);
    store<u32>(matches + MATCH_AFTER_MANY, <u32>many);
    few3 = few2;
    few2 = few1;
    few1 = costOf(few);
    many4 = many3;
    many3 = many2;
    many2 = many1;
    many1 = min<u64>(pair(costOf(many), 0), many1 + pair(BYTE, 1));
  }
}

/** A block's first run has an instruction of its own, which is short. */
function bestFirstRun(few1: u32, few2: u32, few3: u32, many4: u64): u64 {
  const run = 4 + <i32>(<u32>many4);
  const size = run <= MAX_FIRST_RUN ? 1 : runSize(run);
  let best = pair(few1 + 2 * BYTE, 1);
  best = min<u64>(best, pair(few2 + 3 * BYTE, 2));
  best = min<u64>(best, pair(few3 + 4 * BYTE, 3));
  return min<u64>(best, pair(costOf(many4) + (4 + size) * BYTE, run));
}

/** One of the choices at a position. */
function choice(position: usize, which: usize): u32 {
  return load<u32>(MATCHES + <usize>MATCHES_SIZE * position + which);
}

/** Writes what was chosen. Returns where the output ends. */
function writePath(begin: usize, end: usize): usize {
  let output = OUTPUT;
  let at = begin;
  while (at < end) {
    const literals = <i32>choice(at - begin, LITERALS);
    if (literals > 0) output = writeLiterals(output, at, literals);
    at += literals;
    if (at == end) break;
    const which = literals == 0 ? MATCH : literals <= MAX_STATE_LITERALS ? MATCH_AFTER_FEW : MATCH_AFTER_MANY;
    const match = choice(at - begin, which);
    output = writeMatch(output, match, literals);
    at += matchLength(match);
  }
  return writeEnd(output);
}
