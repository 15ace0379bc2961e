import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { ImgbuildError } from "../../src/errors.js";
import { readDirectory, readTar } from "../../src/host.js";
import {
  addNode,
  contentOf,
  layOver,
  lookup,
  makeDirectories,
  newDirectory,
  newFile,
  newMetadata,
  type Tree,
} from "../../src/tree/index.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";

/** A tree of files whose content is their owner's number, which stands for the tree. */
function treeOf(owner: number, ...names: string[]): Tree {
  const tree: Tree = { root: newDirectory({ uid: owner, mode: 0o700 + owner }) };
  for (const name of names) {
    addNode(tree, fromText(name), newFile(contentOf(Buffer.from(`${owner}`)), { uid: owner }), { uid: owner });
  }
  return tree;
}

const ownersOf = async (tree: Tree) =>
  [...(await describeTree(tree))].map(([name, line]) => `${name} ${/ (\d+):/.exec(line)![1]}`);

test("folders become one, with what the later has; all else is replaced", async () => {
  const lower = treeOf(1, "a/both", "a/lower", "file", "only");
  addNode(lower, fromText("link"), { type: "symlink", ...newMetadata(0o777), target: fromText("a") });
  layOver(lower, { ...treeOf(2, "a/both", "a/upper/x", "file", "link"), name: "two" });
  layOver(lower, { ...treeOf(3, "deep/x"), name: "three" }, fromText("a/upper"));
  assert.deepEqual(await ownersOf(lower), [
    ...[" 2", "a 2", "a/both 2", "a/lower 1", "a/upper 3", "a/upper/deep 3", "a/upper/deep/x 3", "a/upper/x 2"],
    ...["file 2", "link 2", "only 1"],
  ]);
  assert.equal(lower.root.mode, 0o702);
  assert.equal(lookup(lower, fromText("link"))!.type, "file");
});

test("a folder neither replaces anything else, nor is it replaced", () => {
  const fails = (lower: Tree, upper: Tree, message: RegExp) =>
    assert.throws(
      () => layOver(lower, { ...upper, name: "above" }),
      (error: ImgbuildError) =>
        error instanceof ImgbuildError && error.code === "source-invalid" && message.test(error.message),
    );
  fails(treeOf(1, "etc/x"), treeOf(2, "etc"), /^etc is a file in above, and a folder in a source before it$/);
  const merged = treeOf(1);
  addNode(merged, fromText("usr/bin"), { type: "symlink", ...newMetadata(0o777), target: fromText("a") });
  fails(merged, treeOf(2, "usr/bin/x"), /^usr\/bin is a folder in above, and a symlink in/);
});

test("folders that a tar only implies leave the metadata of those below", async (t) => {
  const folder = temporaryFolder(t);
  const lower = treeOf(1, "tmp/keep");
  makeDirectories(lower, fromText("tmp")).mode = 0o1777;
  run("sh", ["-c", "mkdir -p in/tmp in/etc && echo x > in/tmp/x && echo y > in/etc/y && chmod 700 in/etc"], {
    cwd: folder,
  });
  run("tar", ["-C", "in", "-cf", "upper.tar", "--no-recursion", "tmp/x", "etc/y", "etc"], { cwd: folder });
  const upper = await readTar(path.join(folder, "upper.tar"), { spool: folder });
  layOver(lower, { ...upper, name: "upper" });
  assert.equal(lookup(lower, fromText("tmp"))!.mode, 0o1777);
  assert.equal(lookup(lower, fromText("etc"))!.mode, 0o700);
  assert.equal(lower.root.mode, 0o701);
});

const TWO_FOLDERS = `
mkdir -p low/dir/sub up/dir/new && chmod 1777 low/dir && chmod 2711 up/dir && chmod 700 up
echo low > low/file && echo upper > up/file && echo a > low/dir/a && echo b > up/dir/b
echo linked > low/h1 && ln low/h1 low/dir/h2 && ln low/h1 low/h3 && echo instead > up/h1
echo pair > up/p1 && ln up/p1 up/dir/new/p2
ln -s file low/link && echo target > up/link && echo was > low/was && ln -s dir up/was && mkfifo low/pipe && echo x > up/pipe
touch -d @1000 low/dir/sub up/dir/new up/dir low/file up && chown 5:6 up/file low/dir/a
mkdir out && cp -a low/. out && cp -a --remove-destination up/. out
`;

test("cp -a, one folder over the other, makes the same", async (t) => {
  if (lacks(t, "cp", "getfattr") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  run("sh", ["-ec", TWO_FOLDERS], { cwd: folder });
  const tree = await readDirectory(path.join(folder, "low"));
  layOver(tree, { ...(await readDirectory(path.join(folder, "up"))), name: "up" });
  assert.deepEqual(await describeTree(tree), describeDirectory(path.join(folder, "out")));
});
