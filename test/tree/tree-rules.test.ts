/** Owners, times, the largest paths, and symlinks followed inside a tree. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { isFakeroot, keepsOwners } from "../../src/host.js";
import {
  addNode,
  applyOwner,
  clampTimes,
  contentOf,
  follow,
  largestPaths,
  lookup,
  newDirectory,
  newestTime,
  newFile,
  newMetadata,
  parseOwner,
  realPath,
  type Tree,
  walk,
} from "../../src/tree/index.js";

function treeOf(files: Record<string, number | string>): Tree {
  const tree: Tree = { root: newDirectory() };
  for (const [name, value] of Object.entries(files)) {
    const node =
      typeof value === "number"
        ? newFile({ ...contentOf(new Uint8Array(0)), size: value })
        : { type: "symlink" as const, ...newMetadata(0o777), target: fromText(value) };
    addNode(tree, fromText(name), node);
  }
  return tree;
}

test("owners are read strictly and given to every node", () => {
  assert.deepEqual(parseOwner("4294967295:7"), { uid: 4294967295, gid: 7 });
  for (const text of ["", "0", "root:root", "1:2:3", "-1:0", "4294967296:0", "1: 2"]) {
    assert.throws(() => parseOwner(text), { code: "usage" }, text);
  }
  const tree = treeOf({ "a/b": 1, c: "a" });
  applyOwner(tree, { uid: 5, gid: 6 });
  for (const { node } of walk(tree)) assert.deepEqual([node.uid, node.gid], [5, 6]);
});

test("owners are kept for root, under fakeroot and under pseudo", () => {
  assert.equal(keepsOwners(0, {}), true);
  assert.equal(keepsOwners(1000, {}), false);
  assert.equal(keepsOwners(1000, { FAKEROOTKEY: "1" }), true);
  assert.equal(keepsOwners(1000, { LD_PRELOAD: "/usr/lib/libpseudo.so" }), true);
  // What Yocto exports to tasks that do not run under pseudo.
  assert.equal(isFakeroot({ PSEUDO_PREFIX: "/usr", PSEUDO_DISABLED: "1" }), false);
  assert.equal(isFakeroot({ LD_PRELOAD: "libpseudo.so", PSEUDO_DISABLED: "1" }), false);
  assert.equal(isFakeroot({ LD_PRELOAD: "libpseudo.so", PSEUDO_DISABLED: "0" }), true);
});

test("newer times are clamped, to the nanosecond; folders do not count as the newest", () => {
  const tree = treeOf({ old: 1, equal: 1, new: 1 });
  const [equal, fresh, old] = [...walk(tree)].slice(1).map(({ node }) => node);
  old!.mtime = { seconds: -5, nanoseconds: 9 };
  equal!.mtime = { seconds: 100, nanoseconds: 1 };
  fresh!.mtime = { seconds: 200, nanoseconds: 0 };
  tree.root.mtime = { seconds: 300, nanoseconds: 0 };
  assert.equal(newestTime(tree), 200);
  clampTimes(tree, 100);
  assert.deepEqual(old!.mtime, { seconds: -5, nanoseconds: 9 });
  for (const node of [equal!, fresh!, tree.root]) assert.deepEqual(node.mtime, { seconds: 100, nanoseconds: 0 });
  assert.equal(newestTime({ root: newDirectory({ mtime: { seconds: 9, nanoseconds: 0 } }) }), 0);
});

test("the largest paths leave out folders that wrap one large entry, and count hard links once", () => {
  const tree = treeOf({
    "opt/app/data/blob": 1000,
    "opt/app/readme": 10,
    "lib/a": 300,
    "lib/b": 250,
    "lib/c": 0,
    small: 5,
  });
  addNode(tree, fromText("zzz/second name"), lookup(tree, fromText("lib/a"))!);
  assert.deepEqual(largestPaths(tree, 4), [
    { path: "opt/app/data/blob", type: "file", bytes: 1000 },
    { path: "lib", type: "directory", bytes: 550 },
    { path: "lib/a", type: "file", bytes: 300 },
    { path: "lib/b", type: "file", bytes: 250 },
  ]);
});

test("symlinks are followed inside the tree only", () => {
  const tree = treeOf({
    "usr/bin/sh": 1,
    bin: "usr/bin",
    "usr/bin/up": "../../../../usr/bin/sh",
    "etc/sh": "/bin/sh",
    loop: "/loop",
    dangling: "none",
    "etc/root": "/",
  });
  const resolved = (path: string, followLast?: boolean) => realPath(tree, fromText(path), followLast);
  assert.equal(resolved("/bin/sh"), "/usr/bin/sh");
  assert.equal(resolved("bin/up"), "/usr/bin/sh");
  assert.equal(resolved("etc/sh"), "/usr/bin/sh");
  assert.equal(resolved("etc/root/bin/../bin/sh"), "/usr/bin/sh");
  assert.equal(resolved("etc/sh", false), "/etc/sh");
  assert.equal(resolved("/"), "/");
  assert.equal(resolved("dangling"), "/none");
  assert.equal(follow(tree, fromText("dangling")), undefined);
  assert.equal(follow(tree, fromText("usr/bin/sh/x")), undefined);
  assert.throws(() => resolved("loop"), { code: "source-invalid" });
  assert.equal(follow(tree, "etc/root" as ByteString), tree.root);
});
