/**
 * The LZO1X decoder (Linux, Documentation/staging/lzo.rst, bitstream version 0). It is TypeScript, which is fast enough
 * (docs/decisions/0012-own-lz4-and-lzo-encoders.md), and needs no copies of a block in and out of a module's memory.
 */
import { ImgbuildError } from "../errors.js";

/** How many literals the last instruction copied: none, 1 to 3 after a match, or this and more. The next depends on it. */
const MANY_LITERALS = 4;

/** Where M1 matches of three bytes, and M4 matches, begin to be of use: the shorter instructions reach up to there. */
const TRIPLE_DISTANCE = 2048;
const M4_DISTANCE = 16384;

/** The first byte of a block that begins with literals: their number is what it has above this. */
const FIRST_LITERALS = 17;

/** From this length on, the typed arrays' own copying is faster than a loop. */
const LONG = 48;

/** Decompresses a block, as Decompressor.decompress is to: `image-corrupt` errors for what is damaged or does not fit. */
export function decompress(input: Uint8Array, output: Uint8Array): number {
  const inputEnd = input.length;
  const outputEnd = output.length;
  let from = 0;
  let to = 0;
  let literals = 0;
  /** What the last instruction copied: up to MANY_LITERALS. */
  let state = 0;
  if (inputEnd > 0 && input[0]! > FIRST_LITERALS) {
    literals = input[from++]! - FIRST_LITERALS;
    state = Math.min(literals, MANY_LITERALS);
    if (literals > inputEnd - from || literals > outputEnd - to) throw damaged(from);
    for (; literals > 0; literals--) output[to++] = input[from++]!;
  }
  // Every turn takes at least a byte of the input, and looks whether there is one before it takes another.
  while (from < inputEnd) {
    const code = input[from++]!;
    let length: number;
    let distance: number;
    if (code >= 64) {
      if (from === inputEnd) break;
      length = (code >> 5) + 1;
      distance = ((code >> 2) & 7) + (input[from++]! << 3) + 1;
      literals = code & 3;
    } else if (code >= 16) {
      const mask = code >= 32 ? 31 : 7;
      length = code & mask;
      if (length === 0) {
        for (length = mask; from < inputEnd && input[from] === 0; from++) length += 255;
        if (from === inputEnd) break;
        length += input[from++]!;
      }
      length += 2;
      if (inputEnd - from < 2) break;
      const low = input[from]!;
      distance = (low >> 2) + (input[from + 1]! << 6);
      literals = low & 3;
      from += 2;
      if (code >= 32) {
        distance++;
      } else {
        distance += (code & 8) << 11;
        if (distance === 0) {
          // As in liblzo the length does not matter; encoders write 3.
          if (from !== inputEnd) throw damaged(from);
          return to;
        }
        distance += M4_DISTANCE;
      }
    } else if (state === 0) {
      length = code;
      if (length === 0) {
        for (length = 15; from < inputEnd && input[from] === 0; from++) length += 255;
        if (from === inputEnd) break;
        length += input[from++]!;
      }
      length += 3;
      if (length > inputEnd - from || length > outputEnd - to) throw damaged(from);
      if (length < LONG) {
        for (let end = to + length; to < end; ) output[to++] = input[from++]!;
      } else {
        output.set(input.subarray(from, from + length), to);
        to += length;
        from += length;
      }
      state = MANY_LITERALS;
      continue;
    } else {
      if (from === inputEnd) break;
      length = 2;
      distance = (code >> 2) + (input[from++]! << 2) + 1;
      literals = code & 3;
      if (state === MANY_LITERALS) {
        length = 3;
        distance += TRIPLE_DISTANCE;
      }
    }
    if (distance > to || length + literals > outputEnd - to || literals > inputEnd - from) throw damaged(from);
    if (length >= LONG && distance >= length) {
      output.copyWithin(to, to - distance, to - distance + length);
      to += length;
    } else if (length >= LONG && distance === 1) {
      output.fill(output[to - 1]!, to, to + length);
      to += length;
    } else {
      for (let end = to + length; to < end; to++) output[to] = output[to - distance]!;
    }
    state = literals;
    for (; literals > 0; literals--) output[to++] = input[from++]!;
  }
  throw new ImgbuildError("image-corrupt", "LZO data is damaged: it ends early");
}

function damaged(position: number): ImgbuildError {
  return new ImgbuildError("image-corrupt", `LZO data is damaged in front of byte ${position}`);
}
