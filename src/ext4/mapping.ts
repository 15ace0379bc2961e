/** How an inode says where its blocks are: by an extent tree, or, without the feature extent, by a block map. */
import { blockMapBlocks, encodeBlockMap, mappableBlocks } from "./block-map.js";
import type { ChecksumSeed } from "./checksum.js";
import { encodeExtentTree, extentTreeBlocks, type FileExtent } from "./extents.js";
import type { Format } from "./format.js";
import type { Run } from "./geometry.js";
import { INODE_FLAG, MAX_EXTENT_BLOCKS, MAX_FILE_BLOCKS } from "./layout.js";

export interface Mapping {
  /** i_flags of the inodes. */
  readonly flags: number;
  /** A file has at most so many blocks, its holes included. */
  readonly maxFileBlocks: number;
  /** How many more blocks it may take that the end of a free run splits a file. */
  readonly blocksPerSplit: number;
  /** The blocks that lead to `runs` of a file, when each run lies together. */
  blocksFor(runs: readonly Run[]): number;
  /** i_block, and the other blocks. `seed` is the inode's checksum seed. */
  encode(
    extents: readonly FileExtent[],
    seed: ChecksumSeed,
    allocate: () => number,
  ): { root: Uint8Array; blocks: { at: number; bytes: Uint8Array }[] };
}

export function mappingOf({ blockSize, features }: Format): Mapping {
  if (!features.has("extent")) {
    return {
      flags: 0,
      maxFileBlocks: mappableBlocks(blockSize),
      blocksPerSplit: 0,
      blocksFor: (runs) => blockMapBlocks(runs, blockSize),
      encode: (extents, _seed, allocate) => encodeBlockMap(extents, blockSize, allocate),
    };
  }
  return {
    flags: INODE_FLAG.extents,
    maxFileBlocks: MAX_FILE_BLOCKS,
    // One block of extents, and that one another above it.
    blocksPerSplit: 2,
    blocksFor(runs) {
      const extents = runs.reduce((sum, { start, end }) => sum + Math.ceil((end - start) / MAX_EXTENT_BLOCKS), 0);
      return extentTreeBlocks(extents, blockSize);
    },
    encode: (extents, seed, allocate) => encodeExtentTree(extents, blockSize, seed, allocate),
  };
}
