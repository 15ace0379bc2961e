/**
 * Where a chunk is cut into blocks. Each block has codes that fit what is in it, and a head that says what they are.
 * Beginning with every segment as a block, those neighbours are joined whose joining saves most, as long as it saves
 * anything: sizes are estimated by the entropy of the counts (Shannon, 1948), heads by how many symbols occur.
 */
import { LITLEN_SYMBOLS, OFFSET_SYMBOLS } from "./format";
import { LOGARITHM_FRACTION, logarithm } from "./logarithms";
import { addCounts, COUNTS_SIZE, OFFSET_COUNTS, segment, segmentCount } from "./segments";

/**
 * What a head costs, and what it costs more for each symbol that occurs: what made root file systems smallest. Sizes
 * are in units of 2^-LOGARITHM_FRACTION bits.
 */
const HEAD: i64 = 60 << LOGARITHM_FRACTION;
const HEAD_SYMBOL: i64 = 4 << LOGARITHM_FRACTION;

/** The size of a block with these counts, extra bits left out. */
function estimatedSize(counts: usize): i64 {
  return HEAD + entropy(counts, LITLEN_SYMBOLS) + entropy(counts + OFFSET_COUNTS, OFFSET_SYMBOLS);
}

/** What `symbols` symbols cost that occur so often, with what the head says about them. */
function entropy(counts: usize, symbols: i32): i64 {
  let total: u32 = 0;
  let used: i64 = 0;
  let sum: i64 = 0;
  for (let symbol = 0; symbol < symbols; symbol++) {
    const count = load<u32>(counts + (symbol << 2));
    if (count == 0) continue;
    total += count;
    used++;
    sum += <i64>count * logarithm(count);
  }
  return total == 0 ? 0 : <i64>total * logarithm(total) - sum + used * HEAD_SYMBOL;
}

/** A chain of blocks: by number of its first segment the next block's, and what it is to be joined with that. */
const MAX_BLOCKS: i32 = 256;
const NEXT: usize = memory.data(4 * MAX_BLOCKS, 16);
const SIZE: usize = memory.data(8 * MAX_BLOCKS, 16);
const JOINED_SIZE: usize = memory.data(8 * MAX_BLOCKS, 16);
const JOINED: usize = memory.data(COUNTS_SIZE, 16);

/** Joins segments into blocks: a block's first segment gets the counts of all. */
export function splitIntoBlocks(): void {
  const count = segmentCount;
  for (let i = 0; i < count; i++) {
    store<u32>(NEXT + (i << 2), i + 1);
    store<i64>(SIZE + (i << 3), estimatedSize(segment(i)));
  }
  for (let i = 0; i < count - 1; i++) measureJoined(i);
  for (;;) {
    let most: i64 = -1;
    let first = 0;
    let before = -1;
    let beforeFirst = -1;
    for (let i = 0; nextBlock(i) < count; i = nextBlock(i)) {
      const saved =
        load<i64>(SIZE + (i << 3)) + load<i64>(SIZE + (nextBlock(i) << 3)) - load<i64>(JOINED_SIZE + (i << 3));
      if (saved > most) {
        most = saved;
        first = i;
        beforeFirst = before;
      }
      before = i;
    }
    if (most < 0) return;
    const second = nextBlock(first);
    addCounts(segment(first), segment(second));
    store<u32>(NEXT + (first << 2), nextBlock(second));
    store<i64>(SIZE + (first << 3), load<i64>(JOINED_SIZE + (first << 3)));
    if (nextBlock(first) < count) measureJoined(first);
    if (beforeFirst >= 0) measureJoined(beforeFirst);
  }
}

/** After splitIntoBlocks: the first segment of the block after the one that begins with segment `first`. */
export function nextBlock(first: i32): i32 {
  return load<u32>(NEXT + (first << 2));
}

function measureJoined(first: i32): void {
  memory.copy(JOINED, segment(first), COUNTS_SIZE);
  addCounts(JOINED, segment(nextBlock(first)));
  store<i64>(JOINED_SIZE + (first << 3), estimatedSize(JOINED));
}
