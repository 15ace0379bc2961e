/** Snapshots, checked with qemu-img. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { emptyQcow2 } from "../../src/qemu/qcow2.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const MiB = 2 ** 20;

test("a snapshot shows the image, and zeros after its end", (t) => {
  if (lacks(t, "qemu-img")) return;
  const folder = temporaryFolder(t);
  const content = Buffer.alloc(3 * MiB, "image ");
  fs.writeFileSync(`${folder}/image`, content);
  fs.writeFileSync(`${folder}/snapshot`, emptyQcow2(`${folder}/image`, 4 * MiB));
  run("qemu-img", ["check", "-f", "qcow2", `${folder}/snapshot`]);
  run("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", `${folder}/snapshot`, `${folder}/shown`]);
  assert.ok(fs.readFileSync(`${folder}/shown`).equals(Buffer.concat([content, Buffer.alloc(MiB)])));
});

test("what is written to a snapshot stays out of the image", (t) => {
  if (lacks(t, "qemu-io", "qemu-img")) return;
  const folder = temporaryFolder(t);
  fs.writeFileSync(`${folder}/image`, Buffer.alloc(MiB, 1));
  fs.writeFileSync(`${folder}/snapshot`, emptyQcow2(`${folder}/image`, 2 ** 32));
  run("qemu-io", ["-f", "qcow2", "-c", "write -P 2 512k 64k", "-c", "write -P 3 4095M 64k", `${folder}/snapshot`]);
  run("qemu-io", ["-f", "qcow2", "-c", "read -P 1 0 512k", "-c", "read -P 2 512k 64k", `${folder}/snapshot`]);
  run("qemu-img", ["check", "-f", "qcow2", `${folder}/snapshot`]);
  assert.ok(fs.readFileSync(`${folder}/image`).equals(Buffer.alloc(MiB, 1)));
});

for (const size of [512, 512 * MiB, 512 * MiB + 512, 2 ** 42 + 512]) {
  test(`a snapshot of ${size} bytes is sound`, (t) => {
    if (lacks(t, "qemu-img")) return;
    const folder = temporaryFolder(t);
    fs.writeFileSync(`${folder}/image`, Buffer.alloc(512));
    fs.writeFileSync(`${folder}/snapshot`, emptyQcow2(`${folder}/image`, size));
    run("qemu-img", ["check", "-f", "qcow2", `${folder}/snapshot`]);
    const info = JSON.parse(run("qemu-img", ["info", "--output=json", `${folder}/snapshot`]));
    assert.equal(info["virtual-size"], size);
    assert.equal(info["backing-filename"], `${folder}/image`);
    assert.equal(info["backing-filename-format"], "raw");
  });
}

test("a path that the header cannot hold is refused", () => {
  assert.throws(() => emptyQcow2(`/${"x".repeat(1023)}`, MiB), { code: "not-representable" });
});
