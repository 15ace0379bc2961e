/** File data: block limits, holes, fragments and duplicates, alone and together. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { crc32 } from "../../src/bytes/checksum.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { writeSquashfs } from "../../src/squashfs/index.js";
import { type Content, contentOf, newFile } from "../../src/tree/node.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { assertExtracts, assertKernelShows, noise, type Options, text, treeOf, writeImage } from "./image.js";

/** Parts one after the other. */
const joined = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const zeros = (length: number) => new Uint8Array(length);

for (const blockSize of [4096, 131_072, 2 ** 20]) {
  test(`files around the limits of blocks of ${blockSize} bytes`, async (t) => {
    if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
    const sizes = [
      0,
      1,
      2,
      blockSize - 1,
      blockSize,
      blockSize + 1,
      2 * blockSize - 1,
      2 * blockSize,
      3 * blockSize + 17,
    ];
    const files: Record<string, Uint8Array> = {};
    for (const [i, size] of sizes.entries()) {
      files[`noise-${size}`] = noise(size, i + 1);
      files[`text-${size}`] = text(size, i + 1);
      files[`zeros-${size}`] = zeros(size);
    }
    const tree = treeOf(files);
    const folder = temporaryFolder(t);
    for (const fragments of [true, false, "always"] as const) {
      const { image } = await writeImage(folder, tree, { blockSize, fragments });
      await assertKernelShows(image, tree);
      if (fragments === "always") await assertExtracts(folder, image, tree);
    }
  });
}

test("what comes after a large file can be read", async (t) => {
  if (lacksRoot(t) || lacks(t, "getfattr")) return;
  const tree = treeOf({ a: text(40 * 131_072 + 5), b: text(10, 2), c: text(300_000, 3), "d/e": text(20, 4) });
  const { image } = await writeImage(temporaryFolder(t), tree);
  await assertKernelShows(image, tree);
});

test("holes, duplicates and fragments next to each other, with many blocks in work", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
  const block = 4096;
  const files: Record<string, Uint8Array> = {};
  for (let i = 0; i < 60; i++) {
    const seed = 1 + (i % 20);
    files[`sparse/${i}`] = joined(
      text(block, seed),
      zeros(2 * block),
      noise(block, seed),
      zeros(seed),
      text(seed * 30),
    );
    files[`small/${i}`] = text(50 * seed, seed);
    files[`end-in-hole/${i}`] = joined(noise(seed * 100, seed), zeros(block * 2));
    files[`begin-in-hole/${i}`] = joined(zeros(block * 3), text(100, seed));
  }
  const tree = treeOf(files);
  const folder = temporaryFolder(t);
  const { image, summary } = await writeImage(folder, tree, { blockSize: block, fragments: "always", jobs: 3 });
  assert.equal(summary.duplicates, 4 * 40);
  await assertKernelShows(image, tree);
  await assertExtracts(folder, image, tree);
});

test("files with the same bytes are stored once", async (t) => {
  if (lacksRoot(t) || lacks(t, "getfattr")) return;
  const contents = { short: noise(3000), block: noise(131_072, 2), long: noise(500_000, 3), tail: noise(131_073, 4) };
  const once = treeOf(contents);
  const thrice = treeOf({
    ...contents,
    ...Object.fromEntries(Object.entries(contents).map(([key, bytes]) => [`second/${key}`, bytes.slice()])),
    ...Object.fromEntries(Object.entries(contents).map(([key, bytes]) => [`third/${key}`, bytes.slice()])),
  });
  const folder = temporaryFolder(t);
  for (const fragments of [true, false, "always"] as const) {
    const single = (await writeImage(folder, once, { fragments })).summary;
    const { image, summary } = await writeImage(folder, thrice, { fragments });
    assert.equal(summary.duplicates, 8);
    assert.equal(summary.duplicateBytes, 2 * (3000 + 131_072 + 500_000 + 131_073));
    assert.ok(summary.bytesUsed < single.bytesUsed + 600, "only metadata is added");
    await assertKernelShows(image, thrice);
  }
  const separate = (await writeImage(folder, thrice, { dedupe: false })).summary;
  assert.equal(separate.duplicates, 0);
  assert.ok(separate.bytesUsed > 3 * 760_000);
});

test("files of one size and one hash are compared before they are merged", async (t) => {
  if (lacksRoot(t) || lacks(t, "getfattr")) return;
  // Adding a multiple of its polynomial does not change a CRC: these are the 33 bits of CRC-32's own.
  const polynomial = Buffer.alloc(8);
  polynomial.writeBigUInt64LE((0xedb88320n << 1n) | 1n);
  const collide = (bytes: Uint8Array) => {
    const other = bytes.slice();
    for (let i = 0; i < 5; i++) other[20 + i]! ^= polynomial[i]!;
    assert.equal(crc32(other), crc32(bytes));
    assert.notDeepEqual(other, bytes);
    return other;
  };
  const short = noise(1000);
  const long = noise(300_000, 2);
  const tree = treeOf({ a: short, b: collide(short), c: short.slice(), d: long, e: collide(long), f: long.slice() });
  const { image, summary } = await writeImage(temporaryFolder(t), tree);
  assert.equal(summary.duplicates, 2);
  await assertKernelShows(image, tree);
});

test("many files of zeros, each of another size, and many that are made to have one hash", async () => {
  const sizes = Object.fromEntries(
    Array.from({ length: 12_000 }, (_, i) => [`${i}`, contentOf(zeros(1 + (i % 6000)))] as const),
  );
  let opened = 0;
  const counting = (content: Content): Content => ({
    size: content.size,
    open() {
      opened++;
      return content.open();
    },
  });
  const counted = Object.entries(sizes).map(([key, content]) => [key, counting(content)]);
  const { duplicates } = await writeSquashfs(new MemoryDevice(2 ** 24), treeOf(Object.fromEntries(counted)), {
    time: 0,
  });
  assert.equal(duplicates, 6000);
  // Each once, and the first of two once more for the comparison.
  assert.equal(opened, 18_000);

  // Multiples of the polynomial of CRC-32 change a file and not its hash.
  const colliding = Array.from({ length: 200 }, (_, i) => {
    const bytes = noise(1000);
    const multiple = ((0xedb88320n << 1n) | 1n) << BigInt(i);
    for (let at = 0; at < 40; at++) bytes[20 + at]! ^= Number((multiple >> BigInt(8 * at)) & 0xffn);
    const content = contentOf(bytes);
    assert.equal(crc32(bytes), crc32(noise(1000)));
    return [`${i}`.padStart(3, "0"), counting(content)] as const;
  });
  opened = 0;
  const summary = await writeSquashfs(new MemoryDevice(2 ** 24), treeOf(Object.fromEntries(colliding)), { time: 0 });
  assert.equal(summary.duplicates, 0);
  assert.ok(opened <= 9 * colliding.length, `${opened} times a file was opened`);
});

test("files that differ in nothing but their last byte, or their length, stay apart", async (t) => {
  if (lacksRoot(t) || lacks(t, "getfattr")) return;
  const tree = treeOf({
    a: joined(noise(300_000), Uint8Array.of(1)),
    b: joined(noise(300_000), Uint8Array.of(2)),
    c: noise(300_000),
    "zeros-1": zeros(400_000),
    "zeros-2": zeros(400_001),
    d: joined(zeros(131_072), noise(131_072)),
    e: joined(noise(131_072), zeros(131_072)),
  });
  const { image, summary } = await writeImage(temporaryFolder(t), tree);
  assert.equal(summary.duplicates, 0);
  await assertKernelShows(image, tree);
});

test("zeros that are known to be a hole equal zeros that were read", async (t) => {
  if (lacksRoot(t) || lacks(t, "getfattr")) return;
  const bytes = joined(zeros(300_000), noise(1000), zeros(200_000));
  const withExtents = newFile({ ...contentOf(bytes), data: [{ start: 300_000, end: 301_000 }] });
  const tree = treeOf({ plain: bytes, sparse: withExtents });
  const folder = temporaryFolder(t);
  const { image, summary } = await writeImage(folder, tree);
  assert.equal(summary.duplicates, 1);
  await assertKernelShows(image, tree);
  const dense = await writeImage(folder, tree, { sparse: false });
  assert.equal(dense.summary.sparseBytes, 0);
  await assertKernelShows(dense.image, tree);
});

/** A file of a few bytes between holes, which fails when the middle of a hole is read. */
function holey(size: number, data: readonly { start: number; bytes: Uint8Array }[]): Content {
  const extents = data.map(({ start, bytes }) => ({ start, end: start + bytes.length }));
  return {
    size,
    data: extents,
    async open() {
      return {
        async read(at, into) {
          const end = at + into.length;
          assert.ok(
            extents.some((extent) => extent.start < end && extent.end > at),
            `a hole was read at ${at}`,
          );
          into.fill(0);
          for (const { start, bytes } of data) {
            for (let i = 0; i < bytes.length; i++) {
              const position = start + i - at;
              if (position >= 0 && position < into.length) into[position] = bytes[i]!;
            }
          }
        },
        async close() {},
      };
    },
  };
}

test("a sparse file of more than 4 GiB", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs")) return;
  const size = 5 * 2 ** 30 + 3;
  const data = [
    { start: 100, bytes: text(50) },
    { start: 2 ** 32 - 7, bytes: text(100, 2) },
    { start: size - 2, bytes: text(2, 3) },
  ];
  const folder = temporaryFolder(t);
  const tree = treeOf({ large: holey(size, data), small: text(100, 4), hole: holey(2 ** 33, []) });
  const { image, summary } = await writeImage(folder, tree);
  assert.ok(summary.size < 2 ** 20);
  await mounted(image, { type: "squashfs" }, (mount) => {
    assert.equal(fs.statSync(`${mount}/large`).size, size);
    assert.ok(fs.statSync(`${mount}/large`).blocks < 2000, "holes take no blocks");
    assert.equal(fs.statSync(`${mount}/hole`).size, 2 ** 33);
    const fd = fs.openSync(`${mount}/large`, "r");
    for (const at of [0, 2 ** 32 - 100_000, 3 * 2 ** 30, size - 200_000]) {
      const expected = Buffer.alloc(200_000);
      for (const { start, bytes } of data) {
        for (const [i, byte] of bytes.entries())
          if (start + i >= at && start + i < at + 200_000) expected[start + i - at] = byte;
      }
      const found = Buffer.alloc(200_000, 0xff);
      fs.readSync(fd, found, 0, Math.min(200_000, size - at), at);
      assert.deepEqual(found.subarray(0, size - at), expected.subarray(0, size - at), `at ${at}`);
    }
    fs.closeSync(fd);
  });
  assert.match(run("unsquashfs", ["-lls", image]), new RegExp(` ${size} .*/large\n`));
});

test("each option changes what it says, and nothing else", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
  const file = newFile(contentOf(text(1000)), { xattrs: new Map([["user.a" as never, noise(5)]]) });
  const tree = treeOf({ file, twin: text(1000), sparse: joined(zeros(262_144), text(400_000, 2)) });
  const folder = temporaryFolder(t);
  const say = async (options: Options) => {
    const { image } = await writeImage(folder, tree, options);
    if (options.xattrs !== false) await assertKernelShows(image, tree);
    return run("unsquashfs", ["-s", image], { env: { TZ: "UTC" } });
  };
  const usual = await say({});
  assert.match(usual, /Compression gzip\n\tcompression-level 6\n\twindow-size 15\n\tStrategies selected: default\n/);
  assert.match(usual, /\nBlock size 131072\nFilesystem is not exportable/);
  assert.match(usual, /Always-use-fragments option is not specified\n/);
  assert.match(
    usual,
    /Duplicates are removed\nNumber of fragments 1\nNumber of inodes 4\nNumber of ids 1\nNumber of xattr ids 1\n/,
  );
  assert.match(usual, /Creation or last append time Thu Jan {2}1 00:00:00 1970/);
  assert.match(await say({ fragments: false }), /Fragments are not stored\n(.*\n)*Number of fragments 0\n/);
  assert.match(await say({ fragments: "always" }), /Always-use-fragments option is specified\n/);
  assert.match(await say({ dedupe: false }), /Duplicates are not removed\n/);
  assert.match(await say({ exports: true }), /Filesystem is exportable via NFS\n/);
  assert.match(await say({ xattrs: false }), /Xattrs are not stored\n/);
  assert.match(await say({ blockSize: 65_536 }), /Block size 65536\n/);
  assert.match(await say({ level: 4 }), /compression-level 4\n/);
  // What the format takes for granted is not stored.
  assert.match(await say({ level: 9 }), /Compression gzip\nBlock size 131072\n/);
  await say({ sparse: false });
  assert.match(await say({ time: 2 ** 31 }), /time Tue Jan 19 03:14:08 2038/);
  // The format's own time is moved into its range, as those of inodes are.
  assert.match(await say({ time: 2 ** 32 }), /time Sun Feb {2}7 06:28:15 2106/);
  assert.match(await say({ time: -1 }), /time Thu Jan {2}1 00:00:00 1970/);
});
