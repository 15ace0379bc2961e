/** Copying a match (RFC 1951, section 3.2.3): what it copies may be what it has just written. */

const VECTOR: usize = 16;
/**
 * By offset below a vector's width: the bytes 0, 1, ... offset - 1, 0, 1, ... up to that width. Filled by prepareCopy.
 */
const REPEATS: usize = memory.data(16 * 16, 16);
/** And how many whole repeats a vector has, in bytes. */
const STEPS: usize = memory.data(16, 16);

/** Has to be called once before copyMatch. */
export function prepareCopy(): void {
  for (let offset: usize = 1; offset < VECTOR; offset++) {
    for (let i: usize = 0; i < VECTOR; i++) store<u8>(REPEATS + offset * VECTOR + i, <u8>(i % offset));
    store<u8>(STEPS + offset, <u8>(VECTOR - (VECTOR % offset)));
  }
}

/** Writes `length` bytes to `to`, each the one that is `offset` before it; and up to 15 more behind them. */
// @ts-ignore: decorator
@inline
export function copyMatch(to: usize, offset: usize, length: usize): void {
  const end = to + length;
  let from = to - offset;
  if (offset >= VECTOR) {
    do {
      v128.store(to, v128.load(from));
      from += VECTOR;
      to += VECTOR;
    } while (to < end);
    return;
  }
  // What is loaded behind the `offset` bytes is not used.
  const repeated = v128.swizzle(v128.load(from), v128.load(REPEATS + offset * VECTOR));
  const step = <usize>load<u8>(STEPS + offset);
  do {
    v128.store(to, repeated);
    to += step;
  } while (to < end);
}
