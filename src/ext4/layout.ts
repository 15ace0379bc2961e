/**
 * ext4's on-disk structures and constants, little-endian unless said otherwise. Linux Documentation/filesystems/ext4;
 * the journal's own superblock: Documentation/filesystems/ext4/journal.rst.
 */
import { array, ascii, be16, be32, bytes, struct, u8, u16, u32 } from "../bytes/struct.js";

export const SUPERBLOCK_OFFSET = 1024;
const SUPERBLOCK_SIZE = 1024;
/** With the zero byte behind them. */
export const MOUNT_OPTIONS_SIZE = 64;
export const SUPERBLOCK_MAGIC = 0xef53;

/** Superblock, at byte 1024, and at the start of each backup group. "The Super Block". */
export const superblock = struct("ext4_super_block", SUPERBLOCK_SIZE, {
  inodesCount: [0x00, u32],
  blocksCountLow: [0x04, u32],
  reservedBlocksLow: [0x08, u32],
  freeBlocksLow: [0x0c, u32],
  freeInodes: [0x10, u32],
  firstDataBlock: [0x14, u32],
  logBlockSize: [0x18, u32],
  logClusterSize: [0x1c, u32],
  blocksPerGroup: [0x20, u32],
  clustersPerGroup: [0x24, u32],
  inodesPerGroup: [0x28, u32],
  mountTime: [0x2c, u32],
  writeTime: [0x30, u32],
  mountCount: [0x34, u16],
  maxMountCount: [0x36, u16],
  magic: [0x38, u16],
  state: [0x3a, u16],
  errors: [0x3c, u16],
  minorRevision: [0x3e, u16],
  lastCheck: [0x40, u32],
  checkInterval: [0x44, u32],
  creatorOs: [0x48, u32],
  revision: [0x4c, u32],
  reservedUid: [0x50, u16],
  reservedGid: [0x52, u16],
  firstInode: [0x54, u32],
  inodeSize: [0x58, u16],
  blockGroup: [0x5a, u16],
  compatible: [0x5c, u32],
  incompatible: [0x60, u32],
  readOnlyCompatible: [0x64, u32],
  uuid: [0x68, bytes(16)],
  label: [0x78, bytes(16)],
  lastMounted: [0x88, ascii(64)],
  reservedDescriptorBlocks: [0xce, u16],
  journalUuid: [0xd0, bytes(16)],
  journalInode: [0xe0, u32],
  journalDevice: [0xe4, u32],
  lastOrphan: [0xe8, u32],
  hashSeed: [0xec, bytes(16)],
  hashVersion: [0xfc, u8],
  journalBackupType: [0xfd, u8],
  descriptorSize: [0xfe, u16],
  defaultMountOptions: [0x100, u32],
  firstMetaGroup: [0x104, u32],
  makeTime: [0x108, u32],
  journalBackup: [0x10c, array(u32, 17)],
  blocksCountHigh: [0x150, u32],
  reservedBlocksHigh: [0x154, u32],
  freeBlocksHigh: [0x158, u32],
  minExtraInodeSize: [0x15c, u16],
  wantExtraInodeSize: [0x15e, u16],
  flags: [0x160, u32],
  mmpBlockLow: [0x168, u32],
  mmpBlockHigh: [0x16c, u32],
  logGroupsPerFlex: [0x174, u8],
  checksumType: [0x175, u8],
  mountOptions: [0x200, ascii(MOUNT_OPTIONS_SIZE)],
  userQuotaInode: [0x240, u32],
  groupQuotaInode: [0x244, u32],
  backupGroups: [0x24c, array(u32, 2)],
  projectQuotaInode: [0x26c, u32],
  checksumSeed: [0x270, u32],
  writeTimeHigh: [0x274, u8],
  makeTimeHigh: [0x276, u8],
  lastCheckHigh: [0x277, u8],
  orphanFileInode: [0x280, u32],
  checksum: [0x3fc, u32],
});

export const STATE_CLEAN = 1;
/** s_errors. */
export const ON_ERROR = { continue: 1, "remount-ro": 2, panic: 3 } as const;
export const DYNAMIC_REVISION = 1;
/** s_flags: names are hashed as unsigned bytes, so that the index is the same on every processor. */
export const UNSIGNED_HASH = 0x2;
/** How names are hashed, in s_def_hash_version and in the root of each index. */
export const HASH_LEGACY = 0;
export const HASH_HALF_MD4 = 1;
export const HASH_TEA = 2;
export const CHECKSUM_CRC32C = 1;
export const JOURNAL_BACKUP_BLOCKS = 1;

/** Group descriptor of 32 bytes; with the 64bit feature another 32 follow. "Block Group Descriptors". */
export const DESCRIPTOR_SIZE = 32;
export const groupDescriptor = struct("ext4_group_desc", 64, {
  blockBitmapLow: [0x00, u32],
  inodeBitmapLow: [0x04, u32],
  inodeTableLow: [0x08, u32],
  freeBlocks: [0x0c, u16],
  freeInodes: [0x0e, u16],
  usedDirectories: [0x10, u16],
  flags: [0x12, u16],
  blockBitmapChecksumLow: [0x18, u16],
  inodeBitmapChecksumLow: [0x1a, u16],
  unusedInodes: [0x1c, u16],
  checksum: [0x1e, u16],
  blockBitmapHigh: [0x20, u32],
  inodeBitmapHigh: [0x24, u32],
  inodeTableHigh: [0x28, u32],
  freeBlocksHigh: [0x2c, u16],
  freeInodesHigh: [0x2e, u16],
  usedDirectoriesHigh: [0x30, u16],
  unusedInodesHigh: [0x32, u16],
  blockBitmapChecksumHigh: [0x38, u16],
  inodeBitmapChecksumHigh: [0x3a, u16],
});
/** bg_flags. */
export const GROUP = { inodeUninit: 0x1, blockUninit: 0x2, inodeZeroed: 0x4 } as const;

/** Of an inode with everything in it that we know. The smaller one is its beginning. */
export const INODE_SIZE = 256;
export const SMALL_INODE_SIZE = 128;
/** How far the fields reach beyond the first 128 bytes: up to and with the project id. */
export const EXTRA_INODE_SIZE = 32;
/** Inode. "Index Nodes". */
export const inode = struct("ext4_inode", INODE_SIZE, {
  mode: [0x00, u16],
  uidLow: [0x02, u16],
  sizeLow: [0x04, u32],
  atime: [0x08, u32],
  ctime: [0x0c, u32],
  mtime: [0x10, u32],
  dtime: [0x14, u32],
  gidLow: [0x18, u16],
  links: [0x1a, u16],
  blocksLow: [0x1c, u32],
  flags: [0x20, u32],
  version: [0x24, u32],
  block: [0x28, bytes(60)],
  generation: [0x64, u32],
  xattrBlockLow: [0x68, u32],
  sizeHigh: [0x6c, u32],
  blocksHigh: [0x74, u16],
  xattrBlockHigh: [0x76, u16],
  uidHigh: [0x78, u16],
  gidHigh: [0x7a, u16],
  checksumLow: [0x7c, u16],
  extraSize: [0x80, u16],
  checksumHigh: [0x82, u16],
  ctimeExtra: [0x84, u32],
  mtimeExtra: [0x88, u32],
  atimeExtra: [0x8c, u32],
  crtime: [0x90, u32],
  crtimeExtra: [0x94, u32],
  versionHigh: [0x98, u32],
  projectId: [0x9c, u32],
  xattrs: [0xa0, bytes(INODE_SIZE - 0xa0)],
});
/** i_flags. */
export const INODE_FLAG = { index: 0x1000, extents: 0x80000 } as const;
/** The file type in i_mode, and in directory entries. */
export const FILE_TYPES = {
  file: { mode: 0o100000, entry: 1 },
  directory: { mode: 0o040000, entry: 2 },
  character: { mode: 0o020000, entry: 3 },
  block: { mode: 0o060000, entry: 4 },
  fifo: { mode: 0o010000, entry: 5 },
  socket: { mode: 0o140000, entry: 6 },
  symlink: { mode: 0o120000, entry: 7 },
} as const;

/** Inodes with a meaning of their own. The first of all others is `firstFree`: lost+found by custom. */
export const INODE = { root: 2, resize: 7, journal: 8, lostAndFound: 11, firstFree: 11 } as const;
export const MAX_LINKS = 65_000;
/** Block numbers within a file have 32 bits, and the last one is not used. */
export const MAX_FILE_BLOCKS = 2 ** 32 - 1;
export const MAX_NAME = 255;
/** The bytes of an inode's block map or extent root, in which short symlink targets are kept too. */
export const INODE_BLOCK_BYTES = 60;
/** Of a block map: its direct blocks by number, then one block of numbers for each level, the deepest last. */
export const DIRECT_POINTERS = 12;
export const INDIRECT_LEVELS = 3;
/** Where in i_block the number of the double indirect block is. */
export const DOUBLE_INDIRECT = 13;
/** In bytes. */
export const POINTER_SIZE = 4;

/** Extent tree node header. "Extent Tree". */
export const EXTENT_MAGIC = 0xf30a;
export const extentHeader = struct("ext4_extent_header", 12, {
  magic: [0, u16],
  entries: [2, u16],
  max: [4, u16],
  depth: [6, u16],
  generation: [8, u32],
});
/** In interior nodes. */
export const extentIndex = struct("ext4_extent_idx", 12, {
  block: [0, u32],
  leafLow: [4, u32],
  leafHigh: [8, u16],
});
/** In leaves. */
export const extentLeaf = struct("ext4_extent", 12, {
  block: [0, u32],
  length: [4, u16],
  startHigh: [6, u16],
  startLow: [8, u32],
});
/** The longest extent that is not "unwritten", in blocks. */
export const MAX_EXTENT_BLOCKS = 32_768;

/** Extended attributes. "Extended Attributes". */
export const XATTR_MAGIC = 0xea020000;
/** At most so many inodes share an attribute block (EXT4_XATTR_REFCOUNT_MAX). */
export const MAX_XATTR_SHARES = 1024;
export const xattrHeader = struct("ext4_xattr_header", 32, {
  magic: [0, u32],
  references: [4, u32],
  blocks: [8, u32],
  hash: [12, u32],
  checksum: [16, u32],
});
export const xattrEntry = struct("ext4_xattr_entry", 16, {
  nameLength: [0, u8],
  nameIndex: [1, u8],
  valueOffset: [2, u16],
  valueInode: [4, u32],
  valueSize: [8, u32],
  hash: [12, u32],
});

/** Directory blocks. "Linear (Classic) Directories" and "Hash Tree Directories". */
export const ENTRY_HEADER_SIZE = 8;
/** The checksum at the end of a leaf looks like an unused entry with this file type. */
export const LEAF_TAIL_SIZE = 12;
export const LEAF_TAIL_TYPE = 0xde;
/** Where the index entries begin, in the root and in other nodes; the first one's hash holds limit and count. */
export const INDEX_ROOT_OFFSET = 0x20;
export const INDEX_NODE_OFFSET = 0x08;
export const INDEX_ENTRY_SIZE = 8;
export const INDEX_TAIL_SIZE = 8;

/** Journal superblock, big-endian, in the journal's first block. "Journal (jbd2)". */
export const JOURNAL_MAGIC = 0xc03b3998;
export const JOURNAL_SUPERBLOCK_V2 = 4;
export const journalSuperblock = struct("journal_superblock_s", 1024, {
  magic: [0x00, be32],
  type: [0x04, be32],
  headerSequence: [0x08, be32],
  blockSize: [0x0c, be32],
  blocks: [0x10, be32],
  first: [0x14, be32],
  sequence: [0x18, be32],
  start: [0x1c, be32],
  compatible: [0x24, be32],
  incompatible: [0x28, be32],
  readOnlyCompatible: [0x2c, be32],
  uuid: [0x30, bytes(16)],
  users: [0x40, be32],
  fastCommitBlocks: [0x54, be32],
  checksum: [0xfc, be32],
});
export const JOURNAL_COMPATIBLE = { checksum: 0x1 } as const;
export const JOURNAL_INCOMPATIBLE = {
  revoke: 0x1,
  is64bit: 0x2,
  asyncCommit: 0x4,
  checksumV2: 0x8,
  checksumV3: 0x10,
  fastCommit: 0x20,
} as const;

/** What every block of the journal begins with that is not a copy of a block of the file system. */
export const journalHeader = struct("journal_header_s", 12, {
  magic: [0, be32],
  type: [4, be32],
  sequence: [8, be32],
});
export const JOURNAL_BLOCK = { descriptor: 1, commit: 2, superblockV1: 3, superblockV2: 4, revoke: 5 } as const;
/** In a descriptor block, one for each copy that follows: with checksums of version 3. */
export const journalTag3 = struct("journal_block_tag3_s", 16, {
  blockLow: [0, be32],
  flags: [4, be32],
  blockHigh: [8, be32],
  checksum: [12, be32],
});
/** Without; the upper half of the block's number is there with the 64bit feature only. Version 2 adds two bytes. */
export const journalTag = struct("journal_block_tag_s", 8, {
  blockLow: [0, be32],
  checksum: [4, be16],
  flags: [6, be16],
});
/** Flags of tags: the copy began with JOURNAL_MAGIC, which is zeros there; no UUID follows; it is the last tag. */
export const JOURNAL_TAG = { escaped: 0x1, sameUuid: 0x2, last: 0x8 } as const;
export const journalRevoke = struct("jbd2_journal_revoke_header_s", 16, {
  /** Bytes that are in use, this header included. */
  used: [12, be32],
});
export const journalCommit = struct("commit_header", 60, {
  checksumType: [12, u8],
  checksumSize: [13, u8],
  checksum: [16, be32],
  secondsHigh: [48, be32],
  seconds: [52, be32],
});
/** The checksum at the end of descriptor and revoke blocks. */
export const JOURNAL_TAIL_SIZE = 4;
