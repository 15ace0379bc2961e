import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromBytes, fromText } from "../../src/bytes/bytestring.js";
import { ImgbuildError } from "../../src/errors.js";
import { readDirectory } from "../../src/host.js";
import { lookup, type RegularFile, readContent, walk } from "../../src/tree/index.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import fc from "../support/fast-check.js";
import { materialise } from "../support/materialise.js";
import { randomTrees } from "../support/random-tree.js";
import { lacks, lacksPackaged, lacksRoot, run, temporaryFolder } from "../support/tools.js";

const fails = (code: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ImgbuildError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, pattern);
  assert.ok(error.hint);
  return true;
};

test("random trees come back from the disk as the kernel shows them", async (t) => {
  if (lacksRoot(t) || lacks(t, "setfattr", "getfattr")) return;
  const folder = temporaryFolder(t);
  let count = 0;
  await fc.assert(
    fc.asyncProperty(randomTrees, async (tree) => {
      const root = path.join(folder, `${count++}`);
      await materialise(tree, root);
      const read = await describeTree(await readDirectory(root));
      assert.deepEqual(read, describeDirectory(root));
      assert.deepEqual(read, await describeTree(tree));
      fs.rmSync(root, { recursive: true });
    }),
    { numRuns: 30 },
  );
});

test("nanoseconds, times before 1970 and after 2038", async (t) => {
  const root = temporaryFolder(t);
  for (const time of ["-1.25", "0.000000001", "4294967295.999999999"]) {
    run("touch", ["-d", `@${time}`, path.join(root, time)]);
  }
  const tree = await readDirectory(root, { xattrs: false });
  const mtime = (name: string) => lookup(tree, fromText(name))!.mtime;
  assert.deepEqual(mtime("-1.25"), { seconds: -2, nanoseconds: 750_000_000 });
  assert.deepEqual(mtime("0.000000001"), { seconds: 0, nanoseconds: 1 });
  assert.deepEqual(mtime("4294967295.999999999"), { seconds: 2 ** 32 - 1, nanoseconds: 999_999_999 });
});

test("names that are not UTF-8 come as their bytes", async (t) => {
  if (lacks(t, "setfattr", "getfattr")) return;
  const root = temporaryFolder(t);
  const name = Buffer.from([0xff, 0x0a, 0x5c, 0x3d, 0xc3]);
  fs.writeFileSync(Buffer.concat([Buffer.from(`${root}/`), name]), "content");
  run("sh", ["-c", `setfattr -n user.a=b -v 'x\\012' "$(printf '\\377\\n\\\\=\\303')"`], { cwd: root });
  const tree = await readDirectory(root);
  const file = lookup(tree, fromBytes(name)) as RegularFile;
  assert.equal(Buffer.from(await readContent(file.content)).toString(), "content");
  assert.deepEqual([...file.xattrs], [["user.a=b", new Uint8Array([0x78, 0x0a])]]);
});

test("a file without blocks is not taken for a hole: it may hold data that the file system does not count", async (t) => {
  const root = temporaryFolder(t);
  fs.writeFileSync(path.join(root, "data"), "x".repeat(5000));
  fs.writeFileSync(path.join(root, "hole"), "");
  fs.truncateSync(path.join(root, "hole"), 2 ** 33);
  const tree = await readDirectory(root, { xattrs: false });
  const hole = lookup(tree, fromText("hole")) as RegularFile;
  assert.equal(hole.content.size, 2 ** 33);
  assert.equal(hole.content.data, undefined);
  assert.equal((lookup(tree, fromText("data")) as RegularFile).content.data, undefined);
});

test("30,000 entries", async (t) => {
  const root = temporaryFolder(t);
  for (let i = 0; i < 30_000; i++) {
    if (i % 1000 === 0) fs.mkdirSync(path.join(root, `${i / 1000}`));
    fs.writeFileSync(path.join(root, `${Math.floor(i / 1000)}`, `file-${i}`), "");
  }
  const tree = await readDirectory(root);
  assert.equal([...walk(tree)].length, 30_000 + 30 + 1);
});

test("files that change between scan and reading are refused", async (t) => {
  const root = temporaryFolder(t);
  const names = ["shrinks", "grows", "touched", "gone", "fifo"];
  for (const name of names) fs.writeFileSync(path.join(root, name), "0123456789");
  const tree = await readDirectory(root, { xattrs: false });
  const open = (name: string) => (lookup(tree, fromText(name)) as RegularFile).content.open();

  const reader = await open("shrinks");
  await reader.read(0, new Uint8Array(4));
  fs.truncateSync(path.join(root, "shrinks"), 6);
  await assert.rejects(
    reader.read(4, new Uint8Array(6)),
    fails("source-changed", /shrinks.* 10 bytes, and ends at byte 6/),
  );
  await reader.close();

  fs.appendFileSync(path.join(root, "grows"), "!");
  await assert.rejects(open("grows"), fails("source-changed", /grows.* 10 bytes, and has 11/));
  const late = await open("touched");
  fs.utimesSync(path.join(root, "touched"), 1, 1);
  await assert.rejects(late.read(0, new Uint8Array(10)), fails("source-changed", /touched.*time/));
  await late.close();
  fs.unlinkSync(path.join(root, "gone"));
  await assert.rejects(open("gone"), fails("source-changed", /gone/));
  fs.unlinkSync(path.join(root, "fifo"));
  run("mkfifo", [path.join(root, "fifo")]);
  await assert.rejects(open("fifo"), fails("source-changed", /fifo/));
});

test("what is no folder is refused", async (t) => {
  const root = temporaryFolder(t);
  fs.writeFileSync(path.join(root, "file"), "");
  await assert.rejects(readDirectory(path.join(root, "none")), fails("source-missing", /none does not exist/));
  await assert.rejects(readDirectory(path.join(root, "file")), fails("source-invalid", /file is not a folder/));
});

/** Runs readDirectory in a process of its own, as another user or in another environment, and gives its description. */
function describeElsewhere(
  folder: string,
  command: readonly string[],
  env: Record<string, string> = {},
  excluded?: readonly string[],
) {
  const script = `
    const { Excludes, readDirectory } = await import(${JSON.stringify(new URL("../../src/host.js", import.meta.url).href)});
    const { describeTree } = await import(${JSON.stringify(new URL("../support/describe.js", import.meta.url).href)});
    try {
      const excluded = ${JSON.stringify(excluded)};
      const excludes = excluded && new Excludes(excluded);
      const observer = { notice: (text) => console.error(text) };
      const tree = await readDirectory(${JSON.stringify(folder)}, { excludes, observer });
      console.log(JSON.stringify([...await describeTree(tree)]));
    } catch (error) {
      console.log(JSON.stringify([error.code, error.message]));
    }`;
  const [program, ...args] = [...command, process.execPath, "--input-type=module", "-e", script];
  const result = spawnSync(program!, args, { encoding: "utf8", env: { ...process.env, ...env } });
  assert.equal(result.status, 0, result.stderr);
  return { lines: JSON.parse(result.stdout.trim().split("\n").at(-1)!) as string[][], stderr: result.stderr };
}

const FAKE = `set -e
mkdir dir; echo content > dir/file; ln dir/file dir/second
chown 12:4000000000 dir/file; chmod 4755 dir/file
mknod dir/console c 5 1; mknod dir/disk b 259 70000; mkfifo dir/fifo; ln -s file dir/link; chown -h 3:4 dir/link
chown 7:8 dir; chmod 1777 dir
touch -h -d @1000000000 dir/* dir`;

const FAKED = [
  ["", /^directory 0\d\d\d 0:0 @\d+$/],
  ["dir", /^directory 1777 7:8 @1000000000$/],
  ["dir/console", /^character 0\d\d\d 0:0 @1000000000 5,1$/],
  ["dir/disk", /^block 0\d\d\d 0:0 @1000000000 259,70000$/],
  ["dir/fifo", /^fifo 0\d\d\d 0:0 @1000000000$/],
  ["dir/file", /^file 4755 12:4000000000 @1000000000 8 [0-9a-f]{64}/],
  ["dir/link", /^symlink 0777 3:4 @1000000000 -> file$/],
  ["dir/second", /^file 4755 12:4000000000 @1000000000 8 [0-9a-f]{64} = dir\/file/],
] as const;

function assertFaked(lines: string[][]) {
  assert.deepEqual(
    lines.map(([name]) => name),
    FAKED.map(([name]) => name),
  );
  for (const [i, [, pattern]] of FAKED.entries()) assert.match(lines[i]![1]!, pattern);
}

test("under fakeroot, owners, devices and capabilities are those of fakeroot", (t) => {
  if (lacks(t, "fakeroot", "getfattr", "setfattr", "xargs")) return;
  const root = path.join(temporaryFolder(t), "root");
  fs.mkdirSync(root);
  const capability = "0x0100000200200000000000000000000000000000";
  const make = `${FAKE}; setfattr -n security.capability -v ${capability} dir/file; cd /; exec "$@"`;
  const { lines } = describeElsewhere(root, ["fakeroot", "sh", "-c", `cd ${root}; ${make}`, "sh"]);
  assertFaked(lines);
  assert.equal(lines[5]![1]!.split(" ").at(-1), `security.capability=${capability.slice(2)}`);

  // With patterns, other programs ask for the rest alone. "second" is the first name of its inode then.
  fs.rmSync(path.join(root, "dir"), { recursive: true });
  const some = describeElsewhere(root, ["fakeroot", "sh", "-c", `cd ${root}; ${make}`, "sh"], {}, ["f*", "dir/disk"]);
  const kept = lines.filter(([name]) => !/file|fifo|disk/.test(name!));
  assert.deepEqual(
    some.lines.slice(1),
    kept.slice(1).map(([name, line]) => [name, line!.replace(" = dir/file", "")]),
  );
});

test("under pseudo, owners and devices are those of pseudo", (t) => {
  if (lacksPackaged(t, "pseudo")) return;
  const folder = temporaryFolder(t);
  const root = path.join(folder, "root");
  fs.mkdirSync(root);
  const state = { PSEUDO_PREFIX: "/usr", PSEUDO_LOCALSTATEDIR: path.join(folder, "state") };
  const { lines } = describeElsewhere(
    root,
    ["pseudo", "sh", "-c", `cd ${root}; ${FAKE}; cd /; exec "$@"`, "sh"],
    state,
  );
  assertFaked(lines);
});

test("a user that may not read a file is told which", async (t) => {
  if (lacksRoot(t)) return;
  const root = temporaryFolder(t);
  fs.writeFileSync(path.join(root, "secret"), "x", { mode: 0o600 });
  fs.chmodSync(root, 0o755);
  const tree = await readDirectory(root, { xattrs: false });
  const { content } = lookup(tree, fromText("secret")) as RegularFile;
  // From here on the kernel asks this user's permissions; the modules are loaded already, wherever they are.
  process.seteuid!(65534);
  try {
    await assert.rejects(readContent(content), fails("source-unreadable", /^cannot read .*\/secret: EACCES$/));
  } finally {
    process.seteuid!(0);
  }
});

test("xattrs come through GNU tar where there is no getfattr, and without either a notice says so", async (t) => {
  if (lacks(t, "setfattr", "tar")) return;
  const folder = temporaryFolder(t);
  const root = path.join(folder, "root");
  fs.mkdirSync(path.join(root, "sub"), { recursive: true });
  fs.writeFileSync(path.join(root, "sub/big"), new Uint8Array(3_000_000));
  fs.writeFileSync(path.join(root, "sub/file"), "");
  run("setfattr", ["-n", "user.x", "-v", "0x000aff", path.join(root, "sub/file")]);
  run("setfattr", ["-n", "user.y", "-v", "", root]);
  const withTar = path.join(folder, "with-tar");
  const without = path.join(folder, "without");
  fs.mkdirSync(withTar);
  fs.mkdirSync(without);
  fs.symlinkSync(run("sh", ["-c", "command -v tar"]).trim(), path.join(withTar, "tar"));

  const found = describeElsewhere(root, [], { PATH: withTar });
  const xattrs = (lines: string[][]) =>
    lines.map(([name, line]) => `${name}: ${/ ((?:user)[^ ]*)$/.exec(line!)?.[1] ?? ""}`);
  assert.deepEqual(xattrs(found.lines), [": user.y=", "sub: ", "sub/big: ", "sub/file: user.x=000aff"]);
  assert.equal(found.stderr, "");

  const xargs = run("sh", ["-c", "command -v xargs"]).trim();
  fs.symlinkSync(xargs, path.join(withTar, "xargs"));
  const some = describeElsewhere(root, [], { PATH: withTar }, ["big"]);
  assert.deepEqual(xattrs(some.lines), [": user.y=", "sub: ", "sub/file: user.x=000aff"]);
  assert.equal(some.stderr, "");

  const none = describeElsewhere(root, [], { PATH: without });
  assert.deepEqual(xattrs(none.lines), [": ", "sub: ", "sub/big: ", "sub/file: "]);
  assert.match(none.stderr, /^extended attributes, file capabilities among them, are not read .*getfattr/);
});
