/** What has to run without Node: that it does, in a realm that has none of it, with the same bytes. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { describeTree, sampleTree, writeAll } from "./images.js";

const PROGRAM = path.join(import.meta.dirname, "web-program.js");

test("images written without Node are those of Node, unsquashfs reads them, and they are read without Node", async (t) => {
  const folder = temporaryFolder(t);
  run(process.execPath, ["--no-warnings", "--experimental-vm-modules", PROGRAM, folder]);
  const images = await writeAll();
  const contents = await describeTree(sampleTree());
  assert.ok(images.size > 0);
  for (const [name, expected] of images) {
    assert.equal(Buffer.compare(fs.readFileSync(path.join(folder, name)), expected), 0, name);
    assert.equal(fs.readFileSync(path.join(folder, `${name}.txt`), "utf8"), contents, `read without Node, ${name}`);
  }
  if (lacks(t, "unsquashfs")) return;
  const unpacked = (image: string) => {
    run("unsquashfs", ["-no-xattrs", "-dest", path.join(folder, `${image}.d`), path.join(folder, image)]);
    return path.join(folder, `${image}.d`);
  };
  assert.equal(fs.readFileSync(path.join(unpacked("gzip"), "many/7"), "latin1").length, 7);
  assert.match(
    fs.readFileSync(path.join(unpacked("example"), "etc/hello"), "utf8"),
    /^(Hello from SquashFS.\n){10000}$/,
  );
  assert.match(fs.readFileSync(path.join(unpacked("worker"), "a/file"), "utf8"), /^(in a worker\n){50000}$/);
});
