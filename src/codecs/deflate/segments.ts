/**
 * A chunk of the input is parsed as a whole. Meanwhile its literals and matches are counted in segments of about
 * OBSERVATIONS each, of which the block splitter then makes blocks: counts of neighbours are simply added.
 *
 * Counts are 32 bits each: LITLEN_SYMBOLS, then OFFSET_SYMBOLS.
 */
import { FIRST_LENGTH, LITLEN_SYMBOLS, lengthSymbol, matchLength, matchOffsetSymbol, OFFSET_SYMBOLS } from "./format";

/** The most bytes that are parsed at once: a SquashFS block of the usual size. */
export const MAX_CHUNK: i32 = 1 << 17;

/**
 * Literals and matches in a segment. Fewer would say too little about what comes, more would place cuts too roughly.
 */
export const OBSERVATIONS: i32 = 1024;

export const COUNTS_SIZE: i32 = 4 * (LITLEN_SYMBOLS + OFFSET_SYMBOLS);
/** Where the counts of offset symbols begin in a table of counts. */
export const OFFSET_COUNTS: i32 = 4 * LITLEN_SYMBOLS;

/** A chunk of literals alone has the most segments; one more for what is left. */
const MAX_SEGMENTS: i32 = MAX_CHUNK / OBSERVATIONS + 2;

/** A segment: its counts, and where it begins: in the input, and in what the parser wrote about it. */
const POSITION: i32 = COUNTS_SIZE;
const PARSED: i32 = COUNTS_SIZE + 4;
const SEGMENT_SIZE: i32 = COUNTS_SIZE + 8;
const SEGMENTS: usize = memory.data(SEGMENT_SIZE * MAX_SEGMENTS, 64);

export let segmentCount: i32 = 0;

export function segment(index: i32): usize {
  return SEGMENTS + SEGMENT_SIZE * index;
}

export function segmentPosition(index: i32): usize {
  return load<u32>(segment(index) + POSITION);
}

export function segmentParsed(index: i32): usize {
  return load<u32>(segment(index) + PARSED);
}

export function beginSegments(): void {
  segmentCount = 0;
}

/** Begins a segment at a position in the input and in the parser's own records. Returns its counts, all zero. */
export function beginSegment(position: usize, parsed: usize): usize {
  const counts = segment(segmentCount++);
  memory.fill(counts, 0, COUNTS_SIZE);
  store<u32>(counts + POSITION, <u32>position);
  store<u32>(counts + PARSED, <u32>parsed);
  return counts;
}

/** Marks where the last segment ends. */
export function endSegments(position: usize, parsed: usize): void {
  store<u32>(segment(segmentCount) + POSITION, <u32>position);
  store<u32>(segment(segmentCount) + PARSED, <u32>parsed);
}

// @ts-ignore: decorator
@inline
export function countLiteral(counts: usize, byte: u32): void {
  const at = counts + (byte << 2);
  store<u32>(at, load<u32>(at) + 1);
}

// @ts-ignore: decorator
@inline
export function countMatch(counts: usize, match: u32): void {
  const length = counts + ((FIRST_LENGTH + lengthSymbol(matchLength(match))) << 2);
  store<u32>(length, load<u32>(length) + 1);
  const offset = counts + OFFSET_COUNTS + (matchOffsetSymbol(match) << 2);
  store<u32>(offset, load<u32>(offset) + 1);
}

/** Adds the counts of `other` to `counts`. */
export function addCounts(counts: usize, other: usize): void {
  for (let at: usize = 0; at < <usize>COUNTS_SIZE; at += 16) {
    v128.store(counts + at, i32x4.add(v128.load(counts + at), v128.load(other + at)));
  }
}
