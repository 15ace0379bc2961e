/** Blocks against the xz of the host, in both directions. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { BCJ_FILTERS, type BcjFilter, createCompressor, createDecompressor } from "../../src/codecs/index.js";
import { ImgbuildError } from "../../src/errors.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import {
  assertDependsOnInputOnly,
  assertExactRoom,
  assertSurvivesDamage,
  compress,
  decompress,
  filter,
  isCorrupt,
  sameBytes,
} from "./block-codec.js";
import { hardInputs, noise, numbers, records, text } from "./deflate-data.js";

const KIB = 1024;
const compressorOf = (level: number, dictionarySize = 128 * KIB) =>
  createCompressor({ codec: "xz", options: { level, dictionarySize } });
const decompressor = await createDecompressor("xz");

/** Calls of a few functions from many places, as a processor encodes the distance, between other instructions. */
function calls(encode: (view: DataView, at: number, distance: number) => void): Uint8Array {
  const bytes = records(100_000, 3);
  const view = new DataView(bytes.buffer);
  const next = numbers(4);
  for (let at = 8; at + 16 <= bytes.length; at += 16) {
    const target = 1_000_000 + 4096 * (next() % 10);
    encode(view, at, target - at);
  }
  return bytes;
}

const CODE = {
  arm: calls((view, at, distance) => view.setUint32(at, 0xeb000000 | (distance >> 2), true)),
  x86: calls((view, at, distance) => {
    view.setUint8(at - 1, 0xe8);
    view.setInt32(at, distance, true);
  }),
  powerpc: calls((view, at, distance) => view.setUint32(at, 0x48000001 | distance)),
};

/** What xz says about a file. */
function list(t: TestContext, block: Uint8Array): string {
  const file = path.join(temporaryFolder(t), "block.xz");
  fs.writeFileSync(file, block);
  return run("xz", ["--robot", "-lvv", file]);
}

test("hard inputs come back, from our decoder and from xz", async (t) => {
  if (lacks(t, "xz")) return;
  for (const level of [0, 3, 6]) {
    const compressor = await compressorOf(level);
    const blocks: Uint8Array[] = [];
    const contents: Uint8Array[] = [];
    for (const [name, input] of hardInputs()) {
      if (level !== 0 && input.length > 300_000) continue;
      const block = compress(compressor, input).slice();
      assert.ok(sameBytes(decompress(decompressor, block, input.length), input), `${name}, level ${level}`);
      blocks.push(block);
      contents.push(input);
    }
    // xz takes streams one after the other.
    assert.ok(sameBytes(filter("xz", ["-dc"], Buffer.concat(blocks)), Buffer.concat(contents)), `level ${level}`);
  }
});

test("every level comes back", async () => {
  const inputs = [text(30_000, 1), records(30_000, 1), noise(5000, 1), CODE.arm];
  for (let level = 0; level <= 9; level++) {
    const compressor = await compressorOf(level);
    for (const input of inputs) {
      assert.ok(
        sameBytes(decompress(decompressor, compress(compressor, input), input.length), input),
        `level ${level}`,
      );
    }
  }
});

test("sizes around the limits of blocks, dictionaries and LZMA2's chunks", async () => {
  for (const dictionarySize of [4 * KIB, 96 * KIB, 1024 * KIB]) {
    const compressor = await compressorOf(1, dictionarySize);
    for (const size of [4 * KIB, 64 * KIB, 128 * KIB, 1024 * KIB]) {
      for (const length of [size - 1, size, size + 1]) {
        const input = records(length, length);
        assert.ok(sameBytes(decompress(decompressor, compress(compressor, input), length), input), `${length} bytes`);
      }
    }
  }
});

test("a block is one stream with CRC32 and the dictionary that was asked for", async (t) => {
  if (lacks(t, "xz")) return;
  for (const [dictionarySize, shown] of [
    [8 * KIB, "8KiB"],
    [96 * KIB, "96KiB"],
    [1024 * KIB, "1MiB"],
  ] as const) {
    const block = compress(await compressorOf(6, dictionarySize), text(100_000, 1));
    assert.match(list(t, block), new RegExp(`^block\\t.*\\tCRC32\\t.*\\t--lzma2=dict=${shown}$`, "m"));
    assert.match(list(t, block), /^totals\t1\t1\t/m);
  }
});

test("level 6 is as small as xz", async (t) => {
  if (lacks(t, "xz")) return;
  const compressor = await compressorOf(6);
  for (const input of [text(128 * KIB, 1), records(128 * KIB, 1), CODE.arm]) {
    const ours = compress(compressor, input).length;
    const theirs = filter("xz", ["-6", "--check=crc32", "--lzma2=preset=6,dict=128KiB", "-c"], input).length;
    assert.ok(ours <= theirs * 1.005, `${ours} bytes, xz has ${theirs}`);
  }
});

test("a filter is used where it helps, and only there", async (t) => {
  if (lacks(t, "xz")) return;
  const plain = await compressorOf(6);
  for (const [name, input] of Object.entries(CODE) as [BcjFilter, Uint8Array][]) {
    const options = { level: 6, dictionarySize: 128 * KIB, filters: [name] };
    const filtered = compress(await createCompressor({ codec: "xz", options }), input);
    const share = filtered.length / compress(plain, input).length;
    assert.ok(share < 1, `${name}: ${share}`);
    assert.ok(sameBytes(decompress(decompressor, filtered, input.length), input), name);
    assert.ok(sameBytes(filter("xz", ["-dc"], filtered), input), name);
    assert.match(list(t, filtered), new RegExp(`^block\\t.*\\t--${name} --lzma2`, "m"));
  }
  const prose = text(100_000, 2);
  const all = await createCompressor({
    codec: "xz",
    options: { level: 6, dictionarySize: 128 * KIB, filters: BCJ_FILTERS },
  });
  assert.ok(sameBytes(compress(all, prose), compress(plain, prose)), "of equals the first, which has no filter");
});

test("every filter that xz has is decoded", (t) => {
  if (lacks(t, "xz")) return;
  for (const name of [...BCJ_FILTERS, "ia64"]) {
    const block = filter("xz", [`--${name}`, "--lzma2=preset=1", "--check=crc32", "-c"], CODE.arm);
    assert.ok(sameBytes(decompress(decompressor, block, CODE.arm.length), CODE.arm), name);
  }
});

test("an output that is too small gets 0, and nothing is written beyond it", async () => {
  const filters = await createCompressor({
    codec: "xz",
    options: { level: 4, dictionarySize: 128 * KIB, filters: ["x86", "arm"] },
  });
  for (const compressor of [await compressorOf(0), await compressorOf(6), filters]) {
    for (const input of [new Uint8Array(0), noise(1000, 1), text(5000, 1), CODE.x86])
      assertExactRoom(compressor, input);
    const incompressible = noise(128 * KIB, 9);
    assert.equal(compressor.compress(incompressible, new Uint8Array(128 * KIB - 1)), 0);
  }
});

test("damage is found, and never written beyond the output", async () => {
  for (const content of [text(5000, 1), CODE.x86]) {
    const options = { level: 6, dictionarySize: 128 * KIB, filters: ["x86"] } as const;
    const block = compress(await createCompressor({ codec: "xz", options }), content).slice();
    await assertSurvivesDamage("xz", block, content);
  }
});

test("a dictionary that no block needs is refused", (t) => {
  if (lacks(t, "xz")) return;
  const block = filter("xz", ["--lzma2=preset=0,dict=64MiB", "-c"], text(5000, 1));
  assert.throws(() => decompress(decompressor, block, 5000), isCorrupt);
});

test("blocks depend on their input alone", async () => {
  await assertDependsOnInputOnly({
    codec: "xz",
    options: { level: 6, dictionarySize: 128 * KIB, filters: ["arm", "armthumb"] },
  });
});

test("an impossible level is refused", async () => {
  for (const level of [-1, 1.5, 10, Number.NaN]) {
    await assert.rejects(
      compressorOf(level),
      (error) => error instanceof ImgbuildError && error.code === "internal" && /level/.test(error.message),
    );
  }
});
