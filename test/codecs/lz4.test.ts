/** The encoder and the decoder against each other, against liblz4 and against the letter of the format. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { type Compressor, createCompressor, createDecompressor } from "../../src/codecs/index.js";
import { ImgbuildError } from "../../src/errors.js";
import fc from "../support/fast-check.js";
import { lacks } from "../support/tools.js";
import { noise, numbers, records, text } from "./deflate-data.js";
import { hardInputs, sequencesOf, structured, worstCase } from "./lz4-data.js";

const LEVELS = Array.from({ length: 12 }, (_, i) => i + 1);
const compressors: readonly Compressor[] = await Promise.all(
  LEVELS.map((level) => createCompressor({ codec: "lz4", options: { level } })),
);
const decompressor = await createDecompressor("lz4");

function compress(level: number, input: Uint8Array): Uint8Array {
  const output = new Uint8Array(worstCase(input.length));
  const length = compressors[level - 1]!.compress(input, output);
  assert.ok(length > 0, "the output is larger than it can be");
  return output.subarray(0, length);
}

const sameBytes = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

/** Decompresses into a place of exactly `length` bytes, and looks whether something is written beside it. */
function decompress(block: Uint8Array, length: number): Uint8Array {
  const guarded = new Uint8Array(length + 64).fill(0xa5);
  try {
    const written = decompressor.decompress(block, guarded.subarray(32, 32 + length));
    return guarded.subarray(32, 32 + written);
  } finally {
    assert.ok(guarded.subarray(0, 32).every((byte) => byte === 0xa5));
    assert.ok(guarded.subarray(32 + length).every((byte) => byte === 0xa5));
  }
}

/** The rules for a block's end that decoders rely on: "End of block conditions" of the format's description. */
function assertEndsWell(block: Uint8Array, length: number, name: string): void {
  const sequences = sequencesOf(block);
  assert.equal(
    sequences.reduce((sum, { literals, matched }) => sum + literals + matched, 0),
    length,
    name,
  );
  const last = sequences.at(-1)!;
  assert.equal(last.matched, 0, name);
  if (sequences.length === 1) return;
  assert.ok(last.literals >= 5, `${name}: ${last.literals} last literals`);
  assert.ok(sequences.at(-2)!.matched + last.literals >= 12, `${name}: the last match begins too late`);
}

function assertRoundTrip(level: number, input: Uint8Array, name: string): Uint8Array {
  const block = compress(level, input);
  assert.ok(sameBytes(decompress(block, input.length), input), name);
  assertEndsWell(block, input.length, name);
  return block;
}

/** Programs and texts: what is at hand wherever the tests run. */
function corpus(): Map<string, Uint8Array> {
  const root = path.resolve(import.meta.dirname, "../../..");
  const found = new Map<string, Uint8Array>([
    ["node", fs.readFileSync(process.execPath).subarray(2 ** 22, 2 ** 22 + 2 ** 18)],
  ]);
  for (const file of ["package-lock.json", "LICENSE", "node_modules/ext2fs/lib/libext2fs.wasm"]) {
    const name = path.join(root, file);
    if (fs.existsSync(name)) found.set(file, fs.readFileSync(name).subarray(0, 2 ** 18));
  }
  return found;
}

const LEGACY_MAGIC = Uint8Array.of(0x02, 0x21, 0x4c, 0x18);

/** Blocks as a file that the program lz4 reads: the legacy frame of doc/lz4_Frame_format.md. */
function legacyFrame(blocks: readonly Uint8Array[]): Uint8Array {
  const parts: Uint8Array[] = [LEGACY_MAGIC];
  for (const block of blocks) {
    const size = new Uint8Array(4);
    new DataView(size.buffer).setUint32(0, block.length, true);
    parts.push(size, block);
  }
  return Buffer.concat(parts);
}

function runLz4(args: readonly string[], input: Uint8Array): Uint8Array {
  const { status, stdout, stderr } = spawnSync("lz4", [...args], { input, maxBuffer: 2 ** 28 });
  assert.equal(status, 0, stderr?.toString());
  return stdout;
}

for (const level of LEVELS) {
  test(`hard inputs and a corpus come back from our decoder and from liblz4's, level ${level}`, (t) => {
    const inputs = [...hardInputs(), ...corpus()];
    const blocks = inputs.map(([name, input]) => assertRoundTrip(level, input, name).slice());
    for (const [i, block] of blocks.entries()) assert.ok(block.length <= worstCase(inputs[i]![1].length));
    if (lacks(t, "lz4")) return;
    assert.ok(sameBytes(runLz4(["-dc"], legacyFrame(blocks)), Buffer.concat(inputs.map(([, input]) => input))));
  });
}

test("our decoder reads what liblz4 writes", (t) => {
  if (lacks(t, "lz4")) return;
  const hard = [...hardInputs()].filter(([name]) => /period|1 MiB|back|symbols|noise in it/.test(name));
  for (const [name, input] of [...hard, ...corpus()]) {
    for (const level of ["-1", "-9", "-12"]) {
      const frame = runLz4(["-l", "-c", level], input);
      assert.ok(sameBytes(frame.subarray(0, 4), LEGACY_MAGIC));
      assert.equal(new DataView(frame.buffer, frame.byteOffset).getUint32(4, true), frame.length - 8, "one block");
      assert.ok(sameBytes(decompress(frame.subarray(8), input.length), input), `${name}, ${level}`);
    }
  }
});

/** For each level one of liblz4's in whose class it is, and how much larger a file of the corpus may become. */
const CLASSES: readonly (readonly [level: number, theirs: string, ratio: number])[] = [
  [1, "-1", 1.02],
  [2, "-3", 1.01],
  [3, "-4", 1.01],
  [4, "-4", 1.01],
  [5, "-5", 1.01],
  [6, "-6", 1.01],
  [7, "-9", 1.005],
  [8, "-9", 1.005],
  [9, "-9", 1.005],
  [10, "-12", 1.002],
  [11, "-12", 1.0015],
  [12, "-12", 1.0012],
];

test("each level is about as small as the one of liblz4 in its class, or smaller", (t) => {
  if (lacks(t, "lz4")) return;
  assert.deepEqual(
    CLASSES.map(([level]) => level),
    LEVELS,
  );
  for (const [name, input] of corpus()) {
    const ratios = CLASSES.map(([level, theirs, limit]) => {
      const ratio = compress(level, input).length / (runLz4(["-l", "-c", theirs], input).length - 8);
      assert.ok(ratio <= limit, `${name}: level ${level} is ${ratio} of liblz4's ${theirs}`);
      return ratio.toFixed(4);
    });
    t.diagnostic(`${name}: ${ratios.join(" ")}`);
  }
});

test("a higher level is smaller", () => {
  const inputs = [...corpus().values()];
  const sizes = LEVELS.map((level) => inputs.reduce((sum, input) => sum + compress(level, input).length, 0));
  for (const [i, size] of sizes.entries()) assert.ok(i === 0 || size < sizes[i - 1]!, `${sizes}`);
});

/** What does not continue any noise: its first byte is a small one. */
const ONES = new Uint8Array(20).fill(255);

test("a match is found whole though its beginning is the last of many alike", () => {
  // More decoys than a search looks at: all below level 12 find the pattern by a later part of it.
  const pattern = Buffer.concat([Buffer.from("abcd"), noise(60, 1)]);
  const decoys = Array.from({ length: 1200 }, (_, i) => Buffer.concat([Buffer.from("abcd"), noise(8, 100 + i)]));
  const input = Buffer.concat([pattern, ...decoys, noise(50, 2), pattern, ONES]);
  const distance = input.length - ONES.length - pattern.length;
  for (const level of LEVELS.slice(1)) {
    const found = sequencesOf(assertRoundTrip(level, input, `level ${level}`)).find(
      ({ offset }) => offset === distance,
    );
    assert.equal(found?.matched, pattern.length, `level ${level}`);
  }
});

test("a match is found whole behind data where nothing matches", () => {
  // Long enough that the steps through it have grown.
  const pattern = noise(3000, 1);
  const input = Buffer.concat([pattern, noise(50_000, 2), pattern, ONES]);
  for (const level of LEVELS.slice(1)) {
    const found = sequencesOf(assertRoundTrip(level, input, `level ${level}`)).find(({ offset }) => offset === 53_000);
    assert.equal(found?.matched, pattern.length, `level ${level}`);
  }
});

test("the furthest matches and the longest are used", () => {
  const pattern = noise(64, 1);
  for (const level of LEVELS.slice(1)) {
    for (const [distance, found] of [
      [65_535, true],
      [65_536, false],
    ] as const) {
      const block = compress(level, Buffer.concat([pattern, noise(distance - 64, 2), pattern, noise(20, 3)]));
      assert.equal(
        sequencesOf(block).some(({ offset }) => offset === distance),
        found,
        `level ${level}`,
      );
    }
    // One literal, a match with its bytes of length, and the last literals.
    assert.equal(compress(level, new Uint8Array(2 ** 20)).length, 4 + 1 + Math.floor((2 ** 20 - 25) / 255) + 1 + 5);
  }
});

/** The costs of a whole block by trying everything: every match at every position, every run of literals. */
function leastBytes(input: Uint8Array): number {
  const { length } = input;
  const extra = (count: number) => (count < 15 ? 0 : 1 + Math.floor((count - 15) / 255));
  const rest = new Array<number>(length + 1).fill(0);
  const matchThenRest = new Array<number>(length + 1).fill(Number.POSITIVE_INFINITY);
  for (let at = length; at >= 0; at--) {
    for (let from = Math.max(0, at - 65_535); from < at && at <= length - 12; from++) {
      for (let n = 1; at + n <= length - 5 && input[from + n - 1] === input[at + n - 1]; n++) {
        if (n >= 4) matchThenRest[at] = Math.min(matchThenRest[at]!, 3 + extra(n - 4) + rest[at + n]!);
      }
    }
    rest[at] = 1 + (length - at) + extra(length - at);
    for (let next = at; next < length; next++) {
      rest[at] = Math.min(rest[at]!, next - at + extra(next - at) + matchThenRest[next]!);
    }
  }
  return rest[0]!;
}

test("level 12 takes hardly more bytes than any block must, on short inputs", (t) => {
  const next = numbers(5);
  let [ours, least] = [0, 0];
  for (let round = 0; round < 150; round++) {
    const symbols = 2 + (next() % 4);
    const input = noise(20 + (next() % 380), next()).map((byte) => byte % symbols);
    const [size, possible] = [compress(12, input).length, leastBytes(input)];
    assert.ok(size >= possible, "less than what is possible: the comparison is wrong");
    ours += size;
    least += possible;
  }
  t.diagnostic(`${(ours / least).toFixed(5)} of the least`);
  assert.ok(ours <= 1.002 * least);
  assert.equal(compress(12, new Uint8Array(500)).length, leastBytes(new Uint8Array(500)));
});

/** The same cases each time, and new ones whose seed is printed. */
function fuzz<T>(t: TestContext, arbitrary: fc.Arbitrary<T>, check: (value: T) => void): void {
  const fresh = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${fresh}`);
  for (const seed of [1, fresh]) {
    fc.assert(fc.property(arbitrary, check), { seed, interruptAfterTimeLimit: 1500, numRuns: 100_000 });
  }
}

test("structured data comes back", { timeout: 60_000 }, (t) => {
  fuzz(t, fc.tuple(structured, fc.constantFrom(...LEVELS)), ([input, level]) => {
    assertRoundTrip(level, input, `${input.length} bytes, level ${level}`);
  });
});

const isCorrupt = (error: unknown) => error instanceof ImgbuildError && error.code === "image-corrupt";

/** Decompresses what may be damaged: an error, or no more than fits. */
function decompressDamaged(block: Uint8Array, room: number): void {
  try {
    decompress(block, room);
  } catch (error) {
    if (!isCorrupt(error)) throw error;
  }
}

test("damaged blocks are refused or decoded, and nothing is written beside the output", { timeout: 60_000 }, (t) => {
  const blocks = [text(3000, 1), records(70_000, 2), new Uint8Array(5000), noise(500, 4), text(20, 5)].map((input) => ({
    length: input.length,
    block: compress(10, input).slice(),
  }));
  const change = fc.record({ at: fc.nat(), byte: fc.oneof(fc.constantFrom(0, 255, 0xf0, 0x0f), fc.nat(255)) });
  const damage = fc.record({
    which: fc.nat(blocks.length - 1),
    changes: fc.array(change, { maxLength: 6 }),
    cut: fc.oneof(fc.constant(0), fc.nat(100)),
    less: fc.oneof(fc.constant(0), fc.nat(200)),
  });
  fuzz(t, damage, ({ which, changes, cut, less }) => {
    const { block, length } = blocks[which]!;
    const damaged = block.slice(0, Math.max(block.length - cut, 0));
    for (const { at, byte } of changes) if (damaged.length > 0) damaged[at % damaged.length] = byte;
    decompressDamaged(damaged, Math.max(length - less, 0));
  });
  fuzz(t, fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.nat(2000)), ([bytes, room]) => decompressDamaged(bytes, room));
});

test("what is no block is refused", () => {
  const refused = (block: readonly number[] | Uint8Array, room: number, reason: string) =>
    assert.throws(() => decompress(Uint8Array.from(block), room), isCorrupt, reason);
  refused([], 10, "nothing at all");
  refused([0x10], 10, "no literal where one is announced");
  refused([0x10, 65, 1], 10, "half an offset");
  refused([0x10, 65, 0, 0, 0], 10, "an offset of 0");
  refused([0x10, 65, 2, 0, 0], 10, "an offset to before the block");
  refused([0x10, 65, 1, 0], 10, "an end after a match");
  refused([0x1f, 65, 1, 0], 100, "an end before the bytes of length");
  refused([0x1f, 65, 1, 0, 255, 255], 1000, "an end in the bytes of length");
  refused([0xf0], 100, "an end before the number of literals");
  refused(new Uint8Array(2_000_000).fill(255), 2 ** 20, "longer than any block");
  const block = compress(10, text(1000, 1));
  refused(block, 999, "a place one byte too small");
  refused(block.subarray(0, -1), 1000, "the last byte missing");
  // The largest block, in a place that is larger still.
  const large = text(2 ** 20, 2);
  const output = new Uint8Array(2 ** 21);
  assert.equal(decompressor.decompress(compress(1, large), output), 2 ** 20);
  assert.ok(sameBytes(output.subarray(0, 2 ** 20), large));
});

test("an output that is too small gets 0, and nothing is written beyond it", () => {
  const inputs = [new Uint8Array(0), new Uint8Array(1), noise(1000, 1), text(5000, 1), records(150_000, 1)];
  for (const level of LEVELS) {
    for (const input of inputs) {
      const { length } = compress(level, input);
      for (const room of new Set([0, 1, length >> 1, length - 1, length])) {
        if (room > length) continue;
        const guarded = new Uint8Array(length + 64).fill(0xa5);
        const written = compressors[level - 1]!.compress(input, guarded.subarray(32, 32 + room));
        assert.equal(written, room === length ? length : 0);
        assert.ok(guarded.subarray(0, 32).every((byte) => byte === 0xa5));
        assert.ok(guarded.subarray(32 + written).every((byte) => byte === 0xa5));
      }
    }
  }
});

test("a block's bytes do not depend on what was done before it", () => {
  const inputs = [text(70_000, 1), new Uint8Array(300), records(131_072, 2), noise(5000, 3), text(300, 4), text(13, 5)];
  const first = LEVELS.map((level) => inputs.map((input) => compress(level, input).slice()));
  const next = numbers(99);
  for (let round = 0; round < 200; round++) {
    const level = next() % LEVELS.length;
    const which = next() % inputs.length;
    if (next() % 3 === 0) decompress(compress(1, noise(next() % 70_000, round)), 70_000);
    assert.ok(sameBytes(compress(level + 1, inputs[which]!), first[level]![which]!));
  }
});

test("another process makes the same bytes", () => {
  const script = `
    const { createCompressor } = await import(${JSON.stringify(new URL("../../src/codecs/index.js", import.meta.url))});
    const { text } = await import(${JSON.stringify(new URL("./deflate-data.js", import.meta.url))});
    const output = new Uint8Array(100_000);
    for (const level of [1, 2, 6, 12]) {
      const compressor = await createCompressor({ codec: "lz4", options: { level } });
      process.stdout.write(output.subarray(0, compressor.compress(text(90_000, 8), output)));
    }`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script]);
  const ours = [1, 2, 6, 12].map((level) => compress(level, text(90_000, 8)).slice());
  assert.ok(sameBytes(stdout, Buffer.concat(ours)), stderr.toString());
});

test("an impossible level is refused, and a block that is too long", async () => {
  const refused = (error: unknown) => error instanceof ImgbuildError && error.code === "internal";
  for (const level of [0, 13, 1.5, Number.NaN]) {
    await assert.rejects(createCompressor({ codec: "lz4", options: { level } }), refused);
  }
  assert.throws(() => compressors[0]!.compress(new Uint8Array(2 ** 20 + 1), new Uint8Array(2 ** 21)), refused);
});
