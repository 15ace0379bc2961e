/** Inputs that are hard on an LZ4 encoder, and LZ4 blocks read by the letter of the format. */
import fc from "../support/fast-check.js";
import { hardInputs as commonInputs, noise, records, text } from "./deflate-data.js";

/** As long as a block gets: liblz4's LZ4_COMPRESSBOUND. */
export const worstCase = (length: number) => length + Math.floor(length / 255) + 16;

export interface Sequence {
  readonly literals: number;
  /** 0 in the last sequence, which has no match. */
  readonly matched: number;
  readonly offset: number;
}

/** The sequences of a block, as doc/lz4_Block_format.md of the lz4 project says. Trusts the block to be whole. */
export function sequencesOf(block: Uint8Array): Sequence[] {
  const sequences: Sequence[] = [];
  let at = 0;
  const lengthOf = (nibble: number) => {
    let length = nibble;
    if (nibble === 15) {
      let byte: number;
      do {
        byte = block[at++]!;
        length += byte;
      } while (byte === 255);
    }
    return length;
  };
  while (at < block.length) {
    const token = block[at++]!;
    const literals = lengthOf(token >> 4);
    at += literals;
    if (at >= block.length) {
      sequences.push({ literals, matched: 0, offset: 0 });
      break;
    }
    const offset = block[at]! | (block[at + 1]! << 8);
    at += 2;
    sequences.push({ literals, matched: lengthOf(token & 15) + 4, offset });
  }
  return sequences;
}

const concat = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

/** `distance` bytes that begin with a pattern which they do not repeat, and the pattern again. */
function repeatedAt(distance: number): Uint8Array {
  const pattern = noise(64, 7);
  return concat(pattern, noise(distance - 64, 8), pattern, noise(20, 9));
}

/** All of them by name. */
export function hardInputs(): Map<string, Uint8Array> {
  const inputs = new Map(commonInputs());
  // The shortest blocks with a match, and every length about them.
  for (let length = 4; length <= 24; length++) {
    inputs.set(`a period of two, ${length} bytes`, Buffer.from("ab".repeat(12).slice(0, length)));
    inputs.set(`a period of four, ${length} bytes`, Buffer.from("abcd".repeat(6).slice(0, length)));
  }
  // Runs of literals and lengths of matches where one more byte of length begins.
  for (const count of [14, 15, 16, 269, 270, 271, 524, 525, 526, 779, 780, 781]) {
    inputs.set(`${count} literals`, concat(noise(count, count), new Uint8Array(40)));
    inputs.set(`${count} last literals`, concat(new Uint8Array(40), noise(count, count)));
    for (const matched of [count + 3, count + 4, count + 5]) {
      const part = noise(matched, count);
      inputs.set(`a match of ${matched}`, concat(part, noise(9, 1), part, noise(30, 2)));
      inputs.set(`${matched + 1} of one byte`, concat(new Uint8Array(matched + 1), noise(30, 2)));
    }
  }
  for (const distance of [65_534, 65_535, 65_536, 65_537, 131_071]) {
    inputs.set(`a match ${distance} back`, repeatedAt(distance));
  }
  // The decoder copies matches in vectors of 16 bytes, from nearer than that too.
  for (let period = 1; period <= 40; period++) {
    const part = noise(period, period);
    inputs.set(`a period of ${period}`, concat(...Array.from({ length: 30 }, () => part), noise(20, 1)));
  }
  return inputs;
}

/** Data that looks like something: pieces of all kinds, repeats of earlier pieces among them. */
export const structured: fc.Arbitrary<Uint8Array> = fc
  .array(
    fc.oneof(
      fc.record({ kind: fc.constantFrom("noise", "text", "records"), length: fc.nat(4000), seed: fc.integer() }),
      fc.record({ kind: fc.constantFrom("noise", "run"), length: fc.nat(30), seed: fc.nat(3) }),
      fc.record({ kind: fc.constant("run"), length: fc.nat(1000), seed: fc.nat(255) }),
      fc.record({ kind: fc.constant("copy"), length: fc.nat(3000), seed: fc.nat(80_000) }),
    ),
    { maxLength: 60 },
  )
  .map((pieces) => {
    const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const { kind, length, seed } of pieces) {
      if (kind === "noise") bytes.set(noise(length, seed), at);
      else if (kind === "text") bytes.set(text(length, seed), at);
      else if (kind === "records") bytes.set(records(length, seed), at);
      else if (kind === "run") bytes.fill(seed, at, at + length);
      // Byte by byte, because a copy may overlap itself.
      else if (at > 0) for (let i = 0; i < length; i++) bytes[at + i] = bytes[at + i - 1 - (seed % at)]!;
      at += length;
    }
    return bytes;
  });
