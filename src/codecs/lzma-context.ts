/**
 * Which bits LZMA takes as context, chosen by the data. The usual ones (lc 3, lp 0, pb 2) suit programs of no particular
 * processor. In text the position says nothing, and contexts for it only learn more slowly; where instructions are words, a
 * byte depends on its place in the word more than on the byte before. Choosing saves 0.2 to 0.8 % and costs a look at each block.
 * The thresholds are from trees for arm64, armhf and x86-64.
 */

/** Bits of the byte before a literal, of the literal's position, and of a match's position. lc + lp is at most 4. */
export interface LzmaContext {
  readonly lc: number;
  readonly lp: number;
  readonly pb: number;
}

const USUAL: LzmaContext = { lc: 3, lp: 0, pb: 2 };
const UNALIGNED: LzmaContext = { lc: 3, lp: 0, pb: 0 };
const HALF_WORDS: LzmaContext = { lc: 3, lp: 1, pb: 1 };
const WORDS: LzmaContext = { lc: 1, lp: 2, pb: 2 };

/** All of them: what is left to try for those who have the time. */
export const CONTEXTS: readonly LzmaContext[] = [USUAL, UNALIGNED, WORDS, HALF_WORDS];

/** The context that should suit `bytes` best. */
export function chooseContext(bytes: Uint8Array): LzmaContext {
  const { ofTwo, ofFour } = positionInformation(bytes);
  if (ofFour < 0.05) return UNALIGNED;
  if (ofFour > 0.3 && ofTwo > 0.7 * ofFour) return HALF_WORDS;
  return ofFour > 0.4 ? WORDS : USUAL;
}

/** Bits that a byte's position modulo 2 and modulo 4 tell about the byte (their mutual information), on the average. */
function positionInformation(bytes: Uint8Array): { ofTwo: number; ofFour: number } {
  const counts = new Uint32Array(4 * 256);
  for (let i = 0; i < bytes.length; i++) counts[((i & 3) << 8) | bytes[i]!]!++;
  const one = new Entropy();
  const two = new Entropy();
  const four = new Entropy();
  const totals = [0, 0, 0, 0] as [number, number, number, number];
  for (let value = 0; value < 256; value++) {
    const [a, b, c, d] = [counts[value]!, counts[256 + value]!, counts[512 + value]!, counts[768 + value]!];
    one.add(a + b + c + d);
    for (const count of [a + c, b + d]) two.add(count);
    for (const count of [a, b, c, d]) four.add(count);
    totals[0] += a;
    totals[1] += b;
    totals[2] += c;
    totals[3] += d;
  }
  const [a, b, c, d] = totals;
  one.of(a + b + c + d);
  for (const total of [a + c, b + d]) two.of(total);
  for (const total of totals) four.of(total);
  return {
    ofTwo: (one.bits - two.bits) / Math.max(1, bytes.length),
    ofFour: (one.bits - four.bits) / Math.max(1, bytes.length),
  };
}

/** The entropy of counts, times their sum. */
class Entropy {
  bits = 0;

  add(count: number): void {
    if (count === 0) return;
    // Few counts look more orderly than they are: the correction of Miller and Madow, 1 / (2 ln 2) for each.
    this.bits += 0.72 - count * roughLog2(count);
  }

  of(total: number): void {
    this.bits += total * roughLog2(total);
  }
}

/** log2 between powers of two by straight lines. Math.log2 may have other last bits elsewhere, and the choice must not. */
function roughLog2(count: number): number {
  if (count === 0) return 0;
  const exponent = 31 - Math.clz32(count);
  // The shift is exact everywhere; ECMAScript lets `**` be approximate.
  return exponent + count / (1 << exponent) - 1;
}
