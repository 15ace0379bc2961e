/** File systems that mke2fs made, of every kind that it knows: the reader finds in each what was put into it. */
import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { NO_XATTRS } from "../../src/tree/node.js";
import { walk } from "../../src/tree/tree.js";
import { describeTree } from "../support/describe.js";
import { materialise } from "../support/materialise.js";
import { lacks, lacksRoot, temporaryFolder } from "../support/tools.js";
import { describeImage, everything, mke2fs } from "./reading.js";

/** Options of mke2fs; and the largest attribute that there is room for: 0 for none at all. */
const KINDS: readonly (readonly [name: string, options: readonly string[], most?: number])[] = [
  ["ext2 of the first revision", ["-t", "ext2", "-r", "0", "-b", "1024", "-O", "none"], 0],
  ["ext2", ["-t", "ext2", "-b", "1024", "-I", "128"], 500],
  ["ext2 without types in its directories", ["-t", "ext2", "-b", "4096", "-O", "^filetype"]],
  ["ext3", ["-t", "ext3", "-b", "2048", "-I", "128"]],
  ["ext3 with checksums of descriptors", ["-t", "ext3", "-b", "1024", "-O", "uninit_bg"], 500],
  ["ext4, 1 KiB", ["-t", "ext4", "-b", "1024"], 500],
  ["ext4, 2 KiB", ["-t", "ext4", "-b", "2048"]],
  ["ext4, 4 KiB", ["-t", "ext4", "-b", "4096"]],
  ["ext4, 64 KiB", ["-t", "ext4", "-b", "65536"]],
  ["ext4 without 64bit", ["-t", "ext4", "-b", "1024", "-O", "^64bit"], 500],
  ["ext4 without metadata_csum", ["-t", "ext4", "-b", "4096", "-O", "^metadata_csum,uninit_bg"]],
  ["ext4 with inodes of 128 bytes", ["-t", "ext4", "-b", "4096", "-I", "128"]],
  ["ext4 with inodes of 1 KiB", ["-t", "ext4", "-b", "4096", "-I", "1024"]],
  ["inline data", ["-t", "ext4", "-b", "4096", "-O", "inline_data"]],
  ["inline data in inodes of 1 KiB", ["-t", "ext4", "-b", "4096", "-I", "1024", "-O", "inline_data"]],
  ["meta_bg", ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"], 500],
  ["meta_bg without sparse_super", ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,^sparse_super"], 500],
  ["sparse_super2", ["-t", "ext4", "-b", "1024", "-O", "sparse_super2,meta_bg,^resize_inode"], 500],
  ["bigalloc", ["-t", "ext4", "-b", "4096", "-O", "bigalloc", "-C", "16384"]],
  [
    "seeds, mmp, large_dir, quota",
    ["-t", "ext4", "-O", "metadata_csum_seed,mmp,large_dir,quota,project", "-b", "4096"],
  ],
  ["orphan_file and fast_commit", ["-t", "ext4", "-O", "orphan_file,fast_commit", "-b", "4096"]],
  ["casefold and encrypt", ["-t", "ext4", "-O", "casefold,encrypt,verity,stable_inodes", "-b", "4096"]],
  ["few blocks a group", ["-t", "ext4", "-b", "1024", "-g", "512"], 500],
];

for (const [name, options, most = 1500] of KINDS) {
  test(`mke2fs: ${name}`, async (t) => {
    if (lacks(t, "mke2fs", "setfattr", "getfattr") || lacksRoot(t)) return;
    const folder = temporaryFolder(t);
    const image = path.join(folder, "image");
    const blockSize = Number(options[options.indexOf("-b") + 1]);
    const tree = everything(Math.min(blockSize, 4096), most);
    // With inline data it gives files that end in holes a wrong size.
    if (options.includes("inline_data")) tree.root.entries.delete(fromText("holes"));
    if (most === 0) for (const { node } of walk(tree)) node.xattrs = NO_XATTRS;
    await materialise(tree, path.join(folder, "source"));
    mke2fs(image, 40 * 1024, options, path.join(folder, "source"));
    const found = await describeImage(image);
    const wanted = await describeTree(tree);
    // It is the time at which mke2fs made it.
    for (const map of [found, wanted]) map.delete("");
    assert.deepEqual(found, wanted);
  });
}
