/** The encoder against zlib's decoder: that of Node, of the kernel and of U-Boot. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { deflateSync, gunzipSync, inflateRawSync, inflateSync } from "node:zlib";
import { type Compressor, createCompressor, DEFLATE_END, gzip } from "../../src/codecs/index.js";
import { ImgbuildError } from "../../src/errors.js";
import fc from "../support/fast-check.js";
import { lacks } from "../support/tools.js";
import { hardInputs, noise, numbers, records, text } from "./deflate-data.js";

const LEVELS = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const compressors: readonly Compressor[] = await Promise.all(
  LEVELS.map((level) => createCompressor({ codec: "zlib", options: { level } })),
);
const compressorOf = (level: number) => compressors[level - 1]!;

/** Five bytes for each stored block, the container, and a byte for the last bits; blocks have some KiB at least. */
const worstCase = (length: number) => length + 5 * Math.ceil(length / 1000) + 16;

function compress(compressor: Compressor, input: Uint8Array): Uint8Array {
  const output = new Uint8Array(worstCase(input.length));
  const length = compressor.compress(input, output);
  assert.ok(length > 0, "the output is larger than it can be");
  return output.subarray(0, length);
}

const sameBytes = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

function assertRoundTrip(compressor: Compressor, input: Uint8Array, name: string): Uint8Array {
  const compressed = compress(compressor, input);
  assert.ok(sameBytes(inflateSync(compressed), input), name);
  return compressed;
}

/** Programs and texts: what is at hand wherever the tests run. */
function corpus(): Map<string, Uint8Array> {
  const root = path.resolve(import.meta.dirname, "../../..");
  const files = [
    "package-lock.json",
    "LICENSE",
    "build/src/codecs/deflate.wasm",
    "node_modules/ext2fs/lib/libext2fs.wasm",
  ];
  const found = new Map([["node", fs.readFileSync(process.execPath).subarray(2 ** 22, 2 ** 22 + 2 ** 20)]]);
  for (const file of files) {
    const name = path.join(root, file);
    if (fs.existsSync(name)) found.set(file, fs.readFileSync(name).subarray(0, 2 ** 20));
  }
  return found;
}

for (const level of LEVELS) {
  test(`hard inputs and a corpus come back, level ${level}`, () => {
    for (const [name, input] of [...hardInputs(), ...corpus()]) assertRoundTrip(compressorOf(level), input, name);
  });
}

test("what does not compress grows by five bytes for each stored block, and the container", () => {
  for (const compressor of compressors) {
    for (const length of [1, 100, 65535, 65536, 2 ** 20]) {
      const { length: compressed } = assertRoundTrip(compressor, noise(length, length), `${length} of noise`);
      assert.ok(compressed <= length + 6 + 5 * Math.ceil(length / 65535) + 5 * 8, `${length} became ${compressed}`);
    }
  }
});

test("tiny inputs get the fixed codes: no head that is larger than they", () => {
  for (const compressor of compressors) {
    // Three bits, a codeword of seven for the end, in two bytes; and the container.
    assert.equal(compress(compressor, new Uint8Array(0)).length, 8);
    assert.ok(compress(compressor, Buffer.from("a")).length <= 9);
    assert.ok(compress(compressor, new Uint8Array(258)).length <= 12);
  }
});

test("level 9 is smaller than zlib at its best, and level 6 not much larger on anything", (t) => {
  const inputs = new Map([...corpus(), ["text", text(2 ** 18, 1)], ["records", records(2 ** 18, 1)]]);
  for (const [name, input] of inputs) {
    const theirs = deflateSync(input, { level: 9 }).length;
    const [fast, best] = [6, 9].map((level) => compress(compressorOf(level), input).length / theirs) as [
      number,
      number,
    ];
    t.diagnostic(`${name}: level 6 ${fast.toFixed(3)}, level 9 ${best.toFixed(3)} of zlib's size`);
    assert.ok(best <= 1 && fast < 1.03, name);
  }
});

/** Data that looks like something: pieces of all kinds, repeats of earlier pieces among them. */
const structured = fc
  .array(
    fc.oneof(
      fc.record({ kind: fc.constantFrom("noise", "text", "records"), length: fc.nat(5000), seed: fc.integer() }),
      fc.record({ kind: fc.constant("run"), length: fc.nat(1000), seed: fc.nat(255) }),
      fc.record({ kind: fc.constant("copy"), length: fc.nat(3000), seed: fc.nat() }),
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
      else if (at > 0)
        for (let i = 0; i < length; i++) bytes[at + i] = bytes[at + i - 1 - (seed % Math.min(at, 40_000))]!;
      at += length;
    }
    return bytes;
  });

test("structured data comes back", { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(structured, fc.constantFrom(...LEVELS), (input, level) => {
      assertRoundTrip(compressorOf(level), input, `${input.length} bytes, level ${level}`);
    }),
    { interruptAfterTimeLimit: 8000, numRuns: 10_000 },
  );
});

test("an output that is too small gets 0, and nothing is written beyond it", () => {
  const inputs = [new Uint8Array(0), noise(1000, 1), text(5000, 1), records(150_000, 1), noise(150_000, 2)];
  for (const compressor of compressors) {
    for (const input of inputs) {
      const { length } = compress(compressor, input);
      for (const room of [0, 1, 5, 6, 7, length >> 1, length - 1]) {
        if (room >= length) continue;
        const guarded = new Uint8Array(worstCase(input.length) + 64).fill(0xa5);
        assert.equal(compressor.compress(input, guarded.subarray(32, 32 + room)), 0);
        assert.ok(guarded.subarray(0, 32).every((byte) => byte === 0xa5));
        assert.ok(guarded.subarray(32 + room).every((byte) => byte === 0xa5));
      }
      const exact = new Uint8Array(length + 32).fill(0xa5);
      assert.equal(compressor.compress(input, exact.subarray(0, length)), length);
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
  const first = compressors.map((compressor) => inputs.map((input) => compress(compressor, input).slice()));
  const next = numbers(99);
  for (let round = 0; round < 200; round++) {
    const level = next() % LEVELS.length;
    const which = next() % inputs.length;
    assert.ok(sameBytes(compress(compressors[level]!, inputs[which]!), first[level]![which]!));
  }
});

test("another process makes the same bytes", () => {
  const script = `
    const { createCompressor } = await import(${JSON.stringify(new URL("../../src/codecs/index.js", import.meta.url))});
    const { text } = await import(${JSON.stringify(new URL("./deflate-data.js", import.meta.url))});
    const output = new Uint8Array(100_000);
    for (const level of [1, 6, 9]) {
      const compressor = await createCompressor({ codec: "zlib", options: { level } });
      process.stdout.write(output.subarray(0, compressor.compress(text(90_000, 8), output)));
    }`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script]);
  const ours = [1, 6, 9].map((level) => compress(compressorOf(level), text(90_000, 8)).slice());
  assert.ok(sameBytes(stdout, Buffer.concat(ours)), stderr.toString());
});

test("gzip files of any length come back, and say nothing about where they were made", async () => {
  // Several inputs of the encoder: matches reach back over their ends.
  const long = text(2.5 * 2 ** 20, 1);
  for (const level of LEVELS) {
    const compressed = await gzip(long, level);
    assert.ok(sameBytes(gunzipSync(compressed), long), `level ${level}`);
    assert.deepEqual([...compressed.subarray(0, 8), compressed[9]], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 255]);
  }
  for (const length of [0, 1, 2 ** 20 - 1, 2 ** 20, 2 ** 20 + 1, 2 ** 20 + 4]) {
    for (const bytes of [long.subarray(0, length), noise(length, 1)]) {
      for (const level of [1, 6, 9])
        assert.ok(sameBytes(gunzipSync(await gzip(bytes, level)), bytes), `${length} bytes`);
    }
  }
});

test("the history before a piece is used", async () => {
  // Noise that repeats over the end of the encoder's input, 1 MiB.
  const part = noise(30_000, 4);
  const bytes = new Uint8Array(2 ** 20 + 20_000);
  bytes.set(part, 2 ** 20 - 30_000);
  bytes.set(part.subarray(0, 20_000), 2 ** 20);
  for (const level of LEVELS) assert.ok((await gzip(bytes, level)).length < 32_500, `level ${level}`);
});

test("gzip reads it", async (t) => {
  if (lacks(t, "gzip")) return;
  const compressed = await gzip(text(3_000_000, 6), 9);
  const { status, stderr } = spawnSync("gzip", ["-t"], { input: compressed });
  assert.equal(status, 0, stderr.toString());
});

test("the zlib header is what RFC 1950 says", () => {
  for (const compressor of compressors) {
    const compressed = compress(compressor, text(100, 1));
    assert.equal(compressed[0], 0x78);
    assert.equal(((compressed[0]! << 8) | compressed[1]!) % 31, 0);
    assert.equal(compressed[1]! & 0x20, 0, "no preset dictionary");
  }
});

test("an impossible level is refused", async () => {
  for (const level of [0, 10, 1.5, Number.NaN]) {
    const refused = (error: unknown) => error instanceof ImgbuildError && error.code === "internal";
    await assert.rejects(createCompressor({ codec: "zlib", options: { level } }), refused);
    await assert.rejects(gzip(new Uint8Array(1), level), refused);
  }
});

test("pieces make one stream, in whatever order of compressible and not, and each says when its room is too small", async () => {
  const inputs = [text(300_000, 1), noise(1000, 2), Uint8Array.of(7), new Uint8Array(2 ** 21), text(70_000, 3)];
  for (const level of LEVELS) {
    const compressor = await createCompressor({ codec: "zlib", options: { level, pieces: true } });
    const pieces = inputs.map((input) => {
      const output = new Uint8Array(worstCase(input.length));
      const length = compressor.compress(input, output);
      assert.equal(compressor.compress(input, output.subarray(0, length)), length);
      assert.equal(compressor.compress(input, output.subarray(0, length - 1)), 0);
      compressor.compress(input, output);
      return output.subarray(0, length);
    });
    const stream = Buffer.concat([...pieces, ...pieces, DEFLATE_END]);
    assert.ok(sameBytes(inflateRawSync(stream), Buffer.concat([...inputs, ...inputs])), `level ${level}`);
  }
});
