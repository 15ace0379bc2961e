/**
 * XXH64 with the seed 0 (xxHash's "xxhash_spec.md", section "XXH64 algorithm description"), of bytes that come in pieces: `start`,
 * then for each piece bytes at `buffer()` and `add`, then `low32`.
 */

const PRIME1: u64 = 0x9e3779b185ebca87;
const PRIME2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME3: u64 = 0x165667b19e3779f9;
const PRIME4: u64 = 0x85ebca77c2b2ae63;
const PRIME5: u64 = 0x27d4eb2f165667c5;

/** Bytes that the four accumulators take at a time. */
const STRIPE: usize = 32;
const MAX_PIECE: i32 = 1 << 16;
const BUFFER: usize = memory.data(MAX_PIECE, 64);

let a1: u64 = 0;
let a2: u64 = 0;
let a3: u64 = 0;
let a4: u64 = 0;
let total: u64 = 0;
/** What is left behind the last piece's stripes. */
let rest: usize = BUFFER;
let end: usize = BUFFER;

/** Where a piece goes. */
export function buffer(): usize {
  return BUFFER;
}

/** The longest piece, in bytes: whole stripes. */
export function maxPiece(): i32 {
  return MAX_PIECE;
}

export function start(): void {
  a1 = PRIME1 + PRIME2;
  a2 = PRIME2;
  a3 = 0;
  a4 = 0 - PRIME1;
  total = 0;
  rest = BUFFER;
  end = BUFFER;
}

/** Takes `length` bytes of the buffer: whole stripes, unless they are the last ones. */
export function add(length: i32): void {
  end = BUFFER + length;
  rest = BUFFER;
  for (; rest + STRIPE <= end; rest += STRIPE) {
    a1 = round(a1, load<u64>(rest));
    a2 = round(a2, load<u64>(rest + 8));
    a3 = round(a3, load<u64>(rest + 16));
    a4 = round(a4, load<u64>(rest + 24));
  }
  total += length;
}

/** The lower half of the hash of everything since `start`. */
export function low32(): u32 {
  let hash = total < STRIPE ? PRIME5 : converged();
  hash += total;
  let at = rest;
  for (; at + 8 <= end; at += 8) hash = rotl<u64>(hash ^ round(0, load<u64>(at)), 27) * PRIME1 + PRIME4;
  if (at + 4 <= end) {
    hash = rotl<u64>(hash ^ ((<u64>load<u32>(at)) * PRIME1), 23) * PRIME2 + PRIME3;
    at += 4;
  }
  for (; at < end; at++) hash = rotl<u64>(hash ^ ((<u64>load<u8>(at)) * PRIME5), 11) * PRIME1;
  hash = (hash ^ (hash >> 33)) * PRIME2;
  hash = (hash ^ (hash >> 29)) * PRIME3;
  return <u32>(hash ^ (hash >> 32));
}

function converged(): u64 {
  let hash = rotl<u64>(a1, 1) + rotl<u64>(a2, 7) + rotl<u64>(a3, 12) + rotl<u64>(a4, 18);
  hash = merge(hash, a1);
  hash = merge(hash, a2);
  hash = merge(hash, a3);
  return merge(hash, a4);
}

// @ts-ignore: decorator
@inline
function round(accumulator: u64, lane: u64): u64 {
  return rotl<u64>(accumulator + lane * PRIME2, 31) * PRIME1;
}

function merge(hash: u64, accumulator: u64): u64 {
  return (hash ^ round(0, accumulator)) * PRIME1 + PRIME4;
}
