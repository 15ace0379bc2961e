/**
 * A block and what it is compressed to; the encoder reads the one and writes the other, the decoder the other way round.
 * Both are followed by PADDING: words are read past the end of either, and vectors written past it.
 */

/** The largest block of SquashFS, in bytes. */
export const MAX_BLOCK: i32 = 1 << 20;

const PADDING: i32 = 32;

/** As long as a block gets: all literals, a token, and a byte of length for each 255 of them. */
export const MAX_COMPRESSED: i32 = MAX_BLOCK + MAX_BLOCK / 255 + 16;

export const BLOCK: usize = memory.data(MAX_BLOCK + PADDING, 64);
export const COMPRESSED: usize = memory.data(MAX_COMPRESSED + PADDING, 64);

/** Copies `length` bytes, 16 at a time, so up to 16 more (when there are none to copy); `to` is before `from`, or 16 bytes or more behind it. */
// @ts-ignore: decorator
@inline
export function copyVectors(to: usize, from: usize, length: i32): void {
  const end = to + length;
  do {
    v128.store(to, v128.load(from));
    to += 16;
    from += 16;
  } while (to < end);
}
