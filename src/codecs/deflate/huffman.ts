/** Huffman codes as DEFLATE has them: canonical, of limited length (RFC 1951, section 3.2.2). */
import { LITLEN_SYMBOLS } from "./format";

/** Counts of a block stay below 2^18: a symbol's count and number fit into 27 bits. */
const SYMBOL_BITS: i32 = 9;
const DIGIT_BITS: i32 = 9;
const DIGITS: i32 = 1 << DIGIT_BITS;

const SORTED: usize = memory.data(4 * LITLEN_SYMBOLS, 16);
const SPARE: usize = memory.data(4 * LITLEN_SYMBOLS, 16);
const TREE: usize = memory.data(4 * LITLEN_SYMBOLS, 16);
const BUCKETS: usize = memory.data(4 * DIGITS, 16);
/** By length: how many codewords have it. */
const LENGTHS: usize = memory.data(4 * 16, 16);
const NEXT: usize = memory.data(4 * 16, 16);

// @ts-ignore: decorator
@inline
function get(table: usize, index: i32): u32 {
  return load<u32>(table + (index << 2));
}

// @ts-ignore: decorator
@inline
function set(table: usize, index: i32, value: u32): void {
  store<u32>(table + (index << 2), value);
}

/**
 * Makes the code with the shortest result for symbols that occur `counts` times (32 bits each), no codeword longer than
 * `longest` bits. Writes to `lengths`, one byte a symbol, how long the codewords are: 0 for symbols that do not occur.
 * There are always two codewords at least: some decoders refuse a code of one.
 */
export function makeCode(counts: usize, symbols: i32, longest: i32, lengths: usize): void {
  memory.fill(lengths, 0, symbols);
  const used = sortByCount(counts, symbols);
  if (used < 2) {
    const symbol = used == 0 ? 0 : get(SORTED, 0) & ((1 << SYMBOL_BITS) - 1);
    store<u8>(lengths + symbol, 1);
    store<u8>(lengths + (symbol == 0 ? 1 : 0), 1);
    return;
  }
  for (let i = 0; i < used; i++) set(TREE, i, get(SORTED, i) >> SYMBOL_BITS);
  makeTree(used);
  countLengths(used, longest);
  // The rarest symbols come first in order, and get the longest codewords.
  let i = 0;
  for (let length = longest; length > 0; length--) {
    for (let left = get(LENGTHS, length); left > 0; left--) {
      store<u8>(lengths + (get(SORTED, i++) & ((1 << SYMBOL_BITS) - 1)), <u8>length);
    }
  }
}

/** Leaves in SORTED the symbols that occur, the rarest first: count << SYMBOL_BITS | symbol. Returns their number. */
function sortByCount(counts: usize, symbols: i32): i32 {
  let used = 0;
  let most: u32 = 0;
  for (let symbol = 0; symbol < symbols; symbol++) {
    const count = get(counts, symbol);
    if (count == 0) continue;
    most = max<u32>(most, count);
    set(SORTED, used++, (count << SYMBOL_BITS) | symbol);
  }
  sortByDigit(SORTED, SPARE, used, SYMBOL_BITS);
  if (most >= <u32>DIGITS) sortByDigit(SPARE, SORTED, used, SYMBOL_BITS + DIGIT_BITS);
  else memory.copy(SORTED, SPARE, used << 2);
  return used;
}

/** One pass of a radix sort, least significant digit first. */
function sortByDigit(from: usize, to: usize, length: i32, shift: i32): void {
  memory.fill(BUCKETS, 0, 4 * DIGITS);
  for (let i = 0; i < length; i++) {
    const digit = (get(from, i) >> shift) & (DIGITS - 1);
    set(BUCKETS, digit, get(BUCKETS, digit) + 1);
  }
  let sum: u32 = 0;
  for (let digit = 0; digit < DIGITS; digit++) {
    const count = get(BUCKETS, digit);
    set(BUCKETS, digit, sum);
    sum += count;
  }
  for (let i = 0; i < length; i++) {
    const value = get(from, i);
    const digit = (value >> shift) & (DIGITS - 1);
    const place = get(BUCKETS, digit);
    set(BUCKETS, digit, place + 1);
    set(to, place, value);
  }
}

/**
 * Moffat and Katajainen, "In-Place Calculation of Minimum-Redundancy Codes" (1995), the first two phases: of `n`
 * weights in TREE, lightest first, makes the depths of the n - 1 inner nodes, deepest first.
 */
function makeTree(n: i32): void {
  set(TREE, 0, get(TREE, 0) + get(TREE, 1));
  let root = 0;
  let leaf = 2;
  for (let next = 1; next < n - 1; next++) {
    let weight: u32;
    if (leaf >= n || get(TREE, root) < get(TREE, leaf)) {
      weight = get(TREE, root);
      set(TREE, root++, next);
    } else weight = get(TREE, leaf++);
    if (leaf >= n || (root < next && get(TREE, root) < get(TREE, leaf))) {
      weight += get(TREE, root);
      set(TREE, root++, next);
    } else weight += get(TREE, leaf++);
    set(TREE, next, weight);
  }
  set(TREE, n - 2, 0);
  for (let next = n - 3; next >= 0; next--) set(TREE, next, get(TREE, get(TREE, next)) + 1);
}

/** Their third phase: how many leaves there are at each depth. Then what is deeper than `longest` is moved up. */
function countLengths(n: i32, longest: i32): void {
  memory.fill(LENGTHS, 0, 4 * 16);
  let available = 1;
  let depth = 0;
  let next = n - 2;
  /** In units of the longest codeword: what the codewords take up. They can take up 1 << longest. */
  let space = 0;
  while (available > 0) {
    let inner = 0;
    while (next >= 0 && get(TREE, next) == depth) {
      inner++;
      next--;
    }
    const leaves = available - inner;
    const length = min<i32>(depth, longest);
    set(LENGTHS, length, get(LENGTHS, length) + leaves);
    space += leaves << (longest - length);
    available = 2 * inner;
    depth++;
  }
  // As zlib and JPEG (ITU-T T.81, K.3) do: one of the deepest leaves goes up to be the sibling of a shallower one.
  for (; space > 1 << longest; space--) {
    let length = longest - 1;
    while (get(LENGTHS, length) == 0) length--;
    set(LENGTHS, length, get(LENGTHS, length) - 1);
    set(LENGTHS, length + 1, get(LENGTHS, length + 1) + 2);
    set(LENGTHS, longest, get(LENGTHS, longest) - 1);
  }
}

/** From the lengths of codewords the codewords, their first bit lowest: in bits 0 to 23, with the length above. */
export function makeCodewords(lengths: usize, symbols: i32, codewords: usize): void {
  memory.fill(LENGTHS, 0, 4 * 16);
  for (let symbol = 0; symbol < symbols; symbol++) {
    const length = <i32>load<u8>(lengths + symbol);
    set(LENGTHS, length, get(LENGTHS, length) + 1);
  }
  let code: u32 = 0;
  set(LENGTHS, 0, 0);
  for (let length = 1; length < 16; length++) {
    code = (code + get(LENGTHS, length - 1)) << 1;
    set(NEXT, length, code);
  }
  for (let symbol = 0; symbol < symbols; symbol++) {
    const length = <i32>load<u8>(lengths + symbol);
    if (length == 0) {
      set(codewords, symbol, 0);
      continue;
    }
    const codeword = get(NEXT, length);
    set(NEXT, length, codeword + 1);
    set(codewords, symbol, (reverse16(codeword) >> (16 - length)) | (length << 24));
  }
}

function reverse16(value: u32): u32 {
  let v = value;
  v = ((v & 0x5555) << 1) | ((v >> 1) & 0x5555);
  v = ((v & 0x3333) << 2) | ((v >> 2) & 0x3333);
  v = ((v & 0x0f0f) << 4) | ((v >> 4) & 0x0f0f);
  return ((v & 0xff) << 8) | (v >> 8);
}
