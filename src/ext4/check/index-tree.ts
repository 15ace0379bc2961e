/**
 * The index of a directory: whether the kernel finds each name where its hash leads. What only lists the directory does not
 * come by that. "Hash Tree Directories" in Documentation/filesystems/ext4.
 */
import { hasFeature } from "../feature-table.js";
import { INDEX_ENTRY_SIZE, INDEX_NODE_OFFSET, INDEX_ROOT_OFFSET, INDEX_TAIL_SIZE, UNSIGNED_HASH } from "../layout.js";
import { blockMapOf } from "../reader/block-map.js";
import { corrupt } from "../reader/corrupt.js";
import type { Ext4Entry } from "../reader/directories.js";
import type { Image } from "../reader/image.js";
import type { DirectoryInode } from "../reader/inodes.js";
import { type NameHasher, nameHasher } from "./name-hash.js";
import type { Report } from "./report.js";

/** dx_root_info in the root: hash version, its own length, levels below the root. */
const ROOT_VERSION = 28;
const ROOT_INFO_LENGTH = 29;
const ROOT_LEVELS = 30;
const INFO_LENGTH = 8;
const CASEFOLD = 0x40000000;
const HASH_END = 2 ** 32;

/** A directory's index, read before its leaves, which are then shown one after the other. */
export class IndexCheck {
  readonly #image: Image;
  readonly #directory: DirectoryInode;
  readonly #report: Report;
  readonly #hash: NameHasher | undefined;
  readonly #rootAt: number;
  /** The hashes that each leaf may have, by its block of the directory, */
  readonly #leaves = new Map<number, { readonly from: number; readonly to: number }>();
  readonly #nodes = new Set<number>([0]);

  private constructor(image: Image, directory: DirectoryInode, report: Report, root: Node) {
    this.#image = image;
    this.#directory = directory;
    this.#report = report;
    this.#rootAt = root.at;
    const { flags, hashSeed } = image.superblock.fields;
    const fields = new DataView(directory.stored.bytes.buffer, directory.stored.bytes.byteOffset);
    const folded = (fields.getUint32(0x20, true) & CASEFOLD) !== 0;
    const version = root.bytes[ROOT_VERSION]!;
    const hash = nameHasher(version, hashSeed, (flags & UNSIGNED_HASH) !== 0);
    // Hashes of folded names would take the tables of Unicode.
    if (folded) return;
    if (hash === undefined) this.#wrong(`has an index by the unknown hash ${version}`, root.at + ROOT_VERSION);
    this.#hash = hash;
  }

  /** Reads the index of `directory`; undefined when it has none. Rejects where a block of it cannot be read. */
  static async read(image: Image, directory: DirectoryInode, report: Report): Promise<IndexCheck | undefined> {
    const { isIndexed, hasInlineData } = directory.stored;
    if (!isIndexed || hasInlineData || !hasFeature(image.superblock.fields, "dir_index")) return undefined;
    const root = await readNode(image, directory, 0);
    const check = new IndexCheck(image, directory, report, root);
    const [length, levels] = [root.bytes[ROOT_INFO_LENGTH]!, root.bytes[ROOT_LEVELS]!];
    const most = hasFeature(image.superblock.fields, "large_dir") ? 2 : 1;
    if (length !== INFO_LENGTH) check.#wrong(`has an index whose head has ${length} bytes`, root.at + ROOT_INFO_LENGTH);
    else if (levels > most) check.#wrong(`has an index of ${levels} levels`, root.at + ROOT_LEVELS);
    else await check.#follow(root, INDEX_ROOT_OFFSET, levels, 0, HASH_END);
    return check;
  }

  /** Checks the entries of block `number` of the directory. */
  leaf(number: number, entries: readonly Ext4Entry[]): void {
    if (this.#nodes.has(number)) return;
    const leaf = this.#leaves.get(number);
    if (leaf === undefined) {
      this.#wrong(`has a block ${number} that its index does not lead to`, this.#rootAt);
      return;
    }
    if (this.#hash === undefined) return;
    for (const { name, at } of entries) {
      const hash = this.#hash(name);
      // Names of one hash may go on in the next leaf.
      if (hash >= leaf.from && hash <= leaf.to) continue;
      this.#wrong(`has names in its block ${number} that its index does not lead to`, at);
      return;
    }
  }

  #wrong(message: string, at: number): void {
    this.#report.error(`the directory that is inode ${this.#directory.number} ${message}`, at);
  }

  /** Reads a node whose entries begin at `offset`, for hashes from `from` up to `to`. */
  async #follow({ bytes, at }: Node, offset: number, levels: number, from: number, to: number): Promise<void> {
    const { blockSize, checksums } = this.#image.superblock;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const room = Math.floor((blockSize - offset - (checksums ? INDEX_TAIL_SIZE : 0)) / INDEX_ENTRY_SIZE);
    const limit = view.getUint16(offset, true);
    const count = view.getUint16(offset + 2, true);
    if (limit !== room || count === 0 || count > limit) {
      this.#wrong(
        `has an index of ${count} entries, with room for ${limit} where there is room for ${room}`,
        at + offset,
      );
      return;
    }
    const blocks = this.#directory.size / blockSize;
    // In place of the first entry's hash are limit and count: it takes all from where the node begins.
    const hashAt = (i: number) => (i === 0 ? from : view.getUint32(offset + i * INDEX_ENTRY_SIZE, true) & ~1) >>> 0;
    for (let i = 0; i < count; i++) {
      const place = at + offset + i * INDEX_ENTRY_SIZE;
      const block = view.getUint32(offset + i * INDEX_ENTRY_SIZE + 4, true) & 0x0fffffff;
      const low = hashAt(i);
      const high = i + 1 < count ? hashAt(i + 1) : to;
      if (low > high) this.#wrong("has an index whose hashes do not ascend", place);
      else if (block >= blocks || this.#nodes.has(block) || this.#leaves.has(block)) {
        this.#wrong(`has an index that leads to block ${block} of ${blocks}, or twice`, place);
      } else if (levels === 0) this.#leaves.set(block, { from: low, to: high });
      else {
        this.#nodes.add(block);
        await this.#follow(
          await readNode(this.#image, this.#directory, block),
          INDEX_NODE_OFFSET,
          levels - 1,
          low,
          high,
        );
      }
    }
  }
}

interface Node {
  readonly bytes: Uint8Array;
  readonly at: number;
}

async function readNode(image: Image, directory: DirectoryInode, number: number): Promise<Node> {
  const { block } = await blockMapOf(image, directory).run(number);
  if (block === undefined) {
    throw corrupt(directory.at, `the directory that is inode ${directory.number} lacks its block ${number}`);
  }
  return { bytes: await image.block(block), at: block * image.superblock.blockSize };
}
