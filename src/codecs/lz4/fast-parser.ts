/**
 * The fast parser: at each position it looks at one earlier position, the newest with the same hash, and takes the match if
 * there is one. Where nothing matches, its steps grow. (Both are the lz4 project's, lib/lz4.c, LZ4_compress_generic, BSD.)
 */
import { commonLength } from "../matching/common-length";
import { longHash } from "../matching/hash";
import { BLOCK, COMPRESSED } from "./buffers";
import { LAST_LITERALS, LAST_MATCH, MIN_MATCH } from "./format";
import { writeLiterals, writeSequence } from "./sequences";

/** By hash of five bytes: the low 16 bits of the newest position. Whatever there is, is an offset: no entry is too old. */
const BITS: i32 = 14;
const NEWEST: usize = memory.data(2 << BITS, 64);

/** After so many positions without a match, in powers of two, the steps grow by a byte. */
const PATIENCE: i32 = 6;

// @ts-ignore: decorator
@inline
function slot(at: usize): usize {
  return NEWEST + (longHash(load<u64>(at) << 24, BITS) << 1);
}

// @ts-ignore: decorator
@inline
function enter(at: usize): void {
  store<u16>(slot(at), <u16>(at - BLOCK));
}

/** Compresses a block of `length` bytes. Returns the number of bytes. */
export function compressFast(length: i32): i32 {
  memory.fill(NEWEST, 0, 2 << BITS);
  const end = BLOCK + length;
  let to = COMPRESSED;
  let literals = BLOCK;
  if (length > LAST_MATCH) {
    const lastMatch = end - LAST_MATCH;
    const matchEnd = end - LAST_LITERALS;
    let at = BLOCK + 1;
    let missed = 1 << PATIENCE;
    while (at <= lastMatch) {
      const entry = slot(at);
      let offset = <usize>(<u16>(at - BLOCK) - load<u16>(entry)) & 0xffff;
      store<u16>(entry, <u16>(at - BLOCK));
      let earlier = at - offset;
      // One comparison for both: no offset, and one to before the block.
      if (offset - 1 >= at - BLOCK || load<u32>(earlier) != load<u32>(at)) {
        at += missed++ >> PATIENCE;
        continue;
      }
      const matched = commonLength(earlier, at, MIN_MATCH, <i32>(matchEnd - at));
      const found = at;
      while (at > literals && earlier > BLOCK && load<u8>(at - 1) == load<u8>(earlier - 1)) {
        at--;
        earlier--;
      }
      to = writeSequence(to, literals, <i32>(at - literals), offset, matched + <i32>(found - at));
      at = found + matched;
      literals = at;
      missed = 1 << PATIENCE;
      enter(at - 2);
    }
  }
  return <i32>(writeLiterals(to, literals, <i32>(end - literals)) - COMPRESSED);
}
