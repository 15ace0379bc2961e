/** Random trees, as the kernel and unsquashfs read them. */
import { test } from "node:test";
import fc from "../support/fast-check.js";
import { randomTrees } from "../support/random-tree.js";
import { lacks, lacksRoot, temporaryFolder } from "../support/tools.js";
import { assertExtracts, assertKernelShows, type Options, writeImage } from "./image.js";

const options: fc.Arbitrary<Options> = fc.record({
  blockSize: fc.constantFrom(4096, 131_072, 2 ** 20),
  level: fc.constantFrom(1, 9),
  fragments: fc.constantFrom(true, false, "always" as const),
  dedupe: fc.boolean(),
  sparse: fc.boolean(),
  exports: fc.boolean(),
  jobs: fc.constantFrom(1, 2),
});

test("the kernel shows random trees as they were given", async (t) => {
  if (lacksRoot(t) || lacks(t, "getfattr")) return;
  const folder = temporaryFolder(t);
  await fc.assert(
    fc.asyncProperty(randomTrees, options, async (tree, chosen) => {
      const { image } = await writeImage(folder, tree, chosen);
      await assertKernelShows(image, tree);
    }),
    { numRuns: 25 },
  );
});

test("unsquashfs extracts random trees as they were given", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
  const folder = temporaryFolder(t);
  await fc.assert(
    fc.asyncProperty(randomTrees, options, async (tree, chosen) => {
      const { image } = await writeImage(folder, tree, chosen);
      await assertExtracts(folder, image, tree);
    }),
    { numRuns: 25 },
  );
});
