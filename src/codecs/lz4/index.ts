/**
 * An LZ4 encoder and decoder (format.ts has the format). What becomes of a block, and where:
 *
 *     block ─ buffers.ts
 *       ├─ fast-parser.ts      level 1
 *       ├─ optimal-parser.ts   levels 2 to 12 ─ hash-chains.ts   the longest match of each position
 *       │                                       path.ts          matches, then what is chosen of them
 *       └─ sequences.ts
 *     compressed ─ decoder.ts ─ block
 *
 * Nothing is allocated: every table is static memory that the compiler places, and is sized for the worst case,
 * because WebAssembly does not notice when one is overrun. The result depends on level and block alone.
 */
import { BLOCK, COMPRESSED, MAX_BLOCK, MAX_COMPRESSED } from "./buffers";
import { compressFast } from "./fast-parser";
import { FAST, niceLength, patience, searchDepth, setLevel } from "./levels";
import { compressOptimally } from "./optimal-parser";

/** Where a block goes before it is compressed, and comes when it is decompressed. */
export function block(): usize {
  return BLOCK;
}

/** Where a compressed block comes, and goes before it is decompressed. */
export function compressed(): usize {
  return COMPRESSED;
}

/** The longest block, in bytes. */
export function maxBlock(): i32 {
  return MAX_BLOCK;
}

/** The longest compressed block, in bytes. */
export function maxCompressed(): i32 {
  return MAX_COMPRESSED;
}

/** Compresses the `length` bytes at `block()`, at a level from 1 to 12. Returns how many bytes are at `compressed()`. */
export function compress(length: i32, level: i32): i32 {
  // Hashes of the last positions take in what follows.
  store<u64>(BLOCK + length, 0);
  setLevel(level);
  return level == FAST ? compressFast(length) : compressOptimally(length, niceLength, searchDepth, patience);
}

// Of constants only the failures may be exported: lz4.ts beside this folder has words for each.
export { DAMAGED, decompress, TOO_LONG } from "./decoder";
