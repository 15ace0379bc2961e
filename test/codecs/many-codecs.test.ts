/** Codecs are made for every image that is opened, and nobody closes them: however many there are, a thread has one of each. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type CodecSpec, createCompressor, createDecompressor } from "../../src/codecs/index.js";

const MIB = 2 ** 20;
const SPECS: readonly CodecSpec[] = [
  { codec: "zlib", options: { level: 1 } },
  { codec: "xz", options: { level: 0, dictionarySize: MIB, filters: ["arm"] } },
  { codec: "zstd", options: { level: 1 } },
  { codec: "lzo", options: { level: 1 } },
  { codec: "lz4", options: { level: 1 } },
];

for (const spec of SPECS) {
  test(`500 compressors and decompressors of ${spec.codec} take no more memory than a few`, async () => {
    const zeros = new Uint8Array(MIB);
    const compressed = new Uint8Array(MIB);
    const result = new Uint8Array(MIB);
    const rounds = async (count: number) => {
      for (let round = 0; round < count; round++) {
        const size = (await createCompressor(spec)).compress(zeros, compressed);
        const decompressor = await createDecompressor(spec.codec);
        assert.equal(decompressor.decompress(compressed.subarray(0, size), result), MIB);
      }
    };
    await rounds(10);
    const before = process.memoryUsage.rss();
    await rounds(500);
    const grown = (process.memoryUsage.rss() - before) / MIB;
    // A block for each of them would be 500 MiB.
    assert.ok(grown < 100, `${Math.round(grown)} MiB more`);
  });
}

test("compressors that are used in turn keep their own options", async () => {
  const input = new Uint8Array(100_000);
  for (let i = 0; i < input.length; i++) input[i] = (i * i) >>> 7;
  const results = async (order: readonly number[]) => {
    const levels = [0, 4, 6];
    const compressors = await Promise.all(
      levels.map((level) =>
        createCompressor({
          codec: "xz",
          options: { level, dictionarySize: 4096 << level, filters: level === 4 ? ["arm"] : [] },
        }),
      ),
    );
    const made: Uint8Array[] = [];
    for (const which of order) {
      const output = new Uint8Array(200_000);
      made[which] = output.slice(0, compressors[which]!.compress(input, output));
    }
    return made;
  };
  const expected = await Promise.all([0, 1, 2].map(async (which) => (await results([which]))[which]));
  assert.equal(new Set(expected.map((bytes) => Buffer.from(bytes!).toString("hex"))).size, 3);
  assert.deepEqual(await results([2, 0, 1, 2, 1, 0, 1]), expected);
});
