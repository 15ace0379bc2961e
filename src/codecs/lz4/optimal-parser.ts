/**
 * The thorough parser: the sequences that take the fewest bytes, by dynamic programming from the block's end (Storer and
 * Szymanski, 1982). Offsets all cost the same, so each position's longest match is all there is to know: it does for every
 * shorter length. Of these the longest with each number of length bytes are worth trying: a position's rest is hardly ever
 * cheaper than that of a later one, and then by one byte. With the three tried here, blocks are 0.004 % larger than with all.
 *
 * What a literal costs depends on how many stand together. When the rest of the block costs least if its next match begins
 * at one position, no later one becomes better by more literals in front. So one such position is all that is kept.
 */
import { BLOCK, COMPRESSED, MAX_BLOCK } from "./buffers";
import { LAST_MATCH, lengthBytes, MATCH_BYTES, MIN_MATCH, MORE } from "./format";
import { findMatches } from "./hash-chains";
import { lengthAt, offsetAt, setLength } from "./path";
import { writeLiterals, writeSequence } from "./sequences";

/** By position: what the rest of the block costs, in bytes, when a sequence begins there. */
const COSTS: usize = memory.data(4 * (MAX_BLOCK + 1), 64);

/** The longest match without bytes of length. */
const SHORT_MATCH: i32 = MIN_MATCH + MORE - 1;

/** Compresses a block of `length` bytes; the rest is the match finder's. Returns the number of bytes. */
export function compressOptimally(length: i32, nice: i32, depth: i32, patience: i32): i32 {
  if (length >= LAST_MATCH) findMatches(length, nice, depth, patience);
  findPath(length);
  return writePath(length);
}

// @ts-ignore: decorator
@inline
function costAt(position: i32): i32 {
  return load<i32>(COSTS + (<usize>position << 2));
}

// @ts-ignore: decorator
@inline
function costOfMatch(position: i32, length: i32): i32 {
  return MATCH_BYTES + lengthBytes(length - MIN_MATCH) + costAt(position + length);
}

/** Chooses for each position, from the last to the first, what makes the rest cheapest. */
function findPath(length: i32): void {
  const lastMatch = length - LAST_MATCH;
  // So many literals, and then a rest of this cost: at first the token of the last sequence.
  let run = 0;
  let rest = 1;
  for (let position = length; position >= 0; position--, run++) {
    let cost = run + lengthBytes(run) + rest;
    let chosen = -run;
    const longest = position <= lastMatch ? lengthAt(position) : 0;
    if (longest != 0) {
      let matched = longest;
      let matchCost = costOfMatch(position, longest);
      // Which is cheaper is hard to foresee, for processors too: so nothing branches there.
      if (longest > SHORT_MATCH) {
        const shortCost = costOfMatch(position, SHORT_MATCH);
        matched = select<i32>(SHORT_MATCH, matched, shortCost < matchCost);
        matchCost = min<i32>(shortCost, matchCost);
        // With one byte of length less.
        const shorter = longest - 1 - <i32>(<u32>(longest - SHORT_MATCH - 1) % 255);
        const shorterCost = costOfMatch(position, shorter);
        matched = select<i32>(shorter, matched, shorterCost < matchCost);
        matchCost = min<i32>(shorterCost, matchCost);
      }
      const better = matchCost <= cost;
      chosen = select<i32>(matched, chosen, better);
      cost = select<i32>(matchCost, cost, better);
      rest = select<i32>(matchCost, rest, better);
      run = select<i32>(0, run, better);
    }
    store<i32>(COSTS + (<usize>position << 2), cost);
    setLength(position, chosen);
  }
}

function writePath(length: i32): i32 {
  let to = COMPRESSED;
  let literals = 0;
  for (;;) {
    const position = literals - min<i32>(lengthAt(literals), 0);
    if (position >= length) break;
    const matched = lengthAt(position);
    to = writeSequence(to, BLOCK + literals, position - literals, offsetAt(position), matched);
    literals = position + matched;
  }
  return <i32>(writeLiterals(to, BLOCK + literals, length - literals) - COMPRESSED);
}
