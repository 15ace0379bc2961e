/** Extended attributes by their full names: those in the inode, those in its block, and values in inodes of their own. */
import type { ByteString } from "../../bytes/bytestring.js";
import { crc32c } from "../../bytes/checksum.js";
import { isPortableXattr } from "../../tree/xattrs.js";
import { xattrBlockSeed } from "../checksum.js";
import { inode as inodeLayout, XATTR_MAGIC, xattrHeader } from "../layout.js";
import { decodeAcl } from "./acl.js";
import { blockMapOf } from "./block-map.js";
import { FileReader } from "./content.js";
import { corrupt } from "./corrupt.js";
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

/** Blocks of attributes that are kept: inodes with the same attributes share them, and mostly follow each other. */
const CACHED_BLOCKS = 64;

export type XattrSet = ReadonlyMap<ByteString, Uint8Array>;

const NONE: XattrSet = new Map();

export class XattrReader {
  readonly #image: Image;
  readonly #blocks = new Map<number, XattrSet>();
  /** Values in inodes of their own, by the inode's number. Sound file systems have each once: they are not read twice. */
  readonly #values = new Map<number, Uint8Array>();
  #valueBytes: number;

  constructor(image: Image) {
    this.#image = image;
    this.#valueBytes = image.superblock.blocks * image.superblock.blockSize;
  }

  /** Those that mean something in other file systems too. Map and values are shared: they may not be changed. */
  async of(inode: InodeFacts): Promise<XattrSet> {
    const own = await this.#named(attributesInInode(inode));
    const { xattrBlock } = inode.stored;
    if (xattrBlock === 0) return own;
    const block = await this.#block(xattrBlock, inode);
    // The kernel looks into the inode first.
    return own.size === 0 ? block : new Map([...block, ...own]);
  }

  async #block(number: number, inode: InodeFacts): Promise<XattrSet> {
    let set = this.#blocks.get(number);
    if (set === undefined) {
      set = await this.#named(await this.#readBlock(number, inode));
      this.#blocks.set(number, set);
      if (this.#blocks.size > CACHED_BLOCKS) this.#blocks.delete(this.#blocks.keys().next().value!);
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
    this.#valueBytes -= size;
    if (this.#valueBytes < 0) throw wrong("uses blocks that others use too");
    const value = new Uint8Array(size);
    await new FileReader(this.#image, inode, blockMapOf(this.#image, inode)).read(0, value);
    if (crc32c(value, this.#image.superblock.seed) !== inode.stored.atime) throw wrong("has a wrong checksum");
    this.#values.set(number, value);
    return value;
  }
}
