/**
 * The mount options that the superblock asks for: those with a bit of their own in s_default_mount_opts, by the names that
 * tune2fs -o has for them, and all others as text in s_mount_opts, which the kernel reads like those of mount.
 */
import { ImgbuildError } from "../errors.js";
import { MOUNT_OPTIONS_SIZE } from "./layout.js";

/** Linux fs/ext4/ext4.h, EXT4_DEFM_. */
const BITS: ReadonlyMap<string, number> = new Map([
  ["debug", 0x1],
  ["bsdgroups", 0x2],
  ["user_xattr", 0x4],
  ["acl", 0x8],
  ["uid16", 0x10],
  ["journal_data", 0x20],
  ["journal_data_ordered", 0x40],
  ["journal_data_writeback", 0x60],
  ["nobarrier", 0x100],
  ["block_validity", 0x200],
  ["discard", 0x400],
  ["nodelalloc", 0x800],
]);
const JOURNAL_MODE = 0x60;

export interface MountOptions {
  readonly bits: number;
  /** ASCII, between commas. */
  readonly text: string;
}

/** The text ends with a zero byte. */
const MAX_TEXT = MOUNT_OPTIONS_SIZE - 1;

/** Parses options between commas. Throws a `usage` error for two journal modes, and for text that is too long or not ASCII. */
export function parseMountOptions(list: string): MountOptions {
  const words = list.split(",").filter((word) => word !== "");
  const modes = words.filter((word) => ((BITS.get(word) ?? 0) & JOURNAL_MODE) !== 0);
  if (modes.length > 1) {
    throw new ImgbuildError("usage", `ext4: the mount options ${modes.join(" and ")} exclude each other`, {
      hint: "Give one of them.",
    });
  }
  const text = words.filter((word) => !BITS.has(word)).join(",");
  if (text.length > MAX_TEXT || !/^[\x21-\x7e]*$/.test(text)) {
    throw new ImgbuildError("usage", `ext4: the superblock cannot hold the mount options "${text}"`, {
      hint: `Give at most ${MAX_TEXT} ASCII characters beside what tune2fs -o knows.`,
    });
  }
  return { bits: words.reduce((bits, word) => bits | (BITS.get(word) ?? 0), 0), text };
}
