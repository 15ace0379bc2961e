/**
 * What a parse comes to: sequences, each a run of literals and the match after it (0 at the end of a segment). Eight
 * bytes: the match, then the number of literals, which stay in the input.
 */
import { MAX_CHUNK } from "./segments";

/** Three bytes a match at least; segments end with one that may be without. */
const MAX_SEQUENCES: i32 = MAX_CHUNK / 2;
export const SEQUENCE_SIZE: i32 = 8;
export const SEQUENCES: usize = memory.data(SEQUENCE_SIZE * MAX_SEQUENCES, 64);

// @ts-ignore: decorator
@inline
export function writeSequence(at: usize, literals: i32, match: u32): usize {
  store<u32>(at, match);
  store<u32>(at + 4, literals);
  return at + SEQUENCE_SIZE;
}
