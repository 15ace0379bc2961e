/**
 * The fast parser. At each position it takes the match that saves most bytes, unless it is lazy and the next position
 * has one that saves more ("lazy evaluation", described in RFC 1951, section 4).
 */
import { OUTPUT } from "./buffers";
import { MAX_STATE_LITERALS, matchDistance, matchLength, matchSize } from "./format";
import { beginChains, bestMatch, skip } from "./hash-chains";
import { writeEnd, writeLiterals, writeMatch } from "./instruction-writer";
import { lazy, niceLength, searchDepth } from "./levels";

/**
 * After 2 to this power bytes without a match every other position is searched, after twice as many every third, and so
 * on: what comes will hardly compress.
 */
const PATIENCE_BITS: usize = 8;

/** Compresses the block from `begin` up to `end`. Returns where the output ends. */
export function parseLazily(begin: usize, end: usize): usize {
  const depth = searchDepth;
  const nice = niceLength;
  const isLazy = lazy;
  beginChains(begin, end);
  let output = OUTPUT;
  /** Where the literals begin that are not yet written. */
  let literals = begin;
  let at = begin;
  while (at < end) {
    let match = bestMatch(at, 0, nice, depth);
    if (match == 0) {
      const step: usize = 1 + ((at - literals) >> PATIENCE_BITS);
      skip(at + 1, min<usize>(at + step, end));
      at += step;
      continue;
    }
    /** The first position that the match finder has not seen. */
    let unseen = at + 1;
    while (isLazy && matchLength(match) < nice && unseen < end) {
      const later = bestMatch(at + 1, saving(match), nice, depth);
      unseen = at + 2;
      if (later == 0) break;
      match = later;
      at++;
    }
    const run = <i32>(at - literals);
    output = writeLiterals(output, literals, run);
    output = writeMatch(output, match, run);
    at += matchLength(match);
    literals = at;
    skip(unseen, at);
  }
  if (end > literals) output = writeLiterals(output, literals, <i32>(end - literals));
  return writeEnd(output);
}

function saving(match: u32): i32 {
  return matchLength(match) - matchSize(matchLength(match), matchDistance(match));
}
