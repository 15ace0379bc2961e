/** A DEFLATE stream: blocks, up to one that is marked as the last (RFC 1951, section 3.2.3). */
import { DYNAMIC, FIXED, STORED } from "../deflate/format";
import { inputEnd, nextByte, overrun, refill, seek, take } from "./bit-reader";
import { readCodes, useFixedCodes } from "./codes";
import { BLOCK_TYPE, ENDS_EARLY, STORED_LENGTH, TOO_LONG } from "./failures";
import { decodeSymbols } from "./symbols";

/**
 * Decodes a stream to `from`, writing up to `limit` at most. Returns where the output ends, or a failure. Every block
 * takes some of the input, so it ends.
 */
export function decodeBlocks(from: usize, limit: usize): i32 {
  let to = <i32>from;
  let last = false;
  while (!last) {
    refill();
    last = take(1) == 1;
    to = decodeBlock(take(2), to, limit);
    // Whatever else seems to be wrong: it came of zeros that are not the input's.
    if (overrun()) return ENDS_EARLY;
    if (to < 0) return to;
  }
  return to;
}

function decodeBlock(type: u32, from: usize, limit: usize): i32 {
  if (type == STORED) return copyStored(from, limit);
  if (type == FIXED) {
    useFixedCodes();
    return decodeSymbols(from, limit);
  }
  if (type != DYNAMIC) return BLOCK_TYPE;
  const failure = readCodes();
  return failure < 0 ? failure : decodeSymbols(from, limit);
}

/**
 * A block of bytes as they are (section 3.2.4): from the next whole byte on, LEN and NLEN, 16 bits each, then LEN
 * bytes.
 */
function copyStored(to: usize, limit: usize): i32 {
  seek(nextByte());
  refill();
  const length = take(16);
  if (take(16) != (length ^ 0xffff)) return STORED_LENGTH;
  const from = nextByte();
  if (from + length > inputEnd) return ENDS_EARLY;
  if (to + length > limit) return TOO_LONG;
  memory.copy(to, from, length);
  seek(from + length);
  return <i32>(to + length);
}
