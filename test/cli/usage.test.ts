/** Command lines that are nearly right: what is written another way elsewhere, what is misspelt, and what may be repeated. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { imgbuild, SMALL } from "../support/cli.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

/** Asserts a usage error, in a folder that stays empty. */
function refused(cwd: string, line: string, error: RegExp, hint: RegExp): void {
  const { status, stdout, stderr } = imgbuild(line.split(" "), { cwd });
  assert.equal(status, 2, `${line}\n${stderr}`);
  assert.equal(stdout, "");
  const [said, advice, ...more] = stderr.trimEnd().split("\n");
  assert.match(said!, error, line);
  assert.match(advice!, hint, line);
  assert.deepEqual(more, []);
  assert.deepEqual(fs.readdirSync(cwd), ["empty"], line);
}

function emptySource(t: Parameters<typeof temporaryFolder>[0]): string {
  const folder = temporaryFolder(t);
  fs.mkdirSync(path.join(folder, "empty"));
  return folder;
}

test("options of other programs are named, with what they are called here", (t) => {
  const cwd = emptySource(t);
  for (const [line, option, here] of [
    ["squashfs empty x -comp xz", "-comp is an option of mksquashfs", "--compressor NAME"],
    ["squashfs empty x -noappend", "-noappend", "an image is always replaced"],
    ["squashfs empty x -all-root -quiet", "-all-root", "--owner 0:0"],
    ["squashfs empty x -q -no-xattrs", "-no-xattrs", "--no-xattrs"],
    ["squashfs empty x -Xcompression-level 9", "-Xcompression-level", "--level N"],
    ["squashfs empty x -e proc", "-e", "--exclude"],
    ["ext4 x -L root", "-L is an option of mke2fs", "--label TEXT"],
    ["ext4 x -b 1024", "-b", "--block-size"],
    ["fat x -F 32", "-F is an option of mkfs.fat", "--type"],
  ] as const) {
    refused(cwd, line, new RegExp(`^error: ${option}`), new RegExp(`Here: .*${here}.*docs/command-line\\.md`));
  }
});

test("every option that the hints name is one of that command", async () => {
  const { MKE2FS, MKFS_FAT, MKSQUASHFS } = await import("../../src/cli/other-tools.js");
  for (const [command, tool] of [
    ["squashfs", MKSQUASHFS],
    ["ext4", MKE2FS],
    ["fat", MKFS_FAT],
  ] as const) {
    const help = imgbuild([command, "--help"]).stdout;
    for (const [option, here] of Object.entries(tool.options)) {
      for (const [named] of here.matchAll(/--[a-z-]+/g)) assert.ok(help.includes(`${named}`), `${option}: ${named}`);
      // Where it meant something here, the hint would be in the way.
      assert.ok(!help.includes(`  ${option}, `), option);
    }
  }
});

test("every option of mksquashfs that has a hint is in the table of the documentation", async () => {
  const { MKSQUASHFS } = await import("../../src/cli/other-tools.js");
  const file = path.resolve(import.meta.dirname, "../../../docs/command-line.md");
  const table = fs.readFileSync(file, "utf8").split("## Coming from mksquashfs")[1]!;
  const documented = new Set(Array.from(table.matchAll(/(?<=[| ,])-[A-Za-z-]+/g), ([option]) => option));
  // Long forms of -noI and so on.
  const missing = Object.keys(MKSQUASHFS.options).filter((o) => !documented.has(o) && !/^-no\w+Compression$/.test(o));
  assert.deepEqual(missing, []);
});

test("what is misspelt gets a guess, and the help of its command", (t) => {
  const cwd = emptySource(t);
  refused(cwd, "squashfs empty x --compresor xz", /no option --compresor/, /mean --compressor\? .*squashfs --help/);
  refused(cwd, "squashfs empty x --no-xattr", /no option --no-xattr/, /mean --no-xattrs\?/);
  refused(cwd, "squashfs empty x -compressor xz", /no option -compressor/, /mean --compressor\?/);
  refused(cwd, "squashfs empty x -qZ", /no option -Z/, /squashfs --help/);
  refused(cwd, "ext4 x --size 8M --journalsize 4M", /--journalsize/, /--journal-size\? .*ext4 --help/);
  refused(cwd, "sqashfs empty x", /no command sqashfs/, /mean squashfs\?/);
  refused(cwd, "--quiet sqashfs empty x", /no command sqashfs/, /mean squashfs\?/);
  refused(cwd, "boot a b", /b is too much: imgbuild boot IMAGE/, /boot --help/);
  refused(cwd, "fat x", /--size is missing/, /--size SIZE/);
  refused(cwd, "fat --size 1M", /IMAGE is missing: imgbuild fat \[SOURCE\.\.\.\] IMAGE/, /fat --help/);
  refused(cwd, "ext4 x --size 16M --features -64bit", /--features has no value/, /--features=-64bit/);
  refused(cwd, "squashfs empty x --exclude", /--exclude has no value/, /squashfs --help/);
  refused(cwd, "squashfs empty x -b 3000", /block size of 3000 is not a power of two from 4K to 1M/, /4K, 8K/);
  refused(cwd, "squashfs empty x -j 0", /--jobs 0 is out of range/, /1 to 256/);
  const { stdout } = imgbuild(["squashfs", "--json", "--nothing"]);
  assert.equal(JSON.parse(stdout).error.code, "usage");
});

test("lists are joined where an option is given again", (t) => {
  if (lacks(t, "unsquashfs", "dumpe2fs")) return;
  const cwd = emptySource(t);
  const make = (...args: string[]) => {
    const { status, stderr } = imgbuild(args, { cwd });
    assert.equal(status, 0, stderr);
  };
  make("squashfs", "empty", "x", "--uncompressed", "data", "--uncompressed", "inodes,fragments");
  const facts = run("unsquashfs", ["-s", path.join(cwd, "x")]);
  for (const part of ["Inodes", "Data", "Fragments"])
    assert.match(facts, new RegExp(`^${part} (are|is) uncompressed$`, "m"));
  make("squashfs", "empty", "x", "-cxz", "--bcj", "arm", "--bcj=x86,armthumb");
  assert.match(run("unsquashfs", ["-s", path.join(cwd, "x")]), /Filters selected: x86, arm, armthumb/);
  make("ext4", "y", "--size=16M", "--features", "^has_journal", "--features", "+64bit");
  const features = /^Filesystem features:.*$/m.exec(run("dumpe2fs", ["-h", path.join(cwd, "y")]))![0];
  assert.match(features, /64bit/);
  assert.doesNotMatch(features, /has_journal/);
});

test("options stand anywhere, short ones together, and values joined to them", (t) => {
  if (lacks(t, "unsquashfs")) return;
  const cwd = emptySource(t);
  for (const line of [
    "squashfs empty x -q -b 64K",
    "squashfs -qb64K empty x",
    "-q squashfs empty -b=64K x",
    "--quiet=true squashfs --block-size=64K -- empty x",
  ]) {
    const { status, stdout, stderr } = imgbuild(line.split(" "), { cwd });
    assert.deepEqual([status, stdout, stderr], [0, "", ""], line);
    assert.match(run("unsquashfs", ["-s", path.join(cwd, "x")]), /Block size 65536/, line);
    fs.rmSync(path.join(cwd, "x"));
  }
});

test("the help of build is shown for what is a build without saying so", () => {
  const help = imgbuild(["build", "--help"]).stdout;
  assert.match(help, /--boot-files DIR/);
  assert.equal(imgbuild([...SMALL, "-h"]).stdout, help);
  assert.notEqual(imgbuild(["-h"]).stdout, help);
});
