/**
 * How the match finders count positions: 32 bits, and on from block to block, with a window between them. So what an
 * earlier block left in the tables is too far back for any position of this one, and nothing need be cleared: that
 * would take longer than to compress a small block.
 */
import { M4_MAX_DISTANCE } from "./format";

/** Further back than any match. Position 0, which is in tables never written to, is further back than anything. */
export const OUT_OF_REACH: i32 = M4_MAX_DISTANCE + 1;

/** Tables by position are this long: a power of two, not less than the window. */
export const RING: i32 = 1 << 16;

/** Blocks end before this position; the next one begins again at 0, with tables that are cleared. */
export const LAST_POSITION: i32 = i32.MAX_VALUE;
