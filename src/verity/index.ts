/**
 * dm-verity's hash tree behind the data that it protects: Linux Documentation/admin-guide/device-mapper/verity.rst, and
 * cryptsetup's format of it, which veritysetup makes and reads. All blocks have 4096 bytes, all digests are SHA-256.
 *
 *     data          whole blocks, such as those of a SquashFS
 *     superblock    one block, of which 512 bytes are used: how many data blocks there are, and the salt
 *     level n       one block: the digests of the blocks of the level below. The salted digest of this block is the root hash
 *     ...
 *     level 1       the digests of the blocks of level 0, 128 in each block
 *     level 0       the digests of the data blocks
 *
 *     layout.ts  the superblock      tree.ts   how many levels there are, and where
 *     write.ts   making it           check.ts  holding data and tree against each other
 */
export { checkVerity, openVerity, type VerityFacts, type VerityFinding } from "./check.js";
export { veritySize } from "./tree.js";
export { type VerityOptions, type VerityTree, writeVerity } from "./write.js";
