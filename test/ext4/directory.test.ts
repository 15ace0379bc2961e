/** Directories of every size: their index is one that the kernel finds names by, and that e2fsck and debugfs agree with. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { uuidBytes } from "../../src/bytes/uuid.js";
import { hashName } from "../../src/ext4/hash.js";
import { contentOf, type Directory, newDirectory, newFile } from "../../src/tree/node.js";
import { deepTree, descend } from "../support/deep-tree.js";
import { lacks, lacksRoot, mounted, temporaryFolder } from "../support/tools.js";
import { assertClean, debugfs, MiB, makeImage, OPTIONS } from "./support.js";

const NO_SEED = "00000000-0000-0000-0000-000000000000";

/** A tree whose folder "d" has an empty file of each name. */
function folderOf(names: Iterable<string>, make = () => newFile(contentOf(new Uint8Array()))): { root: Directory } {
  const folder = newDirectory();
  for (const name of names) folder.entries.set(fromText(name), make());
  const root = newDirectory();
  root.entries.set(fromText("d"), folder);
  return { root };
}

const numbered = (count: number, prefix = "") => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

test("names hash as debugfs hashes them", (t) => {
  if (lacks(t, "debugfs")) return;
  const names = ["a", "ab", "abc", "abcd", "x".repeat(31), "y".repeat(32), "z".repeat(33), "longer-".repeat(36)];
  for (const hashSeed of [OPTIONS.hashSeed, NO_SEED]) {
    const view = new DataView(uuidBytes(hashSeed).buffer);
    const seed = Int32Array.from({ length: 4 }, (_, i) => view.getInt32(4 * i, true));
    for (const name of names) {
      const printed = debugfs("", `dx_hash -h half_md4 -s ${hashSeed} ${name}`);
      const [, major, minor] = /is 0x([0-9a-f]+) \(minor 0x([0-9a-f]+)\)/.exec(printed)!;
      const hash = hashName(name as ByteString, seed);
      assert.deepEqual([hash.major, hash.minor], [Number.parseInt(major!, 16), Number.parseInt(minor!, 16)], name);
    }
  }
});

test("an index without a seed is one that e2fsck and the kernel agree with", async (t) => {
  if (lacks(t, "e2fsck") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  await makeImage(image, 16 * MiB, folderOf(numbered(400, "file-")), { hashSeed: NO_SEED });
  assertClean(image);
  await mounted(image, { type: "ext4" }, (folder) => {
    for (let i = 0; i < 400; i++) assert.ok(fs.existsSync(`${folder}/d/file-${i}`), `${i}`);
  });
});

for (const { count, blockSize, levels, prefix } of [
  { count: 30_000, blockSize: 4096, levels: 0, prefix: "file-" },
  { count: 100_000, blockSize: 4096, levels: 1, prefix: "a-file-with-a-longer-name-" },
  { count: 20_000, blockSize: 1024, levels: 1, prefix: "file-" },
] as const) {
  test(`a directory of ${count} entries in blocks of ${blockSize}`, async (t) => {
    if (lacks(t, "e2fsck", "debugfs") || lacksRoot(t)) return;
    const image = path.join(temporaryFolder(t), "image");
    const names = numbered(count, prefix);
    await makeImage(image, 512 * MiB, folderOf(names), { blockSize });
    assertClean(image);
    const [, found] = /Indirect levels: (\d+)/.exec(debugfs(image, "htree_dump /d"))!;
    assert.equal(Number(found), levels);
    await mounted(image, { type: "ext4", writable: true }, (folder) => {
      assert.deepEqual(fs.readdirSync(`${folder}/d`).sort(), names.toSorted());
      for (let i = 0; i < count; i += 997) assert.ok(fs.existsSync(`${folder}/d/${prefix}${i}`), `${i}`);
      assert.ok(!fs.existsSync(`${folder}/d/${prefix}${count}`));
      // The kernel splits leaves that are full, and empties others.
      for (let i = 0; i < 500; i++) fs.writeFileSync(`${folder}/d/new-${i}`, "");
      for (let i = 0; i < 500; i++) fs.rmSync(`${folder}/d/${prefix}${i * 7}`);
    });
    assertClean(image);
  });
}

test("a directory of names of 255 bytes, not all of them ASCII", async (t) => {
  if (lacks(t, "e2fsck") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  const names = numbered(600, "name-").map((name, i) => (i % 2 ? name.padEnd(255, "n") : `ö${"ü".repeat(120)}${name}`));
  await makeImage(image, 64 * MiB, folderOf(names), { blockSize: 1024 });
  assertClean(image);
  await mounted(image, { type: "ext4" }, (folder) => {
    for (const name of names) assert.ok(fs.existsSync(`${folder}/d/${name}`), name);
  });
});

test("a directory whose entries fill its blocks to the last byte, and one byte more", async (t) => {
  if (lacks(t, "e2fsck")) return;
  const image = path.join(temporaryFolder(t), "image");
  // 4096 bytes less 12 for the checksum and 24 for "." and "..": 145 entries of 28. One more, and an index comes before them.
  const names = Array.from({ length: 145 }, (_, i) => String(i).padStart(20, "0"));
  for (const [extra, size] of [
    [[], 4096],
    [["x"], 2 * 4096],
  ] as const) {
    await makeImage(image, 16 * MiB, folderOf([...names, ...extra]));
    assertClean(image);
    assert.match(debugfs(image, "stat /d"), new RegExp(`Size: ${size}\\b`));
  }
});

test("a directory of more than 65,000 directories counts one link", async (t) => {
  if (lacks(t, "e2fsck", "debugfs")) return;
  const image = path.join(temporaryFolder(t), "image");
  const tree = folderOf(numbered(65_010), () => newDirectory() as never);
  await makeImage(image, 200 * MiB, tree, { blockSize: 1024 });
  assertClean(image);
  assert.match(debugfs(image, "stat /d"), /Links: 1\b/);
});

test("folders deeper than a stack of calls", async (t) => {
  if (lacks(t, "e2fsck") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  await makeImage(image, 128 * MiB, deepTree(20_000));
  assertClean(image);
  await mounted(image, { type: "ext4" }, (folder) => {
    assert.equal(
      descend(folder, () => assert.equal(fs.readFileSync("f", "utf8"), "bottom")),
      20_000,
    );
  });
});

test("the lost+found of the tree is used, another one is made", async (t) => {
  if (lacks(t, "e2fsck", "debugfs")) return;
  const image = path.join(temporaryFolder(t), "image");
  const root = newDirectory();
  await makeImage(image, 8 * MiB, { root });
  assert.match(debugfs(image, "stat lost+found"), /Inode: 11 +Type: directory +Mode: +0700[\s\S]*Size: 16384\b/);
  assert.equal(root.entries.size, 0, "the tree itself stays as it is");

  const own = newDirectory({ mode: 0o750 });
  own.entries.set(fromText("#12"), newFile(contentOf(new Uint8Array(5))));
  root.entries.set(fromText("lost+found"), own);
  await makeImage(image, 8 * MiB, { root });
  assertClean(image);
  assert.match(debugfs(image, "stat lost+found"), /Inode: 11 +Type: directory +Mode: +0750[\s\S]*Size: 16384\b/);
  assert.match(debugfs(image, "stat lost+found/#12"), /Size: 5\b/);
});
