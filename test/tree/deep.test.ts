/** Trees deeper than paths, and than a stack of calls. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { readTar, treeDigest } from "../../src/host.js";
import { largestPaths, newestTime, walk } from "../../src/tree/index.js";
import { deepTree } from "../support/deep-tree.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

test("a tar of 2,000 levels is read, and what is in it is measured", async (t) => {
  if (lacks(t, "tar")) return;
  const folder = temporaryFolder(t);
  const before = process.cwd();
  process.chdir(folder);
  try {
    for (let i = 0; i < 2000; i++) {
      fs.mkdirSync("d");
      process.chdir("d");
    }
    fs.writeFileSync("f", "bottom");
  } finally {
    process.chdir(before);
  }
  const archive = path.join(folder, "deep.tar");
  run("tar", ["--format=posix", "-cf", archive, "d"], { cwd: folder });
  run("rm", ["-rf", "d"], { cwd: folder });
  const tree = await readTar(archive, { spool: folder });
  assert.equal([...walk(tree)].length, 2002);
  tree.close();
});

test("deep trees are walked and measured", () => {
  const tree = deepTree(20_000);
  assert.deepEqual(
    largestPaths(tree, 3).map(({ type, bytes, path: name }) => [type, bytes, name.length]),
    [["file", 6, 40_001]],
  );
  assert.equal(newestTime(tree), 0);
  assert.match(treeDigest(deepTree(5000)), /^[0-9a-f]{64}$/);
});
