/** A size that is said to do does, and so does every larger one; what was refused is smaller than what is said to do. */
import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { alignUp } from "../../src/bytes/size.js";
import { ImgbuildError } from "../../src/errors.js";
import { parseFeatures } from "../../src/ext4/features.js";
import { writeExt4 } from "../../src/ext4/index.js";
import { type PlanOptions, planWithin, smallestSize } from "../../src/ext4/plan.js";
import { type Survey, surveyTree } from "../../src/ext4/survey.js";
import { type Content, newDirectory, newFile } from "../../src/tree/node.js";
import type { Tree } from "../../src/tree/tree.js";
import fc from "../support/fast-check.js";
import { lacks, temporaryFolder } from "../support/tools.js";
import { assertClean, GiB, MiB, makeImage, OPTIONS } from "./support.js";

/** `size` bytes without a zero block. */
function dense(size: number): Content {
  return {
    size,
    data: [{ start: 0, end: size }],
    async open() {
      return {
        async read(_at, into) {
          into.fill(0xa5);
        },
        async close() {},
      };
    },
  };
}

function treeOf(sizes: readonly number[]): Tree {
  const root = newDirectory();
  for (const [i, size] of sizes.entries()) root.entries.set(fromText(`${i}`), newFile(dense(size)));
  return { root };
}

/** What `writeExt4` says that `tree` needs, which does not fit into `size`. */
async function neededFor(size: number, tree: Tree, options: Partial<Parameters<typeof writeExt4>[2]>): Promise<number> {
  try {
    await writeExt4(new MemoryDevice(size), tree, { ...OPTIONS, ...options });
  } catch (error) {
    assert.ok(error instanceof ImgbuildError && error.code === "does-not-fit", String(error));
    return error.data.needed as number;
  }
  return assert.fail(`${size} bytes did`);
}

test("the size in MiB that a refusal leads to is enough", async (t) => {
  if (lacks(t, "e2fsck")) return;
  const image = path.join(temporaryFolder(t), "image");
  // Between the smallest size and the next whole MiB, each of the groups gets more inodes.
  const tree = treeOf([147_954_073]);
  const options = { blockSize: 1024, inodeRatio: 1024 } as const;
  const hinted = alignUp(await neededFor(100 * MiB, tree, options), MiB);
  assert.equal(hinted, 212 * MiB);
  await makeImage(image, hinted, tree, options);
  assertClean(image);
});

interface Case {
  readonly survey: Survey;
  readonly options: PlanOptions;
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    blockSize: fc.constantFrom(1024 as const, 2048 as const, 4096 as const),
    inodeSize: fc.constantFrom(128 as const, 256 as const),
    list: fc.constantFrom("", "", "ext3", "ext2", "64bit", "-flex_bg", "-resize_inode,-sparse_super", "-resize_inode"),
    inodeRatio: fc.oneof(fc.constantFrom(1024, 4096, 16_384), fc.integer({ min: 1024, max: 100_000 })),
    journalSize: fc.constantFrom(undefined, undefined, 0, 8 * MiB),
    grow: fc.constantFrom(undefined, 3 * GiB),
    sizes: fc.oneof(
      fc.array(fc.integer({ min: 0, max: 3 * MiB }), { maxLength: 300 }),
      fc.array(fc.integer({ min: 50 * MiB, max: 900 * MiB }), { minLength: 1, maxLength: 4 }),
      fc.array(fc.integer({ min: GiB / 2, max: 2 * GiB - 1 }), { minLength: 4, maxLength: 12 }),
    ),
  })
  .map(({ blockSize, inodeSize, list, inodeRatio, journalSize, grow, sizes }) => {
    const features = parseFeatures(list, { blockSize, inodeSize });
    const format = { blockSize, inodeSize, features };
    const growTo = features.has("resize_inode") ? grow : undefined;
    return {
      survey: surveyTree(treeOf(sizes), { format, hashSeed: new Int32Array(4), time: 0 }),
      options: { format, inodeRatio, growTo, journalSize: features.has("has_journal") ? journalSize : 0 },
    };
  });

test("whatever is in it: the smallest size, and every larger one", () => {
  fc.assert(
    fc.property(
      cases,
      fc.array(fc.integer({ min: 1, max: 40_000 }), { maxLength: 40 }),
      ({ survey, options }, more) => {
        const { blockSize } = options.format;
        const needed = smallestSize(survey, options);
        const fits = (size: number) => planWithin(size, survey, options) !== undefined;
        for (let blocks = 0; blocks < 64; blocks++)
          assert.ok(fits(needed + blocks * blockSize), `${needed} + ${blocks}`);
        for (const blocks of more) assert.ok(fits(needed + blocks * blockSize), `${needed} + ${blocks}`);
        assert.ok(fits(alignUp(needed, MiB)), `${needed} in MiB`);
        // With a journal of a fixed size, no smaller one is enough; with others, the next smaller one is not.
        assert.ok(!fits(needed - blockSize));
        if (options.journalSize === undefined) return;
        for (const blocks of more) if (blocks * blockSize < needed) assert.ok(!fits(needed - blocks * blockSize));
      },
    ),
    { numRuns: 150, seed: 4 },
  );
});
