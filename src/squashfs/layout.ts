/**
 * The structures of SquashFS 4.0, all little-endian. Sources: Linux Documentation/filesystems/squashfs.rst for the order of
 * the tables and what they mean, and fs/squashfs/squashfs_fs.h for the fields, which is what the kernel reads.
 */
import { size64, struct, u16, u32, u64 } from "../bytes/struct.js";

export const MAGIC = 0x73717368;
export const VERSION_MAJOR = 4;
export const VERSION_MINOR = 0;

/** Inodes, directories and tables are cut into blocks of this many bytes before they are compressed. */
export const METADATA_SIZE = 8192;
/** In the two bytes before a metadata block: the block is stored as it is. */
export const METADATA_STORED = 0x8000;
/** In the size of a data block or fragment: it is stored as it is. */
export const BLOCK_STORED = 1 << 24;
/** A table that is not there. */
export const NO_TABLE = 0xffffffffffffffffn;
/** A file whose end is in no fragment. */
export const NO_FRAGMENT = 0xffffffff;
/** An inode without extended attributes. */
export const NO_XATTRS = 0xffffffff;

/** Entries below one directory header. */
export const MAX_RUN = 256;
/** Bytes of a file name. */
export const MAX_NAME = 256;
/** What directory sizes count beyond the listing: the room of "." and "..", which are not stored. */
export const DIRECTORY_SIZE_EXTRA = 3;

/** Superblock flags. */
export const FLAGS = {
  uncompressedInodes: 0x0001,
  uncompressedData: 0x0002,
  uncompressedFragments: 0x0008,
  noFragments: 0x0010,
  alwaysFragments: 0x0020,
  duplicatesRemoved: 0x0040,
  exportable: 0x0080,
  uncompressedXattrs: 0x0100,
  noXattrs: 0x0200,
  compressorOptions: 0x0400,
  uncompressedIds: 0x0800,
} as const;

/** At byte 0. */
export const superblock = struct("squashfs_super_block", 96, {
  magic: [0, u32],
  inodes: [4, u32],
  time: [8, u32],
  blockSize: [12, u32],
  fragments: [16, u32],
  compressor: [20, u16],
  blockLog: [22, u16],
  flags: [24, u16],
  ids: [26, u16],
  major: [28, u16],
  minor: [30, u16],
  rootInode: [32, size64],
  bytesUsed: [40, size64],
  idTable: [48, size64],
  xattrTable: [56, u64],
  inodeTable: [64, size64],
  directoryTable: [72, size64],
  fragmentTable: [80, u64],
  exportTable: [88, u64],
});

/** After the superblock, when the compressor's options differ from the defaults. */
export const gzipOptions = struct("gzip_comp_opts", 8, {
  level: [0, u32],
  windowSize: [4, u16],
  strategies: [6, u16],
});

/** `filters` has a bit for each BCJ filter that blocks may have. */
export const xzOptions = struct("xz_comp_opts", 8, {
  dictionarySize: [0, u32],
  filters: [4, u32],
});

/** The bits of `filters` that are set here; 4 is ia64. */
export const XZ_FILTERS = { x86: 1, powerpc: 2, arm: 8, armthumb: 16, sparc: 32 } as const;

export const zstdOptions = struct("zstd_comp_opts", 4, {
  level: [0, u32],
});

/** The same for LZO. Levels are of use to lzo1x_999 alone. */
export const lzoOptions = struct("lzo_comp_opts", 8, {
  algorithm: [0, u32],
  level: [4, u32],
});

/** After the superblock, with LZ4 always. */
export const lz4Options = struct("lz4_comp_opts", 8, {
  version: [0, u32],
  flags: [4, u32],
});

/** Inode types of the basic forms; the extended form of each is 7 more. Directory entries have the basic type always. */
export const INODE_TYPES = {
  directory: 1,
  file: 2,
  symlink: 3,
  block: 4,
  character: 5,
  fifo: 6,
  socket: 7,
} as const;
export const EXTENDED = 7;

const inodeHeader = {
  type: [0, u16],
  mode: [2, u16],
  uid: [4, u16],
  gid: [6, u16],
  mtime: [8, u32],
  number: [12, u32],
} as const;

export const directoryInode = struct("squashfs_dir_inode", 32, {
  ...inodeHeader,
  startBlock: [16, u32],
  links: [20, u32],
  size: [24, u16],
  offset: [26, u16],
  parent: [28, u32],
});

/** Followed by `indexes` directory index entries. */
export const extendedDirectoryInode = struct("squashfs_ldir_inode", 40, {
  ...inodeHeader,
  links: [16, u32],
  size: [20, u32],
  startBlock: [24, u32],
  parent: [28, u32],
  indexes: [32, u16],
  offset: [34, u16],
  xattrs: [36, u32],
});

/** Followed by the name, whose length is one more than `nameLength` says. */
export const directoryIndex = struct("squashfs_dir_index", 12, {
  listingOffset: [0, u32],
  startBlock: [4, u32],
  nameLength: [8, u32],
});

/** Followed by the size of each block, 32 bits each. */
export const fileInode = struct("squashfs_reg_inode", 32, {
  ...inodeHeader,
  startBlock: [16, u32],
  fragment: [20, u32],
  offset: [24, u32],
  size: [28, u32],
});

/** Followed by the size of each block, 32 bits each. */
export const extendedFileInode = struct("squashfs_lreg_inode", 56, {
  ...inodeHeader,
  startBlock: [16, size64],
  size: [24, size64],
  sparse: [32, size64],
  links: [40, u32],
  fragment: [44, u32],
  offset: [48, u32],
  xattrs: [52, u32],
});

/** Followed by the target; in the extended form by the target and then the 32-bit number of the xattrs. */
export const symlinkInode = struct("squashfs_symlink_inode", 24, {
  ...inodeHeader,
  links: [16, u32],
  targetLength: [20, u32],
});

export const deviceInode = struct("squashfs_dev_inode", 24, {
  ...inodeHeader,
  links: [16, u32],
  device: [20, u32],
});

export const extendedDeviceInode = struct("squashfs_ldev_inode", 28, {
  ...inodeHeader,
  links: [16, u32],
  device: [20, u32],
  xattrs: [24, u32],
});

export const ipcInode = struct("squashfs_ipc_inode", 20, {
  ...inodeHeader,
  links: [16, u32],
});

export const extendedIpcInode = struct("squashfs_lipc_inode", 24, {
  ...inodeHeader,
  links: [16, u32],
  xattrs: [20, u32],
});

/** Before up to 256 entries whose inodes begin in one metadata block. `count` is one less than the number of entries. */
export const directoryHeader = struct("squashfs_dir_header", 12, {
  count: [0, u32],
  startBlock: [4, u32],
  inodeNumber: [8, u32],
});

/**
 * Followed by the name, whose length is one more than `nameLength` says. `inodeDelta` is the two's complement of the
 * distance to the header's inode number.
 */
export const directoryEntry = struct("squashfs_dir_entry", 8, {
  offset: [0, u16],
  inodeDelta: [2, u16],
  type: [4, u16],
  nameLength: [6, u16],
});

export const fragmentEntry = struct("squashfs_fragment_entry", 16, {
  start: [0, size64],
  size: [8, u32],
});

/** Prefixes that have a number; no other attribute can be stored. */
export const XATTR_PREFIXES = { "user.": 0, "trusted.": 1, "security.": 2 } as const;
/** In an attribute's type: the value is the 64-bit reference of another value. */
export const XATTR_OUT_OF_LINE = 0x100;
/** Bytes of such a reference. */
export const XATTR_REFERENCE_SIZE = 8;
/** What Linux takes of a name with its prefix, and of a value (XATTR_NAME_MAX and XATTR_SIZE_MAX, linux/limits.h). */
export const MAX_XATTR_NAME = 255;
export const MAX_XATTR_VALUE = 65_536;
/** The same for all names of a file, each with a NUL (XATTR_LIST_MAX). */
export const MAX_XATTR_LIST = 65_536;

/** Followed by the name without its prefix, and the value behind its 32-bit length. */
export const xattrEntry = struct("squashfs_xattr_entry", 4, {
  type: [0, u16],
  nameLength: [2, u16],
});

/** One set of attributes. */
export const xattrId = struct("squashfs_xattr_id", 16, {
  reference: [0, size64],
  count: [8, u32],
  size: [12, u32],
});

/** Followed by the position of each metadata block of xattr ids. */
export const xattrTable = struct("squashfs_xattr_id_table", 16, {
  start: [0, size64],
  sets: [8, u32],
});

/** A record of the export table: the reference of an inode. */
export const INODE_REFERENCE_SIZE = 8;

/** All times are seconds since 1970 in 32 bits without a sign. The nearest of them to `seconds`. */
export function storedTime(seconds: number): number {
  return Math.min(Math.max(seconds, 0), 2 ** 32 - 1);
}
