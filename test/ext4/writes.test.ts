/** How the writer deals with a device that takes its time: several writes are under way at once, and end in any order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fromText } from "../../src/bytes/bytestring.js";
import { type Device, MemoryDevice } from "../../src/bytes/device.js";
import { ExtentSet } from "../../src/bytes/extent.js";
import { writeExt4 } from "../../src/ext4/index.js";
import { contentOf, newDirectory, newFile } from "../../src/tree/node.js";
import type { Tree } from "../../src/tree/tree.js";
import { MiB, OPTIONS } from "./support.js";

const SIZE = 64 * MiB;

/** Files of 0 to 5 MB, mostly small ones, without a block of zeros. */
function someTree(): Tree {
  const root = newDirectory();
  for (let folder = 0; folder < 8; folder++) {
    const directory = newDirectory();
    root.entries.set(fromText(`folder-${folder}`), directory);
    for (let file = 0; file < 200; file++) {
      const size = file === 100 ? 600_000 * (folder + 1) : 61 * file;
      directory.entries.set(fromText(`file-${file}`), newFile(contentOf(new Uint8Array(size).fill(1 + file))));
    }
  }
  return { root };
}

/** Begins writes at once and takes the bytes when they end, each at a time of its own, some before earlier ones. */
class SlowDevice extends MemoryDevice {
  readonly #begun = new ExtentSet();
  underWay = 0;
  #count = 0;
  mostUnderWay = 0;

  override async write(at: number, bytes: Uint8Array): Promise<void> {
    assert.deepEqual(this.#begun.intersect(at, at + bytes.length), [], `bytes at ${at} are written twice`);
    this.#begun.add(at, at + bytes.length);
    this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay);
    await setTimeout([9, 4, 1][this.#count++ % 3]);
    await super.write(at, bytes);
    this.underWay--;
  }
}

for (const features of ["", "ext2"]) {
  test(`writes may end in any order (${features || "default features"})`, async () => {
    const slow = new SlowDevice(SIZE);
    await writeExt4(slow, someTree(), { ...OPTIONS, features });
    assert.ok(slow.mostUnderWay > 1);
    const plain = new MemoryDevice(SIZE);
    await writeExt4(plain, someTree(), { ...OPTIONS, features });
    assert.ok(Buffer.from(slow.bytes).equals(plain.bytes));
  });
}

test("any write that fails fails the whole", async () => {
  const writes = { count: 0 };
  const failing = (which: number): Device => {
    const device = new MemoryDevice(SIZE);
    writes.count = 0;
    return {
      size: SIZE,
      read: (at, length) => device.read(at, length),
      zero: (at, length) => device.zero(at, length),
      async write(at, bytes) {
        const number = writes.count++;
        await setTimeout(1);
        if (number === which) throw new Error(`write ${which}`);
        await device.write(at, bytes);
      },
    };
  };
  await writeExt4(failing(-1), someTree(), OPTIONS);
  const { count } = writes;
  assert.ok(count > 10);
  for (const which of [0, 1, Math.floor(count / 2), count - 2, count - 1]) {
    await assert.rejects(writeExt4(failing(which), someTree(), OPTIONS), { message: `write ${which}` });
  }
});

test("no write is under way any more when a file that cannot be read ends it all", async () => {
  const tree = someTree();
  const last = tree.root.entries.get(fromText("folder-7"));
  assert.ok(last?.type === "directory");
  const open = () => Promise.reject(new Error("it cannot be read"));
  last.entries.set(fromText("zzz"), newFile({ size: MiB, open }));
  const slow = new SlowDevice(SIZE);
  await assert.rejects(writeExt4(slow, tree, OPTIONS), { message: "it cannot be read" });
  assert.ok(slow.mostUnderWay > 1);
  assert.equal(slow.underWay, 0, "the device may be closed");
});
