/**
 * Why a block cannot be decoded: negative numbers, for which inflate.ts beside this folder has the words, by their names.
 */

/** The compressed data ends before its last block does, or before its checksum. */
export const ENDS_EARLY: i32 = -1;
/** The result is longer than it may be. */
export const TOO_LONG: i32 = -2;
/** RFC 1950, section 2.2: not the method, window or check bits of the header. */
export const NO_ZLIB_HEADER: i32 = -3;
/** RFC 1950, section 2.2, FDICT. */
export const PRESET_DICTIONARY: i32 = -4;
/** RFC 1951, section 3.2.3: a block of type 3. */
export const BLOCK_TYPE: i32 = -5;
/** Section 3.2.4: NLEN is not the complement of LEN. */
export const STORED_LENGTH: i32 = -6;
/** Section 3.2.7: 287 or 288 literal and length codewords, or 31 or 32 offset codewords. */
export const TOO_MANY_SYMBOLS: i32 = -7;
/** Section 3.2.7: a repeat of the length before the first, or beyond the last length. */
export const REPEATED_LENGTH: i32 = -8;
/** Section 3.2.2: there are not as many codewords as the lengths ask for. */
export const OVERSUBSCRIBED: i32 = -9;
/** Section 3.2.2: there are codewords that stand for nothing, in a code that has more than one. */
export const INCOMPLETE: i32 = -10;
/** Section 3.2.7: the block's code has no end of block. */
export const NO_END_OF_BLOCK: i32 = -11;
/** A codeword that stands for nothing (section 3.2.5, and of incomplete codes). */
export const INVALID_CODEWORD: i32 = -12;
/** Section 3.2.5: a match that begins before the result. */
export const TOO_FAR_BACK: i32 = -13;
/** RFC 1950, section 2.2, ADLER32. */
export const CHECKSUM: i32 = -14;
/** There is more after the checksum. */
export const TRAILING_BYTES: i32 = -15;
