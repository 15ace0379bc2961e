/** Callers at the same time, and callers after a failure: they get what callers one after the other get. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReadableDevice } from "../../src/bytes/device.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { ImgbuildError } from "../../src/errors.js";
import { openSquashfs, type SquashfsInode, type SquashfsReader } from "../../src/squashfs/index.js";
import { contentOf, newFile } from "../../src/tree/node.js";
import type { Tree } from "../../src/tree/tree.js";
import { describeTree } from "../support/describe.js";
import { imageBytes, name, noise, text, treeOf } from "./image.js";
import { CountingDevice, everything } from "./reading.js";

const FILES = 50;

/** Files that share one large set of attributes, and a value in it with another set. */
function attributed(): Tree {
  const shared = new Map([
    [name("user.large"), noise(3000)],
    [name("user.small"), text(20)],
  ]);
  const other = new Map([[name("trusted.large"), noise(3000)]]);
  const files = Array.from({ length: FILES }, (_, i) => {
    const xattrs = i === 0 ? other : shared;
    return [`${i}`, newFile(contentOf(text(9, i)), { xattrs })] as const;
  });
  return treeOf(Object.fromEntries(files));
}

async function inodesOf(reader: SquashfsReader): Promise<SquashfsInode[]> {
  const inodes: SquashfsInode[] = [];
  for await (const entry of reader.entries(reader.root)) inodes.push(await reader.inode(entry));
  return inodes;
}

/** Answers later than it is asked, so that callers overtake each other; fails where it is told to. */
class SlowDevice implements ReadableDevice {
  reads = 0;
  failAt: number | undefined;
  readonly #device: ReadableDevice;

  constructor(device: ReadableDevice) {
    this.#device = device;
  }

  get size(): number {
    return this.#device.size;
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    const fails = this.reads++ === this.failAt;
    await new Promise((resolve) => setImmediate(resolve));
    if (fails) throw new ImgbuildError("io-failed", "the device fails");
    return this.#device.read(at, length);
  }
}

test("many inodes' attributes at once", async () => {
  const image = await imageBytes(attributed());
  for (const readBefore of [true, false]) {
    const reader = await openSquashfs(new SlowDevice(new MemoryDevice(image)));
    const inodes = await inodesOf(reader);
    assert.equal(inodes.length, FILES);
    if (readBefore) await reader.xattrs(inodes[0]!);
    const sets = await Promise.all([...inodes, ...inodes].map((inode) => reader.xattrs(inode)));
    for (const [i, inode] of inodes.entries()) {
      assert.deepEqual(sets[i], await reader.xattrs(inode));
      assert.deepEqual(sets[i]?.get(name(sets[i].size === 1 ? "trusted.large" : "user.large")), noise(3000));
    }
  }
});

test("sets that overlap are found by callers at the same time, too", async () => {
  // Without compression, so that the table of sets can be changed; each set then has the attributes behind it as well.
  const count = 300;
  const files = Array.from({ length: count }, (_, i) => {
    const xattrs = new Map([[name(`trusted.${i}`), noise(30, i + 1)]]);
    return [String(i).padStart(3, "0"), newFile(contentOf(text(1)), { xattrs })] as const;
  });
  const image = await imageBytes(treeOf(Object.fromEntries(files)), { uncompressed: ["xattrs"] });
  const view = new DataView(image.buffer, image.byteOffset);
  const table = Number(view.getBigUint64(56, true));
  const sets = Number(view.getBigUint64(table + 16, true)) + 2;
  for (let i = 0; i < count; i++) view.setUint32(sets + 16 * i + 8, count - i, true);
  const reader = await openSquashfs(new SlowDevice(new MemoryDevice(image)));
  const found = await Promise.allSettled((await inodesOf(reader)).map((inode) => reader.xattrs(inode)));
  const refused = found.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
  assert.ok(refused.length > count / 2, `${refused.length} of ${count}`);
  for (const { reason } of refused) {
    assert.equal(reason.code, "image-corrupt");
    assert.match(reason.message, /sets of extended attributes overlap/);
  }
});

test("after a failure of the device, at any read, all can be read", async () => {
  const tree = attributed();
  tree.root.entries.set(name("long"), newFile(contentOf(noise(40_000))));
  const expected = await describeTree(tree);
  const image = await imageBytes(tree, { blockSize: 4096 });
  const device = new SlowDevice(new MemoryDevice(image));
  await describeTree(await (await openSquashfs(device)).tree());
  const all = device.reads;
  assert.ok(all > 8, `${all} reads`);
  for (let failAt = 0; failAt < all; failAt++) {
    const failing = new SlowDevice(new MemoryDevice(image));
    failing.failAt = failAt;
    const reader = await openSquashfs(failing).catch((error) => {
      assert.equal(error.code, "io-failed");
      return openSquashfs(failing);
    });
    const once = async () => describeTree(await reader.tree());
    const first = await once().catch((error) => {
      assert.equal(error.code, "io-failed");
      return expected;
    });
    assert.deepEqual(first, expected);
    assert.deepEqual(await once(), expected);
  }
});

test("a set of attributes that fails again and again is read in the end", async () => {
  const image = await imageBytes(attributed());
  const device = new SlowDevice(new MemoryDevice(image));
  const reader = await openSquashfs(device);
  const inodes = await inodesOf(reader);
  const attempt = () => Promise.allSettled(inodes.map((inode) => reader.xattrs(inode)));
  let failures = 0;
  for (let i = 0; i < 20; i++) {
    device.failAt = device.reads;
    if ((await attempt()).some(({ status }) => status === "rejected")) failures++;
  }
  assert.ok(failures > 0);
  assert.ok((await attempt()).every(({ status }) => status === "fulfilled"));
});

test("callers at the same time share what is read", async () => {
  const files = Object.fromEntries(Array.from({ length: FILES }, (_, i) => [`${i}`, noise(100, i + 1)]));
  const counting = new CountingDevice(new MemoryDevice(await imageBytes(treeOf(files))));
  const reader = await openSquashfs(new SlowDevice(counting));
  const inodes = await inodesOf(reader);
  const before = counting.reads;
  await Promise.all(
    inodes.map(async (inode) => {
      assert.ok(inode.type === "file");
      const file = await (await reader.content(inode)).open();
      await file.read(0, new Uint8Array(100));
    }),
  );
  // The entry of the one fragment, and the fragment.
  assert.equal(counting.reads - before, 2);

  const again = new CountingDevice(new MemoryDevice(await imageBytes(everything(4096))));
  const many = await openSquashfs(new SlowDevice(again));
  const opened = again.reads;
  const expected = await many.lookup(name("links/deeper/second"));
  const alone = again.reads - opened;
  const fresh = await openSquashfs(new SlowDevice(again));
  const start = again.reads;
  const found = await Promise.all(Array.from({ length: 20 }, () => fresh.lookup(name("links/deeper/second"))));
  for (const inode of found) assert.deepEqual(inode, expected);
  assert.equal(again.reads - start, alone);
});
