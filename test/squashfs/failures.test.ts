/** What goes wrong: no room, options that cannot be, contents that fail or change. And what never may: other bytes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ByteString } from "../../src/bytes/bytestring.js";
import { MemoryDevice, slice } from "../../src/bytes/device.js";
import { ImgbuildError } from "../../src/errors.js";
import { openSquashfs, type SquashfsOptions, writeSquashfs } from "../../src/squashfs/index.js";
import { type Content, contentOf, type Directory, newFile } from "../../src/tree/node.js";
import { imageBytes, name, noise, text, treeOf } from "./image.js";

const sample = () =>
  treeOf({
    "a/noise": noise(700_000),
    "a/again": noise(700_000),
    "b/text": text(900_000),
    "b/small": text(100),
    "c/xattrs": newFile(contentOf(text(7)), {
      xattrs: new Map([
        [name("user.one"), noise(9)],
        [name("user.two"), noise(100)],
      ]),
    }),
  });

test("the same tree gives the same bytes, whatever the number of workers and the order of its maps", async () => {
  const expected = await imageBytes(sample(), { jobs: 1 });
  for (const jobs of [1, 2, 3, 8]) assert.deepEqual(await imageBytes(sample(), { jobs }), expected);
  const reverse = (directory: Directory) => {
    const entries = [...directory.entries].reverse();
    directory.entries.clear();
    for (const [key, node] of entries) {
      directory.entries.set(key, node);
      node.xattrs = new Map([...node.xattrs].reverse());
      if (node.type === "directory") reverse(node);
    }
  };
  const reversed = sample();
  reverse(reversed.root);
  assert.deepEqual(await imageBytes(reversed), expected);
});

test("a window that is too small: the exact size is said, and it is enough", async () => {
  const expected = await imageBytes(sample());
  for (const available of [0, 50, 5000, 700_000, expected.length - 1]) {
    const device = new MemoryDevice(available);
    await assert.rejects(writeSquashfs(device, sample(), { time: 0 }), (error) => {
      assert.ok(error instanceof ImgbuildError);
      assert.equal(error.code, "does-not-fit");
      const { needed, available: had } = error.data;
      assert.deepEqual({ needed, available: had }, { needed: expected.length, available });
      return true;
    });
    assert.deepEqual(device.bytes.subarray(0, 96), new Uint8Array(Math.min(96, available)), "no superblock is left");
  }
  const exact = new MemoryDevice(expected.length);
  const { size } = await writeSquashfs(exact, sample(), { time: 0 });
  assert.equal(size, expected.length);
  assert.deepEqual(exact.bytes, expected);
});

test("what is large in an image that is too large is said by what it takes there, compressed", async () => {
  const many = Object.fromEntries(Array.from({ length: 90 }, (_, i) => [`many/${i}`, noise(1000, 100 + i)]));
  const tree = treeOf({
    ...many,
    "a/sevens": new Uint8Array(3_000_000).fill(7),
    "b/noise": noise(300_000, 1),
    "c/again": noise(300_000, 1),
  });
  for (const compressor of ["gzip", "lz4"] as const) {
    await assert.rejects(writeSquashfs(new MemoryDevice(100_000), tree, { time: 0, compressor }), (error) => {
      assert.ok(error instanceof ImgbuildError);
      const largest = error.data.largest as { path: string; bytes: number }[];
      assert.equal(largest.length, 10);
      // The one full of sevens is the largest file by far, and compresses to next to nothing; the copy takes nothing.
      assert.deepEqual(
        largest.slice(0, 2).map(({ path }) => path),
        ["b/noise", "many"],
      );
      assert.ok(!largest.some(({ path }) => path.startsWith("c")));
      const [noisy, folder] = [largest[0]!, largest[1]!];
      // Noise is stored as it is; the share of a fragment that small noise has of it too, but for what is rounded.
      assert.ok(Math.abs(noisy.bytes - 300_000) < 3000, `${noisy.bytes}`);
      assert.ok(Math.abs(folder.bytes - 90_000) < 2000, `${folder.bytes}`);
      return true;
    });
  }
});

test("a device that held an image before: its superblock does not stay over other data", async () => {
  const device = new MemoryDevice(2 ** 21);
  await writeSquashfs(device, sample(), { time: 0 });
  const small = slice(device, 0, 100_000);
  await assert.rejects(writeSquashfs(small, treeOf({ other: noise(200_000, 5) }), { time: 0 }), {
    code: "does-not-fit",
  });
  await assert.rejects(openSquashfs(device), { code: "image-corrupt", message: /no SquashFS|zeros|empty/i });
  assert.deepEqual(device.bytes.subarray(0, 96), new Uint8Array(96));
  // What is refused beforehand leaves the image alone.
  await writeSquashfs(device, sample(), { time: 0 });
  const before = device.bytes.slice();
  const wrong = treeOf({ x: newFile(contentOf(text(1)), { uid: -1 }) });
  await assert.rejects(writeSquashfs(device, wrong, { time: 0 }), { code: "not-representable" });
  assert.deepEqual(device.bytes, before);
});

test("the padding is zeros, and nothing behind it is touched", async () => {
  const expected = await imageBytes(sample());
  const device = new MemoryDevice(new Uint8Array(2 ** 21).fill(0xa5));
  const { size, bytesUsed } = await writeSquashfs(device, sample(), { time: 0 });
  assert.equal(size % 4096, 0);
  assert.ok(size - bytesUsed < 4096);
  assert.deepEqual(device.bytes.subarray(0, size), expected);
  assert.ok(device.bytes.subarray(size).every((byte) => byte === 0xa5));
  const unpadded = await writeSquashfs(new MemoryDevice(2 ** 21), sample(), { time: 0, pad: 1 });
  assert.equal(unpadded.size, bytesUsed);
});

/** Content that fails when byte `limit` is reached. */
function failing(size: number, limit: number): { content: Content; closed: () => number } {
  let open = 0;
  const content: Content = {
    size,
    async open() {
      open++;
      return {
        async read(at, into) {
          if (at + into.length > limit) throw new ImgbuildError("source-changed", "x became shorter while it was read");
          into.set(noise(into.length, at + 1));
        },
        async close() {
          open--;
        },
      };
    },
  };
  return { content, closed: () => open };
}

test("content that fails: its error comes out, its reader is closed, no worker stays", async () => {
  for (const [size, limit] of [
    [100, 0],
    [5_000_000, 131_072],
    [5_000_000, 3_000_000],
    [4_999_999, 4_999_998],
  ] as const) {
    const { content, closed } = failing(size, limit);
    const tree = treeOf({ before: noise(1_000_000), x: content });
    await assert.rejects(writeSquashfs(new MemoryDevice(2 ** 23), tree, { time: 0, jobs: 2 }), {
      code: "source-changed",
    });
    assert.equal(closed(), 0);
  }
  assert.deepEqual(
    process.getActiveResourcesInfo().filter((resource) => /Message|Worker/.test(resource)),
    [],
  );
});

test("a file that changes between the reading for its hash and the reading for its data is an error", async () => {
  let reads = 0;
  const changing: Content = {
    size: 400_000,
    async open() {
      const bytes = noise(400_000, ++reads);
      return {
        async read(at, into) {
          into.set(bytes.subarray(at, at + into.length));
        },
        async close() {},
      };
    },
  };
  const tree = treeOf({ a: text(400_000), changing });
  await assert.rejects(writeSquashfs(new MemoryDevice(2 ** 22), tree, { time: 0 }), {
    code: "source-changed",
    message: /changing/,
  });
});

test("a device that fails", async () => {
  class Full extends MemoryDevice {
    override async write(at: number, bytes: Uint8Array): Promise<void> {
      if (at > 100) throw new ImgbuildError("disk-full", "the disk is full");
      return super.write(at, bytes);
    }
  }
  await assert.rejects(writeSquashfs(new Full(2 ** 24), treeOf({ a: noise(4_000_000) }), { time: 0 }), {
    code: "disk-full",
  });
});

test("options out of range are refused by name", async () => {
  const wrong: [Partial<Record<keyof SquashfsOptions, unknown>>, RegExp][] = [
    [{ compressor: "lzma" }, /lzma/],
    [{ compressor: "toString" }, /toString/],
    [{ level: 0 }, /level of 0/],
    [{ level: 10 }, /level of 10/],
    [{ blockSize: 2048 }, /block size of 2048/],
    [{ blockSize: 2 ** 21 }, /block size of 2097152/],
    [{ blockSize: 5000 }, /5000 is not a power of two/],
    [{ time: 1.5 }, /time of 1.5/],
    [{ time: Number.NaN }, /time of NaN/],
    [{ pad: 0 }, /padding of 0/],
    [{ jobs: 0 }, /jobs of 0/],
  ];
  for (const [options, message] of wrong) {
    const device = new MemoryDevice(2 ** 20);
    await assert.rejects(writeSquashfs(device, sample(), { time: 0, ...options } as SquashfsOptions), {
      code: "usage",
      message,
    });
  }
});

test("progress counts every byte and every file once", async () => {
  let bytes = 0;
  let files = 0;
  const shared = newFile(contentOf(text(1000)));
  const tree = sample();
  tree.root.entries.set("link-1" as ByteString, shared);
  tree.root.entries.set("link-2" as ByteString, shared);
  tree.root.entries.set("hole" as ByteString, newFile({ ...contentOf(new Uint8Array(500_000)), data: [] }));
  const summary = await writeSquashfs(new MemoryDevice(2 ** 22), tree, {
    time: 0,
    observer: {
      progress(moreBytes, moreFiles) {
        bytes += moreBytes;
        files += moreFiles;
      },
    },
  });
  assert.equal(files, 7);
  assert.equal(bytes, 2 * 700_000 + 900_000 + 100 + 7 + 1000 + 500_000);
  assert.equal(summary.files, files);
  assert.equal(summary.fileBytes, bytes);
});
