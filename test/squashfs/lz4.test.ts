/** Images that are compressed with LZ4: what the kernel and unsquashfs read from them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import { assertExtracts, assertKernelShows, noise, text, treeOf, writeImage } from "./image.js";

for (const blockSize of [4096, 131_072, 2 ** 20]) {
  test(`the kernel and unsquashfs read LZ4 in blocks of ${blockSize} bytes`, async (t) => {
    if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
    const files: Record<string, Uint8Array> = {};
    for (const size of [0, 1, 13, blockSize - 1, blockSize, blockSize + 1, 2 * blockSize + 17]) {
      files[`noise-${size}`] = noise(size, 1);
      files[`text-${size}`] = text(size, 2);
      files[`zeros-${size}`] = new Uint8Array(size);
    }
    // More than one metadata block.
    for (let i = 0; i < 400; i++) files[`many/file-${i}`] = text(i, i + 1);
    const tree = treeOf(files);
    const folder = temporaryFolder(t);
    for (const level of [1, 5, undefined]) {
      const { image } = await writeImage(folder, tree, { compressor: "lz4", level, blockSize });
      await assertKernelShows(image, tree);
      await assertExtracts(folder, image, tree);
    }
  });
}

test("the options say how thorough the compression was", async (t) => {
  if (lacks(t, "unsquashfs")) return;
  const folder = temporaryFolder(t);
  const say = async (level?: number) => {
    const { image } = await writeImage(folder, treeOf({ a: text(9000) }), { compressor: "lz4", level });
    return run("unsquashfs", ["-s", image]);
  };
  assert.match(await say(1), /Compression lz4\nBlock size/);
  assert.match(await say(2), /Compression lz4\n\tHigh Compression option specified \(-Xhc\)\n/);
  assert.match(await say(), /Compression lz4\n\tHigh Compression option specified \(-Xhc\)\n/);
});
