/** Commands load what they need only: loading takes longer than making a small image does. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { MAIN } from "../support/cli.js";
import { temporaryFolder } from "../support/tools.js";

/** A loader hook that writes down what is loaded. */
const RECORDER = `import * as fs from "node:fs";
export const load = (url, context, next) => (fs.appendFileSync(process.env.LOADED, url + "\\n"), next(url, context));`;

/** What a command line loads: files below build/src, packages and modules of Node by their names. */
function loadedBy(t: TestContext, ...args: readonly string[]): string[] {
  const folder = temporaryFolder(t);
  fs.mkdirSync(path.join(folder, "empty"));
  const url = `data:text/javascript,${encodeURIComponent(RECORDER)}`;
  const register = `import { register } from "node:module"; register(${JSON.stringify(url)});`;
  const options = ["--import", `data:text/javascript,${encodeURIComponent(register)}`];
  const log = path.join(folder, "log");
  const { status, stderr } = spawnSync(process.execPath, [...options, MAIN, ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, LOADED: log },
  });
  assert.equal(status, 0, stderr);
  return fs
    .readFileSync(log, "utf8")
    .trimEnd()
    .split("\n")
    .map((loaded) => loaded.replace(/^.*\/build\/src\//, "").replace(/^.*\/node_modules\//, "package "));
}

const PACKAGE = /^package /;

test("squashfs, ext4 and fat load no package, no other format, and nothing for options that are not given", (t) => {
  for (const [format, args] of [
    ["squashfs", []],
    ["ext4", ["--size", "8M"]],
    ["fat", ["--size", "8M"]],
  ] as const) {
    const loaded = loadedBy(t, format, "empty", "image", ...args);
    assert.ok(loaded.includes(`${format}/index.js`));
    const others = ["squashfs", "ext4", "fat", "partition", "profile", "image", "qemu"].filter(
      (name) => name !== format,
    );
    const needless = loaded.filter((name) => PACKAGE.test(name) || others.includes(name.split("/")[0]!));
    assert.deepEqual(needless, [], format);
    for (const name of ["cli/help.js", "tree/excludes.js", "tree/pseudo-file.js", "tree/tar/read-tar.js"]) {
      assert.ok(!loaded.includes(name), `${format} loads ${name}`);
    }
  }
});

test("a file system without extended attributes is made without starting a program", (t) => {
  assert.ok(!loadedBy(t, "squashfs", "empty", "image", "--no-xattrs").includes("node:child_process"));
  assert.ok(!loadedBy(t, "fat", "empty", "image", "--size", "8M").includes("node:child_process"));
});

test("help and version load no command", (t) => {
  for (const option of ["--help", "--version"]) {
    const loaded = loadedBy(t, option).filter((name) => !name.startsWith("node:"));
    assert.deepEqual(
      loaded.filter((name) => !/^(cli|bytes|output\/version|tree\/observer|errors)/.test(name)),
      [],
    );
    assert.ok(!loaded.includes("cli/build.js"));
  }
});
