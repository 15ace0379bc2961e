/** Which files a build makes, and what becomes of those of the build before it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import type { Manifest } from "../../src/output/manifest.js";
import { type Listed, OUTPUT_NAMES, OUTPUTS } from "../../src/output/outputs.js";
import { Workspace } from "../../src/output/workspace.js";
import { imgbuild, makeRoot, SMALL } from "../support/cli.js";
import { temporaryFolder } from "../support/tools.js";
import { build, files } from "./build.js";

test("--format and the profile say which files there are; those of an earlier build go", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const out = path.join(folder, "out/colibri-imx6");
  const whole = ["boot0.img", "bootfs.vfat", "emmc.img", "manifest.json", "rootfs.squashfs", "userdata.ext4"];
  const first = build(folder, root);
  assert.deepEqual(files(out), whole);
  assert.deepEqual(
    first.artifacts.map(({ file }) => file).sort(),
    whole.filter((name) => name !== "manifest.json"),
  );

  // What goes with an output is made too; what is not asked for is not left over.
  fs.writeFileSync(path.join(out, "mine.txt"), "");
  build(folder, root, "--format", "img");
  assert.deepEqual(files(out), ["boot0.img", "emmc.img", "manifest.json", "mine.txt"]);

  // The image itself need not be among them, and the option counts for more than the profile.
  build(folder, root, "--format", "partitions", "--set", "outputs=[img]");
  assert.deepEqual(files(out), ["bootfs.vfat", "manifest.json", "mine.txt", "rootfs.squashfs", "userdata.ext4"]);
  build(folder, root, "--set", "outputs=[boot0]");
  assert.deepEqual(files(out), ["boot0.img", "manifest.json", "mine.txt"]);

  const again = build(folder, root, "--format", "partitions", "--format", "img,boot0");
  assert.deepEqual(again.artifacts, first.artifacts);
});

test("an unknown output is refused, on the command line and in a profile, with what there is", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const asked = imgbuild([...SMALL, root, "--format", "img,imgg"], { cwd: folder });
  assert.equal(asked.status, 2);
  assert.match(asked.stderr, /"imgg" is not known/);
  const written = imgbuild([...SMALL, root, "--set", "outputs=[imgg]"], { cwd: folder });
  assert.equal(written.status, 2);
  for (const name of OUTPUT_NAMES) {
    assert.ok(asked.stderr.includes(name), name);
    assert.match(written.stderr, new RegExp(` ${name.replace(".", "\\.")}(,|\\n| or )`), name);
  }
});

test("outputs that go with another are outputs", () => {
  for (const [name, { with: others = [] }] of Object.entries<Listed>(OUTPUTS)) {
    for (const other of others) assert.ok(other in OUTPUTS && other !== name, `${name}: ${other}`);
  }
});

test("artifacts in folders: replaced one by one, and empty folders go", async (t) => {
  const folder = temporaryFolder(t);
  const write = async (names: readonly string[], stale: readonly string[]) => {
    const workspace = new Workspace(folder);
    for (const name of names) await workspace.create(name, 3).write(0, Buffer.from("new"));
    workspace.commit({ stale });
  };
  fs.mkdirSync(path.join(folder, "a"));
  fs.writeFileSync(path.join(folder, "a/mine"), "mine");
  await write(["a/one", "a/b/two", "three"], []);
  assert.deepEqual(files(folder), ["a/b/two", "a/mine", "a/one", "three"]);
  await write(["a/one"], ["a/one", "a/b/two", "three", "gone/four"]);
  assert.deepEqual(files(folder), ["a/mine", "a/one"]);
  assert.equal(fs.existsSync(path.join(folder, "a/b")), false);
});

test("a manifest cannot have anything removed outside of its folder, nor behind a symlink", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  build(folder, root, "--format", "boot0");
  const out = path.join(folder, "out/colibri-imx6");
  const manifest: Manifest = JSON.parse(fs.readFileSync(path.join(out, "manifest.json"), "utf8"));
  const kept = path.join(folder, "kept");
  fs.mkdirSync(kept);
  fs.writeFileSync(path.join(kept, "file"), "");
  fs.symlinkSync(kept, path.join(out, "link"));
  const [artifact] = manifest.artifacts;
  const named = ["../../kept/file", path.join(kept, "file"), "link/file", "./../../kept/file"];
  const artifacts = named.map((file) => ({ ...artifact!, file }));
  fs.writeFileSync(path.join(out, "manifest.json"), JSON.stringify({ ...manifest, artifacts }));
  build(folder, root, "--format", "boot0");
  assert.ok(fs.existsSync(path.join(kept, "file")));
});

test("a folder without the whole image is no image, and the error says how to get one", (t) => {
  const folder = temporaryFolder(t);
  build(folder, makeRoot(folder), "--format", "partitions");
  for (const command of ["boot", "inspect"]) {
    const { status, stderr } = imgbuild([command, "out/colibri-imx6"], { cwd: folder });
    assert.equal(status, 1);
    assert.match(stderr, /there is no emmc\.img in the folder out\/colibri-imx6\n.*--format img/, command);
    const elsewhere = imgbuild([command, "."], { cwd: folder });
    assert.match(elsewhere.stderr, /there is no emmc\.img in the folder \.\n.*output folder of a build/, command);
  }
});
