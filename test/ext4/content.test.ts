/** Files of every shape: holes, many extents, sizes beyond 4 GiB; the other kinds of nodes; ids and times at their limits. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import type { Extent } from "../../src/bytes/extent.js";
import { writeExt4 } from "../../src/ext4/index.js";
import { type Content, contentOf, type Node, newDirectory, newFile, newMetadata } from "../../src/tree/node.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import { lacks, lacksRoot, mounted, temporaryFolder } from "../support/tools.js";
import { assertClean, debugfs, GiB, MiB, makeImage, OPTIONS } from "./support.js";

function treeOf(nodes: Record<string, Node>) {
  const root = newDirectory();
  for (const [name, node] of Object.entries(nodes)) root.entries.set(fromText(name), node);
  return { root };
}

/** Content of `size` bytes that says at every eighth byte where it is, in the given extents; zeros elsewhere. */
function patterned(size: number, data: readonly Extent[], known: boolean): Content {
  return {
    size,
    ...(known && { data }),
    async open() {
      let first = 0; // what is read, is read in ascending order
      return {
        async read(at, into) {
          into.fill(0);
          const view = new DataView(into.buffer, into.byteOffset, into.length);
          while (first < data.length && data[first]!.end <= at) first++;
          for (let k = first; k < data.length && data[k]!.start < at + into.length; k++) {
            const last = Math.min(data[k]!.end, at + into.length) - 8;
            for (let i = Math.max(data[k]!.start, at); i <= last; i += 8) view.setFloat64(i - at, i + 1);
          }
        },
        async close() {},
      };
    },
  };
}

test("a sparse file of 6 GiB keeps its holes", async (t) => {
  if (lacks(t, "e2fsck") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  const data = [
    { start: 0, end: 4096 },
    { start: 4 * GiB - 4096, end: 4 * GiB + 8192 },
    { start: 6 * GiB - 4096, end: 6 * GiB },
  ];
  await makeImage(image, 64 * MiB, treeOf({ sparse: newFile(patterned(6 * GiB + 5, data, true)) }));
  assertClean(image);
  await mounted(image, { type: "ext4" }, (folder) => {
    const stat = fs.statSync(`${folder}/sparse`);
    assert.deepEqual([stat.size, stat.blocks], [6 * GiB + 5, (5 * 4096) / 512]);
    const fd = fs.openSync(`${folder}/sparse`, "r");
    const bytes = Buffer.alloc(8);
    for (const at of [0, 4 * GiB - 4096, 4 * GiB, 4 * GiB + 8184, 6 * GiB - 8]) {
      fs.readSync(fd, bytes, 0, 8, at);
      assert.equal(bytes.readDoubleBE(), at + 1);
    }
    fs.readSync(fd, bytes, 0, 8, 2 * GiB);
    assert.equal(bytes.readDoubleBE(), 0);
    fs.closeSync(fd);
  });
});

for (const known of [true, false]) {
  test(`20,000 holes, ${known ? "known" : "found while it is read"}`, async (t) => {
    if (lacks(t, "e2fsck", "debugfs") || lacksRoot(t)) return;
    const image = path.join(temporaryFolder(t), "image");
    const data = Array.from({ length: 20_000 }, (_, i) => ({ start: i * 2048, end: i * 2048 + 1024 }));
    const tree = treeOf({ holes: newFile(patterned(20_000 * 2048, data, known)) });
    await makeImage(image, 64 * MiB, tree, { blockSize: 1024 });
    assertClean(image);
    // 20,000 extents are 239 leaves of 84, which are 3 nodes below the root.
    assert.match(debugfs(image, "dump_extents /holes"), /0\/ 2 .*\n 1\/ 2/);
    const options = { nanoseconds: true, ignore: ["lost+found"] };
    const found = await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, options));
    assert.deepEqual(found, await describeTree(tree, options));
    assert.match(debugfs(image, "stat /holes"), new RegExp(`Blockcount: ${(20_000 + 239 + 3) * 2}\\b`));
  });
}

test("a file that is longer than an extent can be, over several groups", async (t) => {
  if (lacks(t, "e2fsck", "debugfs") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  const tree = treeOf({ big: newFile(patterned(150 * MiB, [{ start: 0, end: 150 * MiB }], false)) });
  await makeImage(image, 200 * MiB, tree, { blockSize: 1024 });
  assertClean(image);
  const options = { ignore: ["lost+found"] };
  const found = await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, options));
  assert.deepEqual(found, await describeTree(tree, options));
});

test("symlinks in the inode and in a block, device numbers in both forms, hard links", async (t) => {
  if (lacks(t, "e2fsck", "getfattr") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  const linked = newFile(contentOf(new Uint8Array(10).fill(1)));
  const symlink = (length: number): Node => ({
    type: "symlink",
    ...newMetadata(0o777),
    target: "t".repeat(length) as ByteString,
  });
  const device = (type: "block" | "character", major: number, minor: number): Node => ({
    type,
    ...newMetadata(0o600),
    major,
    minor,
  });
  const tree = treeOf({
    s1: symlink(1),
    s59: symlink(59),
    s60: symlink(60),
    s4095: symlink(4095),
    old: device("character", 255, 255),
    newMinor: device("block", 8, 256),
    newMajor: device("block", 4095, 1_048_575),
    whiteout: device("character", 0, 0),
    fifo: { type: "fifo", ...newMetadata(0o600) },
    socket: { type: "socket", ...newMetadata(0o7777) },
    one: linked,
    two: linked,
    three: linked,
  });
  await makeImage(image, 8 * MiB, tree);
  assertClean(image);
  assert.match(debugfs(image, "stat /two"), /Links: 3\b/);
  const options = { ignore: ["lost+found"] };
  const found = await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, options));
  assert.deepEqual(found, await describeTree(tree, options));
});

test("ids of 32 bits, times from 1901 to 2446", async (t) => {
  if (lacks(t, "e2fsck", "debugfs") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  const times = [-(2 ** 31), -1, 0, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 33 + 7, 2 ** 34 - 2 ** 31 - 1];
  const nodes = times.map((seconds, i) => {
    const mtime = { seconds, nanoseconds: i === 0 ? 0 : 999_999_999 - i };
    return [`t${i}`, newFile(contentOf(new Uint8Array()), { mtime, uid: 2 ** 32 - 2, gid: 2 ** 31 })] as const;
  });
  const tree = treeOf(Object.fromEntries(nodes));
  tree.root.entries.set(
    fromText("all-ones"),
    newFile(contentOf(new Uint8Array()), { uid: 2 ** 32 - 1, gid: 2 ** 32 - 1 }),
  );
  await makeImage(image, 8 * MiB, tree);
  assertClean(image);
  assert.match(debugfs(image, "stat /all-ones"), /User: +-1 +Group: +-1\b/);
  const options = { nanoseconds: true, ignore: ["lost+found", "all-ones"] };
  const found = await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, options));
  assert.deepEqual(found, await describeTree(tree, options));
});

test("times outside of the format's are moved to the nearest, with one notice", async (t) => {
  if (lacks(t, "e2fsck") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  const at = (seconds: number) => newFile(contentOf(new Uint8Array()), { mtime: { seconds, nanoseconds: 0 } });
  const notices: string[] = [];
  const observer = { notice: (text: string) => void notices.push(text) };
  const last = 2 ** 34 - 2 ** 31 - 1;
  const given = treeOf({ late: at(last + 1), later: at(2 ** 40), early: at(-(2 ** 31) - 1), fine: at(7) });
  await makeImage(image, 8 * MiB, given, { observer });
  assertClean(image);
  assert.deepEqual(notices, [
    "ext4 has times from 1901 to 2446: 3 modification times outside were moved to the nearest",
  ]);
  const options = { nanoseconds: true, ignore: ["lost+found"] };
  const found = await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, options));
  const stored = treeOf({ late: at(last), later: at(last), early: at(-(2 ** 31)), fine: at(7) });
  assert.deepEqual(found, await describeTree(stored, options));
  // The format's own times: s_mkfs_time and s_mkfs_time_hi, of which inodes have two bits. e2fsck shows no such years.
  const device = new MemoryDevice(8 * MiB);
  await writeExt4(device, given, { ...OPTIONS, time: 2 ** 35 });
  const superblock = new DataView(device.bytes.buffer, 1024);
  assert.deepEqual([superblock.getUint32(0x108, true), superblock.getUint8(0x276)], [0x7fff_ffff, 3]);
});

test("the observer hears of every byte and every file", async () => {
  const linked = newFile(contentOf(new Uint8Array(3_000_000).fill(1)));
  const tree = treeOf({
    one: linked,
    two: linked,
    three: newFile(contentOf(new Uint8Array(5))),
    empty: newFile(contentOf(new Uint8Array())),
  });
  let [bytes, files] = [0, 0];
  const observer = {
    progress(moreBytes: number, moreFiles: number) {
      bytes += moreBytes;
      files += moreFiles;
    },
  };
  await writeExt4(new MemoryDevice(8 * MiB), tree, { ...OPTIONS, observer });
  assert.deepEqual([bytes, files], [3_000_005, 3]);
});

test("what ext4 cannot hold is refused by name, before anything is written", async () => {
  const file = (metadata: object) => newFile(contentOf(new Uint8Array()), metadata);
  const symlink: Node = { type: "symlink", ...newMetadata(0o777), target: "t".repeat(4096) as ByteString };
  const cases: [string, Node][] = [
    ["major", { type: "block", ...newMetadata(0o600), major: 4096, minor: 0 }],
    ["minor", { type: "character", ...newMetadata(0o600), major: 0, minor: 1_048_576 }],
    ["negative", { type: "character", ...newMetadata(0o600), major: 1, minor: -1 }],
    ["owner", file({ uid: 2 ** 32 })],
    ["long-symlink", symlink],
    ["n".repeat(256), file({})],
    ["attribute", file({ xattrs: new Map([["other.name", new Uint8Array(1)]]) })],
    ["attributes", file({ xattrs: new Map([["user.name", new Uint8Array(5000)]]) })],
    ["huge", newFile({ ...contentOf(new Uint8Array()), size: 2 ** 44, data: [] })],
  ];
  for (const [name, node] of cases) {
    const device = new MemoryDevice(8 * MiB);
    await assert.rejects(writeExt4(device, treeOf({ [name]: node }), OPTIONS), (error: Error & { code?: string }) => {
      assert.equal(error.code, "not-representable");
      assert.ok(error.message.includes(name), error.message);
      return true;
    });
    assert.ok(device.bytes.every((byte) => byte === 0));
  }
});
