/** How far two strings are the same: what every match finder asks most. No module of its own: the encoders import it. */

/**
 * How many bytes at `a` and `b` are the same: at least `known`, at most `limit`. Compares eight at a time, so up to seven
 * past the limit are read; the first difference is where the exclusive or has its lowest bit.
 */
// @ts-ignore: decorator
@inline
export function commonLength(a: usize, b: usize, known: i32, limit: i32): i32 {
  let length = known;
  while (length < limit) {
    const difference = load<u64>(a + length) ^ load<u64>(b + length);
    if (difference != 0) {
      length += <i32>(ctz<u64>(difference) >> 3);
      break;
    }
    length += 8;
  }
  return min<i32>(length, limit);
}
