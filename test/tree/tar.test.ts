import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { type ByteString, fromBytes, fromText } from "../../src/bytes/bytestring.js";
import { readTar } from "../../src/host.js";
import {
  addNode,
  contentOf,
  lookup,
  newDirectory,
  newFile,
  type RegularFile,
  type Tree,
} from "../../src/tree/index.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import fc from "../support/fast-check.js";
import { materialise } from "../support/materialise.js";
import { randomTrees } from "../support/random-tree.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";

const PLAIN = { mtime: { seconds: 1_000_000_000, nanoseconds: 0 } };

/** What every dialect can hold. */
function smallTree(): Tree {
  const tree: Tree = { root: newDirectory({ mode: 0o1751, uid: 11, gid: 12, mtime: { seconds: 7, nanoseconds: 0 } }) };
  const add = (name: string, node: Parameters<typeof addNode>[2]) => addNode(tree, fromText(name), node, PLAIN);
  const file = newFile(contentOf(Buffer.from("content\n")), { ...PLAIN, mode: 0o6755, uid: 1000, gid: 100 });
  add("a/file", file);
  add("b/hard link", file);
  add("a/empty", newFile(contentOf(new Uint8Array(0)), PLAIN));
  add("a/512", newFile(contentOf(new Uint8Array(512).fill(1)), PLAIN));
  add("a/large", newFile(contentOf(new Uint8Array(100_001).fill(2)), PLAIN));
  const { mode: _, ...metadata } = newDirectory(PLAIN);
  add("a/link", { ...metadata, type: "symlink", mode: 0o777, target: fromText("../b/hard link") } as never);
  addNode(
    tree,
    fromBytes(new Uint8Array([0x62, 0x2f, 0xff, 0x0a, 0xfe])),
    newFile(contentOf(new Uint8Array(3)), PLAIN),
  );
  return tree;
}

/** What ustar adds: devices, fifos, times up to 2^33, names of up to 255 bytes. */
function ustarTree(): Tree {
  const tree = smallTree();
  const metadata = {
    mode: 0o600,
    uid: 2_000_000,
    gid: 5,
    mtime: { seconds: 2 ** 32 - 1, nanoseconds: 0 },
    xattrs: new Map(),
  };
  addNode(tree, fromText("dev/console"), { type: "character", ...metadata, major: 5, minor: 1 });
  addNode(tree, fromText("dev/disk"), { type: "block", ...metadata, major: 259, minor: 70_000 });
  addNode(tree, fromText("dev/fifo"), { type: "fifo", ...metadata });
  addNode(
    tree,
    fromText(`${"d".repeat(90)}/${"e".repeat(60)}/${"f".repeat(99)}`),
    newFile(contentOf(new Uint8Array(9)), PLAIN),
  );
  return tree;
}

/** What only GNU tar and pax hold: long names and targets, large ids. */
function longTree(): Tree {
  const tree = ustarTree();
  const long = Array.from({ length: 6 }, (_, i) => `${i}`.repeat(200)).join("/");
  const file = newFile(contentOf(new Uint8Array(700).fill(3)), { ...PLAIN, uid: 2 ** 32 - 2, gid: 3_000_000_000 });
  addNode(tree, fromText(long), file);
  addNode(tree, fromText(`${long}-second`), file);
  const target = `${long}/${long}` as ByteString;
  addNode(tree, fromText("long-link"), {
    type: "symlink",
    mode: 0o777,
    uid: 0,
    gid: 0,
    ...PLAIN,
    xattrs: new Map(),
    target,
  });
  return tree;
}

/** The tree that `tar` packs of `root`, read from a plain file. */
async function packAndRead(folder: string, root: string, args: readonly string[]) {
  const archive = path.join(folder, "archive.tar");
  run("tar", ["--sort=name", "--numeric-owner", ...args, "-C", root, "-cf", archive, "."]);
  const tree = await readTar(archive, { spool: folder });
  const description = await describeTree(tree);
  tree.close();
  return description;
}

for (const [format, make] of [
  ["v7", smallTree],
  ["ustar", ustarTree],
  ["oldgnu", longTree],
  ["gnu", longTree],
  ["posix", longTree],
] as const) {
  test(`GNU tar --format=${format}`, async (t) => {
    if (lacksRoot(t) || lacks(t, "tar")) return;
    const folder = temporaryFolder(t);
    const root = path.join(folder, "root");
    await materialise(make(), root);
    assert.deepEqual(await packAndRead(folder, root, [`--format=${format}`]), describeDirectory(root));
  });
}

test("cpio's ustar archives", async (t) => {
  if (lacksRoot(t) || lacks(t, "cpio", "find")) return;
  const folder = temporaryFolder(t);
  const root = path.join(folder, "root");
  await materialise(ustarTree(), root);
  fs.unlinkSync(Buffer.concat([Buffer.from(`${root}/b/`), Buffer.from([0xff, 0x0a, 0xfe])])); // its list has lines
  const archive = path.join(folder, "archive.tar");
  run("sh", ["-c", `find . | cpio --quiet -o -H ustar > ${archive}`], { cwd: root });
  const tree = await readTar(archive, { spool: folder });
  // cpio cuts ids and times to what it thinks the fields hold, so only kinds, modes, links and contents are compared.
  const essence = (lines: Map<string, string>) =>
    [...lines].map(([name, line]) => `${name} ${line.replace(/ \d+:\d+ @\d+/, "")}`);
  assert.deepEqual(essence(await describeTree(tree)), essence(describeDirectory(root)));
  tree.close();
});

/** GNU tar stores the further names of devices and fifos as nodes of their own. */
function unlinked(lines: Map<string, string>): Map<string, string> {
  return new Map(
    [...lines].map(([name, line]) => [name, line.replace(/^((?:fifo|block|character) .*?) = .*$/s, "$1")]),
  );
}

test("random trees come back from a pax archive, xattrs included", async (t) => {
  if (lacksRoot(t) || lacks(t, "tar", "setfattr", "getfattr")) return;
  const folder = temporaryFolder(t);
  let count = 0;
  await fc.assert(
    fc.asyncProperty(randomTrees, async (tree) => {
      const root = path.join(folder, `${count++}`);
      await materialise(tree, root);
      run("find", [root, "-type", "s", "-delete"]); // tar leaves sockets out
      const xattrs = ["--xattrs", "--xattrs-include=*", "--format=posix"];
      assert.deepEqual(unlinked(await packAndRead(folder, root, xattrs)), unlinked(describeDirectory(root)));
      fs.rmSync(root, { recursive: true });
    }),
    { numRuns: 25 },
  );
});

test("xattrs byte for byte, capabilities and access control lists included", async (t) => {
  if (lacksRoot(t) || lacks(t, "tar", "setfattr", "setcap", "setfacl")) return;
  const folder = temporaryFolder(t);
  const root = path.join(folder, "root");
  fs.mkdirSync(root);
  fs.writeFileSync(path.join(root, "ping"), "");
  run("setfattr", ["-n", "user.a=b%", "-v", "0x0aff003d25", path.join(root, "ping")]);
  run("setfattr", ["-n", "user.empty", "-v", "", path.join(root, "ping")]);
  run("setcap", ["cap_net_raw+ep", path.join(root, "ping")]);
  run("setfacl", ["-m", "u:1234:r", path.join(root, "ping")]);
  const read = await packAndRead(folder, root, ["--xattrs", "--xattrs-include=*", "--format=posix"]);
  assert.deepEqual(read, describeDirectory(root));
  for (const name of ["security.capability=", "system.posix_acl_access=", "user.a=b%=0aff003d25"]) {
    assert.ok(read.get("ping")!.includes(name), name);
  }
});

test("nanoseconds and times before 1970 in pax and GNU archives", async (t) => {
  if (lacks(t, "tar")) return;
  const folder = temporaryFolder(t);
  const root = path.join(folder, "root");
  fs.mkdirSync(root);
  for (const time of ["-1.25", "-100000000000", "0.000000001", "20000000000"])
    run("touch", ["-d", `@${time}`, path.join(root, time)]);
  for (const format of ["posix", "gnu"]) {
    run("tar", [`--format=${format}`, "-C", root, "-cf", path.join(folder, "t.tar"), "."]);
    const tree = await readTar(path.join(folder, "t.tar"), { spool: folder });
    assert.deepEqual(
      await describeTree(tree, { nanoseconds: format === "posix" }),
      describeDirectory(root, { nanoseconds: format === "posix" }),
    );
    tree.close();
  }
});

test("sparse members in all four forms", async (t) => {
  if (lacksRoot(t) || lacks(t, "tar")) return;
  const folder = temporaryFolder(t);
  const root = path.join(folder, "root");
  const size = 20_000_000;
  const data = Array.from({ length: 60 }, (_, i) => ({ start: i * 303_104, end: i * 303_104 + 4096 * (1 + (i % 3)) }));
  const sparse = newFile({ ...contentOf(new Uint8Array(size).fill(0x55)), data }, PLAIN);
  const hole = newFile({ ...contentOf(new Uint8Array(70_000)), data: [] }, PLAIN);
  const tree: Tree = { root: newDirectory() };
  addNode(tree, fromText("many pieces"), sparse);
  addNode(
    tree,
    fromText("one piece"),
    newFile({ ...contentOf(new Uint8Array(300_000).fill(1)), data: [{ start: 8192, end: 12_288 }] }),
  );
  addNode(tree, fromText("hole"), hole);
  addNode(
    tree,
    fromText("x".repeat(150)),
    newFile({ ...contentOf(new Uint8Array(300_000).fill(1)), data: [{ start: 0, end: 4096 }] }),
  );
  addNode(tree, fromText("zz"), newFile(contentOf(Buffer.from("after"))));
  await materialise(tree, root);
  const expected = describeDirectory(root);
  for (const args of [
    ["--format=gnu"],
    ["--format=oldgnu"],
    ...["0.0", "0.1", "1.0"].map((version) => ["--format=posix", `--sparse-version=${version}`]),
  ]) {
    const archive = path.join(folder, "sparse.tar");
    run("tar", ["--sparse", ...args, "-C", root, "-cf", archive, "."]);
    assert.ok(fs.statSync(archive).size < 2_000_000, `${args} stored the holes`);
    const read = await readTar(archive, { spool: folder });
    assert.deepEqual(await describeTree(read), expected, args.join(" "));
    const content = (lookup(read, fromText("many pieces")) as RegularFile).content;
    assert.equal(content.size, size);
    assert.deepEqual(
      content.data!.filter(({ start, end }) => end > start),
      data,
    );
    const reader = await content.open();
    const across = new Uint8Array(20).fill(9);
    await reader.read(303_104 - 10, across);
    assert.deepEqual([...across], [...new Array(10).fill(0), ...new Array(10).fill(0x55)]);
    await reader.close();
    read.close();
  }
});

test("compressed and piped archives", async (t) => {
  if (lacksRoot(t) || lacks(t, "tar", "gzip", "xz", "zstd")) return;
  const folder = temporaryFolder(t);
  const root = path.join(folder, "root");
  await materialise(longTree(), root);
  const expected = describeDirectory(root);
  const plain = path.join(folder, "plain.tar");
  run("tar", ["--format=gnu", "-C", root, "-cf", plain, "."]);
  for (const command of ["cat", "gzip", "xz", "xz --check=crc32", "zstd -q", "zstd -q --no-check"]) {
    const archive = path.join(folder, "packed");
    // Two members, streams or frames, as pigz, pxz and pzstd make them.
    run("sh", ["-c", `(head -c 5000 ${plain} | ${command}; tail -c +5001 ${plain} | ${command}) > ${archive}`]);
    for (const source of [archive, fs.createReadStream(archive, { highWaterMark: 5 })]) {
      const tree = await readTar(source, { spool: folder });
      assert.deepEqual(await describeTree(tree), expected, command);
      tree.close();
    }
  }
  assert.deepEqual(
    fs.readdirSync(folder).sort(),
    ["packed", "plain.tar", "root"],
    "nothing is left in the spool folder",
  );
});

test("members that are added again replace what was there", async (t) => {
  if (lacks(t, "tar")) return;
  const folder = temporaryFolder(t);
  const archive = path.join(folder, "t.tar");
  const write = (name: string, text: string) => fs.writeFileSync(path.join(folder, name), text);
  const pack = (mode: string, ...names: string[]) => run("tar", ["-C", folder, mode, "-f", archive, ...names]);
  write("one", "old");
  fs.mkdirSync(path.join(folder, "dir"));
  write("dir/kept", "kept");
  fs.linkSync(path.join(folder, "one"), path.join(folder, "link"));
  pack("-c", "one", "link", "dir");
  fs.unlinkSync(path.join(folder, "one"));
  write("one", "new");
  fs.chmodSync(path.join(folder, "dir"), 0o711);
  pack("-r", "--no-recursion", "one", "dir");
  fs.mkdirSync(path.join(folder, "extracted"));
  run("tar", ["-xpf", archive, "-C", path.join(folder, "extracted")]);
  const tree = await readTar(archive, { spool: folder });
  const [read, extracted] = [await describeTree(tree), describeDirectory(path.join(folder, "extracted"))];
  read.delete("");
  extracted.delete("");
  assert.deepEqual(read, extracted);
  tree.close();
});

test("a fifo is read like standard input", async (t) => {
  if (lacks(t, "tar", "mkfifo")) return;
  const folder = temporaryFolder(t);
  fs.writeFileSync(path.join(folder, "file"), "text");
  run("mkfifo", [path.join(folder, "fifo")]);
  const child = spawn("sh", ["-c", "tar -c file | gzip > fifo"], { cwd: folder });
  // Opening waits for the other side, which is a process of its own and under way already.
  const tree = await readTar(path.join(folder, "fifo"), { spool: folder });
  assert.deepEqual([...tree.root.entries.keys()], ["file"]);
  tree.close();
  assert.equal(child.exitCode ?? 0, 0);
});

test("no room for the decompressed archive is a full disk, and leaves nothing behind", async (t) => {
  if (lacksRoot(t) || lacks(t, "mount")) return;
  const folder = temporaryFolder(t);
  const archive = path.join(folder, "zeros.tar.gz");
  run("sh", ["-c", `head -c 3000000 /dev/zero > file; tar -czf ${archive} file`], { cwd: folder });
  const spool = path.join(folder, "spool");
  fs.mkdirSync(spool);
  run("mount", ["-t", "tmpfs", "-o", "size=1m", "none", spool]);
  try {
    await assert.rejects(readTar(archive, { spool }), { code: "disk-full" });
    assert.deepEqual(fs.readdirSync(spool), []);
    assert.ok(fs.statfsSync(spool).bavail * fs.statfsSync(spool).bsize > 900_000, "the room is free again");
  } finally {
    run("umount", [spool]);
  }
});
