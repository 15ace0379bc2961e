/** The medium as a device: concurrent users, blocks of which only a part is written, and how long it is. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { Medium } from "../../src/flash/medium.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";

const BLOCK = 4096;
const BLOCKS = 64;

/** A file whose blocks are each filled with their number, from 1 on. */
function numbered(t: TestContext): string {
  const file = path.join(temporaryFolder(t), "medium");
  fs.writeFileSync(file, Buffer.concat(Array.from({ length: BLOCKS }, (_, i) => Buffer.alloc(BLOCK, i + 1))));
  return file;
}

function loop(t: TestContext, backing: string): string {
  const device = run("losetup", ["--find", "--show", backing]).trim();
  t.after(() => run("losetup", ["--detach", device]));
  return device;
}

test("reads at the same time give each what it asked for", async (t) => {
  const medium = new Medium(numbered(t), 512);
  try {
    const blocks = Array.from({ length: BLOCKS }, (_, i) => i);
    const found = await Promise.all(blocks.map((i) => medium.read(i * BLOCK, BLOCK)));
    for (const i of blocks)
      assert.ok(
        found[i]!.every((byte) => byte === i + 1),
        `block ${i}`,
      );
    // One that fails holds up no other.
    const [failed, good] = await Promise.allSettled([medium.read(BLOCKS * BLOCK, 1), medium.read(0, 1)]);
    assert.deepEqual([failed.status, good.status], ["rejected", "fulfilled"]);
  } finally {
    medium.close();
  }
});

test("writes at the same time, of parts of the same blocks and in between reads, all come to be", async (t) => {
  if (lacksRoot(t) || lacks(t, "losetup")) return;
  const file = numbered(t);
  const medium = new Medium(loop(t, file), 512);
  try {
    const parts = Array.from({ length: 200 }, (_, i) => i * 300);
    const reads: Promise<Uint8Array>[] = [];
    const writes = parts.map((at) => {
      reads.push(medium.read(at, 299));
      return medium.write(at, Buffer.alloc(299, 0xc0 + (at % 7)));
    });
    await Promise.all([...writes, ...reads]);
    const found = await medium.read(0, 60_000);
    for (const at of parts) {
      const expected = Buffer.alloc(300, 0xc0 + (at % 7));
      expected[299] = Math.floor((at + 299) / BLOCK) + 1;
      assert.deepEqual(Buffer.from(found.subarray(at, at + 300)), expected, `byte ${at}`);
    }
  } finally {
    medium.close();
  }
});

test("the length is the kernel's, also of a medium that cannot be read; elsewhere it is where reading ends", (t) => {
  if (lacksRoot(t) || lacks(t, "losetup")) return;
  const file = numbered(t);
  fs.truncateSync(file, 5 * 2 ** 20 + 3 * 512);
  const device = loop(t, file);
  const sizeOf = (options: ConstructorParameters<typeof Medium>[2]) => {
    const medium = new Medium(device, 512, { readOnly: true, ...options });
    medium.close();
    return medium.size;
  };
  const nothing = temporaryFolder(t);
  assert.equal(sizeOf({}), 5 * 2 ** 20 + 3 * 512);
  assert.equal(sizeOf({ host: { sys: nothing, proc: nothing } }), 5 * 2 ** 20 + 3 * 512);
  // What is behind the end of a loop device's file is an error to read.
  fs.truncateSync(file, 0);
  assert.equal(sizeOf({}), 5 * 2 ** 20 + 3 * 512);
});
