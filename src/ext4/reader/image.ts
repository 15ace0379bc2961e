/** An opened file system: blocks by their number, some of them kept, and the inode tables, found by the group descriptors. */
import type { ReadableDevice } from "../../bytes/device.js";
import type { StructValues } from "../../bytes/struct.js";
import { descriptorChecksum } from "../checksum.js";
import { hasFeature } from "../feature-table.js";
import { hasSuperblock } from "../geometry.js";
import { groupDescriptor, superblock } from "../layout.js";
import { corrupt } from "./corrupt.js";
import type { FastCommits } from "./fast-commits.js";
import type { Superblock } from "./superblock.js";

/** Bytes of metadata blocks that are kept. */
const CACHE_SIZE = 2 ** 21;

export type Descriptor = StructValues<typeof groupDescriptor>;

export class Image {
  readonly superblock: Superblock;
  /** What has changed since the blocks of `device` were written. */
  readonly fastCommits: FastCommits | undefined;
  readonly #device: ReadableDevice;
  /** Least recently used first: a Map keeps the order in which its keys were set. */
  readonly #cache = new Map<number, Uint8Array>();
  /** Where the inode table of each group begins, as far as that was asked for. */
  readonly #inodeTables = new Map<number, number>();

  constructor(device: ReadableDevice, superblock: Superblock, fastCommits?: FastCommits) {
    this.#device = device;
    this.fastCommits = fastCommits;
    this.superblock = superblock;
  }

  /** Whether [start, start + count) are blocks that may hold something. */
  has(start: number, count = 1): boolean {
    const { firstDataBlock, blocks } = this.superblock;
    return start >= firstDataBlock && start > 0 && start + count <= blocks;
  }

  /** Bytes of `device`, in whole blocks or not; the range has to be within blocks that `has` allows. */
  read(at: number, length: number): Promise<Uint8Array> {
    return this.#device.read(at, length);
  }

  /** A block of metadata, kept for when it is asked for again. It may not be changed. */
  async block(number: number): Promise<Uint8Array> {
    const { blockSize } = this.superblock;
    let bytes = this.#cache.get(number);
    if (bytes === undefined) bytes = await this.#device.read(number * blockSize, blockSize);
    else this.#cache.delete(number);
    this.#cache.set(number, bytes);
    if (this.#cache.size * blockSize > CACHE_SIZE) {
      for (const oldest of this.#cache.keys()) {
        this.#cache.delete(oldest);
        break;
      }
    }
    return bytes;
  }

  /** Where inode `number`, which has to be one of 1 to the number of inodes, is stored, in bytes from the start. */
  async inodeOffset(number: number): Promise<number> {
    const { blockSize, inodesPerGroup, inodeSize } = this.superblock;
    const group = Math.floor((number - 1) / inodesPerGroup);
    let table = this.#inodeTables.get(group);
    if (table === undefined) {
      table = await this.#readInodeTable(group);
      this.#inodeTables.set(group, table);
    }
    return table * blockSize + ((number - 1) % inodesPerGroup) * inodeSize;
  }

  /** A group's descriptor, whose checksum is verified, and where it is. */
  async descriptor(group: number): Promise<{ fields: Descriptor; at: number }> {
    const { blockSize, descriptorSize } = this.superblock;
    const perBlock = blockSize / descriptorSize;
    const block = this.#descriptorBlock(Math.floor(group / perBlock));
    const within = (group % perBlock) * descriptorSize;
    const at = block * blockSize + within;
    if (!this.has(block)) {
      throw corrupt(superblockByte("firstMetaGroup"), `the descriptor of group ${group} would be in block ${block}`);
    }
    const stored = (await this.block(block)).slice(within, within + descriptorSize);
    const padded = new Uint8Array(Math.max(groupDescriptor.size, descriptorSize));
    padded.set(stored);
    const fields = groupDescriptor.read(padded);
    if (!this.#checksumHolds(stored, group, fields.checksum)) {
      throw corrupt(at + groupDescriptor.offsets.checksum, `the descriptor of group ${group} has a wrong checksum`);
    }
    return { fields, at };
  }

  /** The first block of a group's inode table, from its descriptor. */
  async #readInodeTable(group: number): Promise<number> {
    const { blockSize, inodesPerGroup, inodeSize } = this.superblock;
    const { fields, at } = await this.descriptor(group);
    const wide = hasFeature(this.superblock.fields, "64bit");
    const table = fields.inodeTableLow + (wide ? fields.inodeTableHigh * 2 ** 32 : 0);
    if (!this.has(table, Math.ceil((inodesPerGroup * inodeSize) / blockSize))) {
      throw corrupt(
        at + groupDescriptor.offsets.inodeTableLow,
        `the descriptor of group ${group} says that its inode table is at block ${table}`,
      );
    }
    return table;
  }

  #checksumHolds(stored: Uint8Array, group: number, checksum: number): boolean {
    const { checksums, seed, fields } = this.superblock;
    if (!checksums && !hasFeature(fields, "uninit_bg")) return true;
    return descriptorChecksum(stored, group, { seed: checksums ? seed : undefined, uuid: fields.uuid }) === checksum;
  }

  /**
   * Block `number` of the group descriptors. With meta_bg, those from `firstMetaGroup` on are each in the first of the
   * groups that they describe, behind the copy of the superblock if there is one; else they follow the superblock.
   */
  #descriptorBlock(number: number): number {
    const { superblock } = this;
    const { blockSize, descriptorSize, firstDataBlock, blocksPerGroup, fields } = superblock;
    const superblockBlock = Math.floor(1024 / blockSize);
    if (!hasFeature(superblock.fields, "meta_bg") || number < fields.firstMetaGroup) {
      return superblockBlock + 1 + number;
    }
    const group = number * (blockSize / descriptorSize);
    const start = firstDataBlock + group * blocksPerGroup;
    // With blocks of 1 KiB and clusters, block 0 is part of group 0, and the superblock is in block 1 nonetheless.
    if (group === 0) return superblockBlock + 1;
    return start + (this.hasSuperblock(group) ? 1 : 0);
  }

  /** Whether `group` begins with a copy of the superblock; the first has the superblock itself. */
  hasSuperblock(group: number): boolean {
    const { superblock } = this;
    if (hasFeature(superblock.fields, "sparse_super2")) return superblock.fields.backupGroups.includes(group);
    return hasSuperblock(group, hasFeature(superblock.fields, "sparse_super"));
  }
}

const superblockByte = (field: keyof typeof superblock.offsets) => 1024 + superblock.offsets[field];
