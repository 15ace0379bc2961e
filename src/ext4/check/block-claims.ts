/** Who uses which block: each may belong to one inode, or to the metadata of a group. */
import { hasFeature } from "../feature-table.js";
import { inode as layout } from "../layout.js";
import { storedMapOf } from "../reader/block-map.js";
import type { Image } from "../reader/image.js";
import type { BareInode } from "../reader/inodes.js";
import { GroupBits } from "./bits.js";
import { type BlockRange, blocksOfCluster, groupStart, reservedDescriptors } from "./group-layout.js";
import type { Report } from "./report.js";

/** Where so many inodes use blocks of others, the rest is not looked at: it would take as long as somebody wants. */
const MOST_CONFLICTS = 100;
/** The kernel zeros files to the end of a page of this size, and so may have blocks behind the end of the file up to there. */
const PAGE_SIZE = 4096;
const VERITY = 0x100000;

export class BlockClaims {
  readonly #image: Image;
  readonly #report: Report;
  readonly #clusters: GroupBits;
  /** Blocks of a cluster. */
  readonly #ratio: number;
  #conflicts = 0;

  constructor(image: Image, report: Report) {
    this.#image = image;
    this.#report = report;
    this.#ratio = blocksOfCluster(image.superblock);
    this.#clusters = new GroupBits(image.superblock.blocksPerGroup / this.#ratio);
  }

  /** The bitmap that the group should have; undefined where nothing is in use. */
  ofGroup(group: number): Uint8Array | undefined {
    return this.#clusters.ofGroup(group);
  }

  /** Whether more is worth while. */
  get isHopeless(): boolean {
    return this.#conflicts >= MOST_CONFLICTS;
  }

  /** Claims what belongs to no inode. `at` is where it is said to be there. Returns whether it is alone there. */
  claimMetadata({ what, block, count }: BlockRange, at: number): boolean {
    const taken = this.#take(block, count);
    // Metadata of several groups may share a cluster.
    if (taken === undefined || this.#ratio > 1) return true;
    this.#conflict(`${what} is where other metadata is: block ${taken}`, at);
    return false;
  }

  /** Claims one block of an inode that is not part of its map. Returns how many blocks it pays for. */
  claimBlock(block: number, whose: string, at: number): number {
    const taken = this.#take(block, 1);
    if (taken !== undefined) this.#conflict(`${whose} is in block ${block}, which something else uses too`, at);
    return this.#ratio;
  }

  /**
   * Claims all blocks of an inode. Returns how many it pays for, and whether they are its own; undefined when what is behind
   * a part of its map cannot be known. Rejects where the map is damaged.
   */
  async claimFile(inode: BareInode): Promise<{ blocks: number; alone: boolean } | undefined> {
    const at = inode.at + layout.offsets.block;
    const shared = hasFeature(this.#image.superblock.fields, "shared_blocks");
    let blocks = 0;
    let alone = true;
    let written = -1;
    /** Extents may begin within the cluster that the one before ended in. */
    let cluster = -1;
    for await (const { kind, start, block, count } of storedMapOf(this.#image, inode).blocks()) {
      const first = Math.floor(block / this.#ratio);
      const last = Math.floor((block + count - 1) / this.#ratio);
      const from = kind !== "map" && first === cluster ? first + 1 : first;
      const clusters = last + 1 - from;
      blocks += clusters * this.#ratio;
      if (kind !== "map") cluster = last;
      if (kind === "data") written = start + count - 1;
      const taken = clusters === 0 ? undefined : this.#take(from * this.#ratio, clusters * this.#ratio);
      if (taken === undefined || (shared && kind !== "map")) continue;
      if (alone) this.#conflict(`inode ${inode.number} uses block ${taken}, which something else uses too`, at);
      alone = false;
      // Behind it may be another's, or this part again.
      if (kind === "map") return undefined;
    }
    this.#checkSize(inode, written);
    return { blocks, alone };
  }

  /** Claims of the inode that keeps blocks for descriptors what is not counted as such a block. Returns as `claimFile`. */
  async claimResizeInode(inode: BareInode): Promise<{ blocks: number; alone: boolean }> {
    let blocks = 0;
    let alone = true;
    for await (const { block, count } of storedMapOf(this.#image, inode).blocks()) {
      if (blocks === 0) this.claimBlock(block, "the list of blocks reserved for descriptors", inode.at);
      else {
        for (let i = 0; i < count && alone; i++) {
          if (this.#isReserved(block + i)) continue;
          const at = inode.at + layout.offsets.block;
          this.#report.error(`the resize inode has block ${block + i}, which is not reserved for descriptors`, at);
          alone = false;
        }
      }
      // Counted one by one, though none has a cluster of its own.
      blocks += count * this.#ratio;
    }
    return { blocks, alone };
  }

  /** In each group that has a copy of the superblock they are where they are in the first. */
  #isReserved(block: number): boolean {
    const { firstDataBlock, blocksPerGroup } = this.#image.superblock;
    const range = reservedDescriptors(this.#image, 0)!;
    const group = Math.floor((block - firstDataBlock) / blocksPerGroup);
    const within = block - group * blocksPerGroup;
    return (
      (group === 0 || this.#image.hasSuperblock(group)) && within >= range.block && within < range.block + range.count
    );
  }

  /** A file's written blocks are not behind its end. */
  #checkSize(inode: BareInode, written: number): void {
    if (inode.type !== "file" || written < 0) return;
    const { bytes } = inode.stored;
    if ((new DataView(bytes.buffer, bytes.byteOffset).getUint32(layout.offsets.flags, true) & VERITY) !== 0) return;
    const { blockSize } = this.#image.superblock;
    const page = Math.max(1, PAGE_SIZE / blockSize);
    if (inode.size >= Math.floor(written / page) * page * blockSize) return;
    this.#report.error(
      `inode ${inode.number} has ${inode.size} bytes, and data behind them, up to its block ${written}`,
      inode.at + layout.offsets.sizeLow,
    );
  }

  #conflict(message: string, at: number): void {
    this.#conflicts++;
    this.#report.error(message, at);
  }

  /** Returns the first block that was taken before. */
  #take(block: number, count: number): number | undefined {
    const base = this.#image.superblock.firstDataBlock;
    const [first, last] = [block - base, block - base + count - 1].map((at) => Math.floor(at / this.#ratio));
    const known = this.#clusters.add(first!, last! - first! + 1);
    return known === undefined ? undefined : Math.max(block, known * this.#ratio + base);
  }

  /** The cluster of the boot sector is in use where the superblock is in block 1 of a group that begins with block 0. */
  claimBootSector(): void {
    if (this.#ratio > 1 && groupStart(this.#image, 0) > this.#image.superblock.firstDataBlock) this.#take(0, 1);
  }
}
