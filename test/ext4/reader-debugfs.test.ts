/** Our reader and debugfs, which share nothing, on whole file systems of our writer and of mke2fs. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import type { Ext4Inode, Ext4Reader } from "../../src/ext4/index.js";
import { readDirectory } from "../../src/tree/directory.js";
import type { Tree } from "../../src/tree/tree.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import fc from "../support/fast-check.js";
import { materialise, separateSymlinks } from "../support/materialise.js";
import { randomTrees } from "../support/random-tree.js";
import { lacks, lacksRoot, temporaryFolder } from "../support/tools.js";
import { askDebugfs, type DebugfsInode, describeDebugfs } from "./debugfs-tree.js";
import { everything, mke2fs, reading } from "./reading.js";
import { addTimes, assertClean, FORMATS, MiB, makeImage } from "./support.js";

/** Every inode that can be reached, by number. */
async function inodesOf(reader: Ext4Reader): Promise<Map<number, Ext4Inode>> {
  const found = new Map<number, Ext4Inode>();
  const pending: Ext4Inode[] = [reader.root];
  for (let inode = pending.pop(); inode !== undefined; inode = pending.pop()) {
    if (found.has(inode.number)) continue;
    found.set(inode.number, inode);
    if (inode.type !== "directory") continue;
    for await (const entry of reader.entries(inode)) pending.push(await reader.inode(entry));
  }
  return found;
}

/** Asks debugfs about all that our reader finds, and compares what descriptions do not have. */
async function askAboutAll(image: string): Promise<Map<number, DebugfsInode>> {
  return reading(image, async (reader) => {
    const inodes = await inodesOf(reader);
    const questions = [];
    for (const inode of inodes.values()) {
      questions.push({ number: inode.number, type: inode.type, xattrs: [...(await reader.xattrs(inode)).keys()] });
    }
    const answers = askDebugfs(image, questions);
    for (const [number, inode] of inodes) {
      const { size, links, sectors, entries, blocks } = answers.get(number)!;
      assert.deepEqual([inode.size, inode.links, inode.sectors], [size, links, sectors], `inode ${number}`);
      if (inode.type === "directory") {
        const ours = new Map<string, number>();
        for await (const entry of reader.entries(inode)) ours.set(entry.name, entry.inodeNumber);
        for (const name of [".", ".."]) ours.set(name, entries.get(name)!);
        assert.equal(entries.get("."), number);
        assert.deepEqual(ours, new Map(entries));
      }
      if (inode.type !== "file") continue;
      const { blockSize } = reader.facts;
      const data = blocks.map(([first, last]) => {
        return { start: first * blockSize, end: Math.min((last + 1) * blockSize, size) };
      });
      assert.deepEqual((await reader.content(inode)).data, data, `inode ${number}`);
    }
    return answers;
  });
}

/** One of everything, and below it what is random. */
function hostileTree(seed: number, blockSize: number, inodeSize: 128 | 256): Tree {
  const tree = everything(blockSize, 500);
  for (const [i, { root }] of fc.sample(randomTrees, { numRuns: 6, seed }).entries()) {
    tree.root.entries.set(fromText(`random ${i}`), root);
  }
  addTimes(tree.root, inodeSize);
  return tree;
}

for (const [i, { features, inodeSize }] of FORMATS.entries()) {
  // Every set of features with one size of inodes, both sizes with every size of blocks.
  if (i % 4 === 0 || i % 4 === 3) continue;
  const blockSize = ([1024, 2048, 4096] as const)[i % 3]!;
  test(`debugfs and our reader agree on a whole tree: ${features}, blocks of ${blockSize}`, async (t) => {
    if (lacks(t, "debugfs", "e2fsck")) return;
    const image = path.join(temporaryFolder(t), "image");
    const tree = hostileTree(i, blockSize, inodeSize);
    await makeImage(image, 64 * MiB, tree, { features, inodeSize, blockSize });
    assertClean(image);
    const options = { nanoseconds: inodeSize > 128, ignore: ["lost+found"] };
    const theirs = describeDebugfs(await askAboutAll(image), options.nanoseconds);
    assert.ok(theirs.size > 500);
    const ours = await reading(image, async (reader) => describeTree(await reader.tree(), options));
    assert.deepEqual(ours, theirs);
    assert.deepEqual(theirs, await describeTree(tree, options));
  });
}

test("a tree of the host is the same through our writer and mke2fs, to our reader and to debugfs", async (t) => {
  if (lacks(t, "mke2fs", "debugfs", "e2fsck", "getfattr", "setfattr", "touch") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const source = path.join(folder, "source");
  const wanted = everything(4096, 1500);
  for (const [i, { root }] of fc.sample(randomTrees, { numRuns: 4, seed: 44 }).entries()) {
    wanted.root.entries.set(fromText(`random ${i}`), root);
  }
  // What mke2fs leaves out: times from 2038 on, nanoseconds, second names of symlinks, and the root's owner, mode and time.
  addTimes(wanted.root, 128);
  separateSymlinks(wanted);
  await materialise(wanted, source);
  execFileSync("touch", ["-h", "-d", "@1600000000.123456789", path.join(source, "links", "first")]);
  const ours = path.join(folder, "ours");
  const theirs = path.join(folder, "theirs");
  await makeImage(ours, 64 * MiB, await readDirectory(source));
  mke2fs(theirs, 64 * 1024, ["-t", "ext4", "-b", "4096"], source);

  const exact = { nanoseconds: true, ignore: ["lost+found"] };
  const rough = { ignore: ["lost+found", ""] };
  assert.deepEqual(
    await reading(ours, async (reader) => describeTree(await reader.tree(), exact)),
    describeDirectory(source, exact),
  );
  assert.deepEqual(describeDebugfs(await askAboutAll(ours), true), describeDirectory(source, exact));
  const expected = describeDirectory(source);
  expected.delete("");
  assert.ok(expected.size > 500);
  assert.deepEqual(await reading(theirs, async (reader) => describeTree(await reader.tree(), rough)), expected);
  const found = describeDebugfs(await askAboutAll(theirs), false);
  found.delete("");
  assert.deepEqual(found, expected);
});
