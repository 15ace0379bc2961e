/** Attributes that would take more memory than the image has bytes, and those that many inodes share. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { openExt4, writeExt4 } from "../../src/ext4/index.js";
import { Budget } from "../../src/ext4/reader/block-map.js";
import { Image } from "../../src/ext4/reader/image.js";
import { readBareInode } from "../../src/ext4/reader/inodes.js";
import { readSuperblock } from "../../src/ext4/reader/superblock.js";
import { XattrReader } from "../../src/ext4/reader/xattrs.js";
import { contentOf, newDirectory, newFile } from "../../src/tree/node.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { mke2fs, noise } from "./reading.js";
import { MiB, OPTIONS } from "./support.js";

const file = (attributes: Record<string, Uint8Array>) =>
  newFile(contentOf(new Uint8Array()), {
    xattrs: new Map(Object.entries(attributes).map(([name, value]) => [fromText(name), value])),
  });

test("values that overlap are damage, for e2fsck too", async (t) => {
  if (lacks(t, "e2fsck")) return;
  const root = newDirectory();
  root.entries.set(fromText("file"), file({ "user.a": noise(600, 1), "user.b": noise(700, 2) }));
  const device = new MemoryDevice(4 * MiB);
  await writeExt4(device, { root }, { ...OPTIONS, features: "ext2" });
  const { bytes } = device;
  const reader = await openExt4(new MemoryDevice(bytes));
  const { stored } = (await reader.lookup(fromText("file")))!;
  const image = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  // The entry of "a" is behind the header of 32 bytes; that of "b", of 16 and the padded name, behind it.
  const entries = [32, 52].map((within) => stored.xattrBlock * 4096 + within);
  assert.deepEqual(
    entries.map((at) => image.readUInt32LE(at + 8)),
    [600, 700],
  );
  const [a, b] = entries.map((at) => image.readUInt16LE(at + 2));
  await reader.tree();
  const later = entries[a! > b! ? 0 : 1]!;
  image.writeUInt16LE(Math.min(a!, b!) + 4, later + 2);
  await assert.rejects((await openExt4(new MemoryDevice(bytes))).tree(), {
    code: "image-corrupt",
    data: { offset: later },
    message: /values that overlap/,
  });
  const name = path.join(temporaryFolder(t), "image");
  fs.writeFileSync(name, image);
  run("sh", ["-c", 'e2fsck -fn "$0"; [ $? -eq 4 ]', name]);
});

test("a tree has the attributes of a block once, whoever shares it", async () => {
  const root = newDirectory();
  for (let i = 0; i < 300; i++) root.entries.set(fromText(`${i}`), file({ "user.large": noise(2000, (i % 100) + 1) }));
  const device = new MemoryDevice(16 * MiB);
  await writeExt4(device, { root }, OPTIONS);
  const tree = await (await openExt4(device)).tree();
  const largeOf = (i: number) => tree.root.entries.get(fromText(`${i}`))!.xattrs.get(fromText("user.large"))!;
  assert.deepEqual(largeOf(250), noise(2000, 51));
  assert.equal(new Set(Array.from({ length: 300 }, (_, i) => largeOf(i))).size, 100);
});

test("values in inodes of their own are read once, and are not too many", async (t) => {
  if (lacks(t, "mke2fs", "setfattr") || lacksRoot(t)) return;
  const name = path.join(temporaryFolder(t), "image");
  mke2fs(name, 16 * 1024, ["-t", "ext4", "-b", "4096", "-O", "ea_inode"]);
  const names = ["one", "two", "three"];
  await mounted(name, { type: "ext4", writable: true }, (folder) => {
    for (const [i, file] of names.entries()) {
      fs.writeFileSync(`${folder}/${file}`, "");
      run("setfattr", ["-n", "user.large", "-v", `${i}`.repeat(20_000), `${folder}/${file}`]);
    }
  });
  const device = new MemoryDevice(fs.readFileSync(name));
  const reader = await openExt4(device);
  const tree = await reader.tree();
  for (const [i, file] of names.entries()) {
    const value = tree.root.entries.get(fromText(file))!.xattrs.get(fromText("user.large"))!;
    assert.equal(Buffer.from(value).toString(), `${i}`.repeat(20_000));
  }
  const image = new Image(device, await readSuperblock(device));
  const inodes = await Promise.all(
    names.map(async (file) => readBareInode(image, (await reader.lookup(fromText(file)))!.number)),
  );
  const limited = new XattrReader(image, new Budget(image), 40_000);
  for (const inode of [inodes[0]!, inodes[1]!, inodes[0]!]) await limited.of(inode);
  await assert.rejects(limited.of(inodes[2]!), { code: "source-unsupported", message: /inodes of their own/ });
  // Five blocks each, of fourteen.
  const budget = new Budget(image);
  const charged = new XattrReader(image, budget);
  budget.take(image.superblock.blocks - 14, 0, () => "all but a few");
  for (const inode of inodes.slice(0, 2)) await charged.of(inode);
  await assert.rejects(charged.of(inodes[2]!), { code: "image-corrupt" });
});
