/**
 * The features that a file system is made of, by the names that mke2fs -O has for them: one table says which bit each one
 * is and which of the sets it belongs to. Linux Documentation/filesystems/ext4, "The Super Block".
 */
import { ImgbuildError } from "../errors.js";
import type { BlockSize, InodeSize } from "./format.js";
import { COMPATIBLE, INCOMPATIBLE, READ_ONLY_COMPATIBLE } from "./layout.js";

/** The three words of the superblock: what an older driver does with a bit that it does not know. */
export interface FeatureWords {
  /** It may write. */
  compatible: number;
  /** It may not even read. */
  incompatible: number;
  /** It may read. */
  readOnlyCompatible: number;
}

interface Feature {
  readonly word: keyof FeatureWords;
  readonly bit: number;
  /** The sets that have it. */
  readonly sets: readonly FeatureSetName[];
}

/** What a file system of that name had when mke2fs first made it. */
export const FEATURE_SETS = ["ext2", "ext3", "ext4"] as const;
export type FeatureSetName = (typeof FEATURE_SETS)[number];

const feature = (word: keyof FeatureWords, bit: number, ...sets: FeatureSetName[]): Feature => ({ word, bit, sets });

/**
 * Every feature that we write. The default, "ext4", is what Linux 4.9 and U-Boot 2016 know, and so less than what mke2fs
 * takes today: there is no orphan_file and no metadata_csum_seed, and 64bit only where the size needs it.
 */
const FEATURES = {
  has_journal: feature("compatible", COMPATIBLE.hasJournal, "ext3", "ext4"),
  ext_attr: feature("compatible", COMPATIBLE.extAttr, "ext2", "ext3", "ext4"),
  resize_inode: feature("compatible", COMPATIBLE.resizeInode, "ext2", "ext3", "ext4"),
  dir_index: feature("compatible", COMPATIBLE.dirIndex, "ext2", "ext3", "ext4"),
  filetype: feature("incompatible", INCOMPATIBLE.filetype, "ext2", "ext3", "ext4"),
  extent: feature("incompatible", INCOMPATIBLE.extents, "ext4"),
  "64bit": feature("incompatible", INCOMPATIBLE.is64bit),
  flex_bg: feature("incompatible", INCOMPATIBLE.flexBg, "ext4"),
  sparse_super: feature("readOnlyCompatible", READ_ONLY_COMPATIBLE.sparseSuper, "ext2", "ext3", "ext4"),
  large_file: feature("readOnlyCompatible", READ_ONLY_COMPATIBLE.largeFile, "ext2", "ext3", "ext4"),
  huge_file: feature("readOnlyCompatible", READ_ONLY_COMPATIBLE.hugeFile, "ext4"),
  uninit_bg: feature("readOnlyCompatible", READ_ONLY_COMPATIBLE.gdtCsum),
  dir_nlink: feature("readOnlyCompatible", READ_ONLY_COMPATIBLE.dirNlink, "ext4"),
  extra_isize: feature("readOnlyCompatible", READ_ONLY_COMPATIBLE.extraIsize, "ext4"),
  metadata_csum: feature("readOnlyCompatible", READ_ONLY_COMPATIBLE.metadataCsum, "ext4"),
} as const satisfies Record<string, Feature>;

export type FeatureName = keyof typeof FEATURES;

/** Other names of mke2fs for the same bits. */
const ALIASES: Readonly<Record<string, FeatureName>> = { extents: "extent", gdt_csum: "uninit_bg" };

/** What mke2fs knows and we do not write: these may be switched off, which they are, but not on. */
const UNWRITTEN: ReadonlySet<string> = new Set([
  ...["bigalloc", "casefold", "dir_prealloc", "ea_inode", "encrypt", "fast_commit", "imagic_inodes", "inline_data"],
  ...["journal_dev", "large_dir", "meta_bg", "metadata_csum_seed", "mmp", "orphan_file", "project", "quota"],
  ...["sparse_super2", "stable_inodes", "verity"],
]);

/** The features of one file system. */
export interface Features {
  has(name: FeatureName): boolean;
  /** 64bit was switched off by name: a size that needs it is refused. */
  readonly never64bit: boolean;
}

/** The bits of those of `names` that are there. */
export function featureWords(names: Iterable<FeatureName>): FeatureWords {
  const words = { compatible: 0, incompatible: 0, readOnlyCompatible: 0 };
  for (const name of names) words[FEATURES[name].word] |= FEATURES[name].bit;
  return words;
}

export const FEATURE_NAMES = Object.keys(FEATURES) as readonly FeatureName[];

/** What cannot be together, and why. */
const CONFLICTS: readonly { broken(has: (name: FeatureName) => boolean): boolean; reason: string; hint: string }[] = [
  {
    broken: (has) => has("64bit") && !has("extent"),
    reason: "64bit needs extent: a block map has 32 bits for a block number",
    hint: "Add extent, or remove 64bit.",
  },
  {
    broken: (has) => has("resize_inode") && !has("sparse_super"),
    reason: "resize_inode needs sparse_super: with a copy of the superblock in every group its list would be too long",
    hint: "Add sparse_super, or remove resize_inode.",
  },
  {
    broken: (has) => has("metadata_csum") && has("uninit_bg"),
    reason: "metadata_csum and uninit_bg keep different checksums in the same place",
    hint: "Remove one of them.",
  },
];

/**
 * Parses a list as mke2fs -O takes it: names between commas or spaces; "+" or nothing switches one on, "-" or "^" off. It
 * may begin with ext2, ext3 or ext4 (the default), whose features it starts with. Inodes of 128 bytes have no extra_isize.
 * Throws a `usage` error that names what is unknown, what we cannot write, or what does not go together.
 */
export function parseFeatures(list: string, sizes: { blockSize?: BlockSize; inodeSize?: InodeSize } = {}): Features {
  const { blockSize = 4096, inodeSize = 256 } = sizes;
  const words = list.split(/[\s,]+/).filter((word) => word !== "");
  const base = FEATURE_SETS.find((name) => name === words[0]);
  if (base !== undefined) words.shift();
  const on = new Set(FEATURE_NAMES.filter((name) => inSet(name, base ?? "ext4")));
  if (inodeSize === 128) on.delete("extra_isize");
  let never64bit = false;
  for (const word of words) {
    const off = /^[-^]/.test(word);
    const given = word.replace(/^[-+^]/, "");
    const name = ALIASES[given] ?? FEATURE_NAMES.find((known) => known === given);
    if (name === undefined) {
      if (off && UNWRITTEN.has(given)) continue;
      throw unknownFeature(given);
    }
    if (off) on.delete(name);
    else on.add(name);
    if (name === "64bit") never64bit = off;
  }
  const has = (name: FeatureName) => on.has(name);
  for (const { broken, reason, hint } of CONFLICTS) {
    if (broken(has)) throw new ImgbuildError("usage", `ext4: ${reason}`, { hint });
  }
  if (has("resize_inode") && !has("large_file") && blockSize === 4096) {
    throw new ImgbuildError(
      "usage",
      "ext4: resize_inode with blocks of 4096 bytes needs large_file: its inode is one",
      {
        hint: "Add large_file, remove resize_inode, or use smaller blocks.",
      },
    );
  }
  if (has("extra_isize") && inodeSize === 128) {
    throw new ImgbuildError("usage", "ext4: extra_isize needs inodes of more than 128 bytes", {
      hint: "Remove extra_isize, or use inodes of 256 bytes.",
    });
  }
  return { has, never64bit };
}

function inSet(name: FeatureName, set: FeatureSetName): boolean {
  return (FEATURES[name].sets as readonly FeatureSetName[]).includes(set);
}

function unknownFeature(name: string): ImgbuildError {
  if ((FEATURE_SETS as readonly string[]).includes(name)) {
    return new ImgbuildError("usage", `ext4: the set ${name} is not the first in the list of features`, {
      hint: "Begin the list with it.",
    });
  }
  const what = UNWRITTEN.has(name) ? `the feature ${name} cannot be written` : `there is no feature "${name}"`;
  return new ImgbuildError("usage", `ext4: ${what}`, {
    hint: `What can be switched on or off: ${FEATURE_NAMES.join(", ")}.`,
  });
}
