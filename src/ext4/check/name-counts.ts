/** How many names lead to each inode, and whether each folder can be reached from the root. */
import { INODE, MAX_LINKS } from "../layout.js";
import { blockMapOf } from "../reader/block-map.js";
import { inlineParts } from "../reader/content.js";
import { readEntries } from "../reader/directories.js";
import type { Image } from "../reader/image.js";
import type { DirectoryInode } from "../reader/inodes.js";
import { GroupCounts } from "./bits.js";
import { IndexCheck } from "./index-tree.js";
import type { Report } from "./report.js";

/** Where the number of the parent is in the first block of a directory: that of the entry "..". */
const PARENT_OFFSET = 12;

export class NameCounts {
  readonly #image: Image;
  readonly #report: Report;
  readonly #counts: GroupCounts;
  /** In which directory each directory has its name. */
  readonly #parents = new Map<number, number>();
  /** Where each directory's inode is, in bytes. */
  readonly #directories = new Map<number, number>();

  constructor(image: Image, report: Report) {
    this.#image = image;
    this.#report = report;
    this.#counts = new GroupCounts(image.superblock.inodesPerGroup);
  }

  /** Names that lead to inode `number`, "." and ".." included. */
  of(number: number): number {
    return this.#counts.get(number - 1);
  }

  /** Counts the names in `directory` and holds them against its index. Rejects where it is damaged. */
  async add(directory: DirectoryInode): Promise<void> {
    const { number } = directory;
    this.#directories.set(number, directory.at);
    this.#count(number);
    const parent = await this.#parentOf(directory);
    if (parent >= 1 && parent <= this.#image.superblock.inodes) this.#count(parent);
    const index = await IndexCheck.read(this.#image, directory, this.#report);
    let block = 0;
    for await (const entries of readEntries(this.#image, directory)) {
      index?.leaf(block++, entries);
      for (const { inodeNumber, type } of entries) {
        this.#count(inodeNumber);
        if (type === "directory" || type === undefined) this.#parents.set(inodeNumber, number);
      }
    }
  }

  /** Says which directories have a name and cannot be reached: they are within each other. */
  checkReach(): void {
    const reached = new Set<number>([INODE.root]);
    for (const [directory, offset] of this.#directories) {
      const path: number[] = [];
      const onPath = new Set<number>();
      let at: number | undefined = directory;
      while (at !== undefined && !reached.has(at) && !onPath.has(at)) {
        path.push(at);
        onPath.add(at);
        at = this.#parents.get(at);
      }
      if (at !== undefined && onPath.has(at)) {
        this.#report.error(`the directory that is inode ${at} is within itself, and not below the root`, offset);
      }
      // One without a name is told where names are compared.
      for (const number of path) reached.add(number);
    }
  }

  /** How many names an inode should say it has. */
  expected(number: number, isDirectory: boolean): number {
    const found = this.of(number);
    return isDirectory && found > MAX_LINKS ? 1 : found;
  }

  #count(number: number): void {
    this.#counts.add(number - 1);
  }

  async #parentOf(directory: DirectoryInode): Promise<number> {
    if (directory.stored.hasInlineData) {
      const { bytes } = inlineParts(directory)[0]!;
      return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    }
    const { block } = await blockMapOf(this.#image, directory).run(0);
    if (block === undefined) return 0;
    const bytes = await this.#image.block(block);
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(PARENT_OFFSET, true);
  }
}
