/** Where content goes: folders of the root apart from each other, files beside their folder and in one piece. */
import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { contentOf, newDirectory, newFile } from "../../src/tree/node.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { assertClean, debugfs, GiB, MiB, makeImage } from "./support.js";

const GROUPS_OF_16 = 16 * 32_768;

function treeOf(folders: number, files: number, bytes: number) {
  const root = newDirectory();
  for (let i = 0; i < folders; i++) {
    const folder = newDirectory();
    for (let k = 0; k < files; k++)
      folder.entries.set(fromText(`f${k}`), newFile(contentOf(new Uint8Array(bytes).fill(1))));
    root.entries.set(fromText(`d${i}`), folder);
  }
  return { root };
}

/** The blocks of a file or folder, as debugfs lists them. */
function blocksOf(image: string, name: string): number[] {
  return debugfs(image, `blocks ${name}`).trim().split(/\s+/).map(Number);
}

test("folders of the root are spread over a large file system", async (t) => {
  if (lacks(t, "e2fsck", "debugfs")) return;
  const image = path.join(temporaryFolder(t), "image");
  await makeImage(image, 9 * GiB, treeOf(4, 3, 10_000));
  assertClean(image);
  const places = [0, 1, 2, 3].map((i) => blocksOf(image, `/d${i}`)[0]!);
  assert.equal(new Set(places.map((block) => Math.floor(block / GROUPS_OF_16))).size, 4);
  for (const [i, start] of places.entries()) {
    const files = [0, 1, 2].flatMap((k) => blocksOf(image, `/d${i}/f${k}`));
    // The folder's one block, and then three files of three blocks each, in order.
    assert.deepEqual(
      files,
      Array.from({ length: 9 }, (_, n) => start + 1 + n),
    );
  }
});

test("in one that is nearly full, everything follows on each other", async (t) => {
  if (lacks(t, "e2fsck", "debugfs")) return;
  const image = path.join(temporaryFolder(t), "image");
  await makeImage(image, 100 * MiB, treeOf(20, 20, 150_000));
  assertClean(image);
  assert.match(run("e2fsck", ["-fn", image]), /\(0\.0% non-contiguous\)/);
});
