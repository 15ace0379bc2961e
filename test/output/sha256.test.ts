/** Checksums of sparse files, on one thread and on several. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { type SparseFile, sha256OfAll } from "../../src/output/sha256.js";
import { temporaryFolder } from "../support/tools.js";

const MIB = 2 ** 20;

/** A file of `size` bytes with some at its beginning, and further ones at `at`. */
function sparse(folder: string, name: string, size: number, at: number): SparseFile {
  const file = path.join(folder, name);
  fs.writeFileSync(file, name.repeat(100));
  const fd = fs.openSync(file, "r+");
  fs.writeSync(fd, name.repeat(30), at);
  fs.ftruncateSync(fd, size);
  fs.closeSync(fd);
  const data = [
    { start: 0, end: name.length * 100 },
    { start: at, end: at + name.length * 30 },
  ];
  return { path: file, size, data };
}

test("the digests are those of the files, in their order, however many threads there are", async (t) => {
  const folder = temporaryFolder(t);
  // Longer and shorter than what is worth a thread, and not in the order of their lengths.
  const sizes = [18 * MIB + 7, 5000, 33 * MIB, 2 * MIB, 17 * MIB];
  const files = sizes.map((size, index) => sparse(folder, `file-${index}`, size, size - 1000));
  const expected = files.map((file) => createHash("sha256").update(fs.readFileSync(file.path)).digest("hex"));
  for (const jobs of [1, 2, 8]) assert.deepEqual(await sha256OfAll(files, jobs), expected, `${jobs}`);
  assert.deepEqual(await sha256OfAll([], 4), []);
});

test("what cannot be read back is an error that names the file, on whichever thread", async (t) => {
  const folder = temporaryFolder(t);
  const good = Array.from({ length: 3 }, (_, index) => sparse(folder, `good-${index}`, 20 * MIB, MIB));
  const shorter = { ...sparse(folder, "shorter", 20 * MIB, MIB), data: [{ start: 0, end: 21 * MIB }] };
  const missing = { ...shorter, path: path.join(folder, "missing") };
  for (const bad of [shorter, missing]) {
    for (const files of [
      [bad, ...good],
      [...good, bad],
    ]) {
      for (const jobs of [1, 4]) {
        const error = { code: "io-failed", message: new RegExp(`cannot read ${bad.path} back`) };
        await assert.rejects(sha256OfAll(files, jobs), error);
      }
    }
  }
});
