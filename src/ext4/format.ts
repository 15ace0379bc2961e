/** What is the same for all structures of one file system: the sizes of its blocks and inodes, and its features. */
import type { Features } from "./features.js";

/** In bytes. */
export type BlockSize = 1024 | 2048 | 4096;
/** In bytes. 128 is what Linux had before 2.6.10: without nanoseconds, times after 2038, and attributes in the inode. */
export type InodeSize = 128 | 256;

export interface Format {
  readonly blockSize: BlockSize;
  readonly inodeSize: InodeSize;
  readonly features: Features;
}
