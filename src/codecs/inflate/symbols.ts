/**
 * Literals and matches (RFC 1951, sections 3.2.3 and 3.2.5): where the time goes. All state is in locals, and no step
 * looks whether there is room: what it can read and write at most lies behind the buffers (buffers.ts), and the loop
 * ends when a step came to it.
 */
import { bitCount, bits, inputEnd, position, setReader } from "./bit-reader";
import { OUTPUT } from "./buffers";
import { LITLEN_BITS, LITLEN_TABLE, OFFSET_BITS, OFFSET_TABLE } from "./codes";
import { copyMatch } from "./copy";
import { ENDS_EARLY, INVALID_CODEWORD, TOO_FAR_BACK, TOO_LONG } from "./failures";
import { CODEWORD_MASK, CODEWORD_SHIFT, DROP_MASK, END, LINK, LITERAL, SPECIAL, VALUE_SHIFT } from "./tables";

// @ts-ignore: decorator
@inline
function entryAt(table: usize, index: u64, indexBits: u32): u32 {
  return load<u32>(table + (<usize>(index & (((<u64>1) << indexBits) - 1)) << 2));
}

/**
 * The value of a length or an offset: its base and its extra bits. `input` has the codeword and these, lowest first.
 */
// @ts-ignore: decorator
@inline
function valueOf(entry: u32, input: u64): usize {
  const length = (entry >> CODEWORD_SHIFT) & CODEWORD_MASK;
  const extra = <u32>(input & (((<u64>1) << (entry & DROP_MASK)) - 1)) >> length;
  return (entry >> VALUE_SHIFT) + extra;
}

/**
 * Decodes a block's symbols up to its end, writing from `from` on, `limit` bytes at most. Returns where the output
 * ends, or a failure.
 */
export function decodeSymbols(from: usize, limit: usize): i32 {
  let buffer = bits;
  let count = bitCount;
  let input = position;
  let to = from;
  let failure: i32 = 0;
  const lastInput = inputEnd + 8;
  for (;;) {
    if (input >= lastInput) {
      failure = ENDS_EARLY;
      break;
    }
    if (to > limit) {
      failure = TOO_LONG;
      break;
    }
    buffer |= load<u64>(input) << count;
    input += <usize>((63 - count) >> 3);
    count |= 56;

    let entry = entryAt(LITLEN_TABLE, buffer, LITLEN_BITS);
    if (entry & LITERAL) {
      // Three literals of the main table have 33 bits at most.
      buffer >>= entry & DROP_MASK;
      count -= entry & DROP_MASK;
      store<u8>(to++, entry >> VALUE_SHIFT);
      entry = entryAt(LITLEN_TABLE, buffer, LITLEN_BITS);
      if (entry & LITERAL) {
        buffer >>= entry & DROP_MASK;
        count -= entry & DROP_MASK;
        store<u8>(to++, entry >> VALUE_SHIFT);
        entry = entryAt(LITLEN_TABLE, buffer, LITLEN_BITS);
        if (entry & LITERAL) {
          buffer >>= entry & DROP_MASK;
          count -= entry & DROP_MASK;
          store<u8>(to++, entry >> VALUE_SHIFT);
          continue;
        }
      }
      // For a match: codewords of up to 15 bits, 5 and 13 extra bits, 48 in all.
      buffer |= load<u64>(input) << count;
      input += <usize>((63 - count) >> 3);
      count |= 56;
    }
    if (entry & SPECIAL) {
      if (entry & LINK) {
        buffer >>= LITLEN_BITS;
        count -= LITLEN_BITS;
        const subtable = LITLEN_TABLE + (<usize>(entry >> VALUE_SHIFT) << 2);
        entry = entryAt(subtable, buffer, (entry >> CODEWORD_SHIFT) & CODEWORD_MASK);
        if (entry & LITERAL) {
          buffer >>= entry & DROP_MASK;
          count -= entry & DROP_MASK;
          store<u8>(to++, entry >> VALUE_SHIFT);
          continue;
        }
      }
      if (entry & SPECIAL) {
        buffer >>= entry & DROP_MASK;
        count -= entry & DROP_MASK;
        if (!(entry & END)) failure = INVALID_CODEWORD;
        break;
      }
    }
    const length = valueOf(entry, buffer);
    buffer >>= entry & DROP_MASK;
    count -= entry & DROP_MASK;

    entry = entryAt(OFFSET_TABLE, buffer, OFFSET_BITS);
    if (entry & SPECIAL) {
      if (entry & LINK) {
        buffer >>= OFFSET_BITS;
        count -= OFFSET_BITS;
        const subtable = OFFSET_TABLE + (<usize>(entry >> VALUE_SHIFT) << 2);
        entry = entryAt(subtable, buffer, (entry >> CODEWORD_SHIFT) & CODEWORD_MASK);
      }
      if (entry & SPECIAL) {
        buffer >>= entry & DROP_MASK;
        count -= entry & DROP_MASK;
        failure = INVALID_CODEWORD;
        break;
      }
    }
    const offset = valueOf(entry, buffer);
    buffer >>= entry & DROP_MASK;
    count -= entry & DROP_MASK;
    if (offset > to - OUTPUT) {
      failure = TOO_FAR_BACK;
      break;
    }
    copyMatch(to, offset, length);
    to += length;
  }
  setReader(buffer, count, input);
  if (failure == 0 && to > limit) failure = TOO_LONG;
  return failure < 0 ? failure : <i32>to;
}
