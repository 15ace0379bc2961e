/**
 * The input and the output, each with room behind it, so that what decodes need not look where it stands before every
 * byte.
 *
 *     INPUT    the compressed block, then PADDING zeros: the bit reader loads eight bytes from up to 8 bytes past it
 *     OUTPUT   the result, then OVERRUN: a step of the decoder may begin at the result's last byte
 */
import { MAX_MATCH } from "../deflate/format";

/** The largest block of SquashFS. */
export const MAX_OUTPUT: i32 = 1 << 20;
/** And what a hasty encoder may make of it: stored blocks of some 100 bytes, each five bytes longer than they. */
export const MAX_INPUT: i32 = MAX_OUTPUT + (MAX_OUTPUT >> 4);

export const PADDING: i32 = 32;
/** Literals, a match, and a vector that is stored for its last byte. */
export const OVERRUN: i32 = 3 + MAX_MATCH + 16;

export const INPUT: usize = memory.data(MAX_INPUT + PADDING, 64);
export const OUTPUT: usize = memory.data(MAX_OUTPUT + OVERRUN, 64);
