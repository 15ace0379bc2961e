/** The kernel uses what we made: writes, deletes, fills it up, and leaves it in order. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { writeExt4 } from "../../src/ext4/index.js";
import { contentOf, newDirectory, newFile } from "../../src/tree/node.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { assertClean, MiB, makeImage, OPTIONS } from "./support.js";

/** Writes files of `size` bytes until the disk is full; returns how many were whole. */
function fill(folder: string, size: number): number {
  const bytes = Buffer.alloc(size, 0x5a);
  for (let count = 0; ; count++) {
    try {
      fs.writeFileSync(`${folder}/fill-${count}`, bytes);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
      return count;
    }
  }
}

for (const { blockSize, size, features } of [
  { blockSize: 1024, size: 50 * MiB, features: "ext4" },
  { blockSize: 2048, size: 70 * MiB, features: "ext4" },
  { blockSize: 4096, size: 300 * MiB, features: "ext4" },
  { blockSize: 1024, size: 50 * MiB, features: "ext2" },
  { blockSize: 4096, size: 150 * MiB, features: "ext3" },
  { blockSize: 4096, size: 150 * MiB, features: "-metadata_csum,uninit_bg,-flex_bg,64bit" },
] as const) {
  test(`written, emptied and filled, with blocks of ${blockSize}, ${features}`, async (t) => {
    if (lacks(t, "e2fsck") || lacksRoot(t)) return;
    const image = path.join(temporaryFolder(t), "image");
    const root = newDirectory();
    for (let i = 0; i < 40; i++) {
      const folder = newDirectory();
      for (let k = 0; k < 30; k++)
        folder.entries.set(fromText(`f${k}`), newFile(contentOf(new Uint8Array(k * 1000).fill(7))));
      root.entries.set(fromText(`d${i}`), folder);
    }
    const { freeBlocks, freeInodes } = await makeImage(image, size, { root }, { blockSize, features });
    await mounted(image, { type: "ext4", writable: true }, (folder) => {
      const stat = fs.statfsSync(folder);
      assert.deepEqual([stat.bfree, stat.ffree], [freeBlocks, freeInodes]);
      for (let i = 0; i < 20; i++) fs.rmSync(`${folder}/d${i}`, { recursive: true });
      fs.mkdirSync(`${folder}/filled`);
      const count = fill(`${folder}/filled`, 400_000);
      assert.ok(count * 400_000 > freeBlocks * blockSize * 0.9, `${count} files`);
    });
    assertClean(image);
    await mounted(image, { type: "ext4", writable: true }, (folder) => {
      fs.rmSync(`${folder}/filled`, { recursive: true });
      for (let i = 20; i < 40; i++) assert.equal(fs.statSync(`${folder}/d${i}/f29`).size, 29_000);
    });
    assertClean(image);
  });
}

test("inodes are handed out to the last one", async (t) => {
  if (lacks(t, "e2fsck") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  const { freeInodes } = await makeImage(image, 150 * MiB, undefined, { inodeRatio: 65_536 });
  await mounted(image, { type: "ext4", writable: true }, (folder) => {
    for (let i = 0; i < freeInodes; i++) fs.writeFileSync(`${folder}/${i}`, "");
    assert.throws(() => fs.writeFileSync(`${folder}/more`, ""), { code: "ENOSPC" });
  });
  assertClean(image);
});

test("the kernel does not mind what was on the disk before", async (t) => {
  if (lacks(t, "e2fsck") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  const device = new MemoryDevice(new Uint8Array(200 * MiB).fill(0xee));
  await writeExt4(device, undefined, { ...OPTIONS, inodeRatio: 32_768 });
  fs.writeFileSync(image, device.bytes);
  assertClean(image);
  // Every inode of the tables that were not written is used, and nearly every block.
  await mounted(image, { type: "ext4", writable: true }, (folder) => {
    const { ffree } = fs.statfsSync(folder);
    for (let i = 0; i < ffree - 1000; i++) fs.symlinkSync("nowhere", `${folder}/${i}`);
    for (let i = 0; i < 500; i++) fs.mkdirSync(`${folder}/folder-${i}`);
    fill(folder, 2_000_000);
  });
  assertClean(image);
});

test("the journal is replayed after a crash", async (t) => {
  if (lacks(t, "e2fsck") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "image");
  const copy = path.join(folder, "copy");
  await makeImage(image, 64 * MiB);
  await mounted(image, { type: "ext4", writable: true }, (at) => {
    fs.writeFileSync(`${at}/file`, "written before the crash");
    run("sync", ["-f", `${at}/file`]);
    // The copy is what a power cut leaves: mounted, and with transactions in the journal.
    fs.copyFileSync(image, copy);
  });
  await mounted(copy, { type: "ext4", writable: true }, (at) => {
    assert.equal(fs.readFileSync(`${at}/file`, "latin1"), "written before the crash");
  });
  assertClean(copy);
});
