/** The superblock as it is read and checked: "The Super Block" in Linux Documentation/filesystems/ext4. */
import { crc32c } from "../../bytes/checksum.js";
import type { ReadableDevice } from "../../bytes/device.js";
import type { StructValues } from "../../bytes/struct.js";
import { fileSystemSeed } from "../checksum.js";
import { hasFeature, unreadableFeatures } from "../feature-table.js";
import * as layout from "../layout.js";
import { corrupt, unsupported } from "./corrupt.js";

/** Of the first revision, which has no fields for them. */
const FIRST_REVISION = { inodeSize: 128, firstInode: 11 } as const;
const MAX_LOG_BLOCK_SIZE = 6;
const MAX_DESCRIPTOR_SIZE = 1024;

export interface Superblock {
  /** As stored. */
  readonly fields: StructValues<typeof layout.superblock>;
  /** In bytes. */
  readonly blockSize: number;
  readonly blocks: number;
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly groups: number;
  readonly inodes: number;
  readonly inodesPerGroup: number;
  /** In bytes. */
  readonly inodeSize: number;
  /** The first inode that is not reserved. */
  readonly firstInode: number;
  /** In bytes. */
  readonly descriptorSize: number;
  /** Whether metadata has checksums, and where they start (metadata_csum). */
  readonly checksums: boolean;
  readonly seed: number;
}

const at = (field: keyof typeof layout.superblock.offsets) =>
  layout.SUPERBLOCK_OFFSET + layout.superblock.offsets[field];

/**
 * Reads it. Throws `image-corrupt` for what is no file system of this kind, for one that was cut short, for a wrong checksum
 * and for facts that contradict each other; `source-unsupported` for features without which nothing can be read.
 */
export async function readSuperblock(device: ReadableDevice): Promise<Superblock> {
  const { size } = layout.superblock;
  if (device.size < layout.SUPERBLOCK_OFFSET + size) {
    throw corrupt(
      device.size,
      `an ext4 file system has its superblock at bytes 1024 to 2047, and here are ${device.size}`,
    );
  }
  const bytes = await device.read(layout.SUPERBLOCK_OFFSET, size);
  const fields = layout.superblock.read(bytes);
  if (fields.magic !== layout.SUPERBLOCK_MAGIC) {
    throw corrupt(at("magic"), "this is no ext2, ext3 or ext4 file system: its superblock's magic number is missing");
  }
  if (fields.revision < layout.DYNAMIC_REVISION) {
    Object.assign(fields, { compatible: 0, incompatible: 0, readOnlyCompatible: 0, ...FIRST_REVISION });
  }
  const unreadable = unreadableFeatures(fields);
  if (unreadable.length > 0) {
    throw unsupported(
      `this file system has ${unreadable.length === 1 ? "the feature" : "features"} ${unreadable.join(", ")}, which cannot be read`,
      unreadable.includes("journal_dev")
        ? "It is the journal of another file system: open that one."
        : "Copy its files into a file system without it, on a system that knows it.",
    );
  }
  const checksums = hasFeature(fields, "metadata_csum");
  if (checksums) checkChecksum(bytes, fields);
  const block = derive(fields, checksums);
  check(block, device);
  return block;
}

function checkChecksum(bytes: Uint8Array, fields: Superblock["fields"]): void {
  if (fields.checksumType !== layout.CHECKSUM_CRC32C) {
    throw corrupt(at("checksumType"), `the superblock's checksums are of the unknown type ${fields.checksumType}`);
  }
  const found = crc32c(bytes.subarray(0, layout.superblock.offsets.checksum), 0xffffffff);
  if (found !== fields.checksum) throw corrupt(at("checksum"), "the superblock's checksum is wrong");
}

function derive(fields: Superblock["fields"], checksums: boolean): Superblock {
  const wide = hasFeature(fields, "64bit");
  const blocks = fields.blocksCountLow + (wide ? fields.blocksCountHigh * 2 ** 32 : 0);
  const { firstDataBlock, blocksPerGroup, inodesPerGroup, inodeSize, firstInode } = fields;
  return {
    fields,
    blockSize: 2 ** (10 + fields.logBlockSize),
    blocks,
    firstDataBlock,
    blocksPerGroup,
    groups: Math.ceil((blocks - firstDataBlock) / blocksPerGroup),
    inodes: fields.inodesCount,
    inodesPerGroup,
    inodeSize,
    firstInode,
    descriptorSize: wide ? fields.descriptorSize : layout.DESCRIPTOR_SIZE,
    checksums,
    seed: hasFeature(fields, "metadata_csum_seed") ? fields.checksumSeed : fileSystemSeed(fields.uuid),
  };
}

/** Throws for the first field that cannot be true. */
function check(block: Superblock, device: ReadableDevice): void {
  const { fields, blockSize, blocks, groups, inodes, inodeSize } = block;
  const demand = (holds: boolean, field: keyof typeof layout.superblock.offsets, message: string) => {
    if (!holds) throw corrupt(at(field), `the superblock says that ${message}`);
  };
  const powerOfTwo = (value: number) => Number.isInteger(Math.log2(value));
  demand(fields.logBlockSize <= MAX_LOG_BLOCK_SIZE, "logBlockSize", `blocks have ${blockSize} bytes`);
  demand(
    fields.firstDataBlock < blocks,
    "firstDataBlock",
    `data begins at block ${fields.firstDataBlock} of ${blocks}`,
  );
  if (blocks * blockSize > device.size) {
    throw corrupt(
      device.size,
      `the file system is cut short: it has ${blocks} blocks of ${blockSize} bytes, which is more than ${device.size} bytes`,
    );
  }
  const clustered = hasFeature(block.fields, "bigalloc");
  const perBitmap = clustered ? fields.clustersPerGroup : fields.blocksPerGroup;
  demand(
    perBitmap > 0 && perBitmap <= 8 * blockSize && fields.blocksPerGroup > 0,
    clustered ? "clustersPerGroup" : "blocksPerGroup",
    `a group has ${perBitmap} ${clustered ? "clusters" : "blocks"}`,
  );
  demand(
    inodeSize >= FIRST_REVISION.inodeSize && inodeSize <= blockSize && powerOfTwo(inodeSize),
    "inodeSize",
    `inodes have ${inodeSize} bytes`,
  );
  demand(
    block.descriptorSize >= layout.DESCRIPTOR_SIZE &&
      block.descriptorSize <= MAX_DESCRIPTOR_SIZE &&
      powerOfTwo(block.descriptorSize) &&
      (block.descriptorSize >= layout.groupDescriptor.size || !hasFeature(block.fields, "64bit")),
    "descriptorSize",
    `group descriptors have ${block.descriptorSize} bytes`,
  );
  demand(
    block.inodesPerGroup > 0 && block.inodesPerGroup <= 8 * blockSize,
    "inodesPerGroup",
    `a group has ${block.inodesPerGroup} inodes`,
  );
  demand(
    inodes === groups * block.inodesPerGroup,
    "inodesCount",
    `there are ${inodes} inodes, and that ${groups} groups have ${block.inodesPerGroup} each`,
  );
  demand(
    block.firstInode >= FIRST_REVISION.firstInode && block.firstInode <= inodes,
    "firstInode",
    `the first inode of a file is ${block.firstInode} of ${inodes}`,
  );
}
