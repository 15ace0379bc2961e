/** The features of ext2, ext3 and ext4 by the names that mke2fs and dumpe2fs have for them (ext4(5)). */

/** Names by bit number. */
type Names = readonly (string | undefined)[];

const COMPATIBLE: Names = [
  "dir_prealloc",
  "imagic_inodes",
  "has_journal",
  "ext_attr",
  "resize_inode",
  "dir_index",
  "lazy_bg",
  undefined,
  "snapshot_bitmap",
  "sparse_super2",
  "fast_commit",
  "stable_inodes",
  "orphan_file",
];
const INCOMPATIBLE: Names = [
  "compression",
  "filetype",
  "needs_recovery",
  "journal_dev",
  "meta_bg",
  undefined,
  "extent",
  "64bit",
  "mmp",
  "flex_bg",
  "ea_inode",
  undefined,
  "dirdata",
  "metadata_csum_seed",
  "large_dir",
  "inline_data",
  "encrypt",
  "casefold",
];
const READ_ONLY_COMPATIBLE: Names = [
  "sparse_super",
  "large_file",
  undefined,
  "huge_file",
  "uninit_bg",
  "dir_nlink",
  "extra_isize",
  "has_snapshot",
  "quota",
  "bigalloc",
  "metadata_csum",
  "replica",
  "read-only",
  "project",
  "shared_blocks",
  "verity",
  "orphan_present",
];

/** Bits beyond those that the writer sets. */
export const FEATURE = {
  sparseSuper2: 0x200,
  needsRecovery: 0x4,
  metaBg: 0x10,
  eaInode: 0x400,
  checksumSeed: 0x2000,
  uninitBg: 0x10,
  bigalloc: 0x200,
  sharedBlocks: 0x4000,
} as const;

/**
 * Incompatible features that can be read: all that Linux 6.18 has but those that no Linux ever had, and journals without a
 * file system. Of encrypted files there is nothing to read without the key, which is said when one is asked for. Names in
 * case-folding directories are stored as they were given.
 */
const READABLE = new Set([
  "filetype",
  "needs_recovery",
  "meta_bg",
  "extent",
  "64bit",
  "mmp",
  "flex_bg",
  "ea_inode",
  "metadata_csum_seed",
  "large_dir",
  "inline_data",
  "encrypt",
  "casefold",
]);

interface FeatureBits {
  readonly compatible: number;
  readonly incompatible: number;
  readonly readOnlyCompatible: number;
}

function namesOf(bits: number, names: Names, unknown: string): string[] {
  const found: string[] = [];
  for (let bit = 0; bit < 32; bit++) {
    if ((bits >>> bit) & 1) found.push(names[bit] ?? `FEATURE_${unknown}${bit}`);
  }
  return found;
}

/** All features that a superblock has; one without a name as dumpe2fs shows it: FEATURE_C20, FEATURE_I20 or FEATURE_R20. */
export function featureNames({ compatible, incompatible, readOnlyCompatible }: FeatureBits): string[] {
  return [
    ...namesOf(compatible, COMPATIBLE, "C"),
    ...namesOf(incompatible, INCOMPATIBLE, "I"),
    ...namesOf(readOnlyCompatible, READ_ONLY_COMPATIBLE, "R"),
  ];
}

/** Features without which nothing can be read, and that are not known here. */
export function unreadableFeatures({ incompatible }: FeatureBits): string[] {
  return namesOf(incompatible, INCOMPATIBLE, "I").filter((name) => !READABLE.has(name));
}
