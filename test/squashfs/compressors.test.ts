/** Images of each compressor with options of its own, before the kernel and unsquashfs; and what mksquashfs writes, read here. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { type CodecName, createDecompressor } from "../../src/codecs/index.js";
import { ImgbuildError } from "../../src/errors.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import {
  assertExtracts,
  assertKernelShows,
  imageBytes,
  noise,
  type Options,
  text,
  treeOf,
  writeImage,
} from "./image.js";

const KIB = 1024;
const program = fs.readFileSync(process.execPath).subarray(2 ** 22, 2 ** 22 + 300_000);

const MANY = Object.fromEntries(
  Array.from({ length: 400 }, (_, i) => [`many/${"name".repeat(i % 20)}${i}`, text(i, i)]),
);
const TREE = treeOf({
  program,
  text: text(300_000),
  noise: noise(140_000),
  zeros: new Uint8Array(200_000),
  short: text(10),
  ...MANY,
});

/** Options, and what unsquashfs shows of those that are stored. */
const CASES: Readonly<Record<string, readonly [Options, ...RegExp[]]>> = {
  xz: [{ compressor: "xz" }],
  "xz with filters": [
    { compressor: "xz", xz: { filters: ["arm", "x86"] } },
    /Dictionary size (\d+)/,
    /Filters selected: x86, arm$/m,
  ],
  "xz with every filter": [
    { compressor: "xz", level: 1, xz: { filters: ["sparc", "armthumb", "arm", "powerpc", "x86"] } },
    /Filters selected: x86, powerpc, arm, armthumb, sparc$/m,
  ],
  "xz, level 0": [{ compressor: "xz", level: 0 }],
  "xz, level 9": [{ compressor: "xz", level: 9 }],
  zstd: [{ compressor: "zstd" }],
  "zstd, level 3": [{ compressor: "zstd", level: 3 }, /compression-level 3$/m],
  "zstd, level 22": [{ compressor: "zstd", level: 22 }, /compression-level 22$/m],
};

for (const [name, [options, ...shown]] of Object.entries(CASES)) {
  test(`${name}: the kernel reads it`, async (t) => {
    if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
    const folder = temporaryFolder(t);
    for (const blockSize of [4 * KIB, 128 * KIB, 1024 * KIB]) {
      const { image } = await writeImage(folder, TREE, { ...options, blockSize });
      await assertKernelShows(image, TREE);
      await assertExtracts(folder, image, TREE);
      const facts = run("unsquashfs", ["-s", image]);
      assert.match(facts, new RegExp(`^Compression ${options.compressor}$`, "m"));
      for (const pattern of shown) assert.match(facts, pattern);
      // unsquashfs shows options only where they are stored.
      assert.equal(/Dictionary size|compression-level/.test(facts), shown.length > 0, facts);
    }
  });
}

test("a dictionary smaller than the block", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
  const folder = temporaryFolder(t);
  for (const dictionarySize of [8 * KIB, 48 * KIB, 96 * KIB, 64 * KIB]) {
    const { image } = await writeImage(folder, TREE, { compressor: "xz", xz: { dictionarySize } });
    await assertKernelShows(image, TREE);
    assert.match(run("unsquashfs", ["-s", image]), new RegExp(`Dictionary size ${dictionarySize}$`, "m"));
  }
});

test("the number of workers changes nothing", async () => {
  for (const compressor of ["xz", "zstd"] as const) {
    const options: Options = { compressor, level: 1, blockSize: 16 * KIB };
    const one = await imageBytes(TREE, { ...options, jobs: 1 });
    const three = await imageBytes(TREE, { ...options, jobs: 3 });
    assert.ok(Buffer.from(one).equals(three));
  }
});

test("impossible options are refused, and the message says what is possible", async () => {
  const refused: readonly (readonly [Options, RegExp, RegExp])[] = [
    [{ compressor: "zstd", xz: {} }, /options for xz .* zstd/, /xz/],
    [{ xz: { filters: ["arm"] } }, /options for xz .* gzip/, /xz/],
    [{ compressor: "xz", xz: { filters: ["arm64" as "arm"] } }, /"arm64"/, /armthumb/],
    [{ compressor: "xz", xz: { filters: ["ia64" as "arm"] } }, /"ia64"/, /armthumb/],
    [{ compressor: "xz", xz: { dictionarySize: 4096 } }, /4096/, /8192 to 131072/],
    [{ compressor: "xz", xz: { dictionarySize: 262_144 } }, /262144/, /8192 to 131072/],
    [{ compressor: "xz", xz: { dictionarySize: 10_000 } }, /10000/, /power of two/],
    [{ compressor: "xz", xz: { dictionarySize: 8192.5 } }, /8192\.5/, /power of two/],
    [{ compressor: "xz", level: 10 }, /xz level of 10/, /0 to 9/],
    [{ compressor: "zstd", level: 0 }, /zstd level of 0/, /1 to 22/],
    [{ compressor: "zstd", level: 23 }, /zstd level of 23/, /1 to 22/],
  ];
  for (const [options, message, hint] of refused) {
    await assert.rejects(imageBytes(treeOf({}), options), (error) => {
      assert.ok(error instanceof ImgbuildError && error.code === "usage", String(error));
      assert.match(error.message, message);
      assert.match(error.hint ?? "", hint);
      return true;
    });
  }
});

/** The blocks of an image that mksquashfs made of one file, whose inode is the first one of the first metadata block. */
async function blocksOfOnlyFile(image: Buffer, codec: CodecName): Promise<Buffer> {
  const decompressor = await createDecompressor(codec);
  const expand = (bytes: Uint8Array, stored: boolean, most: number) => {
    if (stored) return bytes;
    const output = new Uint8Array(most);
    return output.subarray(0, decompressor.decompress(bytes, output));
  };
  const blockSize = image.readUInt32LE(12);
  const inodeTable = Number(image.readBigUInt64LE(64));
  const header = image.readUInt16LE(inodeTable);
  const metadata = image.subarray(inodeTable + 2, inodeTable + 2 + (header & 0x7fff));
  const inode = Buffer.from(expand(metadata, (header & 0x8000) !== 0, 8192));
  assert.equal(inode.readUInt16LE(0), 2, "a file's basic inode");
  let at = inode.readUInt32LE(16);
  const size = inode.readUInt32LE(28);
  const parts: Uint8Array[] = [];
  for (let i = 0; i * blockSize < size; i++) {
    const entry = inode.readUInt32LE(32 + 4 * i);
    const length = entry & 0xffffff;
    parts.push(expand(image.subarray(at, at + length), (entry & 0x1000000) !== 0, blockSize));
    at += length;
  }
  return Buffer.concat(parts);
}

test("blocks of mksquashfs are decompressed", async (t) => {
  if (lacks(t, "mksquashfs")) return;
  const folder = temporaryFolder(t);
  const source = path.join(folder, "source");
  const image = path.join(folder, "image");
  const content = Buffer.concat([program, text(200_000), noise(20_000)]);
  fs.mkdirSync(source);
  fs.writeFileSync(path.join(source, "file"), content);
  for (const [codec, ...args] of [
    ["xz"],
    ["xz", "-Xbcj", "x86,arm"],
    ["xz", "-Xdict-size", "50%"],
    ["zstd"],
    ["zstd", "-Xcompression-level", "22"],
  ] as const) {
    fs.rmSync(image, { force: true });
    run("mksquashfs", [source, image, "-quiet", "-no-progress", "-no-fragments", "-comp", codec, ...args]);
    assert.ok((await blocksOfOnlyFile(fs.readFileSync(image), codec)).equals(content), args.join(" "));
  }
});
