/** Extended attributes by their full names: those in the inode, those in its block, and values in inodes of their own. */
import type { ByteString } from "../../bytes/bytestring.js";
import { crc32c } from "../../bytes/checksum.js";
import { isPortableXattr } from "../../tree/xattrs.js";
import { xattrBlockSeed } from "../checksum.js";
import { inode as inodeLayout, XATTR_MAGIC, xattrHeader } from "../layout.js";
import { decodeAcl } from "./acl.js";
import { type Budget, blockMapOf } from "./block-map.js";
import { FileReader } from "./content.js";
import { corrupt, unsupported } from "./corrupt.js";
import type { Image } from "./image.js";
import { type InodeFacts, readBareInode } from "./inodes.js";
import { attributesInInode, readAttributes, type StoredAttribute } from "./xattr-entries.js";

/** What names begin with, by e_name_index; others mean nothing outside of the file system. */
const PREFIXES = new Map([
  [1, "user."],
  [2, "system.posix_acl_access"],
  [3, "system.posix_acl_default"],
  [4, "trusted."],
  [6, "security."],
]);
const ACLS: ReadonlySet<number> = new Set([2, 3]);

/**
 * Blocks of attributes, and values in inodes of their own, that are kept for when they are asked for again: inodes with the
 * same attributes share them, and mostly follow each other.
 */
const KEPT = 64;
/** In bytes: about what the memory takes that an attribute has in a map, besides its name and value. */
const ENTRY_SIZE = 64;
/** In bytes, of values in inodes of their own that one tree may have: they are in memory, all at once. */
const MOST_VALUE_BYTES = 2 ** 28;

export type XattrSet = ReadonlyMap<ByteString, Uint8Array>;

const NONE: XattrSet = new Map();

/**
 * Attributes of one inode after the other. With a budget, for who keeps them all, every block and value is read once and shared
 * by all that have it, and what they take is charged; at most `mostValueBytes` are in inodes of their own.
 */
export class XattrReader {
  readonly #image: Image;
  readonly #budget: Budget | undefined;
  readonly #blocks = new Map<number, XattrSet>();
  /** Values in inodes of their own, by the inode's number. */
  readonly #values = new Map<number, Uint8Array>();
  readonly #mostValueBytes: number;
  #valueBytes = 0;

  constructor(image: Image, budget?: Budget, mostValueBytes = MOST_VALUE_BYTES) {
    this.#image = image;
    this.#budget = budget;
    this.#mostValueBytes = mostValueBytes;
  }

  /** Those that mean something in other file systems too. Map and values are shared: they may not be changed. */
  async of(inode: InodeFacts): Promise<XattrSet> {
    const own = await this.#named(attributesInInode(inode));
    const { xattrBlock } = inode.stored;
    if (xattrBlock === 0) return own;
    const block = await this.#block(xattrBlock, inode);
    if (own.size === 0) return block;
    const blocks = Math.floor((block.size * ENTRY_SIZE) / this.#image.superblock.blockSize);
    this.#charge(blocks, inode);
    // The kernel looks into the inode first.
    return new Map([...block, ...own]);
  }

  #charge(blocks: number, { number, at }: InodeFacts): void {
    this.#budget?.take(blocks, at + inodeLayout.offsets.xattrBlockLow, () => `the attributes of inode ${number}`);
  }

  /** Without a budget, the oldest makes room. */
  #keep<T>(kept: Map<number, T>, number: number, what: T): void {
    kept.set(number, what);
    if (this.#budget === undefined && kept.size > KEPT) kept.delete(kept.keys().next().value!);
  }

  async #block(number: number, inode: InodeFacts): Promise<XattrSet> {
    let set = this.#blocks.get(number);
    if (set === undefined) {
      this.#charge(1, inode);
      set = await this.#named(await this.#readBlock(number, inode));
      this.#keep(this.#blocks, number, set);
    }
    return set;
  }

  async #readBlock(number: number, inode: InodeFacts): Promise<StoredAttribute[]> {
    const { superblock } = this.#image;
    const what = `the extended attributes in block ${number}`;
    if (!this.#image.has(number)) {
      throw corrupt(
        inode.at + inodeLayout.offsets.xattrBlockLow,
        `inode ${inode.number} has its extended attributes in block ${number}, which is none of the file system's`,
      );
    }
    const at = number * superblock.blockSize;
    const bytes = await this.#image.block(number);
    const header = xattrHeader.read(bytes);
    if (header.magic !== XATTR_MAGIC) throw corrupt(at, `${what} lack their magic number`);
    if (header.blocks !== 1)
      throw corrupt(at + xattrHeader.offsets.blocks, `${what} say that they take ${header.blocks}`);
    if (superblock.checksums) {
      const { offsets } = xattrHeader;
      const sum = crc32c(bytes.subarray(0, offsets.checksum), xattrBlockSeed(superblock.seed, number));
      if (crc32c(bytes.subarray(offsets.checksum + 4), crc32c(new Uint8Array(4), sum)) !== header.checksum) {
        throw corrupt(at + offsets.checksum, `${what} have a wrong checksum`);
      }
    }
    return readAttributes(bytes, { start: xattrHeader.size, base: 0, at, what });
  }

  async #named(stored: readonly StoredAttribute[]): Promise<XattrSet> {
    if (stored.length === 0) return NONE;
    const set = new Map<ByteString, Uint8Array>();
    for (const attribute of stored) {
      const prefix = PREFIXES.get(attribute.index);
      const name = `${prefix}${attribute.name}` as ByteString;
      if (prefix === undefined || !isPortableXattr(name)) continue;
      const value = attribute.value ?? (await this.#valueOf(attribute));
      set.set(name, ACLS.has(attribute.index) ? decodeAcl(value, attribute.valueAt) : value);
    }
    return set;
  }

  async #valueOf({ valueInode: number, size, at }: StoredAttribute): Promise<Uint8Array> {
    const known = this.#values.get(number);
    if (known?.length === size) return known;
    const wrong = (message: string) =>
      corrupt(at, `an extended attribute has its value in inode ${number}, which ${message}`);
    if (number > this.#image.superblock.inodes) throw wrong("is none of the file system's");
    const inode = await readBareInode(this.#image, number);
    if (inode.type !== "file" || !inode.stored.isXattrValue || inode.stored.hasInlineData)
      throw wrong("is there for something else");
    if (inode.size !== size) throw wrong(`has ${inode.size} bytes instead of ${size}`);
    this.#charge(Math.ceil(size / this.#image.superblock.blockSize), inode);
    this.#valueBytes += size;
    if (this.#budget !== undefined && this.#valueBytes > this.#mostValueBytes) {
      throw unsupported(
        `the extended attributes in this file system have more than ${this.#mostValueBytes} bytes in inodes of their own`,
        "Read its files one by one, or remove large attributes.",
      );
    }
    const value = new Uint8Array(size);
    await new FileReader(this.#image, inode, blockMapOf(this.#image, inode)).read(0, value);
    if (crc32c(value, this.#image.superblock.seed) !== inode.stored.atime) throw wrong("has a wrong checksum");
    this.#keep(this.#values, number, value);
    return value;
  }
}
