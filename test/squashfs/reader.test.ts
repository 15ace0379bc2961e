/** The reader's face: what it finds without reading more than it has to, ranges of files, attributes, numbers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ByteString } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { COMPRESSOR_NAMES, openSquashfs } from "../../src/squashfs/index.js";
import { contentOf, NO_XATTRS, newDirectory, newFile, type RegularFile, readContent } from "../../src/tree/node.js";
import { lookup, type Tree, walk } from "../../src/tree/tree.js";
import { describeTree } from "../support/describe.js";
import fc from "../support/fast-check.js";
import { randomTrees } from "../support/random-tree.js";
import { imageBytes, name, noise, type Options, text, treeOf } from "./image.js";
import { CountingDevice, crowd, crowdName, everything } from "./reading.js";

/** The reader of an image of `tree`, and the device it reads from. */
async function readerOf(tree: Tree, options: Options = {}) {
  const device = new CountingDevice(new MemoryDevice(await imageBytes(tree, options)));
  return { reader: await openSquashfs(device), device };
}

test("the superblock's facts", async () => {
  const { reader } = await readerOf(everything(4096), { blockSize: 65_536, time: 1234, level: 3, exports: true });
  const { bytesUsed, fragments, ids, xattrSets, inodes, compressorOptions, ...facts } = reader.facts;
  assert.deepEqual(facts, {
    compressor: "gzip",
    blockSize: 65_536,
    time: 1234,
    exportable: true,
    noFragments: false,
    alwaysFragments: false,
    duplicatesRemoved: true,
  });
  // Level 3, a window of 2^15 bytes, no strategies: struct gzip_comp_opts.
  assert.deepEqual([...compressorOptions!], [3, 0, 0, 0, 15, 0, 0, 0]);
  assert.equal(inodes, new Set([...walk(everything(4096))].map(({ node }) => node)).size);
  // 0, 7, 4294967294, 65536, 100000.
  assert.equal(ids, 5);
  // One for each of the files, one that the folders share, one that the labelled nodes share.
  assert.equal(xattrSets, 14);
  assert.ok(fragments > 0);
  assert.ok(bytesUsed > 0);
  const { reader: plain } = await readerOf(treeOf({}), { level: 9 });
  assert.equal(plain.facts.compressorOptions, undefined);
  assert.equal(plain.facts.exportable, false);
});

test("random trees come back as they were", async () => {
  const options: fc.Arbitrary<Options> = fc.record({
    compressor: fc.constantFrom(...COMPRESSOR_NAMES),
    blockSize: fc.constantFrom(4096, 131_072),
    fragments: fc.constantFrom(true, false, "always" as const),
    exports: fc.boolean(),
    sparse: fc.boolean(),
    jobs: fc.constant(1),
  });
  await fc.assert(
    fc.asyncProperty(randomTrees, options, async (tree, chosen) => {
      const { reader } = await readerOf(tree, chosen);
      assert.deepEqual(await describeTree(await reader.tree()), await describeTree(tree));
    }),
    { numRuns: 25 },
  );
});

test("any range of a file", async () => {
  const blockSize = 4096;
  const holes = new Uint8Array(20 * blockSize);
  holes.set(noise(3 * blockSize), 5 * blockSize);
  holes.set(text(3 * blockSize), 11 * blockSize + 7);
  const files: Record<string, Uint8Array> = {
    tail: text(9 * blockSize + 100),
    exact: noise(8 * blockSize),
    holes,
    small: text(300),
    // More blocks than one block of metadata has sizes of.
    long: text(2100 * blockSize + 1),
  };
  for (const fragments of [true, "always", false] as const) {
    const { reader } = await readerOf(treeOf(files), { blockSize, fragments });
    for (const [label, bytes] of Object.entries(files)) {
      const inode = await reader.lookup(name(label));
      assert.ok(inode?.type === "file");
      const file = await (await reader.content(inode)).open();
      const ranges = fc
        .tuple(fc.nat(bytes.length), fc.nat(bytes.length))
        .map(([a, b]) => [Math.min(a, b), Math.max(a, b)]);
      const short = fc.tuple(fc.nat(bytes.length), fc.nat(200)).map(([a, n]) => [a, Math.min(bytes.length, a + n)]);
      await fc.assert(
        fc.asyncProperty(fc.oneof(short, ranges), async ([start, end]) => {
          const into = new Uint8Array(end! - start! + 2).fill(0xa5);
          await file.read(start!, into.subarray(1, -1));
          assert.deepEqual(into.subarray(1, -1), bytes.subarray(start, end));
          assert.deepEqual([into[0], into.at(-1)], [0xa5, 0xa5], "nothing beside the range is written");
        }),
        { numRuns: label === "long" ? 10 : 40 },
      );
      await assert.rejects(file.read(bytes.length, new Uint8Array(1)), { code: "usage" });
      await assert.rejects(file.read(-1, new Uint8Array(1)), { code: "usage" });
    }
  }
});

test("a file that is read from front to back in pieces has each of its blocks decompressed once", async () => {
  const bytes = noise(10 * 4096 + 50);
  const { reader, device } = await readerOf(treeOf({ file: bytes }), { blockSize: 4096, fragments: "always" });
  const content = await reader.content((await reader.lookup(name("file"))) as never);
  const file = await content.open();
  const found = new Uint8Array(bytes.length);
  await file.read(0, found.subarray(0, 1));
  const { reads } = device;
  for (let at = 0; at < bytes.length; at += 1000) await file.read(at, found.subarray(at, at + 1000));
  assert.deepEqual(found, bytes);
  // Nine more blocks; the table of fragments, and the fragment.
  assert.equal(device.reads - reads, 11);
  device.reads = 0;
  await file.read(0, found);
  assert.equal(device.reads, 1, "blocks side by side are read together");
});

test("a path is found without reading the rest of the image", async () => {
  const tree = crowd(20_000);
  for (let i = 0; i < 500; i++) tree.root.entries.set(name(`file ${i}`), newFile(contentOf(noise(2000, i + 1))));
  const { reader, device } = await readerOf(tree);
  device.bytes = 0;
  const found = await reader.lookup(name(`/crowd/./${crowdName(17_000)}`));
  assert.ok(found?.type === "symlink");
  assert.equal(found.target, "to_17000");
  assert.ok(device.bytes < 300_000, `${device.bytes} bytes of ${device.size} were read`);
  assert.equal(await reader.lookup(name("")), reader.root);
  assert.equal(await reader.lookup(name("no such file")), undefined);
  assert.equal(await reader.lookup(name("file 1/below a file")), undefined);
});

test("entries come in byte order, with the type and the number of their inodes", async () => {
  const { reader } = await readerOf(everything(4096));
  const links = await reader.lookup(name("links"));
  assert.ok(links?.type === "directory");
  const found: [ByteString, string][] = [];
  const numbers = new Map<string, number>();
  for await (const entry of reader.entries(links)) {
    found.push([entry.name, entry.type]);
    numbers.set(entry.name, entry.inodeNumber);
    assert.equal((await reader.inode(entry)).number, entry.inodeNumber);
  }
  assert.deepEqual(found, [
    ["deeper", "directory"],
    ["fifo", "fifo"],
    ["fifo again", "fifo"],
    ["first", "file"],
    ["long", "symlink"],
    ["symlink", "symlink"],
    ["\xe9\xff", "symlink"],
  ]);
  assert.equal(numbers.get("fifo"), numbers.get("fifo again"));
  const second = await reader.lookup(name("links/deeper/second"));
  assert.equal(second?.number, numbers.get("first"));
  assert.equal(second?.links, 2);
});

test("inodes by their number, through the export table", async () => {
  const { reader } = await readerOf(crowd(3000), { exports: true });
  const numbers = new Set<number>();
  for await (const entry of reader.entries((await reader.lookup(name("crowd"))) as never)) {
    const inode = await reader.inodeByNumber(entry.inodeNumber);
    assert.equal(inode?.reference, entry.reference);
    numbers.add(entry.inodeNumber);
  }
  assert.equal(numbers.size, 3000);
  assert.equal((await reader.inodeByNumber(reader.root.number))?.reference, reader.root.reference);
  for (const missing of [0, -1, 3003, 1.5, Number.NaN]) assert.equal(await reader.inodeByNumber(missing), undefined);
  const { reader: plain } = await readerOf(crowd(3));
  assert.equal(await plain.inodeByNumber(1), undefined);
});

test("extended attributes, in line and shared; who changes them changes them for one inode", async () => {
  const tree = everything(4096);
  const { reader } = await readerOf(tree);
  for (const path of [
    "xattrs/0",
    "xattrs/11",
    "xattrs/same 3",
    "nodes/labelled link",
    "nodes/labelled fifo",
    "empty",
  ]) {
    const inode = await reader.lookup(name(path));
    const found = await reader.xattrs(inode!);
    assert.deepEqual(new Map([...found].sort()), new Map([...lookup(tree, name(path))!.xattrs].sort()), path);
    found.clear();
    assert.equal((await reader.xattrs(inode!)).size, lookup(tree, name(path))!.xattrs.size);
  }
  const read = await reader.tree();
  lookup(read, name("xattrs/same 1"))!.xattrs = NO_XATTRS;
  assert.equal(lookup(read, name("xattrs/same 2"))!.xattrs.size, 2);
});

test("tables of more than one block: ids, fragments, sets of attributes", async () => {
  const root = newDirectory();
  for (let i = 0; i < 3000; i++) {
    const xattrs = new Map([[name("user.number"), text(9, i)]]);
    root.entries.set(name(`${i}`), newFile(contentOf(noise(2100, i + 1)), { uid: i, gid: 2 ** 32 - 2 - i, xattrs }));
  }
  const { reader } = await readerOf({ root }, { blockSize: 4096 });
  assert.ok(reader.facts.ids > 2 * 2048 && reader.facts.fragments > 2 * 512 && reader.facts.xattrSets > 2 * 512);
  assert.deepEqual(await describeTree(await reader.tree()), await describeTree({ root }));
});

test("holes are known, and the content of a tree is read when it is asked for", async () => {
  const bytes = new Uint8Array(10 * 4096 + 1);
  bytes.set(noise(4096), 4096);
  bytes.set(noise(1), 6 * 4096 - 1);
  const { reader, device } = await readerOf(treeOf({ sparse: bytes, dense: noise(50_000) }), { blockSize: 4096 });
  const tree = await reader.tree();
  const content = (path: string) => (lookup(tree, name(path)) as RegularFile).content;
  assert.deepEqual(content("sparse").data, [
    { start: 4096, end: 8192 },
    { start: 5 * 4096, end: 6 * 4096 },
  ]);
  assert.equal(content("dense").data, undefined);
  const { bytes: before } = device;
  assert.ok(before < 40_000, "no data was read");
  assert.deepEqual(await readContent(content("dense")), noise(50_000));
  assert.deepEqual(await readContent(content("sparse")), bytes);
});

test("a list of blocks may begin where a metadata block ends", async () => {
  // Inodes of files without blocks of their own take 32 bytes: the one of "z" ends at byte 8192 after 255 of them.
  for (const before of [254, 255, 256]) {
    const files = Object.fromEntries(Array.from({ length: before }, (_, i) => [`${i}`, text(1)]));
    const { reader } = await readerOf(treeOf({ ...files, z: text(50_000) }), { blockSize: 4096, dedupe: false });
    const z = await reader.lookup(name("z"));
    assert.ok(z?.type === "file");
    assert.equal(z.blockList.offset, { 254: 8160, 255: 0, 256: 32 }[before]);
    assert.deepEqual(await readContent(await reader.content(z)), text(50_000));
  }
});

test("several readers of one file at a time do not disturb each other", async () => {
  const bytes = text(3_000_000);
  const { reader } = await readerOf(treeOf({ file: bytes }), { blockSize: 4096, fragments: "always" });
  const content = await reader.content((await reader.lookup(name("file"))) as never);
  const file = await content.open();
  await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const start = i * 57_000;
      const into = new Uint8Array(60_000);
      await file.read(start, into);
      assert.deepEqual(into, bytes.subarray(start, start + into.length));
    }),
  );
});
