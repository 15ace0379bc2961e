/** The superblock. Linux Documentation/filesystems/ext4, "The Super Block". */
import { crc32c } from "../bytes/checksum.js";
import { high32, low32 } from "../bytes/halves.js";
import { uuidBytes } from "../bytes/uuid.js";
import { FEATURE_NAMES, type FeatureName, featureWords } from "./feature-table.js";
import type { Format } from "./format.js";
import type { Geometry } from "./geometry.js";
import * as layout from "./layout.js";
import type { MountOptions } from "./mount-options.js";

/** What the kernel does when it finds the file system damaged: carries on, makes it read-only, or stops. */
export type OnError = keyof typeof layout.ON_ERROR;

export interface SuperblockValues {
  readonly format: Format;
  /** At most 16 bytes. */
  readonly label: Uint8Array;
  readonly uuid: string;
  readonly hashSeed: string;
  /** In seconds. */
  readonly time: number;
  readonly reservedBlocks: number;
  readonly errors: OnError;
  readonly mountOptions: MountOptions;
  readonly freeBlocks: number;
  readonly freeInodes: number;
  /** i_block and size of the journal; undefined for none. */
  readonly journal: { readonly block: Uint8Array; readonly size: number } | undefined;
}

/** The features that are there in the end: of those that may be, those that there is something for. */
function presentFeatures({ features }: Format, { wide, reservedDescriptorBlocks }: Geometry, journal: boolean) {
  const present: Partial<Record<FeatureName, boolean>> = {
    has_journal: journal,
    resize_inode: reservedDescriptorBlocks > 0,
    "64bit": wide,
  };
  return featureWords(FEATURE_NAMES.filter((name) => present[name] ?? features.has(name)));
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

/** The superblock as it is stored in `group`, checksum included, if there is one. */
export function encodeSuperblock(geometry: Geometry, values: SuperblockValues, group: number): Uint8Array {
  const { format, journal, time } = values;
  const large = format.inodeSize > layout.SMALL_INODE_SIZE;
  const checksums = format.features.has("metadata_csum");
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
    errors: layout.ON_ERROR[values.errors],
    revision: layout.DYNAMIC_REVISION,
    firstInode: layout.INODE.firstFree,
    inodeSize: format.inodeSize,
    blockGroup: group % 2 ** 16, // no more than a note, and cut off beyond its field elsewhere too
    ...presentFeatures(format, geometry, journal !== undefined),
    uuid: uuidBytes(values.uuid),
    label: values.label,
    reservedDescriptorBlocks: geometry.reservedDescriptorBlocks,
    journalInode: journal ? layout.INODE.journal : 0,
    hashSeed: uuidBytes(values.hashSeed),
    hashVersion: layout.HASH_HALF_MD4,
    journalBackupType: journal ? layout.JOURNAL_BACKUP_BLOCKS : 0,
    descriptorSize: geometry.wide ? geometry.descriptorSize : 0,
    defaultMountOptions: values.mountOptions.bits,
    mountOptions: values.mountOptions.text,
    journalBackup: journalBackup(journal),
    minExtraInodeSize: large ? layout.EXTRA_INODE_SIZE : 0,
    wantExtraInodeSize: large ? layout.EXTRA_INODE_SIZE : 0,
    flags: layout.UNSIGNED_HASH,
    logGroupsPerFlex: Math.log2(geometry.groupsPerFlex),
    checksumType: checksums ? layout.CHECKSUM_CRC32C : 0,
  });
  if (!checksums) return bytes;
  const at = layout.superblock.offsets.checksum;
  new DataView(bytes.buffer).setUint32(at, crc32c(bytes.subarray(0, at), 0xffffffff), true);
  return bytes;
}
