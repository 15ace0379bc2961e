/**
 * The fast parser. At each position it takes the longest match, unless it is greedy no more and one of the next
 * positions has a better one ("lazy evaluation", RFC 1951, section 4). What "better" means in bits follows libdeflate
 * (lib/deflate_compress.c, deflate_compress_lazy_generic, MIT): a byte of length counts as four halvings of the offset.
 */
import { MAX_MATCH, matchLength, matchOffset } from "./format";
import { longestMatch, skip } from "./hash-chains";
import { lookahead, niceLength, searchDepth } from "./levels";
import { shortestUseful } from "./min-length";
import { beginSegment, beginSegments, countLiteral, countMatch, endSegments, OBSERVATIONS } from "./segments";
import { SEQUENCES, writeSequence } from "./sequences";

/** How much better a match is that begins one or two positions later, to be worth the literals before it. */
const GAIN_AFTER_1: i32 = 2;
const GAIN_AFTER_2: i32 = 6;

/** Parses the chunk from `begin` up to `end` into segments and sequences. */
export function parseLazily(begin: usize, end: usize): void {
  const depth = searchDepth;
  const niceAlways = niceLength;
  const ahead = lookahead;
  const shortest = shortestUseful(begin, end, depth);
  let sequence = SEQUENCES;
  beginSegments();
  let counts = beginSegment(begin, sequence);
  let observed = 0;
  let run = 0;
  let at = begin;
  while (at < end) {
    if (observed >= OBSERVATIONS) {
      if (run > 0) sequence = writeSequence(sequence, run, 0);
      run = 0;
      observed = 0;
      counts = beginSegment(at, sequence);
    }
    let limit = min<i32>(MAX_MATCH, <i32>(end - at));
    let nice = min<i32>(niceAlways, limit);
    let match = longestMatch(at, shortest - 1, limit, nice, depth);
    if (match == 0) {
      countLiteral(counts, load<u8>(at++));
      run++;
      observed++;
      continue;
    }
    /** The first position that the match finder has not seen. */
    let unseen = at + 1;
    if (ahead > 0) {
      for (;;) {
        const length = matchLength(match);
        if (length >= nice) break;
        limit = min<i32>(MAX_MATCH, <i32>(end - at) - 1);
        nice = min<i32>(niceAlways, limit);
        let later = longestMatch(at + 1, length - 1, limit, nice, depth >> 1);
        unseen = at + 2;
        if (isBetter(later, match, GAIN_AFTER_1)) {
          countLiteral(counts, load<u8>(at++));
          run++;
          observed++;
          match = later;
          continue;
        }
        if (ahead < 2) break;
        limit = min<i32>(MAX_MATCH, <i32>(end - at) - 2);
        nice = min<i32>(niceAlways, limit);
        later = longestMatch(at + 2, length - 1, limit, nice, depth >> 2);
        unseen = at + 3;
        if (!isBetter(later, match, GAIN_AFTER_2)) break;
        countLiteral(counts, load<u8>(at));
        countLiteral(counts, load<u8>(at + 1));
        at += 2;
        run += 2;
        observed += 2;
        match = later;
      }
    }
    countMatch(counts, match);
    observed++;
    sequence = writeSequence(sequence, run, match);
    run = 0;
    at += matchLength(match);
    skip(unseen, at);
  }
  if (run > 0) sequence = writeSequence(sequence, run, 0);
  endSegments(at, sequence);
}

function isBetter(later: u32, match: u32, gain: i32): bool {
  if (later == 0) return false;
  const longer = matchLength(later) - matchLength(match);
  const nearer = <i32>clz<u32>(matchOffset(later)) - <i32>clz<u32>(matchOffset(match));
  return longer >= 0 && 4 * longer + nearer > gain;
}
