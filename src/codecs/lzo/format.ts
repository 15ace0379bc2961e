/**
 * The numbers of the LZO1X format, as Linux's Documentation/staging/lzo.rst describes it (bitstream version 0), and a
 * match as one number. The names M1 to M4 are those of liblzo's own sources.
 *
 * | instruction | copies                               | bytes                               |
 * | ----------- | ------------------------------------ | ----------------------------------- |
 * | literals    | 4 or more, after a match without any | 1; from 19 on 2, and 1 for each 255 |
 * | M1, a pair  | 2 bytes, distance 1 to 1024          | 2; only after 1 to 3 literals       |
 * | M1, triple  | 3 bytes, distance 2049 to 3072       | 2; only after 4 or more literals    |
 * | M2          | 3 to 8 bytes, distance 1 to 2048     | 2                                   |
 * | M3          | 3 or more, distance 1 to 16384       | 3; from 34 on 1 more for each 255   |
 * | M4          | 3 or more, distance 16385 to 49151   | 3; from 10 on 1 more for each 255   |
 *
 * Each of M1 to M4 has two bits for the number of literals that follow it, 0 to 3.
 */

export const MIN_MATCH: i32 = 3;

/** Literals that fit into the two bits of a match. */
export const MAX_STATE_LITERALS: i32 = 3;
/** The longest run whose length is in the instruction's own byte, and the same for the first run of a block. */
export const MAX_SHORT_RUN: i32 = 18;
export const MAX_FIRST_RUN: i32 = 238;

export const PAIR_MAX_DISTANCE: u32 = 1024;
export const TRIPLE_MIN_DISTANCE: u32 = 2049;
export const TRIPLE_MAX_DISTANCE: u32 = 3072;
export const M2_MAX_DISTANCE: u32 = 2048;
export const M2_MAX_LENGTH: i32 = 8;
export const M3_MAX_DISTANCE: u32 = 16384;
export const M3_MAX_SHORT_LENGTH: i32 = 33;
export const M4_MAX_DISTANCE: u32 = 49151;
export const M4_MAX_SHORT_LENGTH: i32 = 9;

/** Bytes of a match instruction. */
export const M1_SIZE: i32 = 2;
export const M2_SIZE: i32 = 2;
export const M3_SIZE: i32 = 3;
export const M4_SIZE: i32 = 3;
/** Bytes of the instruction that ends a block, an M4 with a distance that there is not. */
export const END_SIZE: i32 = 3;

/** By how much each further byte of a length can raise it. */
export const LENGTH_STEP: i32 = 255;

/** How many bytes more a length takes than one that is not above `short`. */
// @ts-ignore: decorator
@inline
export function extraLengthBytes(length: i32, short: i32): i32 {
  return length <= short ? 0 : 1 + (length - short - 1) / LENGTH_STEP;
}

/**
 * The bytes of the instruction for `literals` literals, 4 or more, that are not a block's first; without themselves.
 */
// @ts-ignore: decorator
@inline
export function runSize(literals: i32): i32 {
  return 1 + extraLengthBytes(literals, MAX_SHORT_RUN);
}

/** The bytes of M2, M3 or M4, whichever is the shortest. */
// @ts-ignore: decorator
@inline
export function matchSize(length: i32, distance: u32): i32 {
  if (distance <= M2_MAX_DISTANCE && length <= M2_MAX_LENGTH) return M2_SIZE;
  if (distance <= M3_MAX_DISTANCE) return M3_SIZE + extraLengthBytes(length, M3_MAX_SHORT_LENGTH);
  return M4_SIZE + extraLengthBytes(length, M4_MAX_SHORT_LENGTH);
}

// A match is a number: the length in the lower 16 bits, the distance in the upper ones. 0 is no match. The format knows
// no longest match; here there is one, of which a repeat takes as good as nothing.

export const MAX_MATCH: i32 = 65535;

// @ts-ignore: decorator
@inline
export function makeMatch(length: i32, distance: u32): u32 {
  return length | (distance << 16);
}

// @ts-ignore: decorator
@inline
export function matchLength(match: u32): i32 {
  return match & 0xffff;
}

// @ts-ignore: decorator
@inline
export function matchDistance(match: u32): u32 {
  return match >> 16;
}

/** Whether the match can be written as M1 where 4 or more literals are before it. */
// @ts-ignore: decorator
@inline
export function isTriple(match: u32): bool {
  const distance = matchDistance(match);
  return matchLength(match) == 3 && distance >= TRIPLE_MIN_DISTANCE && distance <= TRIPLE_MAX_DISTANCE;
}
