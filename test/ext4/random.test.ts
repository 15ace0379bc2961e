/** Random trees over block sizes and sizes: the kernel shows what the tree is, and e2fsck has no word of complaint. */
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

/** Gives every node nanoseconds that follow from its place, which random trees do not have. */
function addNanoseconds(root: Directory): void {
  let count = 1;
  for (const { node } of walk({ root }))
    node.mtime = { seconds: node.mtime.seconds, nanoseconds: (count++ * 123_456_789) % 1e9 };
}

test("random trees come back from the kernel as they went in", async (t) => {
  if (lacks(t, "e2fsck", "getfattr") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  await fc.assert(
    fc.asyncProperty(
      randomTrees,
      fc.constantFrom(1024 as const, 2048 as const, 4096 as const),
      fc.integer({ min: 24 * MiB, max: 300 * MiB }),
      async (tree, blockSize, size) => {
        addNanoseconds(tree.root);
        await makeImage(image, size, tree, { blockSize });
        assertClean(image);
        const options = { nanoseconds: true, ignore: ["lost+found"] };
        const found = await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, options));
        assert.deepEqual(found, await describeTree(tree, options));
      },
    ),
    { numRuns: 25, seed: 4 },
  );
});
