/**
 * The structures of FAT12, FAT16 and FAT32, as constants only. After Microsoft's "FAT32 File System Specification"
 * (fatgen103, 2000); the case flags are what Windows NT and Linux (fs/fat/namei_vfat.c) made of its "NTRes" byte, and the
 * state what Linux (fs/fat/inode.c) made of the boot sector's "Reserved1".
 */
import { array, ascii, bytes, struct, u8, u16, u32 } from "../bytes/struct.js";

/** How many bits of each entry of the file allocation table count: of FAT32's 32 the upper four are reserved. */
export type FatType = 12 | 16 | 32;

/** Bytes in a sector, as media have them. Linux mounts no FAT whose sectors are smaller than the medium's. */
export type SectorSize = 512 | 4096;

/** Fewest and most clusters a volume of each type can have: readers take the type from the number of clusters alone. */
export const CLUSTER_LIMITS: Readonly<Record<FatType, readonly [least: number, most: number]>> = {
  12: [1, 4084],
  16: [4085, 65_524],
  32: [65_525, 0x0fff_fff5],
};

/** Entries 0 and 1 of the table describe the volume; the first cluster of the data region is number 2. */
export const FIRST_CLUSTER = 2;

/** Marks a cluster as the last of its chain, in as many of its bits as the type has. Readers take 0x...f8 and up. */
export const END_OF_CHAIN = 0x0fff_ffff;
/** Marks a cluster that nobody should use, likewise. */
export const BAD_CLUSTER = 0x0fff_fff7;

/** "Fixed disk". The first byte of each table repeats it. */
export const MEDIA_FIXED = 0xf8;

const biosParameters = {
  jump: [0, bytes(3)],
  oemName: [3, ascii(8, " ")],
  bytesPerSector: [11, u16],
  sectorsPerCluster: [13, u8],
  reservedSectors: [14, u16],
  fatCount: [16, u8],
  rootEntries: [17, u16],
  totalSectors16: [19, u16],
  media: [21, u8],
  fatSectors16: [22, u16],
  sectorsPerTrack: [24, u16],
  heads: [26, u16],
  hiddenSectors: [28, u32],
  totalSectors32: [32, u32],
} as const;

/** Boot sector of FAT12 and FAT16, at byte 0. "Boot Sector and BPB Structure". */
export const bootSector16 = struct("fat16_boot_sector", 512, {
  ...biosParameters,
  driveNumber: [36, u8],
  state: [37, u8],
  bootSignature: [38, u8],
  volumeId: [39, u32],
  label: [43, ascii(11, " ")],
  typeName: [54, ascii(8, " ")],
  bootCode: [62, bytes(448)],
  signature: [510, u16],
});

/** Boot sector of FAT32, at byte 0 and once more at `backupBootSector`. Same section. */
export const bootSector32 = struct("fat32_boot_sector", 512, {
  ...biosParameters,
  fatSectors32: [36, u32],
  flags: [40, u16],
  version: [42, u16],
  rootCluster: [44, u32],
  fsInfoSector: [48, u16],
  backupBootSector: [50, u16],
  driveNumber: [64, u8],
  state: [65, u8],
  bootSignature: [66, u8],
  volumeId: [67, u32],
  label: [71, ascii(11, " ")],
  typeName: [82, ascii(8, " ")],
  bootCode: [90, bytes(420)],
  signature: [510, u16],
});

/** In `state`: mounted for writing, and not unmounted since. */
export const STATE_DIRTY = 0x01;

export const BOOT_SIGNATURE = 0xaa55;
/** `bootSignature`: the three fields after it (volume id, label, type name) are there. */
export const EXTENDED_BOOT_SIGNATURE = 0x29;

/** What FAT32 knows about its free clusters, in a sector of its own. "FAT32 FSInfo Sector Structure". */
export const fsInfo = struct("fat32_fsinfo", 512, {
  leadSignature: [0, u32],
  structSignature: [484, u32],
  freeClusters: [488, u32], // 0xffffffff: nobody has counted
  nextFree: [492, u32],
  trailSignature: [508, u32],
});

export const FSINFO_SIGNATURES = { leadSignature: 0x41615252, structSignature: 0x61417272, trailSignature: 0xaa550000 };

/** One file, folder or label in a directory. "FAT Directory Structure". */
export const directoryEntry = struct("fat_directory_entry", 32, {
  name: [0, bytes(11)],
  attributes: [11, u8],
  caseFlags: [12, u8],
  createdTenths: [13, u8],
  createdTime: [14, u16],
  createdDate: [16, u16],
  accessedDate: [18, u16],
  clusterHigh: [20, u16],
  modifiedTime: [22, u16],
  modifiedDate: [24, u16],
  clusterLow: [26, u16],
  size: [28, u32],
});
export const ENTRY_SIZE = directoryEntry.size;

/** Thirteen UTF-16 units of a long name; these come before the entry they name, last part first. "Long Directory Entries". */
export const longNameEntry = struct("fat_long_name_entry", 32, {
  ordinal: [0, u8],
  units1: [1, array(u16, 5)],
  attributes: [11, u8],
  type: [12, u8],
  checksum: [13, u8],
  units2: [14, array(u16, 6)],
  cluster: [26, u16],
  units3: [28, array(u16, 2)],
});
export const UNITS_PER_LONG_ENTRY = 13;
/** In `ordinal`: the part with the name's end, which comes first. */
export const LAST_LONG_ENTRY = 0x40;
export const MAX_LONG_NAME_UNITS = 255;

export const ATTRIBUTE = { readOnly: 0x01, hidden: 0x02, system: 0x04, label: 0x08, directory: 0x10, archive: 0x20 };
/** All of the lower four at once: an entry that old readers take for a second label, and skip. */
export const LONG_NAME_ATTRIBUTES = 0x0f;

/** In `caseFlags`: the eight, or the three, letters are meant in lower case. */
export const LOWER_BASE = 0x08;
export const LOWER_EXTENSION = 0x10;

/** First byte of an entry: nothing from here on, deleted, and what stands for a real 0xe5. */
export const ENTRY_END = 0x00;
export const ENTRY_DELETED = 0xe5;
export const ENTRY_ESCAPED_E5 = 0x05;

/** A directory may not be longer: 65,536 entries. */
export const MAX_DIRECTORY_BYTES = 65_536 * 32;
/** A file's size is stored in 32 bits. */
export const MAX_FILE_BYTES = 0xffff_ffff;
