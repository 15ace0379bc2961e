/** The input and the output: one block each. */

/** The largest block of SquashFS. */
export const MAX_INPUT: i32 = 1 << 20;

/** As far as eight-byte loads at a match's last byte reach, and vectors at a literal. */
const PADDING: i32 = 16;

/** Searches read past the end of the input, and then look at the length: what is there does not matter. */
export const INPUT: usize = memory.data(MAX_INPUT + PADDING, 64);

/**
 * Every match saves a byte at least, which pays for the head of the literals after it, except for their length's
 * further bytes: fewer than one in 19. A sixteenth, and some, is what liblzo's documentation asks for as well.
 * (LZO.FAQ)
 */
export const MAX_OUTPUT: i32 = MAX_INPUT + (MAX_INPUT >> 4) + 128;

export const OUTPUT: usize = memory.data(MAX_OUTPUT, 64);
