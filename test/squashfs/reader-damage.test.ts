/**
 * Images that are damaged, hostile or something else. Whatever is in them: the answer is an error that says where, or files,
 * after a limited time and within a limited amount of memory.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { type Inflate, inflateSync } from "node:zlib";
import { MemoryDevice } from "../../src/bytes/device.js";
import { ImgbuildError } from "../../src/errors.js";
import { COMPRESSOR_NAMES, type DirectoryInode, openSquashfs } from "../../src/squashfs/index.js";
import { contentOf, newDirectory, newFile, type RegularFile, readContent } from "../../src/tree/node.js";
import { lookup, walk } from "../../src/tree/tree.js";
import fc from "../support/fast-check.js";
import { materialise } from "../support/materialise.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import { imageBytes, name, noise, text, treeOf } from "./image.js";
import { sparse } from "./reading.js";

/** Reads all there is: the tree, every content, every inode by its number. Damage in one content does not end it. */
async function readAll(image: Uint8Array): Promise<{ nodes: number; bytes: number; damaged: number }> {
  const reader = await openSquashfs(new MemoryDevice(image));
  const tree = await reader.tree();
  const into = new Uint8Array(2 ** 16);
  const found = { nodes: 0, bytes: 0, damaged: 0 };
  for (const { node } of walk(tree)) {
    found.nodes++;
    if (node.type !== "file") continue;
    const file = await node.content.open();
    // A file may say that it has petabytes, most of them holes.
    for (let at = 0; at < Math.min(node.content.size, 2 ** 18); at += into.length) {
      const piece = into.subarray(0, Math.min(into.length, node.content.size - at));
      await file.read(at, piece).catch((error) => {
        found.damaged++;
        assertExplained(error);
      });
      found.bytes += piece.length;
    }
  }
  for (let number = 1; number <= Math.min(reader.facts.inodes, 20); number++) {
    await reader.inodeByNumber(number).catch((error) => assertExplained(error));
  }
  return found;
}

/** Asserts that an error is one of those that may come, and says where. */
function assertExplained(error: unknown): void {
  assert.ok(error instanceof ImgbuildError, `${(error as Error).stack}`);
  if (error.code === "source-unsupported") return;
  assert.equal(error.code, "image-corrupt", error.stack);
  const { offset } = error.data;
  assert.ok(Number.isSafeInteger(offset) && (offset as number) >= 0, `${error.message}: ${offset}`);
  assert.ok(error.message.includes(`byte ${offset}`), error.message);
  assert.ok(error.hint, error.message);
}

/** Milliseconds that a small image may take; thousands of times what it does take. */
const MAX_TIME = 5000;
/** Bytes by which the process may grow over all images of a test. */
const MAX_GROWTH = 400 * 2 ** 20;

/** Reads `image`, which may be broken. Returns whether all of it could be read. */
async function survives(image: Uint8Array, what: string): Promise<boolean> {
  const start = performance.now();
  try {
    return (await readAll(image)).damaged === 0;
  } catch (error) {
    assertExplained(error);
    return false;
  } finally {
    const time = performance.now() - start;
    assert.ok(time < MAX_TIME, `${what} took ${time} ms`);
  }
}

/** One of everything, small, with its tables as they are: made by mksquashfs, so that no mistake of ours is in it. */
async function bareImage(t: TestContext): Promise<Buffer> {
  const folder = temporaryFolder(t);
  const root = newDirectory();
  const value = noise(40);
  for (const key of ["alpha", "bravo", "charlie"]) {
    const xattrs = new Map([
      [name("user.shared"), value],
      [name(`trusted.${key}`), text(3)],
    ]);
    root.entries.set(name(key), newFile(contentOf(noise(5000, key.length)), { xattrs, uid: key.length }));
  }
  root.entries.set(
    name("sparse"),
    newFile(
      sparse(
        Uint8Array.from({ length: 20_000 }, (_, i) => +(i > 15_000)),
        15_000,
        5000,
      ),
    ),
  );
  root.entries.set(name("linked"), root.entries.get(name("alpha"))!);
  const folderNode = newDirectory();
  for (const key of ["delta", "echoes", "foxtrot"]) folderNode.entries.set(name(key), newFile(contentOf(text(70))));
  root.entries.set(name("folder"), folderNode);
  folderNode.entries.set(name("deeper"), newDirectory());
  const metadata = { mode: 0o644, uid: 0, gid: 5, mtime: { seconds: 0, nanoseconds: 0 }, xattrs: new Map() };
  root.entries.set(name("symlink"), { type: "symlink", ...metadata, target: name("folder/delta") });
  root.entries.set(name("device"), { type: "block", ...metadata, major: 8, minor: 1 });
  root.entries.set(name("fifo"), { type: "fifo", ...metadata });
  await materialise({ root }, path.join(folder, "source"));
  const image = path.join(folder, "image");
  const options = ["-b", "4096", "-always-use-fragments", "-noI", "-noD", "-noF", "-noX", "-noId", "-nopad"];
  run("mksquashfs", [path.join(folder, "source"), image, "-quiet", "-no-progress", "-no-recovery", ...options]);
  return fs.readFileSync(image);
}

const lacksBareImage = (t: TestContext) => lacksRoot(t) || lacks(t, "mksquashfs", "setfattr");

/** Where things are in an image whose metadata is stored as it is. Every table of these images is one block. */
async function locate(image: Buffer) {
  const reader = await openSquashfs(new MemoryDevice(image));
  const position = (at: number) => Number(image.readBigUInt64LE(at));
  const inodeTable = position(64);
  const indexed = (at: number) => position(position(at)) + 2;
  return {
    inodes: inodeTable + 2,
    listings: position(72) + 2,
    fragments: indexed(80),
    exports: indexed(88),
    ids: indexed(48),
    attributes: position(position(56)) + 2,
    sets: position(position(56) + 16) + 2,
    /** Where the inode of a path is. */
    inode: async (at: string) => inodeTable + 2 + (await reader.lookup(name(at)))!.reference,
    /** Where the directory entry of a name is. */
    entry: (key: string) => image.indexOf(key, position(72)) - 8,
  };
}

type Places = Awaited<ReturnType<typeof locate>>;
type Damage = readonly [
  what: string,
  damage: (image: Buffer, places: Places) => number | undefined | Promise<number | undefined>,
  message: RegExp,
];

/** Stores a number of `size` bytes; returns where. */
function put(image: Buffer, at: number, value: number, size = 4): number {
  image.writeUIntLE(value, at, size);
  return at;
}

/** Gives the directory entry at `at` a shorter name. */
function rename(image: Buffer, at: number, to: string): undefined {
  image.writeUInt16LE(to.length - 1, at + 6);
  image.write(to, at + 8);
}

/**
 * What is done to an image, and the message. A damage returns the byte that the error has to name where it is not the
 * beginning of a metadata block.
 */
const DAMAGES: readonly Damage[] = [
  ["block size", (i) => put(i, 12, 8192), /blocks have 8192 bytes/],
  ["block log", (i) => void put(i, 22, 13, 2), /blocks have 4096 bytes, and that this is two to the power of 13/],
  ["a block size of 4 GiB", (i) => void put(i, 22, 32, 2), /two to the power of 32/],
  ["no inodes", (i) => put(i, 4, 0), /no inodes/],
  ["no ids", (i) => put(i, 26, 0, 2), /no user and group ids/],
  ["fewer inodes than there are", (i) => put(i, 4, 3), /there are more inodes than the 3/],
  ["root that is a file", async (i, p) => put(i, 32, (await p.inode("alpha")) - p.inodes), /the root is inode/],
  ["root behind the table", (i) => void put(i, 32, 2 ** 40, 6), /no block of it can begin here/],
  ["root behind its block", (i) => void put(i, 32, 8000, 6), /something begins here, and the block ends at/],
  ["huge root reference", (i) => void i.fill(0xff, 32, 40), /rootInode.* is beyond 2\^53/],
  ["inode table in the superblock", (i) => put(i, 64, 50, 6), /inodeTable is at byte 50/],
  ["tables in the wrong order", (i) => put(i, 72, i.readUInt32LE(64), 6), /directoryTable is at byte/],
  ["fragment table behind the end", (i) => put(i, 80, i.length, 6), /fragmentTable is at byte/],
  ["export table before the others", (i) => put(i, 88, 100, 6), /exportTable is at byte 100/],
  ["id table behind the xattr table", (i) => void put(i, 48, i.length - 4, 6), /xattrTable is at byte/],
  [
    "more fragments than the table has",
    (i) => void put(i, 16, 2 ** 32 - 1),
    /the fragment table should have 4294967295/,
  ],
  ["more inodes than the export table has", (i) => void put(i, 4, 2 ** 31), /the export table should have 2147483648/],
  ["index of the id table", (i) => put(i, i.readUInt32LE(48), 2 ** 31, 6), /block 0 of the id table would be at byte/],
  ["metadata block without bytes", (i, p) => put(i, p.inodes - 2, 0x8000, 2), /says it has 0 bytes/],
  ["metadata block too large", (i, p) => put(i, p.inodes - 2, 0xa001, 2), /says it has 8193 bytes/],
  ["metadata block beyond its table", (i, p) => put(i, p.inodes - 2, 0xa000, 2), /and the table ends at byte/],
  [
    "metadata block said to be compressed",
    (i, p) => put(i, p.inodes - 2, i.readUInt16LE(p.inodes - 2) & 0x7fff, 2),
    /cannot be decompressed/,
  ],
  ["inode type 0", async (i, p) => void put(i, await p.inode("fifo"), 0, 2), /an inode has the type 0/],
  ["inode type 15", async (i, p) => void put(i, await p.inode("fifo"), 15, 2), /an inode has the type 15/],
  [
    "inode of another type",
    async (i, p) => void put(i, await p.inode("fifo"), 7, 2),
    /is said to be fifo \d+, and its inode is socket/,
  ],
  [
    "mode of another type",
    async (i, p) => void put(i, (await p.inode("fifo")) + 2, 0o100644, 2),
    /its mode 0100644 says otherwise/,
  ],
  ["owner", async (i, p) => void put(i, (await p.inode("fifo")) + 4, 500, 2), /refers to id 500, and there are/],
  ["inode number 0", async (i, p) => void put(i, (await p.inode("fifo")) + 12, 0), /has the number 0/],
  ["another inode number", async (i, p) => void put(i, (await p.inode("fifo")) + 12, 77), /and its inode is fifo 77/],
  ["symlink without target", async (i, p) => void put(i, (await p.inode("symlink")) + 20, 0), /a target of 0 bytes/],
  [
    "symlink of 4 GiB",
    async (i, p) => void put(i, (await p.inode("symlink")) + 20, 2 ** 32 - 1),
    /a target of 4294967295 bytes/,
  ],
  ["symlink with a NUL", async (i, p) => void put(i, (await p.inode("symlink")) + 26, 0, 1), /a NUL in its target/],
  [
    "symlink that leaves the table",
    async (i, p) => void put(i, (await p.inode("symlink")) + 20, 4000),
    /it ends early/,
  ],
  [
    "file of 64 TiB",
    async (i, p) => void put(i, (await p.inode("sparse")) + 24, 2 ** 46 + 1, 6),
    /the inode table is too small for what inode/,
  ],
  ["fragment that is not there", async (i, p) => void put(i, (await p.inode("alpha")) + 44, 99), /of fragment 99/],
  ["place in the fragment", async (i, p) => void put(i, (await p.inode("alpha")) + 48, 4000), /at 4000 of fragment/],
  ["set of attributes", async (i, p) => void put(i, (await p.inode("alpha")) + 52, 99), /refers to set 99/],
  ["name with a slash", (i, p) => void put(i, p.entry("delta") + 8, 0x2f, 1), /the name "\/elta"/],
  ["name with a NUL", (i, p) => void put(i, p.entry("delta") + 9, 0, 1), /the name "d\\x00lta"/],
  ["name that leads up", (i, p) => rename(i, p.entry("deeper"), ".."), /the name "\.\."/],
  ["name that leads nowhere", (i, p) => rename(i, p.entry("deeper"), "."), /the name "\."/],
  ["names out of order", (i, p) => void i.write("zeeper", p.entry("deeper") + 8), /"delta" comes after "zeeper"/],
  ["a name twice", (i, p) => void i.write("bravo", p.entry("alpha") + 8), /"bravo" is there twice/],
  ["name of 65536 bytes", (i, p) => void put(i, p.entry("delta") + 6, 0xffff, 2), /a name has 65536 bytes/],
  ["entry of type 9", (i, p) => void put(i, p.entry("delta") + 4, 9, 2), /a type that does not exist/],
  ["entry of another type", (i, p) => void put(i, p.entry("delta") + 4, 1, 2), /is said to be directory/],
  [
    "entry whose inode is within another",
    (i, p) => void put(i, p.entry("delta"), i.readUInt16LE(p.entry("delta")) + 1, 2),
    /^the inode table: an inode has the type \d+/,
  ],
  [
    "run of 2^32 entries",
    (i, p) => void put(i, p.listings, 2 ** 32 - 1),
    /a run of directory \d+ has 4294967296 entries/,
  ],
  ["run that goes on", (i, p) => void put(i, p.listings, 200), /the listing of directory \d+ ends within an entry/],
  ["run whose inodes are elsewhere", (i, p) => void put(i, p.listings + 4, 2 ** 31), /no block of .* begins here/],
  [
    "listing that is too long",
    async (i, p) => void put(i, (await p.inode("folder")) + 24, 60_000, 2),
    /the directory table is too small/,
  ],
  [
    "listing elsewhere",
    async (i, p) => void put(i, (await p.inode("folder")) + 16, 2 ** 20),
    /no block of .* begins here/,
  ],
  [
    "listing behind its block",
    async (i, p) => void put(i, (await p.inode("folder")) + 26, 8191, 2),
    /the directory table: something begins here/,
  ],
  ["fragment in the superblock", (i, p) => put(i, p.fragments, 50, 6) && 50, /fragment 0 would go to byte/],
  ["fragment of 16 MiB", (i, p) => void put(i, p.fragments + 8, 0x1ffffff), /fragment 0 says it has 16777215 bytes/],
  ["fragment that is too short", (i, p) => void put(i, p.fragments + 8, 0x1000010), /of fragment 0, which has 16/],
  ["attribute of unknown type", (i, p) => void put(i, p.attributes, 9, 2), /has the type 9/],
  [
    "attribute of 4 GiB",
    (i, p) => void put(i, p.attributes + 4 + i.readUInt16LE(p.attributes + 2), 2 ** 32 - 1),
    /a value of 4294967295 bytes/,
  ],
  [
    "name of an attribute",
    (i, p) => void put(i, p.attributes + 2, 0xffff, 2),
    /names of 2 extended attributes take more/,
  ],
  ["name of an attribute with a NUL", (i, p) => void put(i, p.attributes + 4, 0, 1), /has a NUL in its name/],
  ["set with 2^32 attributes", (i, p) => void put(i, p.sets + 8, 2 ** 32 - 1), /^the extended attributes: /],
  ["set elsewhere", (i, p) => void put(i, p.sets, 2 ** 31, 6), /no block of .* begins here/],
];

test("each damage has its message, and the place of it", async (t) => {
  if (lacksBareImage(t)) return;
  const sound = await bareImage(t);
  const all = await readAll(sound);
  assert.deepEqual(all, { nodes: 14, bytes: 40_210, damaged: 0 });
  for (const [what, damage, message] of DAMAGES) {
    await t.test(what, async () => {
      const image = Buffer.from(sound);
      const offset = await damage(image, await locate(sound));
      assert.notDeepEqual(image, sound);
      const error = await failure(image);
      assert.match(error.message, message);
      if (offset !== undefined) assert.equal(error.data.offset, offset, error.message);
    });
  }
});

/** The error that comes of reading everything in a damaged image. */
async function failure(image: Uint8Array): Promise<ImgbuildError> {
  try {
    const tree = await (await openSquashfs(new MemoryDevice(image))).tree();
    for (const { node } of walk(tree)) if (node.type === "file") await readContent(node.content);
  } catch (error) {
    assertExplained(error);
    return error as ImgbuildError;
  }
  assert.fail("the damage was not noticed");
}

test("what is no SquashFS 4.0 image is called what it is", async () => {
  const device = (size: number, at: number, bytes: string) => {
    const image = Buffer.alloc(size);
    image.write(bytes, at, "latin1");
    return new MemoryDevice(image);
  };
  const cases: [MemoryDevice, string, RegExp][] = [
    [new MemoryDevice(0), "image-corrupt", /no SquashFS image, but empty/],
    [new MemoryDevice(3), "image-corrupt", /no SquashFS image, but empty/],
    [new MemoryDevice(Buffer.from("hsqs")), "image-corrupt", /cut short: its superblock alone/],
    [new MemoryDevice(Buffer.from("#!/bin/sh\n")), "image-corrupt", /no SquashFS image \(byte 0\)/],
    [device(4096, 1080, "\x53\xef"), "image-corrupt", /but an ext2, ext3 or ext4 file system/],
    [device(4096, 0, "\x1f\x8b\x08"), "image-corrupt", /but a gzip file/],
    [device(4096, 257, "ustar"), "image-corrupt", /but a tar archive/],
    [device(4096, 510, "\x55\xaa"), "image-corrupt", /a whole disk with an MBR/],
    [device(4096, 512, "EFI PART"), "image-corrupt", /a whole disk with a GPT/],
    [device(4096, 0, "sqsh"), "source-unsupported", /big-endian/],
    [device(4096, 0, "shsq"), "source-unsupported", /LZMA/],
  ];
  for (const [image, code, message] of cases) await assert.rejects(openSquashfs(image), { code, message });

  const image = Buffer.from(await imageBytes(treeOf({ a: text(5) })));
  const changed = (at: number, value: number) => {
    const other = Buffer.from(image);
    other.writeUInt16LE(value, at);
    return new MemoryDevice(other);
  };
  const unsupported = (at: number, value: number, message: RegExp) =>
    assert.rejects(openSquashfs(changed(at, value)), { code: "source-unsupported", message });
  await unsupported(28, 3, /version 3\.0/);
  await unsupported(30, 1, /version 4\.1/);
  await unsupported(20, 2, /compressed with lzma/);
  await unsupported(20, 0, /compressor number 0/);
  await unsupported(20, 99, /compressor number 99/);
});

test("an image that was cut short is called that, wherever it was cut", async () => {
  const image = await imageBytes(treeOf({ a: text(5), b: noise(9000) }), { exports: true, pad: 1 });
  for (let length = 4; length < image.length; length++) {
    await assert.rejects(openSquashfs(new MemoryDevice(image.subarray(0, length))), (error) => {
      assert.ok(error instanceof ImgbuildError && error.code === "image-corrupt");
      assert.match(error.message, /cut short/);
      assert.equal(error.data.offset, length);
      return true;
    });
  }
  // The same with a superblock that knows nothing of it.
  for (let length = 97; length < image.length; length++) {
    const cut = Buffer.from(image.subarray(0, length));
    put(cut, 40, length, 6);
    assert.equal(await survives(cut, `cut at ${length}`), false, `cut at ${length}`);
  }
});

test("a damaged block is named, and what is not damaged is read", async () => {
  const files = { a: noise(20_000), b: text(20_000, 2), c: text(200) };
  const image = Buffer.from(await imageBytes(treeOf(files), { blockSize: 4096 }));
  const reader = await openSquashfs(new MemoryDevice(image));
  const inode = await reader.lookup(name("b"));
  assert.ok(inode?.type === "file");
  // Where its second block is: as far behind the first as zlib reads.
  const { engine } = inflateSync(image.subarray(inode.start), { info: true }) as unknown as { engine: Inflate };
  const second = inode.start + engine.bytesWritten;
  image.fill(0xff, second, second + 20);
  const file = await (await reader.content(inode)).open();
  await assert.rejects(file.read(5000, new Uint8Array(10)), (error) => {
    assertExplained(error);
    const { message, data } = error as ImgbuildError;
    assert.match(message, /^block 1 of inode \d+ \(from byte 4096 of the file on\) cannot be decompressed/);
    assert.equal(data.offset, second);
    return true;
  });
  for (const [start, end] of [
    [0, 4096],
    [8192, 20_000],
  ] as const) {
    const into = new Uint8Array(end - start);
    await file.read(start, into);
    assert.deepEqual(into, files.b.subarray(start, end));
  }
  const tree = await reader.tree();
  for (const key of ["a", "c"] as const) {
    assert.deepEqual(await readContent((lookup(tree, name(key)) as RegularFile).content), files[key]);
  }
});

test("directories that are within themselves, or in two places", async (t) => {
  if (lacksBareImage(t)) return;
  const sound = await bareImage(t);
  const places = await locate(sound);
  const reader = await openSquashfs(new MemoryDevice(sound));
  const root = reader.root;
  const deeper = (await reader.lookup(name("folder/deeper")))!;
  assert.ok(deeper.type === "directory");
  const folder = (await reader.lookup(name("folder")))!;
  for (const target of [root, folder]) {
    const image = Buffer.from(sound);
    const entry = places.entry("deeper");
    image.writeUInt16LE(target.reference, entry);
    image.writeInt16LE(image.readInt16LE(entry + 2) + target.number - deeper.number, entry + 2);
    const error = await failure(image);
    assert.match(error.message, /the directory "deeper" is in two places, or within itself/);
    // Paths end, and so looking one up does.
    const loop = await openSquashfs(new MemoryDevice(image));
    const path = target === root ? "folder/deeper/folder/deeper/folder/delta" : "folder/deeper/deeper/deeper/delta";
    assert.equal((await loop.lookup(name(path)))?.type, "file");
  }
});

test("a small image that says it holds a million entries ends soon", async (t) => {
  if (lacks(t, "mksquashfs")) return;
  const folder = temporaryFolder(t);
  for (let i = 0; i < 1000; i++) fs.mkdirSync(path.join(folder, `source/folders/${i}`), { recursive: true });
  fs.mkdirSync(path.join(folder, "source/files"));
  for (let i = 0; i < 1000; i++) fs.writeFileSync(path.join(folder, `source/files/${i}`), "");
  const file = path.join(folder, "image");
  run("mksquashfs", [path.join(folder, "source"), file, "-quiet", "-no-progress", "-no-recovery", "-noI"]);
  const image = fs.readFileSync(file);
  assert.equal(await survives(image, "the sound image"), true);
  const reader = await openSquashfs(new MemoryDevice(image));
  const files = (await reader.lookup(name("files"))) as DirectoryInode;
  const folders = (await reader.lookup(name("folders"))) as DirectoryInode;
  // Each of the folders gets the listing of the one with the files, which thereby have a thousand names each.
  for await (const { reference } of reader.entries(folders)) {
    const at = Number(image.readBigUInt64LE(64)) + Math.floor(reference / 0x10000) + 2 + (reference % 0x10000);
    if ((reference % 0x10000) + 32 > 8192) continue;
    put(image, at + 16, files.listing.block);
    put(image, at + 24, files.listingSize + 3, 2);
    put(image, at + 26, files.listing.offset, 2);
  }
  assert.match((await failure(image)).message, /the directory table is too small for the listing/);
});

test("sets of extended attributes that lie within each other end soon", async (t) => {
  if (lacksBareImage(t)) return;
  const folder = temporaryFolder(t);
  const count = 300;
  const root = newDirectory();
  for (let i = 0; i < count; i++) {
    const xattrs = new Map([[name(`trusted.${i}`), noise(30, i + 1)]]);
    root.entries.set(name(`${i}`), newFile(contentOf(text(1)), { xattrs }));
  }
  await materialise({ root }, path.join(folder, "source"));
  const file = path.join(folder, "image");
  run("mksquashfs", [path.join(folder, "source"), file, "-quiet", "-no-progress", "-no-recovery", "-noX"]);
  const image = fs.readFileSync(file);
  assert.equal(await survives(image, "the sound image"), true);
  // They follow each other: each gets those of all that come behind it.
  const { sets } = await locate(image);
  for (let i = 0; i < count; i++) put(image, sets + 16 * i + 8, count - i);
  assert.match((await failure(image)).message, /sets of extended attributes overlap/);
});

test("inodes that refer to a table of extended attributes that is not there have none", async (t) => {
  if (lacksBareImage(t)) return;
  const image = await bareImage(t);
  image.fill(0xff, 56, 64);
  const tree = await (await openSquashfs(new MemoryDevice(image))).tree();
  const alpha = lookup(tree, name("alpha"));
  assert.ok(alpha?.type === "file");
  assert.equal(alpha.xattrs.size, 0);
  assert.deepEqual(await readContent(alpha.content), noise(5000, 5));
});

test("any field of any structure may have any value", async (t) => {
  if (lacksBareImage(t)) return;
  const sound = await bareImage(t);
  const { inodes } = await locate(sound);
  const positions = [
    ...Array(96).keys(),
    ...Array.from({ length: sound.length - inodes + 2 }, (_, i) => inodes - 2 + i),
  ];
  const before = process.memoryUsage().rss;
  let [tried, broken] = [0, 0];
  for (const at of positions) {
    for (const bytes of [[0xff], [sound[at]! ^ 1], [0, 0, 0, 0], [0xff, 0xff, 0xff, 0x7f]]) {
      tried++;
      const image = Buffer.from(sound);
      image.set(bytes.slice(0, image.length - at), at);
      if (!(await survives(image, `[${bytes}] at ${at}`))) broken++;
    }
  }
  const growth = process.memoryUsage().rss - before;
  assert.ok(growth < MAX_GROWTH, `the process grew by ${growth} bytes`);
  assert.ok(broken > tried / 4, `${broken} of ${tried} were broken`);
});

test("random damage, in images of every compressor", async () => {
  const files = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`${i % 7}/${i}`, text(i * 300, i)]));
  const tree = treeOf(files);
  for (const [i, node] of [...walk(tree)].entries()) node.node.xattrs = new Map([[name("user.n"), text(30, i % 5)]]);
  const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 6 });
  const before = process.memoryUsage().rss;
  for (const compressor of COMPRESSOR_NAMES) {
    const sound = await imageBytes(tree, { compressor, exports: true, blockSize: 4096 });
    assert.equal(await survives(sound, compressor), true);
    // Half of the damage goes where metadata is.
    const start = Number(Buffer.from(sound).readBigUInt64LE(64));
    await fc.assert(
      fc.asyncProperty(damage, fc.boolean(), async (changes, metadata) => {
        const image = sound.slice();
        for (const [at, value] of changes) {
          image[metadata ? start + (at % (sound.length - start)) : at % sound.length] = value;
        }
        await survives(image, `${compressor}: ${JSON.stringify(changes)}`);
      }),
      { numRuns: 200 },
    );
  }
  const growth = process.memoryUsage().rss - before;
  assert.ok(growth < MAX_GROWTH, `the process grew by ${growth} bytes`);
});
