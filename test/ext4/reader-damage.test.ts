/**
 * File systems that are damaged, hostile or something else. Whatever is in them: the answer is an error that says where, or
 * files, after a limited time.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { ImgbuildError } from "../../src/errors.js";
import { type Ext4Inode, openExt4 } from "../../src/ext4/index.js";
import { newDirectory, newFile, readContent } from "../../src/tree/node.js";
import { walk } from "../../src/tree/tree.js";
import fc from "../support/fast-check.js";
import { materialise } from "../support/materialise.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import { mke2fs, noise } from "./reading.js";

const BLOCK = 1024;
/** Milliseconds that a small image may take; hundreds of times what it does take. */
const MAX_TIME = 5000;

/** Asserts that an error is one of those that may come, and says where. */
function assertExplained(error: unknown): void {
  assert.ok(error instanceof ImgbuildError, `${(error as Error).stack}`);
  assert.ok(error.hint, error.message);
  if (error.code === "source-unsupported") return;
  assert.equal(error.code, "image-corrupt", error.stack);
  const { offset } = error.data;
  assert.ok(Number.isSafeInteger(offset) && (offset as number) >= 0, error.message);
  assert.ok(error.message.includes(`byte ${offset}`), error.message);
}

/** Reads all there is. Returns the first error. */
async function readAll(image: Uint8Array): Promise<ImgbuildError | undefined> {
  const start = performance.now();
  try {
    const reader = await openExt4(new MemoryDevice(image));
    const into = new Uint8Array(2 ** 16);
    for (const { node } of walk(await reader.tree())) {
      if (node.type !== "file") continue;
      const file = await node.content.open();
      // A file may say that it has terabytes, most of them holes.
      for (let at = 0; at < Math.min(node.content.size, 2 ** 20); at += into.length) {
        await file.read(at, into.subarray(0, Math.min(into.length, node.content.size - at)));
      }
    }
    return undefined;
  } catch (error) {
    assertExplained(error);
    return error as ImgbuildError;
  } finally {
    const time = performance.now() - start;
    assert.ok(time < MAX_TIME, `${time} ms`);
  }
}

/** A small file system with one of every structure, made by mke2fs, so that no mistake of ours is in it. */
async function smallImage(t: TestContext, options: readonly string[]): Promise<Buffer> {
  const folder = temporaryFolder(t);
  const root = newDirectory();
  const add = (name: string, node: Parameters<typeof root.entries.set>[1]) => root.entries.set(fromText(name), node);
  const bytes = noise(41 * BLOCK);
  const pieces = Array.from({ length: 20 }, (_, i) => ({ start: 2 * i * BLOCK, end: (2 * i + 1) * BLOCK }));
  const holed = Uint8Array.from(bytes, (byte, at) => (Math.floor(at / BLOCK) % 2 === 0 && at < 40 * BLOCK ? byte : 0));
  add("pieces", newFile({ ...plain(holed), data: pieces }));
  add("plain", newFile(plain(noise(3000))));
  add("indirect", newFile(plain(noise(20 * BLOCK, 3))));
  const link = { mode: 0o777, uid: 0, gid: 0, mtime: { seconds: 0, nanoseconds: 0 }, xattrs: new Map() };
  add("short link", { type: "symlink", ...link, target: fromText("plain") });
  add("long link", { type: "symlink", ...link, target: fromText("long".repeat(40)) });
  add("twin", root.entries.get(fromText("plain"))!);
  const xattrs = new Map([
    [fromText("user.first"), noise(300)],
    [fromText("trusted.second"), noise(20)],
  ]);
  add("labelled", newFile(plain(noise(10)), { xattrs }));
  const inner = newDirectory();
  for (let i = 0; i < 60; i++)
    inner.entries.set(fromText(`a name that takes some room ${i}`), newFile(plain(noise(0))));
  add("folder", inner);
  inner.entries.set(fromText("inner"), newDirectory());
  await materialise({ root }, path.join(folder, "source"));
  const image = path.join(folder, "image");
  mke2fs(image, 1024, ["-b", `${BLOCK}`, "-N", "128", ...options], path.join(folder, "source"));
  // Gives the folder an index.
  run("sh", ["-c", 'e2fsck -fyD "$0" || [ $? -le 1 ]', image]);
  return fs.readFileSync(image);
}

function plain(bytes: Uint8Array) {
  return {
    size: bytes.length,
    async open() {
      return {
        async read(at: number, into: Uint8Array) {
          into.set(bytes.subarray(at, at + into.length));
        },
        async close() {},
      };
    },
  };
}

const EXT4 = ["-t", "ext4", "-O", "^has_journal,^resize_inode"];
const UNCHECKED = ["-t", "ext4", "-O", "^has_journal,^resize_inode,^metadata_csum,^uninit_bg,^64bit"];
const EXT2 = ["-t", "ext2", "-O", "^resize_inode"];

const lacksTools = (t: TestContext) => lacks(t, "mke2fs", "e2fsck", "setfattr") || lacksRoot(t);

interface Places {
  readonly inodes: ReadonlyMap<string, Ext4Inode>;
  /** Where the entry of a name is. */
  readonly entry: (name: string) => number;
}

/** Where things are. */
async function locate(image: Buffer): Promise<Places> {
  const reader = await openExt4(new MemoryDevice(image));
  const inodes = new Map<string, Ext4Inode>([["", reader.root]]);
  const entries = new Map<string, number>();
  for (const [name, folder] of [
    ["", reader.root],
    ["folder/", await reader.lookup(fromText("folder"))],
  ] as const) {
    assert.ok(folder?.type === "directory");
    for await (const entry of reader.entries(folder)) {
      inodes.set(`${name}${entry.name}`, await reader.inode(entry));
      entries.set(`${name}${entry.name}`, entry.at);
    }
  }
  return { inodes, entry: (name) => entries.get(name)! };
}

/** Stores a number of `size` bytes; returns where. */
function put(image: Buffer, at: number, value: number, size = 4): number {
  image.writeUIntLE(value, at, size);
  return at;
}

type Damage = readonly [what: string, damage: (image: Buffer, places: Places) => number | undefined, message: RegExp];

const at = (places: Places, name: string, within = 0) => places.inodes.get(name)!.at + within;
/** Where the first block of a folder or of the extent tree of "pieces" is. */
const leads = (image: Buffer, places: Places, name: string) =>
  image.readUInt32LE(at(places, name, 0x28 + 12 + 8)) * BLOCK;
const node = (image: Buffer, places: Places) => image.readUInt32LE(at(places, "pieces", 0x28 + 12 + 4)) * BLOCK;
const xattrs = (image: Buffer, places: Places) => image.readUInt32LE(at(places, "labelled", 0x68)) * BLOCK;

/** The last of what was done to the image: where the error is said to be. */
const blames = (...steps: (number | undefined)[]) => steps.at(-1);

/** A damage returns the byte that the error has to name. */
const DAMAGES: readonly Damage[] = [
  ["magic", (i) => put(i, 1024 + 0x38, 0, 2), /no ext2, ext3 or ext4 file system/],
  ["block size", (i) => put(i, 1024 + 0x18, 9), /blocks have 524288 bytes/],
  ["more blocks than there are", (i) => void put(i, 1024 + 0x04, 100_000), /cut short/],
  ["data behind the end", (i) => put(i, 1024 + 0x14, 2 ** 31), /data begins at block/],
  ["no blocks in a group", (i) => put(i, 1024 + 0x20, 0), /a group has 0 blocks/],
  ["no inodes in a group", (i) => put(i, 1024 + 0x28, 0), /a group has 0 inodes/],
  ["inodes of 100 bytes", (i) => put(i, 1024 + 0x58, 100, 2), /inodes have 100 bytes/],
  ["inodes of 4096 bytes", (i) => put(i, 1024 + 0x58, 4096, 2), /inodes have 4096 bytes/],
  ["more inodes", (i) => put(i, 1024, 1000), /there are 1000 inodes/],
  ["first inode", (i) => put(i, 1024 + 0x54, 3), /the first inode of a file is 3/],
  ["inode table", (i) => put(i, 2048 + 8, 1_000_000), /inode table is at block 1000000/],
  ["root that is a file", (i, p) => put(i, at(p, ""), 0o100755, 2), /the root is a file/],

  ["no links", (i, p) => put(i, at(p, "plain", 0x1a), 0, 2), /is not in use/],
  [
    "another type",
    (i, p) => blames(put(i, at(p, "plain"), 0o10644, 2), p.entry("plain")),
    /said to be a file, and its inode is a fifo/,
  ],
  ["no type", (i, p) => put(i, at(p, "plain"), 0o644, 2), /has the mode 0644, which is of no type/],
  ["too many fields", (i, p) => put(i, at(p, "plain", 0x80), 1000, 2), /fields have 1000 bytes more/],
  ["three links", (i, p) => put(i, at(p, "plain", 0x1a), 3, 2), /has 1 names less than it says/],
  ["one link", (i, p) => put(i, at(p, "plain", 0x1a), 1, 2), /has 1 names more than it says/],
  [
    "a size beyond 2^32 blocks",
    (i, p) => blames(put(i, at(p, "plain", 0x6c), 2 ** 11), at(p, "plain", 4)),
    /more than its extents can lead to/,
  ],
  ["a size beyond 2^53", (i, p) => put(i, at(p, "plain", 0x6c), 2 ** 31), /more than a file can have/],

  ["extents without magic", (i, p) => put(i, at(p, "plain", 0x28), 0, 2), /lacks its magic number/],
  ["extents beyond their node", (i, p) => put(i, at(p, "plain", 0x2a), 5, 2), /a node of 5 entries, with room for 4/],
  [
    "a node larger than its place",
    (i, p) => blames(put(i, at(p, "plain", 0x2c), 9, 2), at(p, "plain", 0x2a)),
    /room for 9/,
  ],
  ["a tree of depth 6", (i, p) => put(i, at(p, "pieces", 0x2e), 6, 2), /depth 6/],
  [
    "an extent of no blocks",
    (i, p) => blames(put(i, at(p, "plain", 0x38), 0, 2), at(p, "plain", 0x34)),
    /has 0 blocks/,
  ],
  [
    "an extent elsewhere",
    (i, p) => blames(put(i, at(p, "plain", 0x3c), 1_000_000), at(p, "plain", 0x34)),
    /leads to block 1000000/,
  ],
  ["an extent in block 0", (i, p) => blames(put(i, at(p, "plain", 0x3c), 0), at(p, "plain", 0x34)), /leads to block 0/],
  [
    "a node elsewhere",
    (i, p) => blames(put(i, at(p, "pieces", 0x38), 1_000_000), at(p, "pieces", 0x34)),
    /leads to block 1000000/,
  ],
  ["a node of another depth", (i, p) => put(i, node(i, p) + 6, 1, 2), /depth 1 where 0 is possible/],
  ["extents in the wrong order", (i, p) => put(i, node(i, p) + 24, 0), /they should be within 1 to/],
  [
    "an extent over the next",
    (i, p) => blames(put(i, node(i, p) + 16, 9, 2), node(i, p) + 24),
    /should be within 9 to/,
  ],
  ["a root that is its own child", (i, p) => blames(put(i, node(i, p) + 6, 5, 2), node(i, p) + 6), /depth 5 where 0/],

  ["a link without target", (i, p) => put(i, at(p, "short link", 4), 0), /target of 0 bytes/],
  ["a link larger than a block", (i, p) => put(i, at(p, "long link", 4), 1024), /target of 1024 bytes/],
  ["a NUL in a target", (i, p) => put(i, at(p, "short link", 0x28), 0, 1), /no target of 5 bytes/],

  ["a folder of half a block", (i, p) => put(i, at(p, "folder", 4), 512), /512 bytes, which is no number of blocks/],
  [
    "a folder with a hole",
    (i, p) => blames(put(i, at(p, "folder/inner", 0x34), 1), at(p, "folder/inner", 4)),
    /lacks its block 0/,
  ],
  [
    "an entry of no length",
    (i, p) => blames(put(i, p.entry("plain") + 4, 0, 2), p.entry("plain")),
    /an entry of 0 bytes/,
  ],
  [
    "an entry of odd length",
    (i, p) => blames(put(i, p.entry("plain") + 4, 15, 2), p.entry("plain")),
    /an entry of 15 bytes/,
  ],
  [
    "an entry beyond the block",
    (i, p) => blames(put(i, p.entry("plain") + 4, 2000, 2), p.entry("plain")),
    /entry of 2000 bytes/,
  ],
  ["a name beyond its entry", (i, p) => blames(put(i, p.entry("plain") + 6, 200, 1), p.entry("plain")), /name of 200/],
  ["a name of nothing", (i, p) => blames(put(i, p.entry("plain") + 6, 0, 1), p.entry("plain")), /with the name ""/],
  [
    "a name with a slash",
    (i, p) => blames(put(i, p.entry("plain") + 9, 0x2f, 1), p.entry("plain")),
    /the name "p\/ain"/,
  ],
  ["a name with a NUL", (i, p) => blames(put(i, p.entry("plain") + 9, 0, 1), p.entry("plain")), /which is none/],
  [
    "an entry without inode",
    (i, p) => blames(put(i, p.entry("plain"), 100_000), p.entry("plain")),
    /with inode 100000/,
  ],
  ["an entry with a reserved inode", (i, p) => blames(put(i, p.entry("plain"), 5), p.entry("plain")), /with inode 5/],
  ["an inode that is not in use", (i, p) => blames(put(i, p.entry("plain"), 120), undefined), /inode 120/],
  [
    "a name twice",
    (i, p) => blames(i.write("twin\0", p.entry("plain") + 8), put(i, p.entry("plain") + 6, 4, 1), undefined),
    /has "twin" twice/,
  ],
  ["no dot", (i, p) => blames(put(i, leads(i, p, "") + 8, 0x61, 1), leads(i, p, "")), /begins with no "\."/],
  ["another's dot", (i, p) => put(i, leads(i, p, "folder"), 2), /begins with no "\." of its own/],
  ["no dot dot", (i, p) => blames(put(i, leads(i, p, "folder") + 21, 0x61, 1), leads(i, p, "folder")), /lacks "\.\."/],
  ["another parent", (i, p) => put(i, leads(i, p, "folder") + 12, 11), /is in inode 2, and says that it is in 11/],
  [
    "a folder in itself",
    (i, p) => put(i, p.entry("folder/inner"), p.inodes.get("folder")!.number),
    /in two places, or within itself/,
  ],
  [
    "a folder twice",
    (i, p) => blames(put(i, p.entry("lost+found"), p.inodes.get("folder")!.number), p.entry("folder")),
    /two places/,
  ],

  ["attributes elsewhere", (i, p) => put(i, at(p, "labelled", 0x68), 1_000_000), /attributes in block 1000000/],
  ["attributes without magic", (i, p) => put(i, xattrs(i, p), 0), /lack their magic number/],
  ["attributes of two blocks", (i, p) => put(i, xattrs(i, p) + 8, 2), /say that they take 2/],
  ["a value outside", (i, p) => blames(put(i, xattrs(i, p) + 34, 1000, 2), xattrs(i, p) + 32), /no room/],
  [
    "a value among the entries",
    (i, p) => blames(put(i, xattrs(i, p) + 34, 40, 2), xattrs(i, p) + 32),
    /within their list/,
  ],
  ["a value of 2 GiB", (i, p) => blames(put(i, xattrs(i, p) + 40, 2 ** 31), xattrs(i, p) + 32), /2147483648 bytes/],
  [
    "a value in no inode",
    (i, p) => blames(put(i, xattrs(i, p) + 36, 2 ** 31), xattrs(i, p) + 32),
    /is none of the file system's/,
  ],
  [
    "a value in a file",
    (i, p) => blames(put(i, xattrs(i, p) + 36, p.inodes.get("plain")!.number), xattrs(i, p) + 32),
    /something else/,
  ],
];

test("field by field", async (t) => {
  if (lacksTools(t)) return;
  const image = await smallImage(t, UNCHECKED);
  const places = await locate(image);
  assert.equal(await readAll(image), undefined);
  for (const [what, damage, message] of DAMAGES) {
    const copy = Buffer.from(image);
    const offset = damage(copy, places);
    const error = await readAll(copy);
    assert.ok(error, what);
    assert.match(error.message, message, what);
    assert.equal(error.code, "image-corrupt");
    if (offset !== undefined) assert.equal(error.data.offset, offset, `${what}: ${error.message}`);
  }
});

test("block maps of ext2", async (t) => {
  if (lacksTools(t)) return;
  const image = await smallImage(t, EXT2);
  const places = await locate(image);
  assert.equal(await readAll(image), undefined);
  const direct = at(places, "indirect", 0x28 + 4);
  const indirect = at(places, "indirect", 0x28 + 48);
  const list = image.readUInt32LE(indirect) * BLOCK + 8;
  for (const place of [direct, indirect, list]) {
    const copy = Buffer.from(image);
    put(copy, place, 4_000_000);
    const error = await readAll(copy);
    assert.deepEqual([error?.code, error?.data.offset], ["image-corrupt", place]);
  }
  // A list that has its own number in every place, three levels of it: 2^24 blocks of data, all the same.
  const copy = Buffer.from(image);
  const block = image.readUInt32LE(indirect);
  for (let i = 0; i < 256; i++) put(copy, block * BLOCK + 4 * i, block);
  put(copy, at(places, "indirect", 0x28 + 56), block);
  put(copy, at(places, "indirect", 4), 2 ** 31);
  put(copy, at(places, "indirect", 0x6c), 3);
  assert.match((await readAll(copy))!.message, /uses blocks that other files use too/);
});

test("features that nobody knows, by name or number; what damage leaves alone stays readable", async (t) => {
  if (lacksTools(t)) return;
  const image = await smallImage(t, UNCHECKED);
  for (const [bit, name] of [
    [0, /the feature compression/],
    [12, /dirdata/],
    [29, /FEATURE_I29/],
  ] as const) {
    const copy = Buffer.from(image);
    put(copy, 1024 + 0x60, copy.readUInt32LE(1024 + 0x60) + 2 ** bit);
    const error = await readAll(copy);
    assert.equal(error?.code, "source-unsupported");
    assert.match(error.message, name);
  }
  const { inodes } = await locate(image);
  const copy = Buffer.from(image);
  put(copy, inodes.get("pieces")!.at + 0x28, 0, 2);
  const reader = await openExt4(new MemoryDevice(copy));
  const found = await reader.lookup("plain" as ByteString);
  assert.ok(found?.type === "file");
  assert.deepEqual(await readContent(await reader.content(found)), noise(3000));
  const pieces = await reader.lookup("pieces" as ByteString);
  assert.ok(pieces?.type === "file");
  await assert.rejects(reader.content(pieces), { code: "image-corrupt" });

  // FS_ENCRYPT_FL.
  const encrypted = Buffer.from(image);
  put(encrypted, inodes.get("plain")!.at + 0x20, 0x80800);
  await assert.rejects((await openExt4(new MemoryDevice(encrypted))).tree(), {
    code: "source-unsupported",
    message: /encrypted/,
  });
});

test("an image that was cut short", async (t) => {
  if (lacksTools(t)) return;
  const image = await smallImage(t, EXT4);
  for (const length of [0, 1, 1023, 1024, 2047, 2048, 5000, 500_000, image.length - 1024, image.length - 1]) {
    const error = await readAll(image.subarray(0, length));
    assert.deepEqual([error?.code, error?.data.offset], ["image-corrupt", length]);
  }
  assert.equal(await readAll(Buffer.concat([image, Buffer.alloc(100, 0xff)])), undefined);
  for (const byte of [0, 0xff]) assert.equal((await readAll(new Uint8Array(4096).fill(byte)))?.code, "image-corrupt");
});

/** Where checksums are, all of whose bytes count. */
async function checkedRanges(image: Buffer): Promise<[start: number, length: number][]> {
  const places = await locate(image);
  const ranges: [number, number][] = [
    [1024, 1024],
    [2048, 64],
    [leads(image, places, ""), BLOCK],
    [xattrs(image, places), BLOCK],
    [node(image, places), 12 + 12 * 84],
  ];
  for (const { at } of places.inodes.values()) ranges.push([at, image.readUInt16LE(1024 + 0x58)]);
  return ranges;
}

test("not a bit of metadata with checksums may change", async (t) => {
  if (lacksTools(t)) return;
  const image = await smallImage(t, EXT4);
  assert.equal(await readAll(image), undefined);
  const ranges = await checkedRanges(image);
  const places = fc.constantFrom(...ranges).chain(([start, length]) => fc.nat(length - 1).map((at) => start + at));
  await fc.assert(
    fc.asyncProperty(places, fc.nat(7), async (at, bit) => {
      const copy = Buffer.from(image);
      copy[at]! ^= 1 << bit;
      assert.ok(await readAll(copy), `byte ${at}`);
    }),
    { numRuns: 400 },
  );
});

test("what our reader finds broken, e2fsck finds broken", async (t) => {
  if (lacksTools(t)) return;
  const file = path.join(temporaryFolder(t), "image");
  for (const options of [EXT4, UNCHECKED, EXT2]) {
    const image = await smallImage(t, options);
    const ranges = await checkedRanges(await smallImage(t, EXT4));
    // Half of the changes anywhere, half where metadata is.
    const changes = fc.record({
      at: fc.oneof(
        fc.nat(image.length - 1),
        fc.constantFrom(...ranges).chain(([start, length]) => fc.nat(length - 1).map((at) => start + at)),
      ),
      bit: fc.nat(7),
    });
    await fc.assert(
      fc.asyncProperty(changes, async ({ at, bit }) => {
        const copy = Buffer.from(image);
        copy[at]! ^= 1 << bit;
        const error = await readAll(copy);
        if (error === undefined) return;
        fs.writeFileSync(file, copy);
        assert.throws(() => run("e2fsck", ["-fn", file]), `${error.message}: e2fsck has nothing to say of it`);
      }),
      { numRuns: 60 },
    );
  }
});

test("random damage ends with an error or with files", async (t) => {
  if (lacksTools(t)) return;
  for (const options of [
    UNCHECKED,
    EXT2,
    ["-t", "ext4", "-O", "inline_data,ea_inode,^metadata_csum,^has_journal,^resize_inode"],
  ]) {
    const image = await smallImage(t, options);
    const { inodes } = await locate(image);
    const metadata = Math.max(...[...inodes.values()].map(({ at }) => at)) + 256;
    const change = fc.record({
      at: fc.oneof(fc.nat(metadata - 1), fc.nat(image.length - 5)),
      value: fc.oneof(fc.nat(255), fc.constantFrom(0, 0xff, 0x7fffffff, 0xffffffff), fc.nat(1100)),
      size: fc.constantFrom(1, 2, 4),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
        const copy = Buffer.from(image);
        for (const { at, value, size } of changes) put(copy, at, value % 2 ** (8 * size), size);
        await readAll(copy);
      }),
      { numRuns: 250 },
    );
  }
});
