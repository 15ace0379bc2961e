/** Trees deeper than paths, and than a stack of calls. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { readDirectory, readTar, treeDigest } from "../../src/host.js";
import { largestPaths, newestTime, readContent, walk } from "../../src/tree/index.js";
import { writeDirectory } from "../../src/tree/write-directory.js";
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

test("a folder of 3,000 levels is read, with what is in its files", async (t) => {
  if (lacks(t, "getfattr", "setfattr")) return;
  const folder = temporaryFolder(t);
  const before = process.cwd();
  process.chdir(folder);
  try {
    for (let i = 0; i < 3000; i++) {
      fs.mkdirSync("d");
      process.chdir("d");
    }
    fs.writeFileSync("f", "bottom");
    fs.linkSync("f", "g\u00e4");
    fs.symlinkSync("f", "link");
    run("setfattr", ["-n", "user.deep", "-v", "down", "f"]);
  } finally {
    process.chdir(before);
  }
  try {
    const notices: string[] = [];
    const tree = await readDirectory(folder, { observer: { notice: (text) => notices.push(text) } });
    const visits = [...walk(tree)];
    assert.equal(visits.length, 3004);
    const [file, twin, link] = visits.slice(-3).map(({ node }) => node);
    assert.ok(file?.type === "file" && link?.type === "symlink");
    assert.equal(twin, file);
    assert.equal(Buffer.from(await readContent(file.content)).toString(), "bottom");
    const into = new Uint8Array(6);
    await file.content.readWhole!(into);
    assert.equal(Buffer.from(into).toString(), "bottom");
    assert.equal(link.target, "f");
    assert.deepEqual(
      [...file.xattrs].map(([name, value]) => [name, Buffer.from(value).toString()]),
      [["user.deep", "down"]],
    );
    assert.deepEqual(notices, []);
  } finally {
    // Neither Node nor a path gets there.
    run("rm", ["-rf", "d"], { cwd: folder });
  }
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

test("a tree is extracted as deep as paths can be, and refused as a whole where one is too long", async (t) => {
  if (process.platform !== "linux") return;
  const folder = temporaryFolder(t);
  const target = path.join(folder, "out");
  // The file is made under a longer name first: ".imgbuild-" and 16 digits.
  const depth = Math.floor((4095 - `${target}/`.length - 26) / 2);
  await assert.rejects(writeDirectory(deepTree(depth + 1), target), {
    code: "not-representable",
    message: /^\/(?:d\/){30}\.\.\. would have a path of \d+ bytes here, and 4095 are possible$/,
    hint: /--tar/,
  });
  assert.deepEqual(fs.readdirSync(target), []);
  try {
    await writeDirectory(deepTree(depth), target);
    assert.equal(fs.readFileSync(path.join(target, "d/".repeat(depth), "f"), "utf8"), "bottom");
  } finally {
    // Too deep for Node.
    run("rm", ["-rf", "out"], { cwd: folder });
  }
});
