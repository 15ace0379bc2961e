/**
 * Writes the instructions of a block (Linux, Documentation/staging/lzo.rst, "Byte sequences"), bitstream version 0. A
 * block begins with literals, so its first byte is never 17, by which readers know later versions: only the empty block
 * has it, and that is too short for one.
 */
import { OUTPUT } from "./buffers";
import {
  isTriple,
  LENGTH_STEP,
  M2_MAX_DISTANCE,
  M2_MAX_LENGTH,
  M3_MAX_DISTANCE,
  M3_MAX_SHORT_LENGTH,
  M4_MAX_SHORT_LENGTH,
  MAX_FIRST_RUN,
  MAX_SHORT_RUN,
  MAX_STATE_LITERALS,
  matchDistance,
  matchLength,
  TRIPLE_MIN_DISTANCE,
} from "./format";

/** Literals are copied this many bytes at a time. */
const VECTOR: i32 = 16;

/**
 * Writes `literals` literals from `from` to `output`, and returns where the next instruction goes. Before are a match,
 * or nothing. Up to VECTOR bytes past the literals are read and written to.
 */
// @ts-ignore: decorator
@inline
export function writeLiterals(output: usize, from: usize, literals: i32): usize {
  if (output == OUTPUT && literals <= MAX_FIRST_RUN) {
    store<u8>(output++, <u8>(17 + literals));
  } else if (literals <= MAX_STATE_LITERALS) {
    // All matches keep their two bits in the last byte but one.
    store<u8>(output - 2, load<u8>(output - 2) | <u8>literals);
    store<u32>(output, load<u32>(from));
    return output + literals;
  } else {
    output = writeLength(output, 0, literals - 3, MAX_SHORT_RUN - 3);
  }
  for (let at: usize = 0; at < <usize>literals; at += VECTOR) v128.store(output + at, v128.load(from + at));
  return output + literals;
}

/** Writes a match after a run of `literals`, and returns where the next instruction goes. */
// @ts-ignore: decorator
@inline
export function writeMatch(output: usize, match: u32, literals: i32): usize {
  const length = matchLength(match);
  const distance = matchDistance(match);
  if (length == 2) return writeNear(output, 0, distance - 1, 2);
  if (distance <= M2_MAX_DISTANCE && length <= M2_MAX_LENGTH) {
    return writeNear(output, (length - 1) << 5, distance - 1, 3);
  }
  if (literals > MAX_STATE_LITERALS && isTriple(match)) return writeNear(output, 0, distance - TRIPLE_MIN_DISTANCE, 2);
  if (distance <= M3_MAX_DISTANCE) {
    output = writeLength(output, 0x20, length - 2, M3_MAX_SHORT_LENGTH - 2);
    return writeDistance(output, distance - 1);
  }
  const beyond = distance - M3_MAX_DISTANCE;
  output = writeLength(output, 0x10 | <i32>((beyond >> 14) << 3), length - 2, M4_MAX_SHORT_LENGTH - 2);
  return writeDistance(output, beyond & 0x3fff);
}

/** Writes what ends a block. */
export function writeEnd(output: usize): usize {
  store<u8>(output, 0x11);
  return writeDistance(output + 1, 0);
}

/** `code`, and a length in its low bits when it is not more than `short`; else zero there, and the rest in bytes. */
// @ts-ignore: decorator
@inline
function writeLength(output: usize, code: i32, length: i32, short: i32): usize {
  if (length <= short) {
    store<u8>(output, <u8>(code | length));
    return output + 1;
  }
  store<u8>(output++, <u8>code);
  let rest = length - short;
  for (; rest > LENGTH_STEP; rest -= LENGTH_STEP) store<u8>(output++, 0);
  store<u8>(output, <u8>rest);
  return output + 1;
}

/**
 * A near distance: its lowest `bits` bits in the byte of the code, above the two for literals, the others in the next.
 */
// @ts-ignore: decorator
@inline
function writeNear(output: usize, code: u32, distance: u32, bits: u32): usize {
  store<u8>(output, <u8>(code | ((distance & ((1 << bits) - 1)) << 2)));
  store<u8>(output + 1, <u8>(distance >> bits));
  return output + 2;
}

/** A far distance: 14 bits above the two for literals. */
// @ts-ignore: decorator
@inline
function writeDistance(output: usize, distance: u32): usize {
  store<u16>(output, <u16>(distance << 2));
  return output + 2;
}
