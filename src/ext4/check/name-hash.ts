/** The hashes that the index of a directory may be ordered by, as its root and the superblock say. Linux fs/ext4/hash.c. */
import type { ByteString } from "../../bytes/bytestring.js";
import { halfMd4, MD4_STATE, words } from "../hash.js";
import { HASH_HALF_MD4, HASH_LEGACY, HASH_TEA } from "../layout.js";

const TEA_DELTA = 0x9e3779b9;
const MOST = 0xfffffffe;

/** Returns the major hash of a name, whose bit 0 is clear. */
export type NameHasher = (name: ByteString) => number;

/** The hash of `version`; undefined for one that is not known here. `seed` is the superblock's. */
export function nameHasher(version: number, seed: Uint8Array, unsigned: boolean): NameHasher | undefined {
  const view = new DataView(seed.buffer, seed.byteOffset, seed.length);
  const stored = Int32Array.from({ length: 4 }, (_, i) => view.getInt32(4 * i, true));
  const start = stored.some((word) => word !== 0) ? stored : MD4_STATE;
  switch (version) {
    case HASH_LEGACY:
      return (name) => finish(legacy(name, !unsigned));
    case HASH_HALF_MD4:
      return (name) => finish(inBlocks(name, start, 8, 1, !unsigned, halfMd4));
    case HASH_TEA:
      return (name) => finish(inBlocks(name, start, 4, 0, !unsigned, tea));
    default:
      return undefined;
  }
}

/** The largest hash is an end mark where directories are read, and so no name may have it. */
function finish(hash: number): number {
  const major = (hash & ~1) >>> 0;
  return major === MOST ? MOST - 2 : major;
}

function inBlocks(
  name: ByteString,
  seed: Int32Array,
  size: number,
  result: number,
  signed: boolean,
  step: (state: Int32Array, input: Int32Array) => void,
): number {
  const state = Int32Array.from(seed);
  const input = new Int32Array(size);
  for (let from = 0; from < name.length; from += 4 * size) {
    words(name, from, input, signed);
    step(state, input);
  }
  return state[result]!;
}

/** The Tiny Encryption Algorithm with 16 rounds, the input as its key. */
function tea(state: Int32Array, input: Int32Array): void {
  let [low, high] = [state[0]!, state[1]!];
  let sum = 0;
  for (let round = 0; round < 16; round++) {
    sum = (sum + TEA_DELTA) | 0;
    low = (low + (((high << 4) + input[0]!) ^ (high + sum) ^ ((high >>> 5) + input[1]!))) | 0;
    high = (high + (((low << 4) + input[2]!) ^ (low + sum) ^ ((low >>> 5) + input[3]!))) | 0;
  }
  state[0]! += low;
  state[1]! += high;
}

/** Of the first kernels that had an index. */
function legacy(name: ByteString, signed: boolean): number {
  let [last, before] = [0x12a3fe2d, 0x37abe8f9];
  for (let i = 0; i < name.length; i++) {
    const byte = name.charCodeAt(i);
    let hash = (before + (last ^ Math.imul(signed ? (byte << 24) >> 24 : byte, 7_152_373))) >>> 0;
    if (hash >= 2 ** 31) hash -= 0x7fffffff;
    before = last;
    last = hash;
  }
  return last << 1;
}
