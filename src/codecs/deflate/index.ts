/**
 * A DEFLATE encoder (RFC 1951). What becomes of an input, and where:
 *
 *     input ─ buffers.ts
 *       │     cut into chunks of at most 128 KiB, each a parse of its own
 *       ├─ lazy-parser.ts      levels 1 to 7  ─ hash-chains.ts   matches
 *       ├─ optimal-parser.ts   levels 8 and 9 ─ binary-trees.ts  matches
 *       │     sequences (sequences.ts): literals and matches; their counts (segments.ts)
 *       ├─ block-splitter.ts   where codes of its own are worth a block's head
 *       ├─ block-writer.ts     ─ huffman.ts, block-header.ts
 *       └─ bit-writer.ts
 *     output
 *
 * Nothing is allocated: every table is static memory that the compiler places, and is sized for the worst case,
 * because WebAssembly does not notice when one is overrun. The result depends on level, input and history alone.
 */
import { beginTrees } from "./binary-trees";
import { alignToByte, position, resetBits, rewind } from "./bit-writer";
import { nextBlock, splitIntoBlocks } from "./block-splitter";
import { prepareBlocks, writeBlock, writeStored } from "./block-writer";
import { INPUT, MAX_INPUT, MAX_OUTPUT, OUTPUT, PADDING } from "./buffers";
import { prepareCrc32 } from "./checksums";
import { prepareFormat, WINDOW } from "./format";
import { beginChains, skip } from "./hash-chains";
import { parseLazily } from "./lazy-parser";
import { lookahead, OPTIMAL, setLevel } from "./levels";
import { prepareLogarithms } from "./logarithms";
import { collectMatches, enterHistory, parseOptimally } from "./optimal-parser";
import { MAX_CHUNK, segment, segmentCount, segmentParsed, segmentPosition } from "./segments";
import { SEQUENCES } from "./sequences";

export { adler32, crc32 } from "./checksums";

prepareFormat();
prepareBlocks();
prepareLogarithms();
prepareCrc32();

/** Where the input goes. */
export function input(): usize {
  return INPUT;
}

/** Where the output comes. */
export function output(): usize {
  return OUTPUT;
}

/** The longest input, in bytes. */
export function maxInput(): i32 {
  return MAX_INPUT;
}

/** The longest output of one call, in bytes. */
export function maxOutput(): i32 {
  return MAX_OUTPUT;
}

/** The longest history, in bytes. */
export function maxHistory(): i32 {
  return WINDOW;
}

/** Begins a stream, at a level from 1 to 9. */
export function begin(level: i32): void {
  setLevel(level);
  resetBits();
}

/**
 * Compresses the `length` bytes at `input()`, to which those of the stream come that went before: the last `history` of
 * them end where the input begins. Returns how many bytes are at `output()`: at most one for each 64 more than the
 * input has, and some. Only with `last` they include the stream's last bits.
 */
export function compress(length: i32, history: i32, last: bool): i32 {
  const end = INPUT + length;
  memory.fill(end, 0, PADDING);
  rewind();
  const optimal = lookahead == OPTIMAL;
  if (optimal) {
    beginTrees(INPUT - history);
    enterHistory(INPUT - history, INPUT, end);
  } else {
    beginChains(INPUT - history, end);
    skip(INPUT - history, INPUT);
  }
  let at = INPUT;
  do {
    let chunkEnd = min<usize>(at + MAX_CHUNK, end);
    if (optimal) chunkEnd = collectMatches(at, chunkEnd, end);
    else parseLazily(at, chunkEnd);
    splitIntoBlocks();
    writeChunk(optimal, last && chunkEnd == end);
    at = chunkEnd;
  } while (at < end);
  if (last) alignToByte();
  return <i32>(position - OUTPUT);
}

/**
 * Appends an empty block to what `compress` returned, so that it ends with a whole byte and anything may follow. Returns
 * how many bytes are at `output()` then.
 */
export function flush(): i32 {
  writeStored(OUTPUT, OUTPUT, false);
  return <i32>(position - OUTPUT);
}

function writeChunk(optimal: bool, last: bool): void {
  for (let first = 0; first < segmentCount; first = nextBlock(first)) {
    const next = nextBlock(first);
    const counts = segment(first);
    const begin = segmentPosition(first);
    const end = segmentPosition(next);
    let sequences = segmentParsed(first);
    let sequencesEnd = segmentParsed(next);
    if (optimal) {
      sequences = SEQUENCES;
      sequencesEnd = parseOptimally(counts, begin, end, segmentParsed(next));
    }
    writeBlock(counts, sequences, sequencesEnd, begin, end, last && next == segmentCount);
  }
}
