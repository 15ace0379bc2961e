/** Blocks against the zstd of the host, in both directions. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createCompressor, createDecompressor } from "../../src/codecs/index.js";
import { ImgbuildError } from "../../src/errors.js";
import { lacks } from "../support/tools.js";
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
import { hardInputs, noise, records, text } from "./deflate-data.js";

const KIB = 1024;
const compressorOf = (level: number) => createCompressor({ codec: "zstd", options: { level } });
const decompressor = await createDecompressor("zstd");

test("hard inputs come back, from our decoder and from zstd", async (t) => {
  if (lacks(t, "zstd")) return;
  for (const level of [1, 15, 22]) {
    const compressor = await compressorOf(level);
    const blocks: Uint8Array[] = [];
    const contents: Uint8Array[] = [];
    for (const [name, input] of hardInputs()) {
      if (level !== 1 && input.length > 300_000) continue;
      const block = compress(compressor, input).slice();
      assert.ok(sameBytes(decompress(decompressor, block, input.length), input), `${name}, level ${level}`);
      blocks.push(block);
      contents.push(input);
    }
    // zstd takes frames one after the other.
    assert.ok(sameBytes(filter("zstd", ["-qdc"], Buffer.concat(blocks)), Buffer.concat(contents)), `level ${level}`);
  }
});

test("sizes around the limits of blocks", async () => {
  for (const level of [1, 15]) {
    const compressor = await compressorOf(level);
    for (const size of [4 * KIB, 128 * KIB, 1024 * KIB]) {
      for (const length of [size - 1, size, size + 1]) {
        const input = records(length, length);
        assert.ok(sameBytes(decompress(decompressor, compress(compressor, input), length), input), `${length} bytes`);
      }
    }
  }
});

test("every level is about as small as that of zstd", async (t) => {
  if (lacks(t, "zstd")) return;
  const inputs = [text(128 * KIB, 1), records(128 * KIB, 1)];
  for (let level = 1; level <= 22; level += 3) {
    const compressor = await compressorOf(level);
    for (const input of inputs) {
      const ours = compress(compressor, input).length;
      // The parameters of a level depend on the size, as known in advance.
      const theirs = filter(
        "zstd",
        ["-qc", "--no-check", "--ultra", `-${level}`, `--stream-size=${input.length}`],
        input,
      ).length;
      assert.ok(Math.abs(ours / theirs - 1) < 0.03, `level ${level}: ${ours} bytes, zstd has ${theirs}`);
    }
  }
});

test("a frame says how long its content is, and has no checksum", async () => {
  const compressor = await compressorOf(15);
  for (const length of [1, 300, 70_000, 128 * KIB]) {
    // RFC 8878, section 3.1.1.1: the descriptor, then the size of the content in 1, 2 or 4 bytes, of which 2 count from 256.
    const block = compress(compressor, records(length, 1));
    const view = new DataView(block.buffer, block.byteOffset);
    const descriptor = block[4]!;
    assert.equal(descriptor & 0x3f, 0x20, "one segment, no checksum, no dictionary");
    const size = [block[5], 256 + view.getUint16(5, true), view.getUint32(5, true)][descriptor >> 6];
    assert.equal(size, length);
  }
});

test("frames of every kind are taken: without a content size, with a checksum, with a larger window", (t) => {
  if (lacks(t, "zstd")) return;
  const input = text(100_000, 1);
  for (const args of [["-19"], ["--no-content-size"], ["--check"], ["-3", "--long=27", "--no-content-size"]]) {
    const block = filter("zstd", ["-qc", ...args], input);
    assert.ok(sameBytes(decompress(decompressor, block, input.length), input), args.join(" "));
  }
  const empty = filter("zstd", ["-qc"], new Uint8Array(0));
  assert.equal(decompress(decompressor, empty, 100).length, 0);
});

test("an output that is too small gets 0, and nothing is written beyond it", async () => {
  for (const compressor of [await compressorOf(1), await compressorOf(15), await compressorOf(22)]) {
    for (const input of [new Uint8Array(0), noise(1000, 1), text(5000, 1), records(100_000, 1)]) {
      assertExactRoom(compressor, input);
    }
    assert.equal(compressor.compress(noise(128 * KIB, 9), new Uint8Array(128 * KIB - 1)), 0);
  }
});

test("damage is found, and never written beyond the output", async (t) => {
  const compressor = await compressorOf(15);
  for (const content of [text(5000, 1), records(100_000, 1)]) {
    await assertSurvivesDamage("zstd", compress(compressor, content).slice(), content);
  }
  if (lacks(t, "zstd")) return;
  const checked = filter("zstd", ["-qc", "--check"], text(5000, 1)).slice();
  checked[checked.length - 1]! ^= 1;
  assert.throws(() => decompress(decompressor, checked, 5000), isCorrupt);
});

test("what is no single frame is refused", async () => {
  const skippable = Buffer.from("502a4d180400000061626364", "hex");
  assert.throws(() => decompress(decompressor, skippable, 100), isCorrupt);
  const frame = compress(await compressorOf(3), text(100, 1));
  assert.throws(() => decompress(decompressor, Buffer.concat([frame, skippable]), 1000), isCorrupt);
});

test("blocks depend on their input alone", async () => {
  await assertDependsOnInputOnly({ codec: "zstd", options: { level: 15 } });
});

test("an impossible level is refused", async () => {
  for (const level of [0, 1.5, 23, Number.NaN]) {
    await assert.rejects(
      compressorOf(level),
      (error) => error instanceof ImgbuildError && error.code === "internal" && /level/.test(error.message),
    );
  }
});
