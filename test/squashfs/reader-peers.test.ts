/** Images of mksquashfs, gensquashfs and our own writer, read back: every node as it was in the source. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { COMPRESSOR_NAMES, type SquashfsReader } from "../../src/squashfs/index.js";
import { readDirectory } from "../../src/tree/directory.js";
import type { RegularFile } from "../../src/tree/node.js";
import { lookup } from "../../src/tree/tree.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import fc from "../support/fast-check.js";
import { materialise, separateSymlinks } from "../support/materialise.js";
import { randomTrees } from "../support/random-tree.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { name, text, writeImage } from "./image.js";
import { crowd, crowdName, everything, reading } from "./reading.js";

const lacksPeers = (t: TestContext) => lacksRoot(t) || lacks(t, "mksquashfs", "gensquashfs", "setfattr", "getfattr");

/** `everything(4096)` on the host. */
async function source(folder: string): Promise<string> {
  const made = path.join(folder, "source");
  await materialise(everything(4096), made);
  return made;
}

/** With one processor and little memory: where there are only zeros to read, it takes longer with more of either. */
function mksquashfs(image: string, sources: readonly string[], ...options: string[]): void {
  const always = ["-quiet", "-no-progress", "-no-recovery", "-processors", "1", "-mem", "64M"];
  run("mksquashfs", [...sources, image, ...always, ...options]);
}

async function assertReads(image: string, expected: ReadonlyMap<string, string>, what: string): Promise<void> {
  await reading(image, async (reader) => {
    assert.deepEqual(await describeTree(await reader.tree()), expected, what);
  });
}

/** Without what a description has of extended attributes. */
const withoutXattrs = (lines: ReadonlyMap<string, string>) =>
  new Map([...lines].map(([at, line]) => [at, line.replace(/ (?:security|trusted|user)\..*$/, "")]));

test("the compressors", () => {
  // The tests below go through this list: each compressor that can be written is read, by every writer of it.
  assert.ok(COMPRESSOR_NAMES.includes("gzip"));
  assert.equal(new Set(COMPRESSOR_NAMES).size, COMPRESSOR_NAMES.length);
});

test("images of mksquashfs, with every compressor and block size", async (t) => {
  if (lacksPeers(t)) return;
  const folder = temporaryFolder(t);
  const from = await source(folder);
  const expected = describeDirectory(from);
  const image = path.join(folder, "image");
  for (const compressor of COMPRESSOR_NAMES) {
    for (const blockSize of [4096, 131_072, 2 ** 20]) {
      mksquashfs(image, [from], "-comp", compressor, "-b", `${blockSize}`, "-noappend");
      await reading(image, async ({ facts }) => {
        assert.equal(facts.compressor, compressor);
        assert.equal(facts.blockSize, blockSize);
      });
      await assertReads(image, expected, `${compressor}, blocks of ${blockSize}`);
    }
  }
});

test("a tree of the host is the same through our writer and mksquashfs, to our reader and to unsquashfs", async (t) => {
  if (lacksPeers(t) || lacks(t, "unsquashfs")) return;
  const folder = temporaryFolder(t);
  const wanted = everything(4096);
  for (const [i, { root }] of fc.sample(randomTrees, { numRuns: 4, seed: 4 }).entries()) {
    wanted.root.entries.set(name(`random ${i}`), root);
  }
  const from = path.join(folder, "source");
  separateSymlinks(wanted);
  await materialise(wanted, from);
  const expected = describeDirectory(from);
  assert.ok(expected.size > 100);
  const { image: ours } = await writeImage(folder, await readDirectory(from));
  const theirs = path.join(folder, "theirs");
  mksquashfs(theirs, [from]);
  for (const image of [ours, theirs]) {
    await assertReads(image, expected, image);
    const extracted = path.join(folder, "extracted");
    run("unsquashfs", ["-no-progress", "-strict-errors", "-d", extracted, image]);
    assert.deepEqual(describeDirectory(extracted), expected, image);
    fs.rmSync(extracted, { recursive: true });
  }
});

test("images of mksquashfs, with the options of its compressors", async (t) => {
  if (lacksPeers(t)) return;
  const folder = temporaryFolder(t);
  const from = await source(folder);
  fs.copyFileSync(process.execPath, path.join(from, "machine code"));
  fs.truncateSync(path.join(from, "machine code"), 2 ** 22);
  fs.utimesSync(from, 0, 0);
  const expected = describeDirectory(from);
  const image = path.join(folder, "image");
  for (const options of [
    ["gzip", "-Xwindow-size", "9", "-Xstrategy", "fixed,huffman_only,filtered"],
    ["xz", "-Xbcj", "x86,arm,powerpc"],
    ["xz", "-Xdict-size", "50%"],
    ["zstd", "-Xcompression-level", "22"],
    ["lz4", "-Xhc"],
    ["lzo", "-Xalgorithm", "lzo1x_1"],
  ]) {
    mksquashfs(image, [from], "-noappend", "-comp", ...options);
    await assertReads(image, expected, options.join(" "));
  }
});

test("images of mksquashfs with odd options", async (t) => {
  if (lacksPeers(t)) return;
  const folder = temporaryFolder(t);
  const from = await source(folder);
  const expected = describeDirectory(from);
  const image = path.join(folder, "image");
  const uncompressed = ["-noI", "-noD", "-noF", "-noX", "-noId"];
  const options = [
    ["-no-fragments"],
    ["-always-use-fragments"],
    ["-no-exports"],
    ["-no-duplicates"],
    ["-no-sparse"],
    ["-nopad"],
    uncompressed,
    ...uncompressed.map((option) => [option]),
    ["-no-fragments", "-no-exports", ...uncompressed],
  ];
  for (const chosen of options) {
    mksquashfs(image, [from], "-b", "4096", "-noappend", ...chosen);
    await assertReads(image, expected, chosen.join(" "));
  }
  mksquashfs(image, [from], "-noappend", "-no-xattrs", "-no-fragments", "-no-exports");
  await reading(image, async ({ facts }) => {
    assert.deepEqual([facts.xattrSets, facts.fragments, facts.exportable], [0, 0, false]);
  });
  await assertReads(image, withoutXattrs(expected), "-no-xattrs");
  mksquashfs(image, [from], "-noappend", "-all-root");
  const owned = [...expected].map(([at, line]) => [at, line.replace(/ \d+:\d+ @/, " 0:0 @")] as const);
  await assertReads(image, new Map(owned), "-all-root");
});

test("images that mksquashfs appended to", async (t) => {
  if (lacksPeers(t)) return;
  const folder = temporaryFolder(t);
  const from = await source(folder);
  const image = path.join(folder, "image");
  const parts = ["sizes", "xattrs", "nodes", "holes", "names", "links", "a", "empty"].map((part) =>
    path.join(from, part),
  );
  mksquashfs(image, parts.slice(0, 2), "-b", "4096", "-keep-as-directory");
  mksquashfs(image, parts.slice(2, 5));
  mksquashfs(image, parts.slice(5));
  const expected = describeDirectory(from);
  const found = await reading(image, async (reader) => describeTree(await reader.tree()));
  // The root is not the source's.
  expected.delete("");
  found.delete("");
  assert.deepEqual(found, expected);
});

test("images of gensquashfs, with every compressor and odd options", async (t) => {
  if (lacksPeers(t)) return;
  const folder = temporaryFolder(t);
  const from = await source(folder);
  const image = path.join(folder, "image");
  for (const compressor of COMPRESSOR_NAMES) {
    for (const options of [["-b", "4096"], ["-e"], ["-b", "1048576", "-T"]]) {
      run("gensquashfs", ["-q", "-f", "-k", "-x", "-c", compressor, ...options, "-D", from, image]);
      // It leaves hard links, empty attributes and the root's metadata out: the kernel says what is in the image.
      const expected = await mounted(image, { type: "squashfs" }, (mount) => describeDirectory(mount));
      assert.ok(expected.size > 70);
      await assertReads(image, expected, `${compressor} ${options.join(" ")}`);
    }
  }
});

test("a name of 256 bytes, which the format can hold and no other file system has", async (t) => {
  if (lacks(t, "gensquashfs")) return;
  const folder = temporaryFolder(t);
  const long = "n".repeat(256);
  const list = path.join(folder, "list");
  fs.writeFileSync(list, `dir /${long} 0700 1 2\n`);
  const image = path.join(folder, "image");
  run("gensquashfs", ["-q", "-f", "-F", list, image]);
  const found = await reading(image, (reader) => reader.lookup(name(long)));
  assert.deepEqual([found?.type, found?.mode, found?.uid, found?.gid], ["directory", 0o700, 1, 2]);
});

test("our own images, with every compressor", async (t) => {
  const folder = temporaryFolder(t);
  const tree = everything(8192);
  const expected = await describeTree(tree);
  for (const compressor of COMPRESSOR_NAMES) {
    for (const fragments of [true, false, "always"] as const) {
      const { image } = await writeImage(folder, tree, { compressor, fragments, blockSize: 8192, exports: !fragments });
      await assertReads(image, expected, `${compressor}, fragments ${fragments}`);
    }
  }
});

test("a sparse file of more than 4 GiB", async (t) => {
  if (lacks(t, "mksquashfs", "gensquashfs")) return;
  const folder = temporaryFolder(t);
  const from = path.join(folder, "source");
  fs.mkdirSync(from);
  const size = 4 * 2 ** 30 + 3 * 2 ** 20 + 17;
  const pieces = new Map([
    [0, text(100, 1)],
    [2 ** 31 - 50, text(100, 2)],
    [2 ** 32 + 5, text(2 ** 20, 3)],
    [size - 10, text(10, 4)],
  ]);
  const fd = fs.openSync(path.join(from, "large"), "w");
  for (const [at, bytes] of pieces) fs.writeSync(fd, bytes, 0, bytes.length, at);
  fs.closeSync(fd);
  fs.writeFileSync(path.join(from, "behind"), "a file behind the large one");
  const image = path.join(folder, "image");
  const check = async (reader: SquashfsReader) => {
    const tree = await reader.tree();
    const { content } = lookup(tree, name("large")) as RegularFile;
    assert.equal(content.size, size);
    // Extents are whole blocks.
    const block = 2 ** 17;
    assert.deepEqual(content.data, [
      { start: 0, end: block },
      { start: 2 ** 31 - block, end: 2 ** 31 + block },
      { start: 2 ** 32, end: 2 ** 32 + 2 ** 20 + block },
      { start: size - 17, end: size },
    ]);
    const file = await content.open();
    for (const [at, bytes] of pieces) {
      const found = new Uint8Array(bytes.length);
      await file.read(at, found);
      assert.deepEqual(found, bytes);
      if (at === 0) continue;
      const before = new Uint8Array(4);
      await file.read(at - 4, before);
      assert.deepEqual(before, new Uint8Array(4));
    }
    assert.equal((lookup(tree, name("behind")) as RegularFile).content.size, 27);
  };
  mksquashfs(image, [from]);
  await reading(image, check);
  run("gensquashfs", ["-q", "-f", "-c", "gzip", "-D", from, image]);
  await reading(image, check);
});

test("thousands of entries in one directory, in images of mksquashfs and of ours", async (t) => {
  if (lacks(t, "mksquashfs")) return;
  const folder = temporaryFolder(t);
  const { image } = await writeImage(folder, crowd(30_000));
  const from = path.join(folder, "source");
  fs.mkdirSync(path.join(from, "crowd"), { recursive: true });
  for (let i = 0; i < 8000; i++) fs.symlinkSync(`to_${i}`, path.join(from, "crowd", crowdName(i)));
  const peers = path.join(folder, "peers");
  mksquashfs(peers, [from]);
  for (const [made, total] of [
    [image, 30_000],
    [peers, 8000],
  ] as const) {
    await reading(made, async (reader) => {
      const directory = await reader.lookup(name("crowd"));
      assert.ok(directory?.type === "directory");
      assert.ok(directory.indexCount > 0, "the directory has an index");
      let count = 0;
      for await (const entry of reader.entries(directory)) assert.equal(entry.name, crowdName(count++));
      assert.equal(count, total);
      for (const i of [0, 1, 77, 4999, total - 2, total - 1]) {
        const inode = await reader.lookup(name(`crowd/${crowdName(i)}`));
        assert.ok(inode?.type === "symlink");
        assert.equal(inode.target, `to_${i}`);
      }
      for (const missing of ["\0", "a", "b", `${crowdName(4999)}0`, crowdName(total)]) {
        assert.equal(await reader.lookup(name(`crowd/${missing}`)), undefined);
      }
    });
  }
});
