/**
 * The codes of a block: the fixed ones (RFC 1951, section 3.2.6), or those that its head describes (section 3.2.7);
 * each as a decoding table.
 */
import {
  END_OF_BLOCK,
  FIRST_LENGTH,
  LENGTH_SYMBOLS,
  LITLEN_SYMBOLS,
  lengthBase,
  lengthExtra,
  MANY_ZEROS,
  MAX_PRECODEWORD,
  MIN_STORED,
  OFFSET_SYMBOLS,
  offsetBase,
  offsetExtra,
  PRECODE_SYMBOLS,
  precodeSymbol,
  REPEAT,
  setFixedLengths,
  ZEROS,
} from "../deflate/format";
import { bits, exhausted, refill, take } from "./bit-reader";
import { ENDS_EARLY, INVALID_CODEWORD, NO_END_OF_BLOCK, REPEATED_LENGTH, TOO_MANY_SYMBOLS } from "./failures";
import {
  CODEWORD_MASK,
  CODEWORD_SHIFT,
  END,
  INVALID,
  LITERAL,
  makeTable,
  SPECIAL,
  VALUE_SHIFT,
} from "./tables";

/**
 * The tables' bits, and the most entries that their subtables can have. A subtable of a complete code is complete
 * itself: one of 2^n entries is for n + 1 codewords at least. Literals and lengths have four bits at most left there,
 * and 16 entries for 5 codewords are the most a codeword; offsets seven, and 128 for 8.
 */
export const LITLEN_BITS: u32 = 11;
export const OFFSET_BITS: u32 = 8;
const LITLEN_SUBTABLES: i32 = (LITLEN_SYMBOLS * 16) / 5;
const OFFSET_SUBTABLES: i32 = (OFFSET_SYMBOLS * 128) / 8;
export const LITLEN_TABLE: usize = memory.data(4 * ((1 << LITLEN_BITS) + LITLEN_SUBTABLES), 64);
export const OFFSET_TABLE: usize = memory.data(4 * ((1 << OFFSET_BITS) + OFFSET_SUBTABLES), 64);
const PRECODE_TABLE: usize = memory.data(4 << MAX_PRECODEWORD, 64);

/** What the symbols mean: entries of a table without the codeword. Filled by prepareCodes. */
const LITLEN_MEANINGS: usize = memory.data(4 * LITLEN_SYMBOLS, 16);
const OFFSET_MEANINGS: usize = memory.data(4 * OFFSET_SYMBOLS, 16);
const PRECODE_MEANINGS: usize = memory.data(4 * PRECODE_SYMBOLS, 16);

/** The codewords' lengths, one byte a symbol: those of offsets follow on those of literals and lengths. */
const LENGTHS: usize = memory.data(LITLEN_SYMBOLS + OFFSET_SYMBOLS, 16);
const PRECODE_LENGTHS: usize = memory.data(PRECODE_SYMBOLS, 16);

/** Has to be called once before anything else. */
export function prepareCodes(): void {
  for (let symbol = 0; symbol < LITLEN_SYMBOLS; symbol++) {
    const length = symbol - FIRST_LENGTH;
    let meaning = INVALID;
    if (symbol < END_OF_BLOCK) meaning = LITERAL | (symbol << VALUE_SHIFT);
    else if (symbol == END_OF_BLOCK) meaning = SPECIAL | END;
    else if (length < LENGTH_SYMBOLS) meaning = (lengthBase(length) << VALUE_SHIFT) | lengthExtra(length);
    store<u32>(LITLEN_MEANINGS + (symbol << 2), meaning);
  }
  for (let symbol = 0; symbol < OFFSET_SYMBOLS; symbol++) {
    // Section 3.2.6: the last two never occur.
    const invalid = symbol >= OFFSET_SYMBOLS - 2;
    const meaning = invalid ? INVALID : (offsetBase(symbol) << VALUE_SHIFT) | offsetExtra(symbol);
    store<u32>(OFFSET_MEANINGS + (symbol << 2), meaning);
  }
  for (let symbol = 0; symbol < PRECODE_SYMBOLS; symbol++) {
    store<u32>(PRECODE_MEANINGS + (symbol << 2), symbol << VALUE_SHIFT);
  }
}

/** Makes the tables of the fixed codes. They are complete, so nothing can fail. */
export function useFixedCodes(): void {
  setFixedLengths(LENGTHS, LENGTHS + LITLEN_SYMBOLS);
  makeTable(LENGTHS, LITLEN_SYMBOLS, LITLEN_MEANINGS, LITLEN_TABLE, LITLEN_BITS);
  makeTable(LENGTHS + LITLEN_SYMBOLS, OFFSET_SYMBOLS, OFFSET_MEANINGS, OFFSET_TABLE, OFFSET_BITS);
}

/** Reads the head of a block with codes of its own, and makes the tables. Returns 0 or a failure. */
export function readCodes(): i32 {
  refill();
  const litlens = <i32>take(5) + FIRST_LENGTH;
  const offsets = <i32>take(5) + 1;
  const stored = <i32>take(4) + MIN_STORED;
  if (litlens > LITLEN_SYMBOLS - 2 || offsets > OFFSET_SYMBOLS - 2) return TOO_MANY_SYMBOLS;
  let failure = readPrecode(stored);
  if (failure == 0) failure = readLengths(litlens + offsets);
  if (failure < 0) return failure;
  if (load<u8>(LENGTHS + END_OF_BLOCK) == 0) return NO_END_OF_BLOCK;
  failure = makeTable(LENGTHS, litlens, LITLEN_MEANINGS, LITLEN_TABLE, LITLEN_BITS);
  if (failure == 0) failure = makeTable(LENGTHS + litlens, offsets, OFFSET_MEANINGS, OFFSET_TABLE, OFFSET_BITS);
  return failure;
}

/** The code of the lengths that follow: `stored` of its own lengths. */
function readPrecode(stored: i32): i32 {
  memory.fill(PRECODE_LENGTHS, 0, PRECODE_SYMBOLS);
  for (let place = 0; place < stored; place++) {
    refill();
    store<u8>(PRECODE_LENGTHS + precodeSymbol(place), <u8>take(3));
  }
  return makeTable(PRECODE_LENGTHS, PRECODE_SYMBOLS, PRECODE_MEANINGS, PRECODE_TABLE, MAX_PRECODEWORD, false);
}

/** `total` lengths in a row: a repeat may go on from those of literals to those of offsets. */
function readLengths(total: i32): i32 {
  for (let at = 0; at < total; ) {
    if (exhausted()) return ENDS_EARLY;
    refill();
    const entry = load<u32>(PRECODE_TABLE + (<usize>(bits & ((1 << MAX_PRECODEWORD) - 1)) << 2));
    take((entry >> CODEWORD_SHIFT) & CODEWORD_MASK);
    if (entry & SPECIAL) return INVALID_CODEWORD;
    const symbol = <i32>(entry >> VALUE_SHIFT);
    let length: i32 = 0;
    let run: i32 = 1;
    if (symbol < REPEAT) length = symbol;
    else if (symbol == REPEAT) {
      if (at == 0) return REPEATED_LENGTH;
      length = load<u8>(LENGTHS + at - 1);
      run = 3 + take(2);
    } else run = symbol == ZEROS ? 3 + take(3) : 11 + take(7);
    if (at + run > total) return REPEATED_LENGTH;
    memory.fill(LENGTHS + at, <u8>length, run);
    at += run;
  }
  return 0;
}
