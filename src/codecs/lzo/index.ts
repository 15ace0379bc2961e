/**
 * An LZO1X encoder (Linux, Documentation/staging/lzo.rst). What becomes of a block, and where:
 *
 *     input ─ buffers.ts
 *       ├─ lazy-parser.ts      levels 1 to 5 ─ hash-chains.ts   matches
 *       ├─ optimal-parser.ts   levels 6 to 9 ─ binary-trees.ts  matches
 *       └─ instruction-writer.ts
 *     output
 *
 * Nothing is allocated: every table is static memory that the compiler places, and is sized for the worst case,
 * because WebAssembly does not notice when one is overrun. The result depends on level and input alone.
 */
import { INPUT, MAX_INPUT, MAX_OUTPUT, OUTPUT } from "./buffers";
import { parseLazily } from "./lazy-parser";
import { optimal, setLevel } from "./levels";
import { parseOptimally } from "./optimal-parser";

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

/** The longest output, in bytes. */
export function maxOutput(): i32 {
  return MAX_OUTPUT;
}

/** Compresses the `length` bytes at `input()` at a level from 1 to 9. Returns how many bytes are at `output()`. */
export function compress(length: i32, level: i32): i32 {
  setLevel(level);
  const end = INPUT + length;
  return <i32>((optimal ? parseOptimally(INPUT, end) : parseLazily(INPUT, end)) - OUTPUT);
}
