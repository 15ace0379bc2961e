/** Compressed files, with gzip, xz, zstd and bmaptool as those that read them. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { COMPRESSIONS, CompressedFile, type Compression } from "../../src/output/compress.js";
import { filter } from "../codecs/block-codec.js";
import { noise, text } from "../codecs/deflate-data.js";
import { makeRoot } from "../support/cli.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import { Appended, build } from "./build.js";

const DECOMPRESS: Readonly<Record<Compression, readonly [string, ...string[]]>> = {
  gz: ["gzip", "-dc"],
  xz: ["xz", "-dc"],
  zst: ["zstd", "-dc"],
};
const PIECE = 2 ** 21;

/** Something that even xz is quick with. */
const texts = (length: number) => new Uint8Array(Buffer.alloc(length, text(5000, 1)));

/** Bytes, or so many zeros. */
type Part = Uint8Array | number;

async function compress(compression: Compression, parts: readonly Part[], jobs = 1): Promise<Uint8Array> {
  const target = new Appended();
  const file = await CompressedFile.create(target, compression, jobs);
  for (const part of parts) {
    if (typeof part === "number") await file.writeZeros(part);
    else await file.write(part);
  }
  await file.end();
  return target.bytes;
}

const whole = (parts: readonly Part[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "number" ? new Uint8Array(part) : part)));

const CASES: Readonly<Record<string, readonly Part[]>> = {
  nothing: [],
  "one byte": [Uint8Array.of(7)],
  "one zero": [1],
  "a piece exactly": [texts(PIECE)],
  "what cannot be compressed": [noise(PIECE + 12_345, 2)],
  "zeros between data": [text(1000, 3), 5 * PIECE + 77, noise(99, 4), 3 * PIECE, texts(PIECE), 2 * PIECE],
  "nothing but zeros": [4 * PIECE],
};

for (const compression of COMPRESSIONS) {
  test(`${compression}: what comes out is what went in`, async (t) => {
    const [program, ...args] = DECOMPRESS[compression];
    if (lacks(t, program)) return;
    for (const [name, parts] of Object.entries(CASES)) {
      const compressed = await compress(compression, parts);
      const found = filter(program, args, compressed);
      assert.ok(Buffer.compare(found, whole(parts)) === 0, name);
      // Its size is in the file; zstd says the sum of its frames', and nothing of none.
      if (compression === "gz") assert.ok(gunzipSync(compressed).equals(whole(parts)), name);
      if (compression === "xz") filter("xz", ["--test"], compressed);
    }
  });

  test(`${compression}: neither the number of workers nor how it was written changes a byte`, async () => {
    const noisy = noise(PIECE / 8, 2);
    const bytes = Buffer.concat([texts(PIECE + 5), noisy, new Uint8Array(3 * PIECE), noisy, texts(3 * PIECE)]);
    const expected = await compress(compression, [bytes]);
    const small = Array.from({ length: Math.ceil(bytes.length / 70_001) }, (_, i) =>
      bytes.subarray(i * 70_001, (i + 1) * 70_001),
    );
    assert.ok(Buffer.compare(await compress(compression, small, 3), expected) === 0);
    const hole = PIECE + 5 + noisy.length;
    const holes = [bytes.subarray(0, hole), 3 * PIECE, bytes.subarray(hole + 3 * PIECE)];
    assert.ok(Buffer.compare(await compress(compression, holes, 2), expected) === 0);
  });
}

test("every frame of a zst ends in a checksum of its content, which zstd checks", async (t) => {
  if (lacks(t, "zstd")) return;
  // Noise is stored as it is: what decodes from a flipped byte is as long, and nothing else would notice.
  const lengths = [0, 1, 3, 4, 7, 8, 31, 32, 33, 65_535, 65_536, 65_537, PIECE - 1];
  for (const length of lengths) {
    const content = noise(length, length + 1);
    const compressed = await compress("zst", [content]);
    assert.ok(Buffer.compare(filter("zstd", ["-dc"], compressed), content) === 0, `${length} bytes`);
    if (length === 0) continue;
    compressed[compressed.length - 5]! ^= 1;
    assert.throws(() => filter("zstd", ["-dc"], compressed), `${length} bytes`);
  }
  const two = await compress("zst", [noise(PIECE, 1), noise(PIECE, 2)]);
  two[PIECE / 2]! ^= 0x10;
  assert.throws(() => filter("zstd", ["-dc"], two));
  const zeros = await compress("zst", [3 * PIECE]);
  const file = path.join(temporaryFolder(t), "zeros.zst");
  fs.writeFileSync(file, zeros);
  assert.match(run("zstd", ["-lv", file]), /Check: XXH64/);
});

test("an image's compressed forms are the image, say how long it is, and bmaptool takes them", async (t) => {
  if (lacks(t, "gzip", "xz", "zstd", "bmaptool", "losetup") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const formats = COMPRESSIONS.map((compression) => `img.${compression}`);
  build(folder, makeRoot(folder), "--format", `img,bmap,${formats}`);
  const out = path.join(folder, "out/colibri-imx6");
  const image = fs.readFileSync(path.join(out, "emmc.img"));
  const device = path.join(folder, "device");
  for (const compression of COMPRESSIONS) {
    const file = path.join(out, `emmc.img.${compression}`);
    const restored = path.join(folder, "restored");
    run("sh", ["-c", `${DECOMPRESS[compression].join(" ")} "$1" >"$2"`, "sh", file, restored]);
    assert.ok(fs.readFileSync(restored).equals(image), file);
    assert.ok(fs.statSync(file).size < 8 * 2 ** 20, file);

    fs.writeFileSync(device, "");
    fs.truncateSync(device, image.length);
    const loop = run("losetup", ["--find", "--show", device]).trim();
    try {
      run("bmaptool", ["copy", file, loop]);
    } finally {
      run("losetup", ["--detach", loop]);
    }
    assert.ok(fs.readFileSync(device).equals(image), file);
  }
  assert.match(run("gzip", ["--list", path.join(out, "emmc.img.gz")]), new RegExp(`\\b${image.length}\\b`));
  assert.match(run("xz", ["--robot", "--list", path.join(out, "emmc.img.xz")]), new RegExp(`\\b${image.length}\\b`));
  assert.match(run("zstd", ["-lv", path.join(out, "emmc.img.zst")]), new RegExp(`\\(${image.length} B\\)`));
});
