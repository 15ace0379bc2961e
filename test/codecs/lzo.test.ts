/** The LZO encoder: against liblzo, and against the format's description. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { type Compressor, createCompressor, createDecompressor } from "../../src/codecs/index.js";
import { ImgbuildError } from "../../src/errors.js";
import fc from "../support/fast-check.js";
import { hardInputs, noise, numbers, records, text } from "./deflate-data.js";
import { assertLiblzoReads, lacksLiblzo, liblzoCompress } from "./liblzo.js";
import { corpus, limits, structured } from "./lzo-data.js";
import { instructions } from "./lzo-instructions.js";

const LEVELS = [1, 2, 3, 4, 5, 6, 7, 8, 9];
/** Those with the optimal parser. */
const THOROUGH = LEVELS.slice(5);
const compressors: readonly Compressor[] = await Promise.all(
  LEVELS.map((level) => createCompressor({ codec: "lzo", options: { level } })),
);
const compressorOf = (level: number) => compressors[level - 1]!;
const decompressor = await createDecompressor("lzo");

const worstCase = (length: number) => length + (length >> 4) + 67;
const sameBytes = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

function compress(level: number, input: Uint8Array): Uint8Array {
  const output = new Uint8Array(worstCase(input.length));
  const length = compressorOf(level).compress(input, output);
  assert.ok(length > 0, "the output is larger than it can be");
  return output.slice(0, length);
}

function assertRoundTrip(level: number, input: Uint8Array, name: string): Uint8Array {
  const block = compress(level, input);
  const back = new Uint8Array(input.length);
  assert.equal(decompressor.decompress(block, back), input.length, name);
  assert.ok(sameBytes(back, input), name);
  return block;
}

for (const level of LEVELS) {
  test(`hard inputs and a corpus come back, from liblzo as well, level ${level}`, (t) => {
    const inputs = [...hardInputs(), ...corpus(), ...limits().map(({ name, input }) => [name, input] as const)];
    const blocks = inputs.map(([name, input]) => ({ name, input, block: assertRoundTrip(level, input, name) }));
    if (!lacksLiblzo(t)) assertLiblzoReads(blocks);
  });
}

test("what is at a limit of the format is written by the instruction that reaches so far", () => {
  for (const level of THOROUGH) {
    for (const { name, input, expected } of limits()) {
      const written = instructions(compress(level, input));
      const isExpected = written.some((instruction) =>
        Object.entries(expected).every(([key, value]) => instruction[key as keyof typeof instruction] === value),
      );
      assert.ok(isExpected, `level ${level}, ${name}: ${JSON.stringify(written)}`);
    }
  }
});

test("no distance is beyond the window, and no block looks like a later version of the format", () => {
  const pattern = noise(64, 7);
  for (const level of LEVELS) {
    for (const distance of [49152, 49153, 65535, 65536, 65537, 98304]) {
      const input = new Uint8Array(Buffer.concat([pattern, new Uint8Array(distance - 64), pattern]));
      const block = assertRoundTrip(level, input, `${distance} back`);
      assert.ok(instructions(block).every((instruction) => instruction.distance <= 49151));
      assert.notEqual(block[0], 17);
    }
    // 17 is the first byte that announces versions (in blocks of five bytes and more); and here it is what the data begins with.
    for (let length = 1; length < 300; length++) {
      assert.notEqual(assertRoundTrip(level, new Uint8Array(length).fill(17), `${length} of 17`)[0], 17);
      assert.notEqual(assertRoundTrip(level, noise(length, length), `${length} of noise`)[0], 17);
    }
  }
});

test("tiny inputs, and what does not compress, take as many bytes as the format's description says", () => {
  for (const level of LEVELS) {
    assert.deepEqual([...compress(level, new Uint8Array(0))], [17, 0, 0]);
    assert.deepEqual([...compress(level, Uint8Array.of(7))], [18, 7, 17, 0, 0]);
    // The head of the first run, and the end.
    for (const length of [1, 2, 3, 4, 5, 100, 238]) assert.equal(compress(level, noise(length, 5)).length, length + 4);
    // One byte for the instruction, and one for each 255 above 18.
    assert.equal(compress(level, noise(239, 5)).length, 239 + 2 + 3);
    // Two bytes that occur again in noise are of no use, and the hashes of four do not occur again so soon.
    for (const length of [4096, 131_072, 2 ** 20]) {
      const limit = length + 1 + Math.ceil((length - 18) / 255) + 3;
      assert.ok(assertRoundTrip(level, noise(length, 1), `${length} of noise`).length <= limit);
    }
    // A literal or four, one match, and a byte for each 255 of its length: the longest possible.
    assert.ok(compress(level, new Uint8Array(2 ** 20)).length < 2 ** 20 / 255 + 100);
  }
});

test("levels 8 and 9 are smaller than liblzo at its best, and 6 hardly larger", (t) => {
  if (lacksLiblzo(t)) return;
  const inputs = new Map([...corpus(), ["text", text(2 ** 18, 1)], ["records", records(2 ** 18, 1)]]);
  const theirs = liblzoCompress([...inputs.values()], "lzo1x_999", 9);
  for (const [i, [name, input]] of [...inputs].entries()) {
    const ratios = LEVELS.map((level) => compress(level, input).length / theirs[i]!.length);
    t.diagnostic(`${name}: ${ratios.map((ratio) => ratio.toFixed(3)).join(" ")} of lzo1x_999's size`);
    assert.ok(ratios[8]! <= 1 && ratios[7]! <= 1 && ratios[5]! < 1.02 && ratios[0]! < 1.25, name);
  }
});

test("small inputs become as small as they can", () => {
  const next = numbers(11);
  for (let round = 0; round < 400; round++) {
    const symbols = 1 + (next() % 6);
    const input = noise(1 + (next() % 120), next()).map((byte) => byte % symbols);
    assert.equal(compress(9, input).length, smallest(input), `${[...input]}`);
  }
});

/** The least bytes that an input of at most 200 bytes can take: every instruction is tried everywhere. */
function smallest(input: Uint8Array): number {
  const end = input.length;
  /** By position: what the rest takes from there after a match. */
  const rest = new Array<number>(end + 1).fill(3);
  const matchLength = (a: number, b: number) => {
    let length = 0;
    while (b + length < end && input[a + length] === input[b + length]) length++;
    return length;
  };
  /** What the rest takes when a match comes next, after so many literals. */
  const withMatch = (at: number, literals: number) => {
    if (at === end) return 3;
    let best = Number.POSITIVE_INFINITY;
    for (let from = 0; from < at; from++) {
      const longest = matchLength(from, at);
      if (longest >= 2 && literals >= 1 && literals <= 3) best = Math.min(best, 2 + rest[at + 2]!);
      for (let length = 3; length <= longest; length++) {
        const size = length <= 8 ? 2 : length <= 33 ? 3 : 4;
        best = Math.min(best, size + rest[at + length]!);
      }
    }
    return best;
  };
  for (let at = end - 1; at >= 0; at--) {
    rest[at] = at === 0 ? Number.POSITIVE_INFINITY : withMatch(at, 0);
    for (let literals = 1; literals <= end - at; literals++) {
      const head = at === 0 ? 1 : literals <= 3 ? 0 : literals <= 18 ? 1 : 2;
      rest[at] = Math.min(rest[at]!, head + literals + withMatch(at + literals, literals));
    }
  }
  return rest[0]!;
}

test("structured data comes back", { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(structured, fc.constantFrom(...LEVELS), (input, level) => {
      assertRoundTrip(level, input, `${input.length} bytes, level ${level}`);
    }),
    { interruptAfterTimeLimit: 5000, numRuns: 10_000 },
  );
});

test("structured data comes back from liblzo", (t) => {
  if (lacksLiblzo(t)) return;
  const samples = fc.sample(fc.tuple(structured, fc.constantFrom(...LEVELS)), 400);
  assertLiblzoReads(
    samples.map(([input, level]) => ({ name: `level ${level}`, input, block: compress(level, input) })),
  );
});

test("an output that is too small gets 0, and nothing is written beyond it", () => {
  const inputs = [new Uint8Array(0), noise(1000, 1), text(5000, 1), records(150_000, 1), noise(150_000, 2)];
  for (const level of LEVELS) {
    for (const input of inputs) {
      const { length } = compress(level, input);
      for (const room of [0, 1, 2, length >> 1, length - 1]) {
        const guarded = new Uint8Array(worstCase(input.length) + 64).fill(0xa5);
        assert.equal(compressorOf(level).compress(input, guarded.subarray(32, 32 + room)), 0);
        assert.ok(guarded.every((byte, i) => (i >= 32 && i < 32 + room) || byte === 0xa5));
      }
      const exact = new Uint8Array(length + 32).fill(0xa5);
      assert.equal(compressorOf(level).compress(input, exact.subarray(0, length)), length);
      assert.ok(exact.subarray(length).every((byte) => byte === 0xa5));
    }
  }
});

test("a block's bytes do not depend on what was compressed before it", () => {
  const inputs = [
    text(70_000, 1),
    new Uint8Array(300),
    records(131_072, 2),
    noise(5000, 3),
    text(300, 4),
    text(2 ** 18, 5),
  ];
  const first = LEVELS.map((level) => inputs.map((input) => compress(level, input)));
  const next = numbers(99);
  for (let round = 0; round < 200; round++) {
    const level = next() % LEVELS.length;
    const which = next() % inputs.length;
    assert.ok(sameBytes(compress(1 + level, inputs[which]!), first[level]![which]!));
  }
});

test("nor on how much: positions that run out begin again", () => {
  // The match finders count positions in 31 bits, on from block to block, and leave more than 48 KiB between them.
  const blocks = 2 ** 31 / 49_152;
  const input = text(60, 1);
  for (const level of [1, 9]) {
    const expected = compress(level, input);
    for (let i = 0; i < blocks; i++) assert.ok(sameBytes(compress(level, input), expected), `block ${i}`);
  }
});

test("another process makes the same bytes", () => {
  const script = `
    const { createCompressor } = await import(${JSON.stringify(new URL("../../src/codecs/index.js", import.meta.url))});
    const { text } = await import(${JSON.stringify(new URL("./deflate-data.js", import.meta.url))});
    const output = new Uint8Array(100_000);
    for (const level of [1, 5, 8]) {
      const compressor = await createCompressor({ codec: "lzo", options: { level } });
      process.stdout.write(output.subarray(0, compressor.compress(text(90_000, 8), output)));
    }`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script]);
  const ours = [1, 5, 8].map((level) => compress(level, text(90_000, 8)));
  assert.ok(sameBytes(stdout, Buffer.concat(ours)), stderr.toString());
});

test("an impossible level is refused, and a block that is too long", async () => {
  const refused = (error: unknown) => error instanceof ImgbuildError && error.code === "internal";
  for (const level of [0, 10, 1.5, Number.NaN]) {
    await assert.rejects(createCompressor({ codec: "lzo", options: { level } }), refused);
  }
  assert.throws(() => compressorOf(1).compress(new Uint8Array(2 ** 20 + 1), new Uint8Array(2 ** 21)), refused);
});
