/** The file systems that an image may hold, seen the same way: what is there, what they say of themselves, and the tree. */
import type { ByteString } from "../bytes/bytestring.js";
import { display, fromBytes } from "../bytes/bytestring.js";
import type { ReadableDevice } from "../bytes/device.js";
import type { Finding } from "../bytes/finding.js";
import { type Ext4Reader, openExt4 } from "../ext4/index.js";
import { type FatReader, openFat } from "../fat/index.js";
import { openSquashfs, type SquashfsReader } from "../squashfs/index.js";
import type { Tree } from "../tree/tree.js";

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

/** A reader of one of the formats. */
export type FormatReader =
  | { readonly kind: "squashfs"; readonly reader: SquashfsReader }
  | { readonly kind: "ext4"; readonly reader: Ext4Reader }
  | { readonly kind: "fat"; readonly reader: FatReader };

/** A file system that is open. */
export interface FileSystem {
  readonly format: FormatReader;
  facts(): Promise<FileSystemFacts>;
  tree(): Promise<Tree>;
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
export async function openFileSystem(device: ReadableDevice, kind: FileSystemKind): Promise<FileSystem> {
  switch (kind) {
    case "squashfs": {
      const reader = await openSquashfs(device);
      return { format: { kind, reader }, facts: async () => squashfsFacts(reader), tree: () => reader.tree() };
    }
    case "ext4": {
      const reader = await openExt4(device);
      return { format: { kind, reader }, facts: async () => ext4Facts(reader), tree: () => reader.tree() };
    }
    case "fat": {
      const reader = await openFat(device);
      return { format: { kind, reader }, facts: () => fatFacts(reader), tree: () => reader.tree() };
    }
  }
}

function squashfsFacts({ facts }: SquashfsReader): FileSystemFacts {
  return {
    type: "squashfs",
    size: facts.bytesUsed,
    used: facts.bytesUsed,
    free: 0,
    details: {
      compressor: facts.compressor,
      "block size": facts.blockSize,
      inodes: facts.inodes,
      fragments: facts.fragments,
      "attribute sets": facts.xattrSets,
      exportable: facts.exportable,
      made: isoTime(facts.time),
    },
    notes: [],
  };
}

function ext4Facts({ facts }: Ext4Reader): FileSystemFacts {
  const { state, recovery, features, blockSize } = facts;
  const notes: Finding[] = [];
  const note = (message: string) => notes.push({ severity: "warning", message });
  if (recovery !== undefined) {
    note(
      `it was not unmounted: ${recovery.transactions} transactions of its journal (${recovery.blocks} blocks) are applied when it is read`,
    );
    if (recovery.fastCommits)
      note("its journal has fast commits, which are not applied: the last seconds may be missing");
  }
  if (state === "dirty") note("it was not unmounted, and has no journal: what was being written may be wrong");
  if (state === "errors") notes.push({ severity: "error", message: "the kernel has met damage in it: run e2fsck" });
  const has = (name: string) => features.includes(name);
  return {
    type: has("extent") || has("64bit") || has("metadata_csum") ? "ext4" : has("has_journal") ? "ext3" : "ext2",
    label: facts.label === "" ? undefined : display(facts.label),
    uuid: facts.uuid,
    size: facts.size,
    used: (facts.blocks - facts.freeBlocks) * blockSize,
    free: facts.freeBlocks * blockSize,
    details: {
      "block size": blockSize,
      inodes: facts.inodes,
      "free inodes": facts.freeInodes,
      "inode size": facts.inodeSize,
      reserved: facts.reservedBlocks * blockSize,
      features,
      state,
      ...(facts.lastMounted !== "" && { "last mounted": display(facts.lastMounted as ByteString) }),
      made: isoTime(facts.makeTime),
      written: isoTime(facts.writeTime),
    },
    notes,
  };
}

async function fatFacts(reader: FatReader): Promise<FileSystemFacts> {
  const { facts } = reader;
  const free = (await reader.countFree()) * facts.clusterSize;
  const size = facts.sectors * facts.sectorSize;
  const id = facts.volumeId.toString(16).toUpperCase().padStart(8, "0");
  return {
    type: `FAT${facts.type}`,
    label: facts.label === undefined ? undefined : display(facts.label as ByteString),
    uuid: `${id.slice(0, 4)}-${id.slice(4)}`,
    size,
    used: size - free,
    free,
    details: { "sector size": facts.sectorSize, "cluster size": facts.clusterSize, clusters: facts.clusters },
    notes: facts.clean ? [] : [{ severity: "warning", message: "it was not unmounted before it was copied" }],
  };
}

/** A time in seconds since 1970, in UTC. */
function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(".000", "");
}
