/**
 * Writes blocks (RFC 1951, section 3.2.3), each in the shortest of the three ways: stored, by the fixed codes, by its
 * own.
 */
import { alignToByte, bitCount, bits, position, setWriter, writeBits, writeBytes } from "./bit-writer";
import { makeHeader, writeHeader } from "./block-header";
import {
  DYNAMIC,
  END_OF_BLOCK,
  FIRST_LENGTH,
  FIXED,
  LENGTH_SYMBOLS,
  lengthBase,
  lengthExtra,
  lengthSymbol,
  LITLEN_SYMBOLS,
  matchLength,
  matchOffset,
  matchOffsetSymbol,
  MAX_CODEWORD,
  MAX_MATCH,
  MIN_MATCH,
  OFFSET_SYMBOLS,
  offsetExtra,
  setFixedLengths,
  STORED,
} from "./format";
import { makeCode, makeCodewords } from "./huffman";
import { OFFSET_COUNTS } from "./segments";
import { SEQUENCE_SIZE } from "./sequences";

const MAX_STORED: i32 = 65535;

const FIXED_LITLEN: usize = memory.data(LITLEN_SYMBOLS, 16);
const FIXED_OFFSET: usize = memory.data(OFFSET_SYMBOLS, 16);

const LITLEN_LENGTHS: usize = memory.data(LITLEN_SYMBOLS, 16);
const OFFSET_LENGTHS: usize = memory.data(OFFSET_SYMBOLS, 16);
/** Codewords as huffman.ts makes them: bits 0 to 23, length above. */
const LITLEN_CODEWORDS: usize = memory.data(4 * LITLEN_SYMBOLS, 16);
const OFFSET_CODEWORDS: usize = memory.data(4 * OFFSET_SYMBOLS, 16);
/** By length of a match: the codeword and the extra bits in one. */
const LENGTH_CODEWORDS: usize = memory.data(4 * (MAX_MATCH + 1), 16);

/** Has to be called once, before any block is written. */
export function prepareBlocks(): void {
  setFixedLengths(FIXED_LITLEN, FIXED_OFFSET);
}

/**
 * Writes a block: the sequences from `sequences` up to `sequencesEnd`, which are the bytes from `begin` up to `end`.
 * `counts` are its literals and matches, and no end of block yet.
 */
export function writeBlock(
  counts: usize,
  sequences: usize,
  sequencesEnd: usize,
  begin: usize,
  end: usize,
  last: bool,
): void {
  store<u32>(counts + 4 * END_OF_BLOCK, 1);
  makeCode(counts, LITLEN_SYMBOLS, MAX_CODEWORD, LITLEN_LENGTHS);
  makeCode(counts + OFFSET_COUNTS, OFFSET_SYMBOLS, MAX_CODEWORD, OFFSET_LENGTHS);
  const header = makeHeader(LITLEN_LENGTHS, OFFSET_LENGTHS);
  const dynamicSize = header + codedSize(counts, LITLEN_LENGTHS, OFFSET_LENGTHS);
  const fixedSize = codedSize(counts, FIXED_LITLEN, FIXED_OFFSET);
  if (storedSize(<i32>(end - begin)) <= 3 + min<i32>(dynamicSize, fixedSize)) {
    writeStored(begin, end, last);
    return;
  }
  const type = dynamicSize < fixedSize ? DYNAMIC : FIXED;
  writeBits((last ? 1 : 0) | (type << 1), 3);
  if (type == DYNAMIC) writeHeader();
  prepareCodewords(type == DYNAMIC ? LITLEN_LENGTHS : FIXED_LITLEN, type == DYNAMIC ? OFFSET_LENGTHS : FIXED_OFFSET);
  writeSequences(sequences, sequencesEnd, begin);
}

/** How many bits a block's symbols take up with their extra bits, and its end. */
function codedSize(counts: usize, litlenLengths: usize, offsetLengths: usize): i32 {
  let size = 0;
  for (let symbol = 0; symbol <= END_OF_BLOCK; symbol++) {
    size += <i32>load<u32>(counts + (symbol << 2)) * <i32>load<u8>(litlenLengths + symbol);
  }
  for (let symbol = 0; symbol < LENGTH_SYMBOLS; symbol++) {
    const length = <i32>load<u8>(litlenLengths + FIRST_LENGTH + symbol) + lengthExtra(symbol);
    size += <i32>load<u32>(counts + ((FIRST_LENGTH + symbol) << 2)) * length;
  }
  for (let symbol = 0; symbol < OFFSET_SYMBOLS; symbol++) {
    const length = <i32>load<u8>(offsetLengths + symbol) + offsetExtra(symbol);
    size += <i32>load<u32>(counts + OFFSET_COUNTS + (symbol << 2)) * length;
  }
  return size;
}

/** How many bits `length` bytes take up in stored blocks that begin where the writer stands. */
function storedSize(length: i32): i32 {
  const blocks = max<i32>((length + MAX_STORED - 1) / MAX_STORED, 1);
  const padding = -(<i32>bitCount + 3) & 7;
  return 3 + padding + 32 + (blocks - 1) * 40 + 8 * length;
}

/** Writes stored blocks; for no bytes at all an empty one. */
export function writeStored(begin: usize, end: usize, last: bool): void {
  let at = begin;
  do {
    const length = min<i32>(<i32>(end - at), MAX_STORED);
    writeBits((last && at + length == end ? 1 : 0) | (STORED << 1), 3);
    alignToByte();
    writeBits(length | (~length << 16), 32);
    writeBytes(at, length);
    at += length;
  } while (at < end);
}

function prepareCodewords(litlenLengths: usize, offsetLengths: usize): void {
  makeCodewords(litlenLengths, LITLEN_SYMBOLS, LITLEN_CODEWORDS);
  makeCodewords(offsetLengths, OFFSET_SYMBOLS, OFFSET_CODEWORDS);
  for (let length = MIN_MATCH; length <= MAX_MATCH; length++) {
    const symbol = lengthSymbol(length);
    const codeword = load<u32>(LITLEN_CODEWORDS + ((FIRST_LENGTH + symbol) << 2));
    const size = codeword >> 24;
    const extra = (<u32>(length - lengthBase(symbol)) << size) | (<u32>lengthExtra(symbol) << 24);
    store<u32>(LENGTH_CODEWORDS + (length << 2), codeword + extra);
  }
}

/** Writes sequences and the end of the block. A codeword for literals is at most 15 bits long, a whole match 48. */
function writeSequences(sequences: usize, sequencesEnd: usize, begin: usize): void {
  let buffer = bits;
  let count = bitCount;
  let output = position;
  let literal = begin;
  for (let sequence = sequences; sequence < sequencesEnd; sequence += SEQUENCE_SIZE) {
    const match = load<u32>(sequence);
    const literalsEnd = literal + load<u32>(sequence + 4);
    // Three literals fit beside the up to seven bits that are left over.
    while (literal + 3 <= literalsEnd) {
      for (let i = 0; i < 3; i++) {
        const codeword = load<u32>(LITLEN_CODEWORDS + (<usize>load<u8>(literal + i) << 2));
        buffer |= (<u64>(codeword & 0xffffff)) << count;
        count += codeword >> 24;
      }
      literal += 3;
      store<u64>(output, buffer);
      output += count >> 3;
      buffer >>= count & ~7;
      count &= 7;
    }
    for (; literal < literalsEnd; literal++) {
      const codeword = load<u32>(LITLEN_CODEWORDS + (<usize>load<u8>(literal) << 2));
      buffer |= (<u64>(codeword & 0xffffff)) << count;
      count += codeword >> 24;
    }
    store<u64>(output, buffer);
    output += count >> 3;
    buffer >>= count & ~7;
    count &= 7;
    if (match == 0) continue;
    const length = load<u32>(LENGTH_CODEWORDS + (matchLength(match) << 2));
    buffer |= (<u64>(length & 0xffffff)) << count;
    count += length >> 24;
    const symbol = matchOffsetSymbol(match);
    const offset = load<u32>(OFFSET_CODEWORDS + (symbol << 2));
    buffer |= (<u64>(offset & 0xffffff)) << count;
    count += offset >> 24;
    const extra = offsetExtra(symbol);
    buffer |= (<u64>((matchOffset(match) - 1) & ((1 << extra) - 1))) << count;
    count += extra;
    store<u64>(output, buffer);
    output += count >> 3;
    buffer >>= count & ~7;
    count &= 7;
    literal += matchLength(match);
  }
  setWriter(buffer, count, output);
  const codeword = load<u32>(LITLEN_CODEWORDS + (END_OF_BLOCK << 2));
  writeBits(codeword & 0xffffff, codeword >> 24);
}
