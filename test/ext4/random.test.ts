/** Random trees over block sizes, inode sizes, features and sizes: the kernel shows what the tree is, and e2fsck has no word of complaint. */
import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import type { Directory } from "../../src/tree/node.js";
import { walk } from "../../src/tree/tree.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import fc from "../support/fast-check.js";
import { randomTrees } from "../support/random-tree.js";
import { lacks, lacksRoot, mounted, temporaryFolder } from "../support/tools.js";
import { assertClean, MiB, makeImage } from "./support.js";

/** Sets of features that lay the disk out differently, with both sizes of inodes. */
const FORMATS = [
  "ext4",
  "ext3",
  "ext2,extent",
  "-flex_bg",
  "-metadata_csum,uninit_bg,64bit",
  "-resize_inode,-sparse_super",
]
  .flatMap((features) => ([128, 256] as const).map((inodeSize) => ({ features, inodeSize })))
  .map((format) => (format.inodeSize === 128 ? { ...format, features: `${format.features},-extra_isize` } : format));

/**
 * Gives every node nanoseconds that follow from its place, which random trees do not have; and times before 2038 where inodes
 * have no room for others.
 */
function addTimes(root: Directory, inodeSize: 128 | 256): void {
  let count = 1;
  for (const { node } of walk({ root })) {
    const seconds = inodeSize === 128 ? node.mtime.seconds % 2 ** 31 : node.mtime.seconds;
    node.mtime = { seconds, nanoseconds: (count++ * 123_456_789) % 1e9 };
  }
}

test("random trees come back from the kernel as they went in", async (t) => {
  if (lacks(t, "e2fsck", "getfattr") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  await fc.assert(
    fc.asyncProperty(
      randomTrees,
      fc.constantFrom(1024 as const, 2048 as const, 4096 as const),
      fc.integer({ min: 24 * MiB, max: 300 * MiB }),
      fc.constantFrom(...FORMATS),
      async (tree, blockSize, size, { features, inodeSize }) => {
        addTimes(tree.root, inodeSize);
        await makeImage(image, size, tree, { blockSize, features, inodeSize });
        assertClean(image);
        const options = { nanoseconds: inodeSize > 128, ignore: ["lost+found"] };
        const found = await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, options));
        assert.deepEqual(found, await describeTree(tree, options));
      },
    ),
    { numRuns: 40, seed: 4 },
  );
});
