/** The tar writer: what GNU tar unpacks of its archives, what our own reader finds in them, and bytes that never change. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { type ByteString, fromBytes, fromText } from "../../src/bytes/bytestring.js";
import { type Content, contentOf, newDirectory, newFile, setXattr } from "../../src/tree/node.js";
import { readTar } from "../../src/tree/tar/read-tar.js";
import { writeTar } from "../../src/tree/tar/write-tar.js";
import { addNode, lookup, type Tree, walk } from "../../src/tree/tree.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import fc from "../support/fast-check.js";
import { randomTrees } from "../support/random-tree.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";

async function archive(tree: Tree, notices: string[] = []): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeTar(tree, { notice: (text) => notices.push(text) }))
    pieces.push(Uint8Array.from(piece));
  return Buffer.concat(pieces);
}

async function readBack(t: TestContext, bytes: Uint8Array): Promise<Tree> {
  const folder = temporaryFolder(t);
  fs.writeFileSync(path.join(folder, "a.tar"), bytes);
  return readTar(path.join(folder, "a.tar"), { spool: folder });
}

/** Without the sockets, which no tar has. */
function withoutSockets(tree: Tree): Tree {
  for (const { node } of walk(tree)) {
    if (node.type !== "directory") continue;
    for (const [name, child] of node.entries) if (child.type === "socket") node.entries.delete(name);
  }
  return tree;
}

/** 300,000 bytes, of which the first ten and some behind 200,000 are data. */
function sparse(): Content {
  const bytes = new Uint8Array(300_000);
  bytes.fill(1, 0, 10);
  bytes.fill(2, 200_000, 200_777);
  return {
    ...contentOf(bytes),
    data: [
      { start: 0, end: 10 },
      { start: 200_000, end: 200_777 },
    ],
  };
}

/** Everything that does not fit into a ustar header. */
function awkward(): Tree {
  const tree: Tree = { root: newDirectory({ mode: 0o1777, uid: 5, gid: 6, mtime: { seconds: 1e9, nanoseconds: 0 } }) };
  const add = (name: string | ByteString, node: Parameters<typeof addNode>[2]) =>
    addNode(tree, fromText(name as string), node);
  const file = newFile(contentOf(new TextEncoder().encode("hello\n")), {
    uid: 4_000_000_000,
    gid: 3_000_000,
    mode: 0o4755,
    mtime: { seconds: 1_700_000_000, nanoseconds: 123_456_789 },
  });
  setXattr(file, fromText("user.a=b%c"), Uint8Array.from([0, 10, 255, 61]));
  setXattr(file, fromText("user.empty"), new Uint8Array(0));
  add("file", file);
  add(`${"d".repeat(90)}/${"e".repeat(90)}/x`, newFile(contentOf(new Uint8Array(512).fill(7))));
  add("n".repeat(255), file);
  add(`${"f".repeat(100)}/`, newDirectory());
  add("sparse", newFile(sparse(), { mtime: { seconds: 5, nanoseconds: 500_000_000 } }));
  add("empty", newFile(contentOf(new Uint8Array(0)), { mtime: { seconds: -2, nanoseconds: 750_000_000 } }));
  add("link", {
    type: "symlink",
    mode: 0o777,
    uid: 0,
    gid: 0,
    mtime: file.mtime,
    xattrs: new Map(),
    target: fromText("t".repeat(300)),
  });
  add("pipe", { type: "fifo", mode: 0o600, uid: 1, gid: 1, mtime: file.mtime, xattrs: new Map() });
  add("null", {
    type: "character",
    major: 1,
    minor: 3,
    mode: 0o666,
    uid: 0,
    gid: 0,
    mtime: file.mtime,
    xattrs: new Map(),
  });
  add("disk", {
    type: "block",
    major: 4095,
    minor: 1_048_575,
    mode: 0o660,
    uid: 0,
    gid: 6,
    mtime: file.mtime,
    xattrs: new Map(),
  });
  tree.root.entries.set(fromBytes(Uint8Array.from([0xff, 0x20, 0x0a, 0x5c])), newFile(contentOf(new Uint8Array(3))));
  return tree;
}

test("our own reader finds what was written, to the nanosecond and the last byte", async (t) => {
  const tree = awkward();
  const bytes = await archive(tree);
  assert.equal(bytes.length % 10_240, 0);
  const found = await readBack(t, bytes);
  assert.deepEqual(await describeTree(found, { nanoseconds: true }), await describeTree(tree, { nanoseconds: true }));
  const holes = lookup(found, fromText("sparse"));
  assert.ok(holes?.type === "file");
  // In blocks of 512 bytes, as tar has them.
  assert.deepEqual(holes.content.data, [
    { start: 0, end: 512 },
    { start: 199_680, end: 201_216 },
  ]);
});

test("GNU tar unpacks what was written, without a word", async (t) => {
  if (lacks(t, "tar", "getfattr") || lacksRoot(t)) return;
  const tree = awkward();
  // Time before 1970 is for the reader above: tar warns of it.
  lookup(tree, fromText("empty"))!.mtime = { seconds: 7, nanoseconds: 0 };
  const folder = temporaryFolder(t);
  fs.writeFileSync(path.join(folder, "a.tar"), await archive(tree));
  const target = path.join(folder, "out");
  fs.mkdirSync(target);
  const said = run("sh", [
    "-c",
    `tar --extract --file "${folder}/a.tar" --directory "${target}" --xattrs --xattrs-include='*' --same-owner --preserve-permissions 2>&1`,
  ]);
  assert.equal(said, "");
  const options = { nanoseconds: true };
  assert.deepEqual(describeDirectory(target, options), await describeTree(tree, options));
  assert.ok(fs.statSync(path.join(target, "sparse")).blocks * 512 < 100_000, "the holes are gone");
});

test("random trees survive, but for their sockets", async (t) => {
  await fc.assert(
    fc.asyncProperty(randomTrees, async (random) => {
      const tree = withoutSockets(random);
      const bytes = await archive(tree);
      assert.deepEqual(await describeTree(await readBack(t, bytes)), await describeTree(tree));
      assert.deepEqual(await archive(tree), bytes);
    }),
    { numRuns: 40 },
  );
});

test("sockets are left out with a notice", async (t) => {
  const tree: Tree = { root: newDirectory() };
  const socket = {
    type: "socket" as const,
    mode: 0o600,
    uid: 0,
    gid: 0,
    mtime: { seconds: 0, nanoseconds: 0 },
    xattrs: new Map(),
  };
  addNode(tree, fromText("run/socket"), socket);
  const notices: string[] = [];
  const found = await readBack(t, await archive(tree, notices));
  assert.deepEqual(
    [...walk(found)].map((visit) => visit.path),
    ["", "run"],
  );
  assert.match(notices.join(), /1 socket is left out/);
});

test("names at the limits of the header's fields", async (t) => {
  for (const [first, last] of [
    [1, 99],
    [1, 100],
    [1, 101],
    [154, 100],
    [155, 100],
    [156, 100],
    [155, 101],
    [99, 1],
    [100, 1],
    [101, 1],
  ] as const) {
    const tree: Tree = { root: newDirectory() };
    const name = `${"a".repeat(first)}/${"b".repeat(last)}`;
    addNode(tree, fromText(name), newFile(contentOf(new Uint8Array(1))));
    addNode(tree, fromText(`${name}folder/c`), newFile(contentOf(new Uint8Array(1))));
    const found = await readBack(t, await archive(tree));
    assert.deepEqual(
      [...walk(found)].map((visit) => visit.path),
      [...walk(tree)].map((visit) => visit.path),
    );
  }
});
