/**
 * SquashFS 4.0: a compressed, read-only file system of Linux.
 *
 * What an image consists of, in on-disk order (Linux Documentation/filesystems/squashfs.rst, chapter 3):
 *
 *     | superblock          | 96 bytes: sizes, flags, and where every table begins            | layout.ts
 *     | compressor options  | only when they differ from the defaults                         | compressors.ts
 *     | data and fragments  | the files' blocks, and blocks of files' ends side by side       | data.ts, fragments.ts
 *     | inode table         | metadata of every file; the root's inode comes last             | inodes.ts
 *     | directory table     | names, with references into the inode table                     | directories.ts
 *     | fragment table      | where each fragment block is                                    | fragments.ts
 *     | export table        | inode references by inode number; optional                      | writer.ts
 *     | id table            | user and group ids, which inodes refer to                       | ids.ts
 *     | xattr table         | extended attributes and the sets of them; optional              | xattrs.ts
 *     | padding             | zeros up to a multiple of 4 KiB, outside of the file system     |
 *
 * Everything from the inode table on is metadata: compressed in blocks of 8 KiB (metadata.ts). plan.ts decides on inode
 * numbers and order, sort-file.ts on files whose data comes first, duplicates.ts finds files with the same bytes,
 * stored-files.ts knows where each file's bytes went, and writer.ts puts it all together. The folder reader has the other
 * direction.
 */
export { BCJ_FILTERS, type BcjFilter } from "../codecs/index.js";
export {
  COMPRESSOR_NAMES,
  COMPRESSORS,
  type CompressorName,
  describeLevels,
  type FormatCompressor,
  kernelOptions,
  type SquashfsXzOptions,
} from "./compressors.js";
export { openSquashfs } from "./open.js";
export { PARTS, type Part, type SquashfsOptions } from "./options.js";
export type { SquashfsEntry } from "./reader/directories.js";
export type {
  DeviceInode,
  DirectoryInode,
  FileInode,
  InodeFacts,
  SpecialInode,
  SquashfsInode,
  SymlinkInode,
} from "./reader/inodes.js";
export type { SquashfsFacts, SquashfsReader } from "./reader/reader.js";
export { readSortFile, type SortFileOptions } from "./sort-file.js";
export { type SquashfsSummary, writeSquashfs } from "./writer.js";
