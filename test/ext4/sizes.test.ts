/** File systems of every size: odd ones, tiny ones, huge ones, those that just fit, and those that grow. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { performance } from "node:perf_hooks";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { parseFeatures } from "../../src/ext4/features.js";
import { computeGeometry } from "../../src/ext4/geometry.js";
import { measureExt4, writeExt4 } from "../../src/ext4/index.js";
import { type Content, newDirectory, newFile } from "../../src/tree/node.js";
import { type Tree, walk } from "../../src/tree/tree.js";
import fc from "../support/fast-check.js";
import { randomTrees } from "../support/random-tree.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { assertClean, GiB, MiB, makeImage, OPTIONS, superblockFields } from "./support.js";

const BLOCK_SIZES = [1024, 2048, 4096] as const;

/** `size` bytes without a zero block. */
function dense(size: number): Content {
  return {
    size,
    async open() {
      return {
        async read(_at, into) {
          into.fill(0xa5);
        },
        async close() {},
      };
    },
  };
}

function treeOfFiles(count: number, size: number): Tree {
  const root = newDirectory();
  for (let i = 0; i < count; i++) {
    const name = fromText(`folder-${i % 7}`);
    const folder = root.entries.get(name) ?? newDirectory();
    root.entries.set(name, folder);
    if (folder.type === "directory") folder.entries.set(fromText(`file-${i}`), newFile(dense(size)));
  }
  return { root };
}

test("an empty file system says what it is", async (t) => {
  if (lacks(t, "e2fsck", "dumpe2fs")) return;
  const image = path.join(temporaryFolder(t), "image");
  await makeImage(image, 64 * MiB, undefined, { label: "userdata" });
  assertClean(image);
  const fields = superblockFields(image);
  assert.deepEqual(
    new Set(fields.get("Filesystem features")!.split(" ")),
    new Set([
      "has_journal",
      "ext_attr",
      "resize_inode",
      "dir_index",
      "filetype",
      "extent",
      "flex_bg",
      "sparse_super",
      "large_file",
      "huge_file",
      "dir_nlink",
      "extra_isize",
      "metadata_csum",
    ]),
  );
  for (const [field, value] of [
    ["Filesystem volume name", "userdata"],
    ["Filesystem UUID", OPTIONS.uuid],
    ["Directory Hash Seed", OPTIONS.hashSeed],
    ["Filesystem flags", "unsigned_directory_hash"],
    ["Default mount options", "user_xattr acl"],
    ["Filesystem state", "clean"],
    ["Errors behavior", "Continue"],
    ["Block count", "16384"],
    ["Block size", "4096"],
    ["Inode count", "4096"],
    ["Reserved block count", "163"],
    ["Inode size", "256"],
    ["Required extra isize", "32"],
    ["Flex block group size", "16"],
    ["Total journal size", "16M"],
    ["Filesystem created", "Tue Nov 14 22:13:20 2023"],
    ["Maximum mount count", "-1"],
    ["Checksum type", "crc32c"],
  ] as const) {
    assert.equal(fields.get(field)?.trim(), value, field);
  }
});

test("odd sizes, from too small for a journal to several groups", async (t) => {
  if (lacks(t, "e2fsck")) return;
  const image = path.join(temporaryFolder(t), "image");
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...BLOCK_SIZES),
      fc.oneof(
        fc.integer({ min: MiB, max: 16 * MiB }),
        fc.integer({ min: 16 * MiB, max: 3 * GiB }),
        // Around the end of a group, where a last group is too small for its own metadata.
        fc
          .tuple(fc.constantFrom(1, 2, 3, 16, 17), fc.integer({ min: -3000, max: 3000 }))
          .map(([groups, blocks]) => groups * 128 * MiB + blocks * 1024),
      ),
      async (blockSize, size) => {
        const summary = await makeImage(image, size, undefined, { blockSize });
        assert.ok(summary.size <= size && summary.size > size - 9 * MiB, `${summary.size} of ${size}`);
        assertClean(image);
      },
    ),
    { numRuns: 40, seed: 4 },
  );
});

test("every number of blocks around the end of the first group", async (t) => {
  if (lacks(t, "e2fsck")) return;
  const image = path.join(temporaryFolder(t), "image");
  for (let blocks = 8192; blocks < 8192 + 700; blocks += 23) {
    await makeImage(image, blocks * 1024 + 17, undefined, { blockSize: 1024, journalSize: 0 });
    assertClean(image);
  }
});

test("128 GiB, empty, take a few MiB", async (t) => {
  if (lacks(t, "e2fsck")) return;
  const image = path.join(temporaryFolder(t), "image");
  const start = performance.now();
  await makeImage(image, 128 * GiB);
  t.diagnostic(`${Math.round(performance.now() - start)} ms`);
  const allocated = fs.statSync(image).blocks * 512;
  assert.ok(allocated < 8 * MiB, `${allocated} bytes`);
  assertClean(image);
});

test("with the 64bit feature", async (t) => {
  if (lacks(t, "e2fsck", "dumpe2fs", "resize2fs")) return;
  const image = path.join(temporaryFolder(t), "image");
  for (const blockSize of BLOCK_SIZES) {
    await makeImage(image, 700 * MiB, treeOfFiles(20, 5000), { blockSize, features: "64bit" });
    const fields = superblockFields(image);
    assert.match(fields.get("Filesystem features")!, /\bresize_inode\b.*\b64bit\b/);
    assert.equal(fields.get("Group descriptor size"), "64");
    assertClean(image);
    fs.truncateSync(image, 2 * GiB);
    run("resize2fs", [image]);
    assertClean(image);
  }
});

test("beyond 2^32 blocks, block numbers are 64 bits wide", () => {
  const format = { blockSize: 4096, inodeSize: 256, features: parseFeatures("") } as const;
  const options = { format, inodeRatio: 2 ** 24, inodes: 12, growTo: undefined };
  const below = computeGeometry({ ...options, size: (2 ** 32 - 1) * 4096 })!;
  assert.deepEqual([below.wide, below.reservedDescriptorBlocks > 0], [false, true]);
  const beyond = computeGeometry({ ...options, size: 2 ** 32 * 4096 })!;
  assert.deepEqual([beyond.wide, beyond.reservedDescriptorBlocks], [true, 0]);
});

test("what was measured is enough, and a block less is refused with that number", async (t) => {
  if (lacks(t, "e2fsck")) return;
  const image = path.join(temporaryFolder(t), "image");
  const trees: Tree[] = [
    { root: newDirectory() },
    treeOfFiles(300, 3000),
    treeOfFiles(3, 40 * MiB),
    treeOfFiles(2000, 10),
    treeOfFiles(1, 7 * MiB),
  ];
  for (const tree of [...trees, ...fc.sample(randomTrees, { numRuns: 8, seed: 4 })]) {
    // Holes that only the writer finds would let it do with less than what was measured.
    for (const { node } of walk(tree)) {
      if (node.type === "file") node.content = { ...node.content, data: [{ start: 0, end: node.content.size }] };
    }
    for (const [i, blockSize] of [...BLOCK_SIZES, ...BLOCK_SIZES].entries()) {
      const options = { ...OPTIONS, blockSize, ...(i >= BLOCK_SIZES.length && { features: "ext3", growTo: GiB }) };
      const needed = measureExt4(tree, options);
      await makeImage(image, needed, tree, options);
      assertClean(image);
      const available = needed - blockSize;
      await assert.rejects(writeExt4(new MemoryDevice(available), tree, options), ({ code, data }) => {
        assert.deepEqual([code, data.needed, data.available], ["does-not-fit", needed, available]);
        return true;
      });
    }
  }
});

test("every size above the measured one will do", async () => {
  const tree = treeOfFiles(10, 600_000);
  for (const [blockSize, features] of BLOCK_SIZES.flatMap(
    (size) =>
      [
        [size, "ext4"],
        [size, "ext3"],
      ] as const,
  )) {
    const needed = measureExt4(tree, { ...OPTIONS, blockSize, features });
    for (let extra = 0; extra < 6 * MiB; extra += 512 * 1024 + 1) {
      await writeExt4(new MemoryDevice(needed + extra), tree, { ...OPTIONS, blockSize, features });
    }
  }
});

test("the same input gives the same bytes", async () => {
  const [tree] = fc.sample(randomTrees, { numRuns: 1, seed: 7 });
  const [one, two] = [new MemoryDevice(20 * MiB), new MemoryDevice(20 * MiB)];
  await writeExt4(one, tree, OPTIONS);
  const reversed = newDirectory({ ...tree!.root });
  for (const [name, node] of [...tree!.root.entries].reverse()) reversed.entries.set(name, node);
  await writeExt4(two, { root: reversed }, OPTIONS);
  assert.ok(Buffer.from(one.bytes).equals(two.bytes));
});

test("what is written does not rely on bytes that were there before", async (t) => {
  if (lacks(t, "e2fsck")) return;
  const image = path.join(temporaryFolder(t), "image");
  for (const blockSize of BLOCK_SIZES) {
    for (const features of ["ext4", "ext3", "ext2,uninit_bg"]) {
      const device = new MemoryDevice(new Uint8Array(40 * MiB).fill(0xee));
      await writeExt4(device, treeOfFiles(200, 5000), { ...OPTIONS, blockSize, features });
      fs.writeFileSync(image, device.bytes);
      assertClean(image);
    }
  }
});

test("resize2fs grows it from 64 MiB to 10 GiB while it is not mounted", async (t) => {
  if (lacks(t, "e2fsck", "resize2fs")) return;
  const image = path.join(temporaryFolder(t), "image");
  await makeImage(image, 64 * MiB, treeOfFiles(50, 30_000));
  fs.truncateSync(image, 10 * GiB);
  run("resize2fs", [image]);
  assert.equal(superblockFields(image).get("Block count"), String((10 * GiB) / 4096));
  assertClean(image);
});

test("tune2fs changes it, and e2image copies it", async (t) => {
  if (lacks(t, "e2fsck", "dumpe2fs", "tune2fs", "e2image")) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "image");
  for (const features of ["ext4", "ext2"]) {
    await makeImage(image, 64 * MiB, treeOfFiles(50, 30_000), { features });
    run("tune2fs", [
      "-L",
      "renamed",
      "-m",
      "7",
      "-e",
      "remount-ro",
      "-U",
      "11111111-2222-4333-8444-555555555555",
      image,
    ]);
    assertClean(image);
    const fields = superblockFields(image);
    assert.equal(fields.get("Filesystem volume name"), "renamed");
    assert.equal(fields.get("Reserved block count"), String(Math.floor(16_384 * 0.07)));
    const copy = path.join(folder, `copy-${features}`);
    run("e2image", ["-ra", image, copy]);
    assertClean(copy);
  }
  run("tune2fs", ["-j", image]);
  assert.match(superblockFields(image).get("Filesystem features")!, /^has_journal /);
  assertClean(image);
});

test("options that make no sense are refused", async () => {
  for (const options of [
    { label: "seventeen letters" },
    { blockSize: 8192 as never },
    { inodeRatio: 1000 },
    { reservedPercent: 51 },
    { journalSize: 4095 },
    { time: 1.5 },
    { time: Number.NaN },
    { uuid: "none" },
  ]) {
    await assert.rejects(writeExt4(new MemoryDevice(16 * MiB), undefined, { ...OPTIONS, ...options }), {
      code: "usage",
    });
  }
});
