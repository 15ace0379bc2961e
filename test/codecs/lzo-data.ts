/** Inputs whose best LZO1X instructions are known, each at a limit of the format; and data to fuzz with. */
import * as fs from "node:fs";
import * as path from "node:path";
import fc from "../support/fast-check.js";
import { noise, records, text } from "./deflate-data.js";
import type { Instruction } from "./lzo-instructions.js";

export interface Limit {
  readonly name: string;
  readonly input: Uint8Array;
  /** What an encoder that misses nothing makes of it, among other things. */
  readonly expected: Partial<Instruction>;
}

const concat = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

/** Bytes in which no two neighbours occur twice: each 256 of them count in steps of another odd number. At most 32 KiB. */
function distinct(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i & 255) * (2 * (i >> 8) + 1));
}

/** Lengths of runs around the limits of the two bits, of the short form, of a block's first run, and of each further byte. */
const RUNS = [4, 5, 17, 18, 19, 20, 237, 238, 239, 240, 272, 273, 274, 527, 528, 529, 783, 784];
const M3_LENGTHS = [3, 4, 5, 8, 9, 10, 32, 33, 34, 35, 287, 288, 289, 542, 543, 544];
const M4_LENGTHS = [4, 5, 8, 9, 10, 11, 263, 264, 265, 518, 519, 520];

export function limits(): Limit[] {
  const found: Limit[] = [];
  const bytes = distinct(2 ** 15);
  const piece = bytes.subarray(0, 20);

  for (const run of [1, 2, 3, ...RUNS]) {
    const before = concat(bytes.subarray(0, 40), piece);
    const input = concat(before, bytes.subarray(40, 40 + run), piece);
    const expected: Partial<Instruction> = run < 4 ? { length: 20, literals: run } : { kind: "literals", length: run };
    found.push({ name: `a run of ${run}`, input, expected });
    found.push({ name: `a run of ${run} at the end`, input: input.subarray(0, -20), expected });
    found.push({
      name: `a first run of ${run}`,
      input: concat(bytes.subarray(0, run), ...Array.from({ length: 20 }, () => bytes.subarray(0, run))),
      expected: { kind: "literals", length: run },
    });
  }

  // The piece occurs once, so far back; what follows it then did not follow it before.
  const copy = (kind: Instruction["kind"], length: number, distance: number) => {
    const after = bytes[distance + 99] === bytes[length] ? distance + 100 : distance + 99;
    const input = concat(bytes.subarray(0, distance), bytes.subarray(0, length), bytes.subarray(after, after + 3));
    found.push({ name: `${length} bytes from ${distance} back`, input, expected: { kind, length, distance } });
  };
  for (const distance of [700, 2048])
    for (const length of M3_LENGTHS) copy(length <= 8 ? "M2" : "M3", length, distance);
  for (const distance of [4000, 16384]) for (const length of M3_LENGTHS.slice(1)) copy("M3", length, distance);
  for (const distance of [16385, 20000]) for (const length of M4_LENGTHS) copy("M4", length, distance);
  copy("M3", 8, 2049);

  // Here zeros are in between, because there are not as many different pairs.
  const apart = (kind: Instruction["kind"], distance: number) => {
    const pattern = noise(64, 7);
    const input = concat(pattern, new Uint8Array(distance - 64), pattern);
    found.push({ name: `64 bytes from ${distance} back`, input, expected: { kind, distance } });
  };
  for (const distance of [2047, 2048, 2049, 16383, 16384]) apart("M3", distance);
  for (const distance of [16385, 32767, 32768, 32769, 49150, 49151]) apart("M4", distance);

  // Three bytes after new ones. And two bytes with one literal before and one after, all of it between two matches.
  for (const distance of [2049, 2050, 3071, 3072]) {
    const before = bytes.subarray(0, distance);
    const input = concat(before, bytes.subarray(0, 3), bytes.subarray(distance + 99, distance + 101));
    found.push({ name: `3 bytes from ${distance} back`, input, expected: { kind: "M1 triple", distance } });
  }
  const other = bytes.subarray(500, 520);
  for (const distance of [1023, 1024]) {
    const before = concat(bytes.subarray(0, distance - 21), other, Uint8Array.of(bytes[5000]!));
    const input = concat(before, bytes.subarray(0, 2), Uint8Array.of(bytes[6000]!), other);
    found.push({ name: `2 bytes from ${distance} back`, input, expected: { kind: "M1 pair", distance } });
  }
  return found;
}

/** Programs and texts: what is at hand wherever the tests run. */
export function corpus(): Map<string, Uint8Array> {
  const root = path.resolve(import.meta.dirname, "../../..");
  const found = new Map([["node", fs.readFileSync(process.execPath).subarray(2 ** 22, 2 ** 22 + 2 ** 20)]]);
  for (const file of ["package-lock.json", "LICENSE", "build/src/codecs/deflate.wasm"]) {
    found.set(file, fs.readFileSync(path.join(root, file)).subarray(0, 2 ** 20));
  }
  return found;
}

/** Data that looks like something: pieces of all kinds, repeats of earlier pieces among them. */
export const structured: fc.Arbitrary<Uint8Array> = fc
  .array(
    fc.oneof(
      fc.record({ kind: fc.constantFrom("noise", "text", "records"), length: fc.nat(3000), seed: fc.integer() }),
      fc.record({ kind: fc.constantFrom("noise", "few"), length: fc.nat(20), seed: fc.integer() }),
      fc.record({ kind: fc.constant("run"), length: fc.nat(1000), seed: fc.nat(255) }),
      fc.record({ kind: fc.constant("copy"), length: fc.oneof(fc.nat(12), fc.nat(3000)), seed: fc.nat() }),
    ),
    { maxLength: 60 },
  )
  .map((pieces) => {
    const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const { kind, length, seed } of pieces) {
      if (kind === "noise") bytes.set(noise(length, seed), at);
      else if (kind === "few")
        bytes.set(
          noise(length, seed).map((byte) => byte & 3),
          at,
        );
      else if (kind === "text") bytes.set(text(length, seed), at);
      else if (kind === "records") bytes.set(records(length, seed), at);
      else if (kind === "run") bytes.fill(seed, at, at + length);
      // Byte by byte, because a copy may overlap itself.
      else if (at > 0)
        for (let i = 0; i < length; i++) bytes[at + i] = bytes[at + i - 1 - (seed % Math.min(at, 60_000))]!;
      at += length;
    }
    return bytes;
  });
