/** Images compressed with LZO, as the kernel and unsquashfs read them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import { assertExtracts, assertKernelShows, noise, text, treeOf, writeImage } from "./image.js";

for (const blockSize of [4096, 131_072, 2 ** 20]) {
  test(`LZO blocks of ${blockSize} bytes`, async (t) => {
    if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
    const files: Record<string, Uint8Array> = { zeros: new Uint8Array(3 * blockSize), noise: noise(blockSize + 9, 1) };
    for (const size of [0, 1, 2, 100, blockSize - 1, blockSize, blockSize + 1]) files[`text-${size}`] = text(size, 3);
    // Inodes and directory entries for several metadata blocks.
    for (let i = 0; i < 600; i++) files[`folder/${i}`] = text(50, i);
    const tree = treeOf(files);
    const folder = temporaryFolder(t);
    for (const level of [1, 5, 8, 9]) {
      const { image } = await writeImage(folder, tree, { compressor: "lzo", level, blockSize });
      await assertKernelShows(image, tree);
      if (level === 8) await assertExtracts(folder, image, tree);
    }
  });
}

test("the LZO level is stored where it is not the one that readers assume", async (t) => {
  if (lacks(t, "unsquashfs")) return;
  const folder = temporaryFolder(t);
  const say = async (level?: number) => {
    const { image } = await writeImage(folder, treeOf({ file: text(5000) }), { compressor: "lzo", level });
    return run("unsquashfs", ["-s", image]);
  };
  assert.match(await say(), /Compression lzo\nBlock size/);
  assert.match(await say(8), /Compression lzo\nBlock size/);
  assert.match(await say(3), /Compression lzo\n\talgorithm lzo1x_999\n\tcompression level 3\n/);
});
