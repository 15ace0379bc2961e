/**
 * Every feature of ext2, ext3 and ext4 by the name that mke2fs and dumpe2fs have for it (ext4(5)): its bit in the superblock,
 * and what writer and reader can do with it. Linux Documentation/filesystems/ext4, "The Super Block".
 */

/** The three words of the superblock: what an older driver does with a bit that it does not know. */
export interface FeatureWords {
  /** It may write. */
  compatible: number;
  /** It may not even read. */
  incompatible: number;
  /** It may read. */
  readOnlyCompatible: number;
}

/** What a file system of that name had when mke2fs first made it. */
export const FEATURE_SETS = ["ext2", "ext3", "ext4"] as const;
export type FeatureSetName = (typeof FEATURE_SETS)[number];

interface Feature {
  readonly word: keyof FeatureWords;
  /** The number of its bit. */
  readonly bit: number;
  /** Whether the writer has it, and the sets that it belongs to there. */
  readonly sets?: readonly FeatureSetName[];
  /** Of the incompatible ones: whether the reader has it. All others can be ignored by who only reads. */
  readonly read?: boolean;
}

/**
 * What we write. The default, "ext4", is what Linux 4.9 and U-Boot 2016 know, and so less than what mke2fs takes today: there
 * is no orphan_file and no metadata_csum_seed, and 64bit only where the size needs it.
 */
const WRITTEN = {
  has_journal: { word: "compatible", bit: 2, sets: ["ext3", "ext4"] },
  ext_attr: { word: "compatible", bit: 3, sets: FEATURE_SETS },
  resize_inode: { word: "compatible", bit: 4, sets: FEATURE_SETS },
  dir_index: { word: "compatible", bit: 5, sets: FEATURE_SETS },
  filetype: { word: "incompatible", bit: 1, sets: FEATURE_SETS, read: true },
  extent: { word: "incompatible", bit: 6, sets: ["ext4"], read: true },
  "64bit": { word: "incompatible", bit: 7, sets: [], read: true },
  flex_bg: { word: "incompatible", bit: 9, sets: ["ext4"], read: true },
  sparse_super: { word: "readOnlyCompatible", bit: 0, sets: FEATURE_SETS },
  large_file: { word: "readOnlyCompatible", bit: 1, sets: FEATURE_SETS },
  huge_file: { word: "readOnlyCompatible", bit: 3, sets: ["ext4"] },
  uninit_bg: { word: "readOnlyCompatible", bit: 4, sets: [] },
  dir_nlink: { word: "readOnlyCompatible", bit: 5, sets: ["ext4"] },
  extra_isize: { word: "readOnlyCompatible", bit: 6, sets: ["ext4"] },
  metadata_csum: { word: "readOnlyCompatible", bit: 10, sets: ["ext4"] },
} as const satisfies Record<string, Feature>;

/**
 * What others write. Of the incompatible ones, the reader lacks those that no Linux ever had, and journals without a file
 * system. Of encrypted files there is nothing to read without the key, which is said when one is asked for. Names in
 * case-folding directories are stored as they were given.
 */
const OTHERS = {
  dir_prealloc: { word: "compatible", bit: 0 },
  imagic_inodes: { word: "compatible", bit: 1 },
  lazy_bg: { word: "compatible", bit: 6 },
  snapshot_bitmap: { word: "compatible", bit: 8 },
  sparse_super2: { word: "compatible", bit: 9 },
  fast_commit: { word: "compatible", bit: 10 },
  stable_inodes: { word: "compatible", bit: 11 },
  orphan_file: { word: "compatible", bit: 12 },
  compression: { word: "incompatible", bit: 0 },
  needs_recovery: { word: "incompatible", bit: 2, read: true },
  journal_dev: { word: "incompatible", bit: 3 },
  meta_bg: { word: "incompatible", bit: 4, read: true },
  mmp: { word: "incompatible", bit: 8, read: true },
  ea_inode: { word: "incompatible", bit: 10, read: true },
  dirdata: { word: "incompatible", bit: 12 },
  metadata_csum_seed: { word: "incompatible", bit: 13, read: true },
  large_dir: { word: "incompatible", bit: 14, read: true },
  inline_data: { word: "incompatible", bit: 15, read: true },
  encrypt: { word: "incompatible", bit: 16, read: true },
  casefold: { word: "incompatible", bit: 17, read: true },
  has_snapshot: { word: "readOnlyCompatible", bit: 7 },
  quota: { word: "readOnlyCompatible", bit: 8 },
  bigalloc: { word: "readOnlyCompatible", bit: 9 },
  replica: { word: "readOnlyCompatible", bit: 11 },
  "read-only": { word: "readOnlyCompatible", bit: 12 },
  project: { word: "readOnlyCompatible", bit: 13 },
  shared_blocks: { word: "readOnlyCompatible", bit: 14 },
  verity: { word: "readOnlyCompatible", bit: 15 },
  orphan_present: { word: "readOnlyCompatible", bit: 16 },
} as const satisfies Record<string, Feature>;

/** A feature that the writer has. */
export type FeatureName = keyof typeof WRITTEN;
/** Any feature that has a name. */
export type KnownFeature = FeatureName | keyof typeof OTHERS;

const ALL: Readonly<Record<KnownFeature, Feature>> = { ...WRITTEN, ...OTHERS };

export const FEATURE_NAMES = Object.keys(WRITTEN) as readonly FeatureName[];

/** Whether this is the name of a feature that the writer lacks. */
export const isUnwritten = (name: string): boolean => Object.hasOwn(OTHERS, name);

export function inSet(name: FeatureName, set: FeatureSetName): boolean {
  return (WRITTEN[name].sets as readonly FeatureSetName[]).includes(set);
}

/** Whether a superblock has a feature. */
export function hasFeature(words: Readonly<FeatureWords>, name: KnownFeature): boolean {
  const { word, bit } = ALL[name];
  return ((words[word] >>> bit) & 1) === 1;
}

/** The bits of `names`. */
export function featureWords(names: Iterable<FeatureName>): FeatureWords {
  const words = { compatible: 0, incompatible: 0, readOnlyCompatible: 0 };
  for (const name of names) words[WRITTEN[name].word] |= 1 << WRITTEN[name].bit;
  return words;
}

/** Names by word and bit. */
const NAMES: Readonly<Record<keyof FeatureWords, Map<number, KnownFeature>>> = {
  compatible: new Map(),
  incompatible: new Map(),
  readOnlyCompatible: new Map(),
};
for (const [name, { word, bit }] of Object.entries(ALL)) NAMES[word].set(bit, name as KnownFeature);

/** As dumpe2fs shows features without a name: FEATURE_C20, FEATURE_I20, FEATURE_R20. */
const LETTERS = { compatible: "C", incompatible: "I", readOnlyCompatible: "R" } as const;

function namesOf(words: Readonly<FeatureWords>, word: keyof FeatureWords): string[] {
  const found: string[] = [];
  for (let bit = 0; bit < 32; bit++) {
    if (((words[word] >>> bit) & 1) === 1) found.push(NAMES[word].get(bit) ?? `FEATURE_${LETTERS[word]}${bit}`);
  }
  return found;
}

/** All features that a superblock has. */
export function featureNames(words: Readonly<FeatureWords>): string[] {
  return (["compatible", "incompatible", "readOnlyCompatible"] as const).flatMap((word) => namesOf(words, word));
}

/** Features of a superblock without which nothing can be read, and that the reader lacks. */
export function unreadableFeatures(words: Readonly<FeatureWords>): string[] {
  return namesOf(words, "incompatible").filter((name) => ALL[name as KnownFeature]?.read !== true);
}
