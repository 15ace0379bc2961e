/**
 * Blocks of attributes that inodes share, and inodes that hold the value of one: both count who refers to them. "Extended
 * Attributes" in Documentation/filesystems/ext4.
 */

import { hasFeature } from "../feature-table.js";
import { inode as layout, XATTR_MAGIC, xattrHeader } from "../layout.js";
import type { Image } from "../reader/image.js";
import type { InodeFacts } from "../reader/inodes.js";
import { attributesInInode, readAttributes, type StoredAttribute } from "../reader/xattr-entries.js";
import type { BlockClaims } from "./block-claims.js";
import { blocksOfCluster } from "./group-layout.js";
import type { Report } from "./report.js";

/** Whether an inode holds the value of an attribute, which no name leads to. */
export function isXattrValue({ superblock }: Image, { stored }: InodeFacts): boolean {
  return stored.isXattrValue && hasFeature(superblock.fields, "ea_inode");
}

interface SharedBlock {
  readonly at: number;
  readonly references: number;
  /** What the values in inodes of their own cost who has the block. */
  readonly blocks: number;
  found: number;
}

interface ValueInode {
  readonly at: number;
  readonly references: number;
}

export class AttributeClaims {
  readonly #image: Image;
  readonly #claims: BlockClaims;
  readonly #report: Report;
  readonly #blocks = new Map<number, SharedBlock>();
  readonly #values = new Map<number, ValueInode>();
  /** References to values that were met, by the inode's number. */
  readonly #found = new Map<number, number>();

  constructor(image: Image, claims: BlockClaims, report: Report) {
    this.#image = image;
    this.#claims = claims;
    this.#report = report;
  }

  /** Claims what the attributes of `inode` take, and returns how many blocks it pays for. Rejects where they are damaged. */
  async claim(inode: InodeFacts): Promise<number> {
    const own = this.#refer(attributesInInode(inode));
    const { xattrBlock, bytes } = inode.stored;
    if (isXattrValue(this.#image, inode)) {
      // The count is where other inodes have i_ctime and i_version.
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const [high, low] = [layout.offsets.ctime, layout.offsets.version].map((field) => view.getUint32(field, true));
      this.#values.set(inode.number, { at: inode.at, references: high! * 2 ** 32 + low! });
    }
    if (xattrBlock === 0) return own;
    const shared = this.#blocks.get(xattrBlock) ?? (await this.#readBlock(xattrBlock, inode));
    if (shared === undefined) return own;
    shared.found++;
    return own + shared.blocks + blocksOfCluster(this.#image.superblock);
  }

  /** Compares what is counted with what was found. */
  compare(): void {
    for (const [block, { at, references, found }] of this.#blocks) {
      if (references === found) continue;
      this.#report.error(
        `the attributes in block ${block} are said to be of ${references} inodes, and are of ${found}`,
        at + xattrHeader.offsets.references,
      );
    }
    for (const [number, { at, references }] of this.#values) {
      const found = this.#found.get(number) ?? 0;
      if (references === found) continue;
      this.#report.error(
        `inode ${number}, the value of an attribute, counts ${references} references, and has ${found}`,
        at + layout.offsets.version,
      );
    }
  }

  async #readBlock(number: number, inode: InodeFacts): Promise<SharedBlock | undefined> {
    const at = number * this.#image.superblock.blockSize;
    // Who reads the attributes hears of it.
    if (!this.#image.has(number)) return undefined;
    const bytes = await this.#image.block(number);
    const header = xattrHeader.read(bytes);
    this.#claims.claimBlock(
      number,
      `the attribute block of inode ${inode.number}`,
      inode.at + layout.offsets.xattrBlockLow,
    );
    const what = `the extended attributes in block ${number}`;
    const blocks =
      header.magic === XATTR_MAGIC
        ? this.#refer(readAttributes(bytes, { start: xattrHeader.size, base: 0, at, what }))
        : 0;
    const shared = { at, references: header.references, blocks, found: 0 };
    this.#blocks.set(number, shared);
    return shared;
  }

  /** Notes values in inodes of their own; they cost who refers to them as much as if he had them alone. */
  #refer(attributes: readonly StoredAttribute[]): number {
    const { superblock } = this.#image;
    const ratio = blocksOfCluster(superblock);
    let blocks = 0;
    for (const { valueInode, size } of attributes) {
      if (valueInode === 0) continue;
      this.#found.set(valueInode, (this.#found.get(valueInode) ?? 0) + 1);
      blocks += Math.ceil(size / (superblock.blockSize * ratio)) * ratio;
    }
    return blocks;
  }
}
