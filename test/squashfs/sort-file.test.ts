import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { ImgbuildError } from "../../src/errors.js";
import { readDirectory } from "../../src/host.js";
import { readSortFile } from "../../src/squashfs/index.js";
import {
  addNode,
  contentOf,
  lookup,
  newDirectory,
  newFile,
  newMetadata,
  type Tree,
  walk,
} from "../../src/tree/index.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

function treeOf(...names: string[]): Tree {
  const tree: Tree = { root: newDirectory() };
  for (const name of names) addNode(tree, name as ByteString, newFile(contentOf(new Uint8Array())));
  return tree;
}

/** The priorities that are not 0, by path. */
function prioritiesOf(text: string, tree: Tree, options = {}): Record<string, number> {
  const priorities = readSortFile(text as ByteString, tree, "sort.txt", options);
  return Object.fromEntries(
    Array.from(walk(tree), ({ path: name, node }) => [name, priorities.get(node) ?? 0] as const).filter(
      ([, priority]) => priority !== 0,
    ),
  );
}

test("lines, comments, escapes and limits", () => {
  const tree = treeOf("a", "b", "a b", "#c", "back\\slash", "\xff\xa0\x85", "d/e", "f");
  const text = `# comment
   # another

a 32767
\tb\t-32768\t\r
a\\ b +5
\\#c 1
back\\\\slash 2
\xff\xa0\x85 3
./d//e 4
/f 6
\\
`;
  assert.deepEqual(prioritiesOf(text, tree), {
    a: 32767,
    b: -32768,
    "a b": 5,
    "#c": 1,
    "back\\slash": 2,
    "\xff\xa0\x85": 3,
    "d/e": 4,
    f: 6,
  });
});

test("folders, overrides, hard links and symlinks", () => {
  const tree = treeOf("usr/bin/a", "usr/bin/b", "usr/lib/c", "low/d", "other");
  const put = (name: string, target: string) => addNode(tree, fromText(name), lookup(tree, fromText(target))!);
  put("low/c", "usr/lib/c");
  put("zero", "low/d");
  addNode(tree, fromText("bin"), { type: "symlink", ...newMetadata(0o777), target: fromText("/usr/bin") });
  const text = "usr 5\nlow/* -7\nbin/a 9\nusr/bin 6\nother 1\nother 2\n";
  assert.deepEqual(prioritiesOf(text, tree), {
    "usr/bin/a": 9,
    "usr/bin/b": 6,
    "usr/lib/c": 5,
    "low/c": 5,
    other: 2,
  });
  assert.deepEqual(readSortFile(fromText("# nothing\n"), tree, "sort.txt").size, 0);
});

test("paths that are not there are counted, and the first are named", () => {
  const notices: string[] = [];
  const options = { notice: (text: string) => notices.push(text) };
  assert.deepEqual(prioritiesOf("a 1\nx 1\ny/z 1\n\xff 1\nw 1\n", treeOf("a"), options), { a: 1 });
  assert.deepEqual(notices, ["sort.txt: 4 of the paths are not in the source, and have no effect: x, y/z, \\xff ..."]);
});

test("lines that are mistakes are named", () => {
  for (const [line, message] of [
    ["a", /sort\.txt:2: there is no priority/],
    ["a b 5", /sort\.txt:2: "b 5" is not a priority/],
    ["a 5 6", /"5 6" is not/],
    ["a 5x", /"5x" is not/],
    ["a 32768", /"32768" is not/],
    ["a -32769", /"-32769" is not/],
    ["a 1.5", /"1\.5" is not/],
    ["a 0x10", /"0x10" is not/],
  ] as const) {
    assert.throws(
      () => readSortFile(`\n${line}\n` as ByteString, treeOf("a"), "sort.txt"),
      (error: ImgbuildError) =>
        error instanceof ImgbuildError && error.code === "source-invalid" && message.test(error.message),
    );
  }
});

test("mksquashfs stores the files in the order of the same sort file", async (t) => {
  if (lacks(t, "mksquashfs")) return;
  const folder = temporaryFolder(t);
  const source = path.join(folder, "source");
  for (const name of [
    "bin/init",
    "bin/other",
    "lib/x/one",
    "lib/x/two",
    "lib/y",
    "a b",
    "doc/z",
    "doc/deep/w",
    "rest",
  ]) {
    fs.mkdirSync(path.dirname(path.join(source, name)), { recursive: true });
    fs.writeFileSync(path.join(source, name), name);
  }
  fs.linkSync(path.join(source, "lib/x/two"), path.join(source, "doc/two"));
  fs.linkSync(path.join(source, "doc/z"), path.join(source, "zz"));
  fs.symlinkSync("bin", path.join(source, "sbin"));
  const text = `lib 10
  lib/x/one\t20
sbin/init 100
# a comment
a\\ b 50
doc/* -5
doc/deep/w -4
lib/y 1
lib/y 2
none 7
`;
  fs.writeFileSync(path.join(folder, "sort.txt"), text);
  const options = ["-sort", "sort.txt", "-noappend", "-info", "-no-progress", "-processors", "1"];
  const told = run("mksquashfs", ["source", "image", ...options], { cwd: folder });
  // Each file once: further names of one that is stored have LINK at the end of the line.
  const order = [...told.matchAll(/^file source\/(.*), uncompressed size \d+ bytes $/gm)].map(([, name]) => name!);
  const ours = prioritiesOf(text, await readDirectory(source));
  const theirs = order.map((name) => ours[name] ?? 0);
  assert.equal(theirs.length, 9);
  // Within one priority their order is not ours to follow: it is that of reading the folders, backwards.
  assert.deepEqual(
    theirs,
    theirs.toSorted((a, b) => b - a),
  );
  assert.deepEqual([...new Set(theirs)], [100, 50, 20, 10, 2, 0, -4]);
});
