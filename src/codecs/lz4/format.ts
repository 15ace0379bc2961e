/**
 * The LZ4 block format (doc/lz4_Block_format.md of the lz4 project): sequences, one after the other, and nothing else.
 *
 *     token      1    upper half: number of literals; lower half: length of the match less MIN_MATCH; 15: more follows
 *     length     0-   of the literals, what is above 15: 255 for each 255, then the rest, which is less
 *     literals   0-
 *     offset     2    of the match, little-endian
 *     length     0-   of the match, in the same way
 *
 * The last sequence ends after its literals. So a match takes three bytes however far it reaches back, and one more from
 * 19 bytes on, and for each 255 after that.
 */

export const MIN_MATCH: i32 = 4;
export const MAX_OFFSET: i32 = 65535;

/** Decoders copy in words: so many bytes at a block's end are literals, and the last match begins so far before it. */
export const LAST_LITERALS: i32 = 5;
export const LAST_MATCH: i32 = 12;

/** In either half of a token: bytes of length follow. */
export const MORE: i32 = 15;

/** The token and the offset. */
export const MATCH_BYTES: i32 = 3;

/** How many bytes of length follow for `count` literals, or for `count` more than MIN_MATCH bytes of a match. */
// @ts-ignore: decorator
@inline
export function lengthBytes(count: i32): i32 {
  return count < MORE ? 0 : 1 + <i32>(<u32>(count - MORE) / 255);
}
