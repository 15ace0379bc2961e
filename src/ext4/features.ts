/** The features of a new file system, from a list as mke2fs -O takes it. What features there are, feature-table.ts says. */
import { ImgbuildError } from "../errors.js";
import { FEATURE_NAMES, FEATURE_SETS, type FeatureName, inSet, isUnwritten } from "./feature-table.js";
import type { BlockSize, InodeSize } from "./format.js";

/** Other names of mke2fs for the same bits. */
const ALIASES: Readonly<Record<string, FeatureName>> = { extents: "extent", gdt_csum: "uninit_bg" };

/** The features of one file system. */
export interface Features {
  has(name: FeatureName): boolean;
  /** 64bit was switched off by name: a size that needs it is refused. */
  readonly never64bit: boolean;
}

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
  const words = wordsOf(list);
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
      if (off && isUnwritten(given)) continue;
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

/** Nothing between two commas is as much a mistake here as with mke2fs, which lets one comma at the end pass. */
function wordsOf(list: string): string[] {
  if (list.trim() === "") return [];
  const parts = list.split(",");
  if (parts.length > 1 && parts.at(-1)!.trim() === "") parts.pop();
  return parts.flatMap((part) => {
    if (part.trim() !== "") return part.trim().split(/\s+/);
    throw new ImgbuildError("usage", `ext4: the list of features "${list}" has an empty place in it`, {
      hint: "Leave out the comma that is too many.",
    });
  });
}

function unknownFeature(name: string): ImgbuildError {
  if ((FEATURE_SETS as readonly string[]).includes(name)) {
    return new ImgbuildError("usage", `ext4: the set ${name} is not the first in the list of features`, {
      hint: "Begin the list with it.",
    });
  }
  const what = isUnwritten(name) ? `the feature ${name} cannot be written` : `there is no feature "${name}"`;
  return new ImgbuildError("usage", `ext4: ${what}`, {
    hint: `What can be switched on or off: ${FEATURE_NAMES.join(", ")}.`,
  });
}
