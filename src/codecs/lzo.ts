/**
 * LZO1X, the format that Linux's Documentation/staging/lzo.rst describes, bitstream version 0. The encoder is our own:
 * AssemblyScript in lzo/, that comes as WebAssembly. The same input and level give the same bytes everywhere. The decoder
 * is below.
 */
import { ImgbuildError } from "../errors.js";
import type { Compressor, Decompressor } from "./codec.js";
import { instantiateWasm } from "./wasm.js";

export interface LzoOptions {
  /** 1 (fast) to 9 (small); lzo/levels.ts has what they do. */
  readonly level: number;
}

/** What the WebAssembly exports; lzo/index.ts documents it. Pointers are numbers. */
interface Encoder {
  readonly memory: { readonly buffer: ArrayBuffer };
  input(): number;
  output(): number;
  maxInput(): number;
  compress(length: number, level: number): number;
}

/** The encoder of a thread. It does one thing after the other, so everyone can have the same. */
let loading: Promise<Encoder> | undefined;

/** A compressor for blocks of at most 1 MiB. Throws an `internal` error for an impossible level, and for a longer block. */
export async function lzoCompressor({ level }: LzoOptions): Promise<Compressor> {
  if (!Number.isInteger(level) || level < 1 || level > 9) {
    throw new ImgbuildError("internal", `there is no LZO level ${level}`);
  }
  loading ??= instantiateWasm<Encoder>(new URL("./lzo.wasm", import.meta.url));
  const encoder = await loading;
  const memory = new Uint8Array(encoder.memory.buffer);
  const [from, to, maxInput] = [encoder.input(), encoder.output(), encoder.maxInput()];
  return {
    compress(input, output) {
      if (input.length > maxInput) {
        throw new ImgbuildError("internal", `LZO blocks are at most ${maxInput} bytes long, not ${input.length}`);
      }
      memory.set(input, from);
      const size = encoder.compress(input.length, level);
      if (size > output.length) return 0;
      output.set(memory.subarray(to, to + size));
      return size;
    },
  };
}

/** How many literals the last instruction copied: none, 1 to 3 after a match, or this and more. The next depends on it. */
const MANY_LITERALS = 4;

/** Where M1 matches of three bytes, and M4 matches, begin to be of use: the shorter instructions reach up to there. */
const TRIPLE_DISTANCE = 2048;
const M4_DISTANCE = 16384;

/** From this length on, the typed arrays' own copying is faster than a loop. */
const LONG = 48;

/** A decompressor. It takes what any LZO1X encoder writes, except for the zero runs of bitstream version 1 (LZO-RLE). */
export function lzoDecompressor(): Decompressor {
  return { decompress };
}

function decompress(input: Uint8Array, output: Uint8Array): number {
  const inputEnd = input.length;
  const outputEnd = output.length;
  let from = 0;
  let to = 0;
  let literals = 0;
  /** What the last instruction copied: up to MANY_LITERALS. */
  let state = 0;
  if (input[0]! > 17) {
    literals = input[from++]! - 17;
    state = Math.min(literals, MANY_LITERALS);
    if (literals > inputEnd - from || literals > outputEnd - to) throw damaged(from);
    for (; literals > 0; literals--) output[to++] = input[from++]!;
  }
  // Every turn takes at least a byte of the input. What is read past its end is undefined, 0 in what is computed from it, and
  // found out before it is used.
  while (from < inputEnd) {
    const code = input[from++]!;
    let length: number;
    let distance: number;
    if (code >= 64) {
      length = (code >> 5) + 1;
      distance = ((code >> 2) & 7) + (input[from++]! << 3) + 1;
      literals = code & 3;
    } else if (code >= 16) {
      const mask = code >= 32 ? 31 : 7;
      length = code & mask;
      if (length === 0) {
        for (length = mask; input[from] === 0; from++) length += 255;
        length += input[from++]!;
      }
      length += 2;
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
        for (length = 15; input[from] === 0; from++) length += 255;
        length += input[from++]!;
      }
      length += 3;
      // So too when the length is NaN, of a byte past the end.
      if (!(length <= inputEnd - from && length <= outputEnd - to)) throw damaged(from);
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
      length = 2;
      distance = (code >> 2) + (input[from++]! << 2) + 1;
      literals = code & 3;
      if (state === MANY_LITERALS) {
        length = 3;
        distance += TRIPLE_DISTANCE;
      }
    }
    if (distance > to || !(length + literals <= outputEnd - to) || literals > inputEnd - from) throw damaged(from);
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
