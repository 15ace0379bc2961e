/** The superblock. Linux Documentation/filesystems/ext4, "The Super Block". */
import { crc32c } from "../bytes/checksum.js";
import { high32, low32 } from "../bytes/halves.js";
import { uuidBytes } from "../bytes/uuid.js";
import { type Geometry, LOG_GROUPS_PER_FLEX } from "./geometry.js";
import * as layout from "./layout.js";

export interface SuperblockValues {
  /** At most 16 bytes. */
  readonly label: Uint8Array;
  readonly uuid: string;
  readonly hashSeed: string;
  /** In seconds. */
  readonly time: number;
  readonly reservedBlocks: number;
  readonly freeBlocks: number;
  readonly freeInodes: number;
  /** i_block and size of the journal; undefined for none. */
  readonly journal: { readonly block: Uint8Array; readonly size: number } | undefined;
}

function features({ wide, reservedDescriptorBlocks }: Geometry, journal: boolean) {
  const { COMPATIBLE: compatible, INCOMPATIBLE: incompatible } = layout;
  return {
    compatible:
      compatible.extAttr |
      compatible.dirIndex |
      (reservedDescriptorBlocks > 0 ? compatible.resizeInode : 0) |
      (journal ? compatible.hasJournal : 0),
    incompatible:
      incompatible.filetype | incompatible.extents | incompatible.flexBg | (wide ? incompatible.is64bit : 0),
    readOnlyCompatible: Object.values(layout.READ_ONLY_COMPATIBLE).reduce((all, feature) => all | feature, 0),
  };
}

/**
 * Where the journal is, a second time: e2fsck restores its inode from here. The words of i_block, then the size, high half
 * first.
 */
function journalBackup(journal: SuperblockValues["journal"]): number[] {
  if (journal === undefined) return [];
  const view = new DataView(journal.block.buffer, journal.block.byteOffset);
  const words = Array.from({ length: layout.INODE_BLOCK_BYTES / 4 }, (_, i) => view.getUint32(4 * i, true));
  return [...words, high32(journal.size), low32(journal.size)];
}

/** The superblock as it is stored in `group`, checksum included. */
export function encodeSuperblock(geometry: Geometry, values: SuperblockValues, group: number): Uint8Array {
  const { journal, time } = values;
  const logBlockSize = Math.log2(geometry.blockSize) - 10;
  const bytes = layout.superblock.encode({
    inodesCount: geometry.groups * geometry.inodesPerGroup,
    blocksCountLow: low32(geometry.blocks),
    blocksCountHigh: high32(geometry.blocks),
    reservedBlocksLow: low32(values.reservedBlocks),
    reservedBlocksHigh: high32(values.reservedBlocks),
    freeBlocksLow: low32(values.freeBlocks),
    freeBlocksHigh: high32(values.freeBlocks),
    freeInodes: values.freeInodes,
    firstDataBlock: geometry.firstDataBlock,
    logBlockSize,
    logClusterSize: logBlockSize,
    blocksPerGroup: geometry.blocksPerGroup,
    clustersPerGroup: geometry.blocksPerGroup,
    inodesPerGroup: geometry.inodesPerGroup,
    writeTime: low32(time),
    writeTimeHigh: high32(time),
    makeTime: low32(time),
    makeTimeHigh: high32(time),
    lastCheck: low32(time),
    lastCheckHigh: high32(time),
    maxMountCount: 0xffff, // never to be checked because of its age
    magic: layout.SUPERBLOCK_MAGIC,
    state: layout.STATE_CLEAN,
    errors: layout.ERRORS_CONTINUE,
    revision: layout.DYNAMIC_REVISION,
    firstInode: layout.INODE.firstFree,
    inodeSize: layout.INODE_SIZE,
    blockGroup: group % 2 ** 16, // no more than a note, and cut off beyond its field elsewhere too
    ...features(geometry, journal !== undefined),
    uuid: uuidBytes(values.uuid),
    label: values.label,
    reservedDescriptorBlocks: geometry.reservedDescriptorBlocks,
    journalInode: journal ? layout.INODE.journal : 0,
    hashSeed: uuidBytes(values.hashSeed),
    hashVersion: layout.HASH_HALF_MD4,
    journalBackupType: journal ? layout.JOURNAL_BACKUP_BLOCKS : 0,
    descriptorSize: geometry.wide ? geometry.descriptorSize : 0,
    defaultMountOptions: layout.MOUNT_XATTR_ACL,
    journalBackup: journalBackup(journal),
    minExtraInodeSize: layout.EXTRA_INODE_SIZE,
    wantExtraInodeSize: layout.EXTRA_INODE_SIZE,
    flags: layout.UNSIGNED_HASH,
    logGroupsPerFlex: LOG_GROUPS_PER_FLEX,
    checksumType: layout.CHECKSUM_CRC32C,
  });
  const at = layout.superblock.offsets.checksum;
  new DataView(bytes.buffer).setUint32(at, crc32c(bytes.subarray(0, at), 0xffffffff), true);
  return bytes;
}
