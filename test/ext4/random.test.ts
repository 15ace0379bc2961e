/** Random trees over block sizes, inode sizes, features and sizes: the kernel shows what the tree is, and e2fsck has no word of complaint. */
import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { describeDirectory, describeTree } from "../support/describe.js";
import fc from "../support/fast-check.js";
import { randomTrees } from "../support/random-tree.js";
import { lacks, lacksRoot, mounted, temporaryFolder } from "../support/tools.js";
import { addTimes, assertClean, FORMATS, MiB, makeImage } from "./support.js";

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
