/** Writes a planned file system: content first, as it comes, and then the metadata that says where it went. */
import { toBytes } from "../bytes/bytestring.js";
import type { Device } from "../bytes/device.js";
import { uuidBytes } from "../bytes/uuid.js";
import type { Directory, Node, RegularFile, Symlink } from "../tree/node.js";
import type { Observer } from "../tree/observer.js";
import { BlockAllocator, InodeAllocator } from "./allocator.js";
import { BlockWriter } from "./block-writer.js";
import { type ChecksumSeed, fileSystemSeed, type GroupChecksums, inodeSeed } from "./checksum.js";
import { ContentWriter } from "./content.js";
import { type DirectoryNumbers, encodeDirectoryBlock } from "./directory.js";
import { ExtentList } from "./extents.js";
import { backupGroups, type Geometry, groupStart } from "./geometry.js";
import { encodeGroups, type GroupMetadata, isLazy } from "./groups.js";
import { encodeDevice } from "./inode.js";
import { InodeTables } from "./inode-tables.js";
import { encodeJournalSuperblock } from "./journal.js";
import { FILE_TYPES, INODE, INODE_BLOCK_BYTES, INODE_FLAG, MAX_LINKS, SUPERBLOCK_OFFSET } from "./layout.js";
import { type Mapping, mappingOf } from "./mapping.js";
import { type Placement, placeNodes } from "./placement.js";
import type { Plan } from "./plan.js";
import { encodeResizeInode } from "./resize-inode.js";
import { encodeSuperblock, type SuperblockValues } from "./superblock.js";
import { isFastSymlink, type Survey, subfolders, type Visit } from "./survey.js";
import { encodeXattrBlock, type XattrBlock } from "./xattrs.js";

/** What a new file system is told about itself. */
export type Identity = Omit<SuperblockValues, "freeBlocks" | "freeInodes" | "journal">;

/** What an inode has beside the metadata of its node. */
interface InodeBody {
  readonly size: number;
  /** Of the data and what leads to it. */
  readonly blocks: number;
  readonly flags: number;
  readonly block: Uint8Array;
  readonly links?: number;
}

const NO_BLOCKS = { size: 0, blocks: 0, flags: 0, block: new Uint8Array(INODE_BLOCK_BYTES) };

export class Ext4Writer {
  readonly #device: Device;
  readonly #survey: Survey;
  readonly #geometry: Geometry;
  readonly #journalBlocks: number;
  readonly #identity: Identity;
  readonly #observer: Observer;
  readonly #mapping: Mapping;
  readonly #checksums: GroupChecksums;
  readonly #seed: ChecksumSeed;
  readonly #blocks: BlockAllocator;
  readonly #inodes: InodeAllocator;
  readonly #placement: Placement;
  readonly #tables: InodeTables;
  readonly #writer: BlockWriter;
  readonly #content: ContentWriter;
  #journal: SuperblockValues["journal"];

  constructor(device: Device, survey: Survey, plan: Plan, identity: Identity, observer: Observer) {
    this.#device = device;
    this.#survey = survey;
    this.#geometry = plan.geometry;
    this.#journalBlocks = plan.journalBlocks;
    this.#identity = identity;
    this.#observer = observer;
    this.#mapping = mappingOf(identity.format);
    const { features } = identity.format;
    const uuid = uuidBytes(identity.uuid);
    this.#seed = features.has("metadata_csum") ? fileSystemSeed(uuid) : undefined;
    this.#checksums = { seed: this.#seed, uuid: features.has("uninit_bg") ? uuid : undefined };
    this.#blocks = new BlockAllocator(plan.geometry);
    this.#inodes = new InodeAllocator(plan.geometry);
    this.#placement = placeNodes(survey, plan.geometry, this.#inodes);
    this.#tables = new InodeTables(plan.geometry, this.#inodes);
    this.#writer = new BlockWriter(device);
    this.#content = new ContentWriter({
      blockSize: plan.geometry.blockSize,
      writer: this.#writer,
      allocator: this.#blocks,
      scanned: survey.scanned,
      observer,
    });
  }

  /** Writes everything, and returns what is free. Once it has ended, well or not, nothing is on its way to the device. */
  async write(): Promise<GroupMetadata> {
    try {
      return await this.#writeAll();
    } finally {
      await this.#writer.settle();
    }
  }

  async #writeAll(): Promise<GroupMetadata> {
    // The boot sector is not ours, but an old one there would be taken for another format.
    await this.#device.zero(0, SUPERBLOCK_OFFSET);
    if (this.#geometry.reservedDescriptorBlocks > 0) this.#writeResizeInode();
    if (this.#journalBlocks > 0) await this.#writeJournal();
    for (const visit of this.#survey.visits) {
      if (this.#writer.behind) await this.#writer.catchUp();
      // A promise only where there is something to wait for: there may be millions of nodes.
      const writing = this.#writeNode(visit);
      if (writing !== undefined) await writing;
    }
    await this.#tables.write(this.#writer);
    if (!isLazy(this.#checksums)) {
      for (const { at, length } of this.#tables.unused()) await this.#device.zero(at, length);
    }
    const groups = encodeGroups(this.#geometry, this.#blocks.freeByGroup(), this.#inodes, this.#checksums);
    for (const { at, bytes } of groups.bitmaps) {
      if (this.#writer.behind) await this.#writer.catchUp();
      this.#writeBlock(at, bytes);
    }
    await this.#writeSuperblocks(groups);
    await this.#writer.flush();
    return groups;
  }

  #writeBlock(at: number, bytes: Uint8Array): void {
    this.#writer.write(at * this.#geometry.blockSize, bytes);
  }

  #writeResizeInode(): void {
    const { block, size, sectors, blocks } = encodeResizeInode(this.#geometry, this.#blocks.allocateOne(0));
    for (const { at, bytes } of blocks) this.#writeBlock(at, bytes);
    this.#putSpecial(INODE.resize, { block, size, sectors, flags: 0 });
  }

  /**
   * All of the journal is made zero, though its superblock alone says that it is empty. Blocks of an earlier file system
   * there are a danger: the first transactions of a new one have the numbers of the first of an old one, and when the same
   * image was flashed before, its UUID and so its checksum seed too. After a power cut, recovery would run on into them.
   */
  async #writeJournal(): Promise<void> {
    const { blockSize } = this.#geometry;
    const extents = new ExtentList();
    for (const run of this.#blocks.allocateTogether(this.#journalBlocks)) {
      extents.add(extents.blocks, run);
      await this.#device.zero(run.start * blockSize, (run.end - run.start) * blockSize);
    }
    const first = extents.extents[0]!.physical;
    this.#writeBlock(first, encodeJournalSuperblock(this.#journalBlocks, blockSize));
    const { block, blocks } = this.#writeMapping(extents, inodeSeed(this.#seed, INODE.journal), 0);
    const size = this.#journalBlocks * blockSize;
    this.#journal = { block, size };
    this.#putSpecial(INODE.journal, { block, size, sectors: (blocks * blockSize) / 512, flags: this.#mapping.flags });
  }

  #putSpecial(number: number, values: { block: Uint8Array; size: number; sectors: number; flags: number }): void {
    const { time } = this.#identity;
    const made = { mtime: { seconds: time, nanoseconds: 0 }, crtime: time };
    const inode = { ...values, mode: FILE_TYPES.file.mode | 0o600, uid: 0, gid: 0, links: 1, ...made };
    this.#tables.put(number, inode, inodeSeed(this.#seed, number));
  }

  #writeNode(visit: Visit): Promise<void> | undefined {
    const number = this.#placement.numbers.get(visit.node)!;
    const seed = inodeSeed(this.#seed, number);
    const goal = this.#placement.flexGroup(visit);
    const body = this.#writeBody(visit, number, seed, goal);
    if (body instanceof Promise) return body.then((written) => this.#putNode(visit.node, written, number, seed, goal));
    this.#putNode(visit.node, body, number, seed, goal);
    return undefined;
  }

  #putNode(node: Node, body: InodeBody, number: number, seed: ChecksumSeed, goal: number): void {
    const xattrs = this.#survey.xattrs.get(node);
    const xattrBlock = xattrs?.block && this.#writeXattrBlock(xattrs.block, goal);
    const blocks = body.blocks + (xattrBlock === undefined ? 0 : 1);
    const inode = {
      mode: FILE_TYPES[node.type].mode | node.mode,
      uid: node.uid,
      gid: node.gid,
      size: body.size,
      links: body.links ?? this.#survey.links.get(node) ?? 1,
      sectors: (blocks * this.#geometry.blockSize) / 512,
      flags: body.flags,
      block: body.block,
      mtime: node.mtime,
      crtime: this.#identity.time,
      xattrs: xattrs?.body,
      xattrBlock,
    };
    this.#tables.put(number, inode, seed);
  }

  #writeBody(
    { node, parent }: Visit,
    number: number,
    seed: ChecksumSeed,
    goal: number,
  ): InodeBody | Promise<InodeBody> {
    switch (node.type) {
      case "directory":
        return this.#writeDirectory(node, parent, { number, seed }, goal);
      case "file":
        return this.#writeFile(node, seed, goal);
      case "symlink":
        return this.#writeSymlink(node, seed, goal);
      case "block":
      case "character":
        return { ...NO_BLOCKS, block: encodeDevice(node) };
      case "fifo":
      case "socket":
        return NO_BLOCKS;
    }
  }

  async #writeDirectory(
    node: Directory,
    parent: Directory,
    { number, seed }: { number: number; seed: ChecksumSeed },
    goal: number,
  ): Promise<InodeBody> {
    const { blockSize } = this.#geometry;
    const layout = this.#survey.layouts.get(node)!;
    const { numbers } = this.#placement;
    const context: DirectoryNumbers = {
      self: number,
      parent: numbers.get(parent)!,
      seed,
      fileTypes: this.#identity.format.features.has("filetype"),
      of: (entry) => numbers.get(entry)!,
    };
    const extents = new ExtentList();
    for (const run of this.#blocks.allocate(goal, layout.blocks)) {
      const first = extents.blocks;
      extents.add(first, run);
      for (let at = run.start; at < run.end; at++) {
        if (this.#writer.behind) await this.#writer.catchUp();
        const bytes = this.#writer.room().subarray(0, blockSize).fill(0);
        encodeDirectoryBlock(layout, first + at - run.start, context, bytes);
        this.#writeBlock(at, bytes);
      }
    }
    const mapped = this.#writeMapping(extents, seed, goal);
    const subdirectories = subfolders(node);
    // With dir_nlink, 1 stands for more than can be counted.
    const links =
      subdirectories + 2 >= MAX_LINKS && this.#identity.format.features.has("dir_nlink") ? 1 : subdirectories + 2;
    const flags = this.#mapping.flags | (layout.index ? INODE_FLAG.index : 0);
    return { ...mapped, size: layout.blocks * blockSize, flags, links };
  }

  #writeFile(node: RegularFile, seed: ChecksumSeed, goal: number): InodeBody | Promise<InodeBody> {
    const extents = this.#content.write(node, goal);
    if (extents instanceof Promise) return extents.then((written) => this.#fileBody(node, written, seed, goal));
    return this.#fileBody(node, extents, seed, goal);
  }

  #fileBody({ content }: RegularFile, extents: ExtentList, seed: ChecksumSeed, goal: number): InodeBody {
    this.#observer.progress?.(0, 1);
    const { block, blocks } = this.#writeMapping(extents, seed, goal);
    return { block, blocks, size: content.size, flags: this.#mapping.flags };
  }

  #writeSymlink({ target }: Symlink, seed: ChecksumSeed, goal: number): InodeBody {
    const bytes = toBytes(target);
    if (isFastSymlink(target)) {
      const block = new Uint8Array(INODE_BLOCK_BYTES);
      block.set(bytes);
      return { ...NO_BLOCKS, size: bytes.length, block };
    }
    const padded = new Uint8Array(this.#geometry.blockSize);
    padded.set(bytes);
    const at = this.#blocks.allocateOne(goal);
    this.#writeBlock(at, padded);
    const extents = new ExtentList();
    extents.add(0, { start: at, end: at + 1 });
    const mapped = this.#writeMapping(extents, seed, goal);
    return { ...mapped, size: bytes.length, flags: this.#mapping.flags };
  }

  /** i_block, and how many blocks the data and what leads to it take. */
  #writeMapping(extents: ExtentList, seed: ChecksumSeed, goal: number) {
    const { root, blocks } = this.#mapping.encode(extents.extents, seed, () => this.#blocks.allocateOne(goal));
    for (const { at, bytes } of blocks) this.#writeBlock(at, bytes);
    return { block: root, blocks: extents.blocks + blocks.length };
  }

  /** Writes a block of attributes unless another inode that has it came before; returns where it is. */
  #writeXattrBlock(block: XattrBlock, goal: number): number {
    if (block.at === undefined) {
      block.at = this.#blocks.allocateOne(goal);
      this.#writeBlock(block.at, encodeXattrBlock(block, this.#geometry.blockSize, block.at, this.#seed));
    }
    return block.at;
  }

  /** Superblock and descriptors, and their copies. What is reserved behind the copies is not read before it is used. */
  async #writeSuperblocks({ descriptors, freeBlocks, freeInodes }: GroupMetadata): Promise<void> {
    const { blockSize } = this.#geometry;
    const values = { ...this.#identity, freeBlocks, freeInodes, journal: this.#journal };
    for (const group of [0, ...backupGroups(this.#geometry)]) {
      const start = groupStart(this.#geometry, group);
      const bytes = encodeSuperblock(this.#geometry, values, group);
      const block = new Uint8Array(blockSize);
      block.set(bytes, start === 0 ? SUPERBLOCK_OFFSET : 0);
      if (this.#writer.behind) await this.#writer.catchUp();
      this.#writeBlock(start, block);
      this.#writeBlock(start + 1, descriptors);
    }
  }
}
