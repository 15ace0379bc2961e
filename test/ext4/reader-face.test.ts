/** The reader's face: what it finds without reading more than it has to, ranges of files, facts, and what peers say of them. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { createRequire } from "node:module";
import * as path from "node:path";
import { test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice, type ReadableDevice } from "../../src/bytes/device.js";
import { openExt4, writeExt4 } from "../../src/ext4/index.js";
import { readContent } from "../../src/tree/node.js";
import { lookup, walk } from "../../src/tree/tree.js";
import { describeTree } from "../support/describe.js";
import fc from "../support/fast-check.js";
import { materialise } from "../support/materialise.js";
import { randomTrees } from "../support/random-tree.js";
import { lacks, lacksRoot, temporaryFolder } from "../support/tools.js";
import { everything, mke2fs, reading } from "./reading.js";
import { MiB, OPTIONS, superblockFields } from "./support.js";

const IGNORE = { nanoseconds: true, ignore: ["lost+found"] };

test("random trees of our writer come back as they were", async () => {
  await fc.assert(
    fc.asyncProperty(
      randomTrees,
      fc.constantFrom(1024 as const, 2048 as const, 4096 as const),
      async (tree, blockSize) => {
        const device = new MemoryDevice(16 * MiB);
        await writeExt4(device, tree, { ...OPTIONS, blockSize });
        const reader = await openExt4(device);
        assert.deepEqual(await describeTree(await reader.tree(), IGNORE), await describeTree(tree, IGNORE));
      },
    ),
    { numRuns: 25 },
  );
});

test("the superblock's facts, as dumpe2fs has them", async (t) => {
  if (lacks(t, "mke2fs", "dumpe2fs")) return;
  const image = path.join(temporaryFolder(t), "image");
  for (const options of [
    ["-t", "ext4", "-L", "a volume", "-m", "7"],
    ["-t", "ext2", "-b", "1024"],
    ["-t", "ext4", "-O", "bigalloc,quota,inline_data,mmp,^has_journal"],
  ]) {
    mke2fs(image, 30 * 1024, options);
    const fields = superblockFields(image);
    const { facts } = await reading(image, async (reader) => reader);
    const number = (name: string) => Number(fields.get(name));
    assert.equal(facts.label, fields.get("Filesystem volume name")!.replace("<none>", ""));
    assert.equal(facts.uuid, fields.get("Filesystem UUID"));
    assert.deepEqual([...facts.features].sort(), fields.get("Filesystem features")!.split(" ").sort());
    assert.deepEqual(
      [facts.blockSize, facts.blocks, facts.freeBlocks, facts.reservedBlocks],
      ["Block size", "Block count", "Free blocks", "Reserved block count"].map(number),
    );
    assert.deepEqual(
      [facts.inodes, facts.freeInodes, facts.inodeSize],
      ["Inode count", "Free inodes", "Inode size"].map(number),
    );
    assert.equal(facts.makeTime * 1000, Date.parse(`${fields.get("Filesystem created")} UTC`));
    assert.deepEqual([facts.state, facts.recovery], ["clean", undefined]);
    fs.rmSync(image);
  }
});

/** Counts the bytes that are read of a device. */
class CountingDevice implements ReadableDevice {
  bytes = 0;
  readonly #device: ReadableDevice;

  constructor(device: ReadableDevice) {
    this.#device = device;
  }

  get size(): number {
    return this.#device.size;
  }

  read(at: number, length: number): Promise<Uint8Array> {
    this.bytes += length;
    return this.#device.read(at, length);
  }
}

const name = (text: string) => fromText(text);

test("paths, entries, numbers and attributes; no more is read than has to be", async () => {
  const tree = everything(4096);
  const memory = new MemoryDevice(40 * MiB);
  await writeExt4(memory, tree, OPTIONS);
  const device = new CountingDevice(memory);
  const reader = await openExt4(device);
  const second = await reader.lookup(name("/links/./deeper/second"));
  assert.ok(second?.type === "file");
  assert.deepEqual([second.links, second.size, second.mode], [3, 50, 0o4755]);
  assert.equal((await reader.lookup(name("third")))?.number, second.number);
  assert.equal((await reader.inodeByNumber(second.number))?.at, second.at);
  for (const none of [0, -1, 1.5, reader.facts.inodes + 1]) assert.equal(await reader.inodeByNumber(none), undefined);
  await assert.rejects(reader.inodeByNumber(reader.facts.inodes), { code: "image-corrupt", message: /not in use/ });
  assert.equal(await reader.lookup(name("")), reader.root);
  assert.equal(await reader.lookup(name("nothing")), undefined);
  assert.equal(await reader.lookup(name("third/below a file")), undefined);
  assert.ok(device.bytes < 200_000, `${device.bytes} bytes`);

  const links = await reader.lookup(name("links"));
  assert.ok(links?.type === "directory");
  const found = new Map<string, string | undefined>();
  for await (const entry of reader.entries(links)) {
    found.set(entry.name, entry.type);
    assert.equal((await reader.inode(entry)).type, entry.type);
  }
  const wanted = lookup(tree, name("links"));
  assert.ok(wanted?.type === "directory");
  assert.deepEqual(new Set(found), new Set([...wanted.entries].map(([key, { type }]) => [key as string, type])));

  for (const at of ["xattrs/0", "xattrs/small", "xattrs/acl", "xattrs/default"]) {
    const inode = await reader.lookup(name(at));
    const xattrs = await reader.xattrs(inode!);
    assert.deepEqual(new Map([...xattrs].sort()), new Map([...lookup(tree, name(at))!.xattrs].sort()), at);
    xattrs.clear();
    assert.ok((await reader.xattrs(inode!)).size > 0);
  }
});

test("any range of a file, and where it has data", async () => {
  const tree = everything(1024, 500);
  const memory = new MemoryDevice(40 * MiB);
  await writeExt4(memory, tree, { ...OPTIONS, blockSize: 1024 });
  const reader = await openExt4(memory);
  for (const at of ["holes/many", "holes/front", "sizes/indirect"]) {
    const wanted = lookup(tree, name(at));
    const inode = await reader.lookup(name(at));
    assert.ok(inode?.type === "file" && wanted?.type === "file");
    const bytes = await readContent(wanted.content);
    const content = await reader.content(inode);
    if (wanted.content.data) assert.deepEqual(content.data, wanted.content.data, at);
    const file = await content.open();
    const ranges = fc.tuple(fc.nat(bytes.length), fc.nat(bytes.length)).map((pair) => pair.sort((a, b) => a - b));
    await fc.assert(
      fc.asyncProperty(ranges, async ([start, end]) => {
        const into = new Uint8Array(end! - start! + 2).fill(0xa5);
        await file.read(start!, into.subarray(1, -1));
        assert.deepEqual(into.subarray(1, -1), bytes.subarray(start, end));
        assert.deepEqual([into[0], into.at(-1)], [0xa5, 0xa5], "nothing beside the range is written");
      }),
      { numRuns: 30 },
    );
    await assert.rejects(file.read(bytes.length, new Uint8Array(1)), { code: "internal" });
    await assert.rejects(file.read(-1, new Uint8Array(1)), { code: "internal" });
  }
});

/** As much of the package's file system as is like Node's. */
type FileSystem = typeof fs.promises;

interface Ext2fs {
  withMountedDisk<T>(disk: object, offset: number, use: (fs: { promises: FileSystem }) => Promise<T>): Promise<T>;
}

test("libext2fs, as compiled to WebAssembly, finds the same", async (t) => {
  if (lacks(t, "mke2fs", "setfattr") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "image");
  await materialise(everything(1024, 500), path.join(folder, "source"));
  const ext2fs = createRequire(import.meta.url)("ext2fs") as Ext2fs;
  for (const options of [
    ["-t", "ext4", "-b", "1024"],
    ["-t", "ext3", "-b", "1024"],
  ]) {
    fs.rmSync(image, { force: true });
    mke2fs(image, 20 * 1024, options, path.join(folder, "source"));
    const bytes = fs.readFileSync(image);
    const tree = await (await openExt4(new MemoryDevice(bytes))).tree();
    const disk = {
      async read(buffer: Uint8Array, at: number, length: number, from: number) {
        buffer.set(bytes.subarray(from, from + length), at);
        return { bytesRead: length, buffer };
      },
      // It notes when a file was last read.
      async write(buffer: Uint8Array, _at: number, length: number) {
        return { bytesWritten: length, buffer };
      },
      async discard() {},
      async flush() {},
    };
    await ext2fs.withMountedDisk(disk, 0, async ({ promises }) => {
      let files = 0;
      for (const { path: at, node } of walk(tree)) {
        if (/[^ -~]/.test(at) || at === "lost+found") continue;
        const stat = await promises.lstat(`/${at}`);
        assert.equal(stat.mode & 0o7777, node.mode, at);
        assert.equal(stat.mtime.getTime(), node.mtime.seconds * 1000, at);
        if (node.type === "directory") {
          const names = (await promises.readdir(`/${at}`)).filter((entry) => /^[ -~]*$/.test(entry));
          const ours = [...node.entries.keys()].filter((entry) => /^[ -~]*$/.test(entry));
          assert.deepEqual(names.sort(), (ours as string[]).sort(), at);
        }
        if (node.type !== "file") continue;
        files++;
        // Always as UTF-8.
        const text = (await promises.readFile(`/${at}`)) as unknown as string;
        assert.ok(text === Buffer.from(await readContent(node.content)).toString(), at);
      }
      assert.ok(files > 400);
    });
  }
});

test("several readers of one file at a time do not disturb each other", async () => {
  const tree = everything(1024, 500);
  const memory = new MemoryDevice(40 * MiB);
  await writeExt4(memory, tree, { ...OPTIONS, blockSize: 1024 });
  const reader = await openExt4(memory);
  const inode = await reader.lookup("holes/many" as ByteString);
  assert.ok(inode?.type === "file");
  const content = await reader.content(inode);
  const bytes = await readContent(content);
  const file = await content.open();
  await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      const into = new Uint8Array(30_000);
      await file.read(i * 14_000, into);
      assert.deepEqual(into, bytes.subarray(i * 14_000, i * 14_000 + into.length));
    }),
  );
});
