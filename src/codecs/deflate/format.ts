/** The numbers of the DEFLATE format (RFC 1951), and a match as one number. */

/** The furthest that a match reaches back (section 2), in bytes. */
export const WINDOW: i32 = 32768;
export const MIN_MATCH: i32 = 3;
export const MAX_MATCH: i32 = 258;

/**
 * Literals and lengths share one alphabet; the last two symbols of either exist in the fixed codes only (section
 * 3.2.5).
 */
export const LITLEN_SYMBOLS: i32 = 288;
export const OFFSET_SYMBOLS: i32 = 32;
export const END_OF_BLOCK: i32 = 256;
export const FIRST_LENGTH: i32 = 257;
export const LENGTH_SYMBOLS: i32 = 29;

/** The longest codewords, in bits (section 3.2.7). */
export const MAX_CODEWORD: i32 = 15;
export const MAX_PRECODEWORD: i32 = 7;

/** How a block is stored (section 3.2.3). */
export const STORED: u32 = 0;
export const FIXED: u32 = 1;
export const DYNAMIC: u32 = 2;

/** The lengths of the fixed codes' codewords (section 3.2.6), one byte a symbol. */
export function setFixedLengths(litlenLengths: usize, offsetLengths: usize): void {
  memory.fill(litlenLengths, 8, 144);
  memory.fill(litlenLengths + 144, 9, 256 - 144);
  memory.fill(litlenLengths + 256, 7, 280 - 256);
  memory.fill(litlenLengths + 280, 8, LITLEN_SYMBOLS - 280);
  memory.fill(offsetLengths, 5, OFFSET_SYMBOLS);
}

/** Symbols 0 to 15 of the precode are lengths; then: repeat the last 3 to 6 times, 3 to 10 zeros, 11 to 138 zeros. */
export const REPEAT: i32 = 16;
export const ZEROS: i32 = 17;
export const MANY_ZEROS: i32 = 18;
export const PRECODE_SYMBOLS: i32 = 19;

/** In this order the lengths of the precode's own codewords are stored: at least MIN_STORED of them. */
const PRECODE_ORDER: usize = memory.data<u8>([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]);
export const MIN_STORED: i32 = 4;

/** The symbol whose codeword's length is stored at `place`. */
export function precodeSymbol(place: i32): i32 {
  return load<u8>(PRECODE_ORDER + place);
}

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

/** The shortest offset of a symbol. */
export function offsetBase(symbol: u32): u32 {
  return symbol < 2 ? symbol + 1 : ((2 | (symbol & 1)) << offsetExtra(symbol)) + 1;
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
