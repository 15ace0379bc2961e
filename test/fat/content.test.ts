import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice, RecordingDevice } from "../../src/bytes/device.js";
import type { ImgbuildError } from "../../src/errors.js";
import { measureFat, openFat, writeFat } from "../../src/fat/index.js";
import { type Content, contentOf, type Directory, newDirectory, newFile, readContent } from "../../src/tree/node.js";
import { type Tree, walk } from "../../src/tree/tree.js";
import { deepTree } from "../support/deep-tree.js";
import fc from "../support/fast-check.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import {
  describe,
  discarding,
  fsck,
  makeVolume,
  mtools,
  namesIn,
  OPTIONS,
  readFile,
  treeOf,
  withReader,
} from "./volume.js";

const MiB = 2 ** 20;

/** Bytes that repeat nowhere near a cluster's length. */
function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed | 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** Every path below a folder of the host, with a file's hash. */
function hostFiles(folder: string, prefix = ""): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const name = `${prefix}${entry.name}`;
    const at = path.join(folder, entry.name);
    if (entry.isDirectory()) {
      found.set(name, "folder");
      for (const [inner, hash] of hostFiles(at, `${name}/`)) found.set(inner, hash);
    } else found.set(name, createHash("sha256").update(fs.readFileSync(at)).digest("hex"));
  }
  return found;
}

/** What mcopy takes out of an image. */
function copiedOut(t: Parameters<typeof temporaryFolder>[0], image: string): Map<string, string> {
  const folder = temporaryFolder(t);
  mtools("mcopy", image, "-s", "-n", "-Q", "::/*", folder);
  return hostFiles(folder);
}

/** The volume holds `tree`, as a whole and by path. */
async function sameInReader(image: string, tree: Tree): Promise<void> {
  await withReader(image, async (device) => {
    const reader = await openFat(device);
    assert.deepEqual(await describe(await reader.tree()), await describe(tree));
    for (const { path: name, node } of walk(tree)) {
      if (node.type === "file") assert.deepEqual(await readFile(reader, name), await readContent(node.content), name);
      else if (node.type === "directory") {
        assert.deepEqual(await namesIn(reader, name), [...node.entries.keys()].sort());
      }
    }
  });
}

test("files of every awkward size come out of mcopy byte for byte, on each type", async (t) => {
  if (lacks(t, "mcopy", "fsck.fat")) return;
  const sizes = [0, 1, 511, 512, 513, 2047, 2048, 2049, 65_535, 65_536, MiB - 1, MiB, MiB + 1, 3 * MiB + 7];
  const files = Object.fromEntries(sizes.map((size, i) => [`d${i % 3}/sub/file-${size}`, noise(size, size)]));
  const tree = treeOf({ ...files, "empty/": "", "a/b/c/d/e/f/g/h/": "" });
  for (const type of [12, 16, 32] as const) {
    const volume = await makeVolume(t, type === 12 ? 12 * MiB : 40 * MiB, tree, { type, label: "BOOT" });
    fsck(volume.image);
    assert.deepEqual(copiedOut(t, volume.image), await describe(tree));
    await sameInReader(volume.image, tree);
    // Each file without a gap: mshowfat prints one range of clusters.
    for (const name of Object.keys(files)) {
      const ranges = mtools("mshowfat", volume.image, `::${name}`).match(/<[\d-]+>/g) ?? [];
      assert.equal(ranges.length, files[name]!.length === 0 ? 0 : 1, name);
    }
  }
});

const letters = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(..."abcXYZ019 .-_~+") },
  { weight: 1, arbitrary: fc.constantFrom("ä", "ß", "日", "é") },
);
const names = fc
  .array(letters, { minLength: 1, maxLength: 30 })
  .map((parts) => parts.join("").replace(/[. ]+$/, ""))
  .filter((name) => name !== "");
const foldersOf = (names: fc.Arbitrary<string>) =>
  fc.letrec<{ folder: Directory }>((tie) => ({
    folder: fc
      .array(
        fc.tuple(
          names,
          fc.oneof(
            { maxDepth: 5, depthSize: "small" },
            fc
              .tuple(fc.constantFrom(0, 1, 31, 512, 2048, 5000, 70_000), fc.nat())
              .map(([size, seed]) => noise(size, seed)),
            tie("folder"),
          ),
        ),
        { maxLength: 12 },
      )
      .map((entries) => {
        const made = newDirectory();
        const taken = new Set<string>();
        for (const [name, what] of entries) {
          const folded = name.toUpperCase();
          if (taken.has(folded)) continue;
          taken.add(folded);
          made.entries.set(fromText(name), what instanceof Uint8Array ? newFile(contentOf(what)) : (what as Directory));
        }
        return made;
      }),
  })).folder;
const folder = foldersOf(names);
/**
 * Without what mcopy gets wrong: some short names that it makes for names with "~" and "+", the case of others with "ä", and
 * "-", which it takes for standard input.
 */
const plainFolder = foldersOf(names.map((name) => name.replace(/[^\w .-]|^-$/g, "x")));

test("random trees come out of mcopy and of our reader as they went in", async (t) => {
  if (lacks(t, "mcopy", "fsck.fat")) return;
  await fc.assert(
    fc.asyncProperty(folder, fc.constantFrom(undefined, 12 as const, 16 as const, 32 as const), async (root, type) => {
      const tree = { root };
      const options = { ...(type && { type }), label: "L" };
      const volume = await makeVolume(t, measureFat(tree, options), tree, options);
      fsck(volume.image);
      const expected = await describe(tree);
      if (expected.size > 0) assert.deepEqual(copiedOut(t, volume.image), expected);
      await sameInReader(volume.image, tree);
      fs.rmSync(volume.image);
    }),
    { numRuns: 30 },
  );
});

/** Puts `tree` into a folder of the host. */
async function unpack(tree: Tree, folder: string): Promise<void> {
  const visits = [...walk(tree)].map(({ path: name, node }) => ({ at: path.join(folder, textOf(name)), node }));
  for (const { at, node } of visits) {
    if (node.type === "file") fs.writeFileSync(at, await readContent(node.content));
    else fs.mkdirSync(at, { recursive: true });
  }
  for (const { at, node } of visits.reverse()) fs.utimesSync(at, node.mtime.seconds, node.mtime.seconds);
}

const textOf = (name: ByteString) => Buffer.from(name, "latin1").toString();

/** The files with their times. mcopy gives folders the time at which it makes them. */
const fileTimes = (tree: Tree) =>
  [...walk(tree)].filter(({ node }) => node.type === "file").map(({ path: name, node }) => [name, node.mtime.seconds]);

test("random trees through our writer and through mkfs.fat and mcopy are the same to both readers", async (t) => {
  if (lacks(t, "mkfs.fat", "mcopy")) return;
  await fc.assert(
    fc.asyncProperty(plainFolder, fc.constantFrom(12 as const, 16 as const, 32 as const), async (root, type) => {
      const tree = { root };
      for (const [i, { node }] of [...walk(tree)].entries()) {
        node.mtime = { seconds: 1_600_000_000 + 7202 * i, nanoseconds: 0 };
      }
      const source = temporaryFolder(t);
      await unpack(tree, source);
      const size = type === 12 ? 16 * MiB : 40 * MiB;
      const ours = await makeVolume(t, size, tree, { type });
      const theirs = path.join(temporaryFolder(t), "theirs.img");
      fs.writeFileSync(theirs, "");
      fs.truncateSync(theirs, size);
      run("mkfs.fat", ["-F", `${type}`, theirs]);
      const top = fs.readdirSync(source).map((name) => path.join(source, name));
      if (top.length > 0) mtools("mcopy", theirs, "-s", "-m", "-Q", ...top, "::");
      for (const image of [ours.image, theirs]) {
        await withReader(image, async (device) => {
          const read = await (await openFat(device)).tree();
          assert.deepEqual(await describe(read), await describe(tree));
          assert.deepEqual(fileTimes(read), fileTimes(tree));
        });
      }
      for (const image of [ours.image, theirs]) {
        if (top.length > 0) assert.deepEqual(copiedOut(t, image), await describe(tree));
        fs.rmSync(image);
      }
    }),
    { numRuns: 15 },
  );
});

test("times are kept in UTC to two seconds, within 1980 to 2107", async (t) => {
  if (lacks(t, "mdir")) return;
  const stamp = async (seconds: number) => {
    const volume = await makeVolume(t, MiB, treeOf({ file: "x" }, seconds));
    const found = await withReader(volume.image, async (device) => (await openFat(device)).lookup(fromText("file")));
    const shown = /^file\s.*(\d{4}-\d\d-\d\d +\d+:\d\d)/m.exec(mtools("mdir", volume.image, "::"))?.[1];
    return [shown, found?.mtime.seconds];
  };
  assert.deepEqual(await stamp(1_600_000_001), ["2020-09-13  12:26", 1_600_000_000]);
  assert.deepEqual(await stamp(-5), ["1980-01-01   0:00", 315_532_800]);
  assert.deepEqual(await stamp(2 ** 33), ["2107-12-31  23:59", 4_354_819_198]);
  assert.deepEqual(await stamp(951_782_399), ["2000-02-28  23:59", 951_782_398]);
});

test("random trees: the size that is said to be needed takes the tree, and a sector less does not", async () => {
  await fc.assert(
    fc.asyncProperty(
      folder,
      fc.constantFrom(undefined, 12 as const, 16 as const, 32 as const),
      fc.constantFrom(512 as const, 4096 as const),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (root, type, sectorSize, share) => {
        const tree = { root };
        const options = { ...OPTIONS, sectorSize, ...(type && { type }) };
        const needed = measureFat(tree, options);
        assert.equal(needed % sectorSize, 0);
        await writeFat(discarding(needed), tree, options);
        for (const size of [needed - sectorSize, Math.floor(share * (needed - 1))]) {
          await assert.rejects(writeFat(discarding(size), tree, options), (error: ImgbuildError) => {
            assert.ok(["does-not-fit", "layout-conflict"].includes(error.code), `${error}`);
            assert.equal(error.data.needed, needed, error.message);
            return true;
          });
        }
      },
    ),
    { numRuns: 60 },
  );
});

test("the same tree gives the same bytes, in whatever order its folders were read and wherever", async () => {
  const files = { b: "1", a: "2", "d/z": "3", "d/y": "4", "long name.txt": "5", "long name 2.txt": "6" };
  const image = async (tree: Tree) => {
    const device = new MemoryDevice(MiB);
    await writeFat(device, tree, OPTIONS);
    return createHash("sha256").update(device.bytes).digest("hex");
  };
  const expected = await image(treeOf(files));
  assert.equal(await image(treeOf(Object.fromEntries(Object.entries(files).reverse()))), expected);
  const zone = process.env.TZ;
  try {
    process.env.TZ = "Asia/Kolkata";
    assert.equal(new Date(0).getHours(), 5);
    assert.equal(await image(treeOf(files)), expected);
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});

test("on a device full of old data the volume is as good as on a blank one", async (t) => {
  if (lacks(t, "mcopy", "fsck.fat")) return;
  const tree = treeOf({ "a/b/file": noise(5000, 1), "c/": "", hole: "" });
  for (const size of [MiB, 34 * MiB]) {
    const device = new MemoryDevice(noise(size, 9));
    await writeFat(device, tree, { ...OPTIONS, label: "BOOT" });
    const image = path.join(temporaryFolder(t), "dirty.img");
    fs.writeFileSync(image, device.bytes);
    fsck(image);
    assert.deepEqual(copiedOut(t, image), await describe(tree));
  }
});

test("holes of the source stay holes, and read as zeros", async (t) => {
  if (lacks(t, "mcopy")) return;
  const bytes = new Uint8Array(20 * MiB);
  bytes.set(noise(1000, 3), 0);
  bytes.set(noise(1000, 4), 10 * MiB);
  const content: Content = {
    ...contentOf(bytes),
    data: [
      { start: 0, end: 4096 },
      { start: 10 * MiB, end: 10 * MiB + 4096 },
    ],
  };
  const root = newDirectory();
  root.entries.set(fromText("sparse"), newFile(content));
  const volume = await makeVolume(t, 64 * MiB, { root });
  assert.ok(volume.written.data.bytes < MiB);
  assert.ok([...volume.written.written].reduce((sum, { start, end }) => sum + end - start, 0) > 20 * MiB);
  assert.deepEqual(copiedOut(t, volume.image), await describe({ root }));
});

test("nothing is written that nobody needs, and what was written is told as it goes on", async () => {
  let bytes = 0;
  let files = 0;
  const device = new RecordingDevice(new MemoryDevice(64 * MiB));
  const observer = {
    progress(moreBytes: number, moreFiles: number) {
      bytes += moreBytes;
      files += moreFiles;
    },
  };
  await writeFat(device, treeOf({ a: noise(3 * MiB, 1), "b/c": noise(10, 1), d: "" }), { ...OPTIONS, observer });
  assert.deepEqual([bytes, files], [3 * MiB + 10, 3]);
  const written = [...device.written].reduce((sum, { start, end }) => sum + end - start, 0);
  // The reserved sectors, both tables with room for every cluster, two directories and the files.
  assert.ok(written > 4 * MiB && written < 4.1 * MiB, `${written}`);
});

test("the space in use is what FSInfo says", async (t) => {
  if (lacks(t, "fsck.fat", "minfo")) return;
  const volume = await makeVolume(t, 64 * MiB, treeOf({ a: noise(5 * 512, 1), b: noise(1, 1), "c/": "" }));
  assert.match(
    fsck(volume.image),
    new RegExp(`3 files, ${volume.clusters - volume.freeClusters}/${volume.clusters} clusters`),
  );
  assert.equal(volume.clusters - volume.freeClusters, 1 + 5 + 1 + 1);
  assert.match(mtools("minfo", volume.image, "::"), new RegExp(`free clusters=${volume.freeClusters}\\b`));
});

test("the largest files that FAT can hold", async (t) => {
  if (lacks(t, "fsck.fat", "mdir")) return;
  const reader = { read: () => assert.fail("there is nothing to read"), close: async () => {} };
  // fsck.fat 4.2 counts a chain's bytes in 32 bits: of a chain that is 4 GiB long, with its last cluster, it finds 0.
  for (const size of [2 ** 32 - 4096, 2 ** 32 - 1]) {
    const root = newDirectory();
    root.entries.set(fromText("largest"), newFile({ size, data: [], open: async () => reader }));
    const volume = await makeVolume(t, measureFat({ root }, {}), { root });
    if (size % 4096 === 0) fsck(volume.image);
    assert.match(mtools("mdir", volume.image, "::"), new RegExp(`largest +${size} `));
    await withReader(volume.image, async (device) => {
      const reader = await openFat(device);
      const found = await reader.lookup(fromText("largest"));
      assert.ok(found?.type === "file");
      const last = new Uint8Array(10).fill(1);
      await (await reader.content(found).open()).read(size - last.length, last);
      assert.deepEqual(last, new Uint8Array(10));
    });
  }
});

test("folders deeper than a stack of calls", async (t) => {
  const depth = 20_000;
  const tree = deepTree(depth);
  const volume = await makeVolume(t, measureFat(tree, {}), tree);
  assert.deepEqual([volume.directories, volume.files], [depth + 1, 1]);
  await withReader(volume.image, async (device) => {
    const deepest = `${"d/".repeat(depth)}f`;
    assert.equal(Buffer.from(await readFile(await openFat(device), deepest)).toString(), "bottom");
    let folders = 0;
    let { root: folder } = await (await openFat(device)).tree();
    for (let next = folder.entries.get(fromText("d")); next?.type === "directory"; folders++) {
      folder = next;
      next = folder.entries.get(fromText("d"));
    }
    assert.equal(folders, depth);
  });
});

test("zeros that nobody called a hole take no room on the disk either", async (t) => {
  const bytes = new Uint8Array(20 * MiB);
  bytes[3] = 1;
  bytes[12 * MiB] = 2;
  const volume = await makeVolume(t, 64 * MiB, treeOf({ sparse: bytes }));
  assert.ok(fs.statSync(volume.image).blocks * 512 < 6 * MiB);
  await withReader(volume.image, async (device) => {
    assert.ok(Buffer.from(bytes).equals(await readFile(await openFat(device), "sparse")));
  });
});

test("an empty volume lists nothing", async () => {
  const device = new MemoryDevice(MiB);
  await writeFat(device, treeOf({}), OPTIONS);
  assert.deepEqual(await namesIn(await openFat(device), ""), []);
});
