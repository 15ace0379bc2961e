/**
 * What the image layer needs of a file system, whichever it is: what it says of itself, finding and listing, nodes, the tree,
 * and a check. Every format's reader is made to look like that by an adapter: squashfs-file-system.ts, ext4-file-system.ts,
 * fat-file-system.ts.
 */
import type { ByteString } from "../bytes/bytestring.js";
import { fromBytes } from "../bytes/bytestring.js";
import type { ReadableDevice } from "../bytes/device.js";
import type { Finding } from "../bytes/finding.js";
import type { TreeReading } from "../tree/damage.js";
import type { Node } from "../tree/node.js";
import type { Tree } from "../tree/tree.js";
import { openExt4FileSystem } from "./ext4-file-system.js";
import { openFatFileSystem } from "./fat-file-system.js";
import { openSquashfsFileSystem } from "./squashfs-file-system.js";

export type FileSystemKind = "squashfs" | "ext4" | "fat";

/** What `imgbuild inspect` shows of a file system. Sizes in bytes. Plain data. */
export interface FileSystemFacts {
  /** As people call it: "squashfs", "ext2", "ext3", "ext4", "FAT12", "FAT16", "FAT32". */
  readonly type: string;
  readonly label?: string | undefined;
  /** As blkid prints it. */
  readonly uuid?: string | undefined;
  readonly size: number;
  readonly used: number;
  readonly free: number;
  /** What only this format has, by the name to show. */
  readonly details: Readonly<Record<string, string | number | boolean | readonly string[]>>;
  /** What is notable about its state. */
  readonly notes: readonly Finding[];
}

/** A file system that is open. Errors are those of its format. */
export interface FileSystem {
  facts(): Promise<FileSystemFacts>;
  readonly root: Inode;
  /** What is damaged, beyond what the root's `tree` and its contents come by. */
  check(): AsyncGenerator<Finding>;
}

/** A file, folder or anything else in a file system. */
export interface Inode {
  readonly type: Node["type"];
  /** Of a symbolic link, where it leads. */
  readonly target: ByteString | undefined;
  /** What it is, its content read when it is asked for; of a folder, without what is in it. */
  node(): Promise<Node>;
  /**
   * What a folder has by that name, or undefined, as where this is no folder. Reads nothing else: damage elsewhere does not
   * disturb. FAT takes names without regard to case.
   */
  lookup(name: ByteString): Promise<Inode | undefined>;
  /** What is in a folder, in no particular order. Inodes are not read before they are asked for. */
  entries(): AsyncGenerator<DirectoryEntry>;
  /** A folder with all that is below it. Damage elsewhere does not disturb. */
  tree(damaged?: TreeReading<unknown>["damaged"]): Promise<Tree>;
}

export interface DirectoryEntry {
  readonly name: ByteString;
  inode(): Promise<Inode>;
}

const HEAD_SIZE = 2048;
const BOOT_SECTOR_SIZE = 512;

/**
 * Which file system begins at byte 0 of `device`, by its signature; undefined for none that is known here. Whether it is
 * sound is seen when it is opened.
 */
export async function detectFileSystem(device: ReadableDevice): Promise<FileSystemKind | undefined> {
  const head = fromBytes(await device.read(0, Math.min(HEAD_SIZE, device.size)));
  if (head.startsWith("hsqs") || head.startsWith("sqsh")) return "squashfs";
  if (head.startsWith("\x53\xef", 1080)) return "ext4";
  return isFatBootSector(head) ? "fat" : undefined;
}

/** FAT has no signature but what its boot sector has to be: the jump and numbers that are possible. */
function isFatBootSector(head: ByteString): boolean {
  if (head.length < BOOT_SECTOR_SIZE || !/^(?:\xeb.\x90|\xe9)/s.test(head)) return false;
  const byte = (at: number) => head.charCodeAt(at);
  const sectorSize = byte(11) + 256 * byte(12);
  const isPowerOfTwo = (value: number) => value > 0 && (value & (value - 1)) === 0;
  return (
    [512, 1024, 2048, 4096].includes(sectorSize) &&
    isPowerOfTwo(byte(13)) &&
    byte(14) + byte(15) > 0 &&
    (byte(16) === 1 || byte(16) === 2) &&
    byte(21) >= 0xf0
  );
}

/** Opens the file system of that kind. Rejects as the format's own `open` does. */
export function openFileSystem(device: ReadableDevice, kind: FileSystemKind): Promise<FileSystem> {
  switch (kind) {
    case "squashfs":
      return openSquashfsFileSystem(device);
    case "ext4":
      return openExt4FileSystem(device);
    case "fat":
      return openFatFileSystem(device);
  }
}
