/** The hash of a name in a directory's index: half MD4, names as unsigned bytes. Linux fs/ext4/hash.c; RFC 1320. */
import type { ByteString } from "../bytes/bytestring.js";

export interface NameHash {
  /** What the index is ordered by; bit 0 is clear. */
  readonly major: number;
  /** Orders names of equal major hash when the directory is listed. */
  readonly minor: number;
}

/** The largest hash is an end mark where directories are read, and so no name may have it. */
const END_OF_DIRECTORY = 0xfffffffe;

const ROUNDS = [
  { constant: 0, shifts: [3, 7, 11, 19], words: [0, 1, 2, 3, 4, 5, 6, 7] },
  { constant: 0x5a827999, shifts: [3, 5, 9, 13], words: [1, 3, 5, 7, 0, 2, 4, 6] },
  { constant: 0x6ed9eba1, shifts: [3, 9, 11, 15], words: [3, 7, 2, 6, 1, 5, 0, 4] },
] as const;

/** One step on eight words of input: MD4 with half of its steps in each round. */
export function halfMd4(state: Int32Array, input: Int32Array): void {
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  for (let round = 0; round < 3; round++) {
    const { constant, shifts, words } = ROUNDS[round]!;
    for (let step = 0; step < 8; step++) {
      const mixed = round === 0 ? d ^ (b & (c ^ d)) : round === 1 ? ((b & c) + ((b ^ c) & d)) | 0 : b ^ c ^ d;
      const sum = (a + mixed + input[words[step]!]! + constant) | 0;
      const shift = shifts[step & 3]!;
      a = d;
      d = c;
      c = b;
      b = (sum << shift) | (sum >>> (32 - shift));
    }
  }
  state[0]! += a;
  state[1]! += b;
  state[2]! += c;
  state[3]! += d;
}

/**
 * The characters from `from` on as big-endian words, as many as fit; what the name lacks is filled with its remaining
 * length. `signed`: as compilers have it where char is a signed type.
 */
export function words(name: ByteString, from: number, into: Int32Array, signed = false): void {
  const remaining = name.length - from;
  const padding = Math.imul(remaining, 0x01010101); // names have at most 255 bytes
  let word = padding;
  let at = 0;
  const length = Math.min(remaining, 4 * into.length);
  for (let i = 0; i < length; i++) {
    const byte = name.charCodeAt(from + i);
    word = (signed ? (byte << 24) >> 24 : byte) + (word << 8);
    if (i % 4 === 3) {
      into[at++] = word;
      word = padding;
    }
  }
  if (at < into.length) into[at++] = word;
  into.fill(padding, at);
}

/** What MD4 begins with: the seed of file systems that have none. */
export const MD4_STATE = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);

const state = new Int32Array(4);
const input = new Int32Array(8);

/** Hashes `name` with the file system's seed, its 16 bytes taken as four little-endian words. All zeros are no seed. */
export function hashName(name: ByteString, seed: Int32Array): NameHash {
  state.set(seed.some((word) => word !== 0) ? seed : MD4_STATE);
  for (let from = 0; from < name.length; from += 32) {
    words(name, from, input);
    halfMd4(state, input);
  }
  const major = (state[1]! & ~1) >>> 0;
  return { major: major === END_OF_DIRECTORY ? END_OF_DIRECTORY - 2 : major, minor: state[2]! >>> 0 };
}
