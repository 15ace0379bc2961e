/** The numbers of the DEFLATE format (RFC 1951), and a match as one number. */

/** The furthest that a match reaches back (section 2), in bytes. */
export const WINDOW: i32 = 32768;
export const MIN_MATCH: i32 = 3;
export const MAX_MATCH: i32 = 258;

/** Literals and lengths share one alphabet; the last two symbols of either exist in the fixed codes only (section 3.2.5). */
export const LITLEN_SYMBOLS: i32 = 288;
export const OFFSET_SYMBOLS: i32 = 32;
export const END_OF_BLOCK: i32 = 256;
export const FIRST_LENGTH: i32 = 257;
export const LENGTH_SYMBOLS: i32 = 29;

/** The longest codewords, in bits (section 3.2.7). */
export const MAX_CODEWORD: i32 = 15;
export const MAX_PRECODEWORD: i32 = 7;

/**
 * By length symbol less FIRST_LENGTH: how many extra bits follow it, and the length when they are zero less MIN_MATCH.
 */
const LENGTH_EXTRA: usize = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
]);
const LENGTH_BASE: usize = memory.data<u8>([
  0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 255,
]);
/** By length: its symbol less FIRST_LENGTH. Filled by prepareFormat. */
const LENGTH_SYMBOL: usize = memory.data(MAX_MATCH + 1);

/** Has to be called once before anything else. */
export function prepareFormat(): void {
  for (let symbol = 0; symbol < LENGTH_SYMBOLS; symbol++) {
    const first = lengthBase(symbol);
    for (let length = first; length < first + (1 << lengthExtra(symbol)) && length <= MAX_MATCH; length++) {
      store<u8>(LENGTH_SYMBOL + length, <u8>symbol);
    }
  }
}

/** The symbol of a length, less FIRST_LENGTH. */
export function lengthSymbol(length: i32): i32 {
  return load<u8>(LENGTH_SYMBOL + length);
}

/** The shortest length of a symbol, which is given less FIRST_LENGTH. */
export function lengthBase(symbol: i32): i32 {
  return MIN_MATCH + <i32>load<u8>(LENGTH_BASE + symbol);
}

export function lengthExtra(symbol: i32): i32 {
  return load<u8>(LENGTH_EXTRA + symbol);
}

/** The symbol of an offset: two symbols for each power of two. */
export function offsetSymbol(offset: u32): u32 {
  const distance = offset - 1;
  const exponent = 31 - clz<u32>(distance | 1);
  return select<u32>(distance, 2 * exponent + ((distance >> ((exponent - 1) & 31)) & 1), distance < 2);
}

export function offsetExtra(symbol: u32): u32 {
  return select<u32>(0, (symbol >> 1) - 1, symbol < 2);
}

// A match is a number: the length in bits 0 to 8, the offset's symbol in bits 9 to 13, the offset in bits 16 to 31.
// 0 is no match.

export function makeMatch(length: u32, offset: u32): u32 {
  return length | (offsetSymbol(offset) << 9) | (offset << 16);
}

export function matchLength(match: u32): i32 {
  return match & 511;
}

export function matchOffsetSymbol(match: u32): u32 {
  return (match >> 9) & 31;
}

export function matchOffset(match: u32): u32 {
  return match >> 16;
}
