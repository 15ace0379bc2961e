/**
 * The input and the output. An input is at most MAX_INPUT bytes; longer streams are compressed in several, each with
 * the bytes before it as history, to which matches may reach back.
 *
 *     INPUT - WINDOW   history, up to a window of it, ending where the input begins
 *     INPUT            the input, then PADDING zeros: searches read past the end, and then look at the length
 *     OUTPUT           the result, never longer than the input would be in stored blocks
 */
import { WINDOW } from "./format";

/** The largest block of SquashFS. */
export const MAX_INPUT: i32 = 1 << 20;

/** As far as eight-byte loads at a match's last byte reach, and a vector's width at that. */
export const PADDING: i32 = 16;

export const INPUT: usize = memory.data(WINDOW + MAX_INPUT + PADDING, 64) + WINDOW;

/**
 * No block is longer than the stored blocks in its place, which add at most six bytes each (RFC 1951, section 3.2.4).
 * Blocks are made of whole segments, of 1024 bytes at least; a chunk's last one may be shorter, but chunks are longer
 * than that too. And the bit writer stores eight bytes at a time. So 16 bytes for each 1024 are more than enough.
 */
export const MAX_OUTPUT: i32 = MAX_INPUT + (MAX_INPUT >> 6) + 64;

export const OUTPUT: usize = memory.data(MAX_OUTPUT, 64);
