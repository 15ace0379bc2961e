/**
 * The head of a block with codes of its own (RFC 1951, section 3.2.7): the lengths of its codewords, run-length coded.
 */
import { writeBits } from "./bit-writer";
import {
  END_OF_BLOCK,
  FIRST_LENGTH,
  LENGTH_SYMBOLS,
  LITLEN_SYMBOLS,
  MANY_ZEROS,
  MAX_PRECODEWORD,
  MIN_STORED,
  OFFSET_SYMBOLS,
  PRECODE_SYMBOLS,
  precodeSymbol,
  REPEAT,
  ZEROS,
} from "./format";
import { makeCode, makeCodewords } from "./huffman";

/** The lengths as they are stored: both codes in one row, without the zeros at their ends. */
const ROW: usize = memory.data(LITLEN_SYMBOLS + OFFSET_SYMBOLS + 1, 16);
/** The row in symbols of the precode, 32 bits each: the symbol in bits 0 to 7, its extra bits above. */
const ITEMS: usize = memory.data(4 * (LITLEN_SYMBOLS + OFFSET_SYMBOLS), 16);
const COUNTS: usize = memory.data(4 * PRECODE_SYMBOLS, 16);
const CODEWORD_LENGTHS: usize = memory.data(32, 16);
const CODEWORDS: usize = memory.data(4 * PRECODE_SYMBOLS, 16);

let litlens: i32 = 0;
let offsets: i32 = 0;
let items: i32 = 0;
let precodeLengths: i32 = 0;

/**
 * Encodes the lengths of both codes' codewords, one byte each. Returns the head's size in bits, without the block's
 * type.
 */
export function makeHeader(litlenLengths: usize, offsetLengths: usize): i32 {
  litlens = FIRST_LENGTH + LENGTH_SYMBOLS;
  while (litlens > END_OF_BLOCK + 1 && load<u8>(litlenLengths + litlens - 1) == 0) litlens--;
  offsets = OFFSET_SYMBOLS - 2;
  while (offsets > 1 && load<u8>(offsetLengths + offsets - 1) == 0) offsets--;
  memory.copy(ROW, litlenLengths, litlens);
  memory.copy(ROW + litlens, offsetLengths, offsets);
  memory.fill(COUNTS, 0, 4 * PRECODE_SYMBOLS);
  items = 0;
  for (let at = 0; at < litlens + offsets; ) at += encodeRun(at, litlens + offsets);
  makeCode(COUNTS, PRECODE_SYMBOLS, MAX_PRECODEWORD, CODEWORD_LENGTHS);
  makeCodewords(CODEWORD_LENGTHS, PRECODE_SYMBOLS, CODEWORDS);
  precodeLengths = PRECODE_SYMBOLS;
  while (precodeLengths > MIN_STORED && precodeLength(precodeLengths - 1) == 0) precodeLengths--;

  let size = 5 + 5 + 4 + 3 * precodeLengths;
  for (let symbol = 0; symbol < PRECODE_SYMBOLS; symbol++) {
    size += <i32>load<u32>(COUNTS + (symbol << 2)) * (<i32>load<u8>(CODEWORD_LENGTHS + symbol) + extraBits(symbol));
  }
  return size;
}

/** Encodes some of the equal lengths at `at`, and returns how many. */
function encodeRun(at: i32, end: i32): i32 {
  const length = load<u8>(ROW + at);
  let run = 1;
  while (at + run < end && load<u8>(ROW + at + run) == length) run++;
  if (length == 0 && run >= 3) {
    run = min<i32>(run, 138);
    if (run >= 11) addItem(MANY_ZEROS, run - 11);
    else addItem(ZEROS, run - 3);
    return run;
  }
  addItem(length, 0);
  if (length == 0 || run < 4) return 1;
  run = min<i32>(run - 1, 6);
  // Of seven repeats, six would leave one alone: four and three are no longer.
  addItem(REPEAT, run - 3);
  return 1 + run;
}

function addItem(symbol: i32, extra: i32): void {
  store<u32>(ITEMS + (items++ << 2), symbol | (extra << 8));
  const count = COUNTS + (symbol << 2);
  store<u32>(count, load<u32>(count) + 1);
}

function extraBits(symbol: i32): i32 {
  if (symbol < REPEAT) return 0;
  if (symbol == REPEAT) return 2;
  return symbol == ZEROS ? 3 : 7;
}

function precodeLength(index: i32): u32 {
  return load<u8>(CODEWORD_LENGTHS + precodeSymbol(index));
}

/** Writes what makeHeader made. */
export function writeHeader(): void {
  writeBits(litlens - FIRST_LENGTH, 5);
  writeBits(offsets - 1, 5);
  writeBits(precodeLengths - MIN_STORED, 4);
  for (let i = 0; i < precodeLengths; i++) writeBits(precodeLength(i), 3);
  for (let i = 0; i < items; i++) {
    const item = load<u32>(ITEMS + (i << 2));
    const codeword = load<u32>(CODEWORDS + ((item & 0xff) << 2));
    writeBits(codeword & 0xffffff, codeword >> 24);
    writeBits(item >> 8, extraBits(item & 0xff));
  }
}
