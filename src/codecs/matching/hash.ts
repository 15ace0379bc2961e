/**
 * Multiplicative hashing (Knuth, TAOCP volume 3, section 6.4): the factors are the golden ratio's fraction. Match finders look
 * up earlier strings by a hash of their first bytes; a string of less than a word is shifted so that only its bytes are left.
 */

/** A hash of the low bytes of `value`, `bits` bits long. */
// @ts-ignore: decorator
@inline
export function hash(value: u32, bits: i32): usize {
  return (value * 0x9e3779b1) >> (32 - bits);
}

/** A hash of more than four bytes, `bits` bits long. */
// @ts-ignore: decorator
@inline
export function longHash(value: u64, bits: i32): usize {
  return <usize>((value * 0x9e3779b97f4a7c15) >> (64 - bits));
}
