/** Trees written into folders of the host: everything that the kernel shows, and nothing outside, whatever the tree says. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import type { ImgbuildError } from "../../src/errors.js";
import { contentOf, type Metadata, newDirectory, newFile, type Symlink, setXattr } from "../../src/tree/node.js";
import { addNode, type Tree, walk } from "../../src/tree/tree.js";
import { writeDirectory } from "../../src/tree/write-directory.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import fc from "../support/fast-check.js";
import { randomTrees } from "../support/random-tree.js";
import { lacks, lacksRoot, temporaryFolder } from "../support/tools.js";

const metadata: Metadata = { mode: 0o777, uid: 0, gid: 0, mtime: { seconds: 1, nanoseconds: 0 }, xattrs: new Map() };
const symlink = (target: string): Symlink => ({ type: "symlink", ...metadata, target: fromText(target) });
const file = (text: string) => newFile(contentOf(new TextEncoder().encode(text)));
const rejection = (work: Promise<unknown>) =>
  work.then(
    () => assert.fail("it should have been refused"),
    (error: ImgbuildError) => error,
  );

function withoutSockets(tree: Tree): Tree {
  for (const { node } of walk(tree)) {
    if (node.type !== "directory") continue;
    for (const [name, child] of node.entries) if (child.type === "socket") node.entries.delete(name);
  }
  return tree;
}

test("the kernel shows of random trees what is in them", async (t) => {
  if (lacks(t, "setfattr", "getfattr") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  let count = 0;
  await fc.assert(
    fc.asyncProperty(randomTrees, async (random) => {
      const tree = withoutSockets(random);
      const target = path.join(folder, `${count++}`);
      const notices: string[] = [];
      await writeDirectory(tree, target, { observer: { notice: (text) => notices.push(text) } });
      assert.deepEqual(describeDirectory(target), await describeTree(tree));
      assert.deepEqual(notices, []);
      fs.rmSync(target, { recursive: true });
    }),
    { numRuns: 40 },
  );
});

test("holes stay holes", async (t) => {
  const bytes = new Uint8Array(2 ** 20);
  bytes.fill(9, 500_000, 500_100);
  const tree: Tree = { root: newDirectory() };
  addNode(tree, fromText("sparse"), newFile({ ...contentOf(bytes), data: [{ start: 500_000, end: 500_100 }] }));
  const target = path.join(temporaryFolder(t), "out");
  await writeDirectory(tree, target);
  assert.deepEqual(fs.readFileSync(path.join(target, "sparse")), Buffer.from(bytes));
  assert.ok(fs.statSync(path.join(target, "sparse")).blocks * 512 < 2 ** 17);
});

test("without privileges it says what it left out, and how much", async (t) => {
  const tree: Tree = { root: newDirectory({ uid: 4242 }) };
  const owned = file("x");
  Object.assign(owned, { uid: 4242, gid: 4242, mode: 0o6755 });
  setXattr(owned, fromText("security.capability"), new Uint8Array(20));
  setXattr(owned, fromText("trusted.x"), new Uint8Array(1));
  addNode(tree, fromText("bin/owned"), owned);
  addNode(tree, fromText("dev/null"), { type: "character", major: 1, minor: 3, ...metadata });
  addNode(tree, fromText("run/socket"), { type: "socket", ...metadata });
  const target = path.join(temporaryFolder(t), "out");
  const notices: string[] = [];
  await writeDirectory(tree, target, { privileged: false, observer: { notice: (text) => notices.push(text) } });
  assert.equal(notices.length, 1);
  for (const part of [
    "device nodes (1)",
    "sockets (1)",
    "attributes that take root (2)",
    "setuid and setgid bits (1)",
  ]) {
    assert.ok(notices[0]!.includes(part), `${part} in: ${notices[0]}`);
  }
  assert.equal(fs.statSync(path.join(target, "bin/owned")).mode & 0o7777, 0o755);
  assert.deepEqual(fs.readdirSync(path.join(target, "dev")), []);
  assert.deepEqual(fs.readdirSync(path.join(target, "run")), []);
});

test("times before 1970, and fractions of seconds", async (t) => {
  const tree: Tree = { root: newDirectory() };
  const early = file("");
  early.mtime = { seconds: -1000, nanoseconds: 500_000_000 };
  const late = file("");
  late.mtime = { seconds: 1_700_000_000, nanoseconds: 250_000_000 };
  addNode(tree, fromText("early"), early);
  addNode(tree, fromText("late"), late);
  const target = path.join(temporaryFolder(t), "out");
  await writeDirectory(tree, target);
  assert.equal(fs.statSync(path.join(target, "early")).mtimeMs, -999_500);
  assert.equal(fs.statSync(path.join(target, "late")).mtimeMs, 1_700_000_000_250);
});

test("nothing is written through symlinks that were there before", async (t) => {
  const folder = temporaryFolder(t);
  const outside = path.join(folder, "outside");
  const target = path.join(folder, "out");
  fs.mkdirSync(outside);
  fs.mkdirSync(target);
  fs.symlinkSync(outside, path.join(target, "etc"));
  fs.writeFileSync(path.join(folder, "victim"), "as it was");
  fs.symlinkSync(path.join(folder, "victim"), path.join(target, "file"));
  const tree: Tree = { root: newDirectory() };
  addNode(tree, fromText("etc/passwd"), file("bad"));
  addNode(tree, fromText("file"), file("bad"));
  const refused = await rejection(writeDirectory(tree, target));
  assert.equal(refused.code, "source-invalid");
  assert.match(refused.hint!, /--force/);
  await writeDirectory(tree, target, { force: true });
  assert.deepEqual(fs.readdirSync(outside), []);
  assert.equal(fs.readFileSync(path.join(folder, "victim"), "utf8"), "as it was");
  assert.equal(fs.readFileSync(path.join(target, "etc/passwd"), "utf8"), "bad");
  assert.ok(fs.lstatSync(path.join(target, "etc")).isDirectory());
});

test("symlinks in the tree lead where they lead, and nothing follows them", async (t) => {
  const folder = temporaryFolder(t);
  fs.writeFileSync(path.join(folder, "victim"), "as it was");
  const tree: Tree = { root: newDirectory() };
  addNode(tree, fromText("a"), symlink("../victim"));
  addNode(tree, fromText("b"), symlink(folder));
  addNode(tree, fromText("c"), symlink(".."));
  const target = path.join(folder, "out");
  await writeDirectory(tree, target);
  assert.equal(fs.readFileSync(path.join(folder, "victim"), "utf8"), "as it was");
  assert.equal(fs.statSync(path.join(folder, "victim")).mtimeMs > 1000, true, "the time of the file behind was set");
  assert.equal(fs.readlinkSync(path.join(target, "a")), "../victim");
});

test("names that lead out are refused before anything is written", async (t) => {
  for (const name of ["..", ".", "", "../x", "a\0b"]) {
    const folder = temporaryFolder(t);
    const target = path.join(folder, "out");
    const tree: Tree = { root: newDirectory() };
    const inner = newDirectory();
    inner.entries.set(name as ByteString, file("bad"));
    tree.root.entries.set(fromText("folder"), inner);
    tree.root.entries.set(fromText("a"), file("good"));
    const error = await rejection(writeDirectory(tree, target));
    assert.equal(error.code, "not-representable", JSON.stringify(name));
    assert.deepEqual(fs.readdirSync(folder), ["out"]);
    assert.deepEqual(fs.readdirSync(target), []);
  }
});

test("--force replaces files, keeps folders and what else is in them, and removes no full folder for a file", async (t) => {
  const target = path.join(temporaryFolder(t), "out");
  fs.mkdirSync(path.join(target, "etc/kept"), { recursive: true });
  fs.writeFileSync(path.join(target, "etc/motd"), "old");
  const tree: Tree = { root: newDirectory() };
  addNode(tree, fromText("etc/motd"), file("new"));
  await writeDirectory(tree, target, { force: true });
  assert.equal(fs.readFileSync(path.join(target, "etc/motd"), "utf8"), "new");
  assert.ok(fs.existsSync(path.join(target, "etc/kept")));
  const other: Tree = { root: newDirectory() };
  addNode(other, fromText("etc"), file("a file"));
  await rejection(writeDirectory(other, target, { force: true }));
  assert.equal(fs.readFileSync(path.join(target, "etc/motd"), "utf8"), "new");
});

test("content that cannot be read to its end leaves what was there, and nothing half-done", async (t) => {
  const target = path.join(temporaryFolder(t), "out");
  fs.mkdirSync(path.join(target, "etc/empty"), { recursive: true });
  fs.chmodSync(path.join(target, "etc"), 0o751);
  for (const name of ["etc/config", "etc/later", "etc/linked", "symlink"])
    fs.writeFileSync(path.join(target, name), "old");
  fs.symlinkSync("etc/later", path.join(target, "etc/a-symlink"));
  const before = describeDirectory(target);

  const tree: Tree = { root: newDirectory() };
  const size = 3 * 2 ** 20;
  let reads = 0;
  const damaged = newFile({
    size,
    open: async () => ({
      async read() {
        if (++reads > 1) throw new Error("this block is damaged");
      },
      async close() {},
    }),
  });
  addNode(tree, fromText("etc/config"), damaged);
  addNode(tree, fromText("etc/later"), file("new"));
  addNode(tree, fromText("etc/linked"), damaged);
  addNode(tree, fromText("etc/empty"), symlink("elsewhere"));
  addNode(tree, fromText("symlink"), symlink("elsewhere"));
  await rejection(writeDirectory(tree, target, { force: true }));
  assert.equal(reads, 2, "it was to fail half-way");
  assert.deepEqual(describeDirectory(target), before);

  // Into a new folder, no part of the file stays.
  const fresh = path.join(path.dirname(target), "fresh");
  await rejection(writeDirectory(tree, fresh));
  assert.deepEqual(fs.readdirSync(path.join(fresh, "etc")), []);
});

test("--force replaces anything by anything, full folders aside", async (t) => {
  const folder = temporaryFolder(t);
  const target = path.join(folder, "out");
  const kinds: Record<string, (at: string) => void> = {
    file: (at) => fs.writeFileSync(at, "old"),
    symlink: (at) => fs.symlinkSync("nowhere", at),
    folder: (at) => fs.mkdirSync(at),
  };
  fs.mkdirSync(target);
  const tree: Tree = { root: newDirectory() };
  const shared = file("new and linked");
  for (const [was, make] of Object.entries(kinds)) {
    for (const to of ["file", "linked", "symlink", "folder"]) {
      make(path.join(target, `${was}-${to}`));
      const nodes = { file: file("new"), linked: shared, symlink: symlink("x"), folder: newDirectory() };
      addNode(tree, fromText(`${was}-${to}`), nodes[to as keyof typeof nodes]);
    }
  }
  // Names of one file that is in the way are still two names.
  fs.rmSync(path.join(target, "file-linked"));
  fs.linkSync(path.join(target, "file-file"), path.join(target, "file-linked"));
  await writeDirectory(tree, target, { force: true });
  assert.deepEqual(describeDirectory(target), await describeTree(tree));
});
