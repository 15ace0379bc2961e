/**
 * Decoding tables of canonical Huffman codes (RFC 1951, section 3.2.2). The next `tableBits` bits of the input are the
 * index of an entry; where a codeword is longer than that, the entry leads to a subtable, and the bits after these are
 * an index there.
 *
 * An entry says all that there is to do:
 *
 *     bits 0 to 5     how many bits to drop: the codeword (in a subtable the rest of it) and the extra bits after it
 *     bits 8 to 11    how many of them are the codeword's; of a link, how many bits are an index into the subtable
 *     bits 12 to 15   what it is: one of the flags below; none for a length or an offset
 *     bits 16 to 31   the literal, the base of the length or offset, or the number of the subtable's first entry
 *
 * (That the entry has the sum of codeword and extra bits, so that both can be dropped at once, is libdeflate's idea.)
 */
import { LITLEN_SYMBOLS, MAX_CODEWORD } from "../deflate/format";
import { INCOMPLETE, OVERSUBSCRIBED } from "./failures";

export const LITERAL: u32 = 1 << 15;
/** One of the following three. */
export const SPECIAL: u32 = 1 << 14;
export const LINK: u32 = 1 << 13;
export const END: u32 = 1 << 12;
/** Neither: the codeword stands for nothing. */
export const INVALID: u32 = SPECIAL;

export const CODEWORD_SHIFT: u32 = 8;
export const VALUE_SHIFT: u32 = 16;
/** Of bits 0 to 5, and of bits 8 to 11. */
export const DROP_MASK: u32 = 63;
export const CODEWORD_MASK: u32 = 15;

/** By length: how many codewords have it and are not in the table yet. */
const COUNTS: usize = memory.data(4 * (MAX_CODEWORD + 1), 16);
const PLACES: usize = memory.data(4 * (MAX_CODEWORD + 1), 16);
/** The symbols in the order of their codewords, 16 bits each. */
const SORTED: usize = memory.data(2 * LITLEN_SYMBOLS, 16);

/**
 * Makes the table of a code at `table`. `lengths` are the codewords' lengths, one byte for each of the `symbols`
 * symbols, 0 for those without one; `meanings` the symbols' entries as they are before the codeword is known: the extra
 * bits' number in bits 0 to 5, nothing in bits 8 to 11. Returns 0 or a failure.
 *
 * Incomplete codes are refused, but where it may be `lone`: one codeword of one bit, as encoders make it when there is
 * one offset only (section 3.2.7), and none at all. What zlib accepts, and so Linux, is the same.
 */
export function makeTable(
  lengths: usize,
  symbols: i32,
  meanings: usize,
  table: usize,
  tableBits: u32,
  lone: bool = true,
): i32 {
  const longest = sortSymbols(lengths, symbols);
  if (longest < 0) return longest;
  if (longest <= 1) {
    if (!lone && count(1) < 2) return INCOMPLETE;
    // Two codewords, one, or none: what has no meaning stays invalid.
    const single = count(1);
    for (let bit: u32 = 0; bit < 2; bit++) {
      store<u32>(table + (bit << 2), bit < single ? entryOf(meanings, bit, 1) : INVALID | 1);
    }
    double(table, 1, tableBits);
    return 0;
  }
  fillTable(meanings, table, tableBits, longest);
  return 0;
}

/** Fills COUNTS and SORTED. Returns the longest codeword's length or a failure. */
function sortSymbols(lengths: usize, symbols: i32): i32 {
  memory.fill(COUNTS, 0, 4 * (MAX_CODEWORD + 1));
  for (let symbol = 0; symbol < symbols; symbol++) {
    const at = COUNTS + (<usize>load<u8>(lengths + symbol) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  let longest = MAX_CODEWORD;
  while (longest > 0 && count(longest) == 0) longest--;
  /** Codewords of the length that are still to be had. */
  let left: i32 = 1;
  let place: u32 = 0;
  for (let length = 1; length <= MAX_CODEWORD; length++) {
    left = 2 * left - <i32>count(length);
    if (left < 0) return OVERSUBSCRIBED;
    store<u32>(PLACES + (length << 2), place);
    place += count(length);
  }
  if (left > 0 && longest > 1) return INCOMPLETE;
  for (let symbol = 0; symbol < symbols; symbol++) {
    const length = <usize>load<u8>(lengths + symbol);
    if (length == 0) continue;
    const at = PLACES + (length << 2);
    const place = load<u32>(at);
    store<u16>(SORTED + (place << 1), <u16>symbol);
    store<u32>(at, place + 1);
  }
  return longest;
}

// @ts-ignore: decorator
@inline
function count(length: i32): u32 {
  return load<u32>(COUNTS + (length << 2));
}

/** The entry of the symbol at a place in SORTED, whose codeword has `length` bits that are not dropped yet. */
// @ts-ignore: decorator
@inline
function entryOf(meanings: usize, place: u32, length: u32): u32 {
  const symbol = <usize>load<u16>(SORTED + (place << 1));
  return load<u32>(meanings + (symbol << 2)) + length + (length << CODEWORD_SHIFT);
}

/** Makes a table of `from` bits one of `to` bits: what the new bits are does not matter. */
function double(table: usize, from: u32, to: u32): void {
  for (let size: usize = 4 << from; size < <usize>(4 << to); size <<= 1) memory.copy(table + size, table, size);
}

/** The codeword after `codeword` among those of its length: one more, from its last bit, which is the highest here. */
// @ts-ignore: decorator
@inline
function next(codeword: u32, length: u32): u32 {
  let bit: u32 = 1 << (length - 1);
  while (codeword & bit) bit >>= 1;
  return (codeword & (bit - 1)) | bit;
}

/**
 * Fills the table of a complete code. Codewords come in their order (section 3.2.2), first bit lowest, as in the input;
 * a zero at the end makes the first codeword of the next length, and so changes nothing. As long as codewords of a
 * length are entered the table has that many bits, then it is doubled.
 */
function fillTable(meanings: usize, table: usize, tableBits: u32, longest: u32): void {
  let codeword: u32 = 0;
  let place: u32 = 0;
  const mainLongest = min<u32>(longest, tableBits);
  for (let length: u32 = 1; length <= mainLongest; length++) {
    if (length > 1) double(table, length - 1, length);
    for (let left = count(length); left > 0; left--) {
      store<u32>(table + (codeword << 2), entryOf(meanings, place++, length));
      codeword = next(codeword, length);
    }
  }
  double(table, mainLongest, tableBits);
  const prefixMask: u32 = (1 << tableBits) - 1;
  let prefix: u32 = -1;
  let subtable: u32 = 1 << tableBits;
  let indexBits: u32 = 0;
  for (let length = tableBits + 1; length <= longest; length++) {
    for (let left = count(length); left > 0; left--) {
      if ((codeword & prefixMask) != prefix) {
        if (prefix != -1) subtable += 1 << indexBits;
        prefix = codeword & prefixMask;
        indexBits = subtableBits(length - tableBits, left, tableBits);
        const link = SPECIAL | LINK | tableBits | (indexBits << CODEWORD_SHIFT) | (subtable << VALUE_SHIFT);
        store<u32>(table + (prefix << 2), link);
      }
      const entry = entryOf(meanings, place++, length - tableBits);
      const step: u32 = 1 << (length - tableBits);
      for (let index = codeword >> tableBits; index < <u32>(1 << indexBits); index += step) {
        store<u32>(table + ((subtable + index) << 2), entry);
      }
      codeword = next(codeword, length);
    }
  }
}

/**
 * How many bits the index of a subtable has whose shortest codewords have `shortest` bits there: as many as its longest
 * ones, which are those with which the codewords at hand, `left` of that length and then longer ones, fill it up.
 */
function subtableBits(shortest: u32, left: u32, tableBits: u32): u32 {
  let indexBits = shortest;
  let room = (<i32>1 << shortest) - <i32>left;
  while (room > 0) {
    indexBits++;
    room = 2 * room - <i32>count(indexBits + tableBits);
  }
  return indexBits;
}
