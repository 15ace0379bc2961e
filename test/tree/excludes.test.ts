import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { ImgbuildError } from "../../src/errors.js";
import { Excludes, readDirectory, readExcludeFile, readTar } from "../../src/host.js";
import { type Tree, walk } from "../../src/tree/index.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";

const excludesOf = (...patterns: string[]) => new Excludes(patterns.map(fromText));

/** Which of `paths` are left out; those that end with a slash are folders. */
function leftOut(pattern: string, ...paths: string[]): string[] {
  const excludes = excludesOf(pattern);
  return paths.filter((name) => excludes.has(fromText(name.replace(/\/$/, "")), () => name.endsWith("/")));
}

const pathsOf = (tree: Tree) => Array.from(walk(tree), ({ path: name }) => name);

test("where a pattern applies", () => {
  assert.deepEqual(leftOut("*.pyc", "a.pyc", "x/y/a.pyc", ".pyc", "a.py", "a.pyc/b"), ["a.pyc", "x/y/a.pyc", ".pyc"]);
  assert.deepEqual(leftOut("/boot", "boot", "usr/boot"), ["boot"]);
  assert.deepEqual(leftOut("./boot", "boot", "usr/boot"), ["boot"]);
  assert.deepEqual(leftOut("dev/*", "dev", "dev/null", "dev/pts/0", "usr/dev/null"), ["dev/null"]);
  assert.deepEqual(leftOut("usr/**", "usr", "usr/a", "usr/a/b", "x/usr/a"), ["usr/a", "usr/a/b"]);
  assert.deepEqual(leftOut("**/doc/*", "doc/a", "usr/share/doc/a", "usr/doc"), ["doc/a", "usr/share/doc/a"]);
  assert.deepEqual(leftOut("a/**/b", "a/b", "a/x/y/b", "x/a/b"), ["a/b", "a/x/y/b"]);
  assert.deepEqual(leftOut("cache/", "cache/", "var/cache/", "etc/cache"), ["cache/", "var/cache/"]);
  assert.deepEqual(leftOut("var/cache/", "cache/", "var/cache/", "x/var/cache/"), ["var/cache/"]);
});

test("what a pattern is made of", () => {
  assert.deepEqual(leftOut("[!a]?", "ab", "bb", "b"), ["bb"]);
  assert.deepEqual(leftOut("[[:digit:]]x", "1x", "dx"), ["1x"]);
  assert.deepEqual(leftOut("{a,b}.c", "a.c", "b.c", "c.c"), ["a.c", "b.c"]);
  assert.deepEqual(leftOut("!(*data*).gz", "a.gz", "data.gz"), ["a.gz"]);
  assert.deepEqual(leftOut("@(a|(b)).gz", "a.gz", "(b).gz", "b.gz"), ["a.gz", "(b).gz"]);
  assert.deepEqual(leftOut("foo(1).txt", "foo(1).txt", "foo1.txt"), ["foo(1).txt"]);
  assert.deepEqual(leftOut('"a"', '"a"', "a"), ['"a"']);
  assert.deepEqual(leftOut("back\\slash", "backslash", "back\\slash", "back lash"), ["backslash"]);
  assert.deepEqual(leftOut("a+b^$|.c", "a+b^$|.c", "aab^$|.c", "a+b^$|xc"), ["a+b^$|.c"]);
  assert.deepEqual(leftOut("a\\*", "a*", "ab"), ["a*"]);
  assert.deepEqual(leftOut("\\!a", "!a", "a"), ["!a"]);
  assert.deepEqual(leftOut("C", "C", "c"), ["C"]);
});

test("names that are not ASCII, and names that are not UTF-8", () => {
  assert.deepEqual(leftOut("?.txt", "é.txt", "éé.txt"), ["é.txt"]);
  const has = (pattern: ByteString, name: string) => new Excludes([pattern]).has(name as ByteString, () => false);
  assert.ok(has(fromText("?b"), "\xffb"));
  assert.ok(has(fromText("*b"), "a\xff\xfeb"));
  assert.ok(has("a\xff*" as ByteString, "a\xffb"));
  assert.ok(!has("a\xff*" as ByteString, "a\xfeb"));
  assert.ok(!has(fromText("ÿ"), "\xff"), "the byte ff is not the character of that number");
  // A truncated sequence, an overlong one and a surrogate are bytes, not characters.
  assert.ok(has(fromText("???"), "a\xc3b"));
  assert.ok(has(fromText("??"), "\xc0\x80"));
  assert.ok(has(fromText("???"), "\xed\xa0\x80"));
});

test("patterns that are mistakes", () => {
  for (const pattern of ["", "/", "./", "!keep"]) {
    assert.throws(
      () => excludesOf(pattern),
      (error: ImgbuildError) =>
        error instanceof ImgbuildError && error.code === "usage" && /not a pattern/.test(error.message),
    );
  }
  const excludes = excludesOf("*.gz", "*.bz2", "a.gz");
  assert.ok(excludes.has(fromText("a.gz"), () => false));
  assert.deepEqual(excludes.unused, ["*.bz2"]);
});

test("a file of patterns", () => {
  const text = "# logs\n*.log\r\n\n  /boot  \n\\#x\n\xc3\xa0\n" as ByteString;
  assert.deepEqual(readExcludeFile(text), ["*.log", "/boot", "\\#x", "\xc3\xa0"]);
});

function makeSource(t: TestContext): string {
  const root = path.join(temporaryFolder(t), "root");
  for (const folder of ["a/b/a/b", "test/deep", "proc/self"])
    fs.mkdirSync(path.join(root, folder), { recursive: true });
  for (const name of [
    "a/b/x.gz",
    "a/b/a/b/x.gz",
    "test/data.gz",
    "test/deep/y.gz",
    "proc/self/z",
    "one",
    ".hidden.gz",
  ]) {
    fs.writeFileSync(path.join(root, name), name);
  }
  fs.linkSync(path.join(root, "one"), path.join(root, "test/two"));
  return root;
}

test("folders that are left out are not read", async (t) => {
  if (lacksRoot(t) || lacks(t, "getfattr", "setfattr")) return;
  const root = makeSource(t);
  fs.chmodSync(path.dirname(root), 0o755);
  fs.chmodSync(path.join(root, "proc"), 0o700);
  run("setfattr", ["-n", "user.kept", "-v", "1", path.join(root, "test")]);
  const host = path.resolve(import.meta.dirname, "../../src/host.js");
  // The modules are loaded first: the checkout may be one that nobody else may read.
  const read = (pattern: string) =>
    run(process.execPath, [
      ...["--input-type=module", "--eval"],
      `const { readDirectory, Excludes } = await import(${JSON.stringify(host)});
       const excludes = new Excludes([${JSON.stringify(pattern)}]);
       process.setgroups([]);
       process.setgid(65534);
       process.setuid(65534);
       const { root } = await readDirectory(${JSON.stringify(root)}, { excludes });
       console.log([...root.entries.keys()].sort().join(), [...root.entries.get("test").xattrs.keys()].join());`,
    ]);
  assert.throws(() => read("nothing"), /cannot read .*proc/);
  assert.equal(read("/proc"), ".hidden.gz,a,one,test user.kept\n");
});

test("a hard link keeps its other names, from a folder and from a tar", async (t) => {
  const root = makeSource(t);
  const archive = path.join(path.dirname(root), "root.tar");
  // "one" first, so that test/two is a link to a member that is left out.
  run("tar", ["-C", root, "-cf", archive, "one", "test", "a", "proc", ".hidden.gz"]);
  for (const tree of [
    await readDirectory(root, { excludes: excludesOf("/one", "proc/*", "a/b") }),
    await readTar(archive, { spool: path.dirname(root), excludes: excludesOf("/one", "proc/*", "a/b") }),
  ]) {
    assert.deepEqual(pathsOf(tree), [
      ...["", ".hidden.gz", "a", "proc", "test", "test/data.gz", "test/deep", "test/deep/y.gz", "test/two"],
    ]);
    const node = [...walk(tree)].at(-1)!.node;
    assert.equal(node.type === "file" && node.content.size, 3);
  }
});

test("the patterns of mksquashfs -wildcards leave out the same", async (t) => {
  if (lacks(t, "mksquashfs", "unsquashfs")) return;
  const root = makeSource(t);
  const image = path.join(path.dirname(root), "image");
  for (const [ours, ...theirs] of [
    ["test/*.gz", "test/*.gz"],
    ["/a/b", "a/b"],
    ["/proc", "proc"],
    ["proc/*", "proc/*"],
    // A "*" of mksquashfs does not match a dot in front.
    ["*.gz", "... *.gz", "... .*.gz"],
    ["*/b/*.gz", "*/b/*.gz"],
    ["test/!(*data*)", "test/!(*data*)"],
    ["/on[!f]", "on[!f]"],
    ["t?st", "... t?st"],
  ] as const) {
    run("mksquashfs", [root, image, "-noappend", "-quiet", "-no-progress", "-wildcards", "-e", ...theirs]);
    const listed = run("unsquashfs", ["-l", "-d", "", image])
      .split("\n")
      .filter((line) => line.startsWith("/"));
    const tree = await readDirectory(root, { excludes: excludesOf(ours) });
    assert.deepEqual(pathsOf(tree).slice(1), listed.map((line) => line.slice(1)).sort(), ours);
  }
});
