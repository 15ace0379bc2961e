/** Where the files' bytes are in the image. */
import { NO_FRAGMENT } from "./layout.js";
import type { Settings } from "./options.js";
import type { Inode } from "./plan.js";

/** By inode, in columns, for there may be millions of files. Complete once all blocks have their place. */
export class StoredFiles {
  /** Position of the first block that is stored; the blocks of a file follow one another. 0 without one. */
  readonly starts: Float64Array;
  /** Number of the fragment block with the file's end, or NO_FRAGMENT. */
  readonly fragments: Uint32Array;
  /** Where in the fragment block. */
  readonly offsets: Uint32Array;
  /** The file whose data it has: itself, unless that is a duplicate. */
  readonly #data: Uint32Array;
  /** Where the sizes of its blocks are. */
  readonly #firstBlocks: Uint32Array;
  /** Of all blocks of all files. */
  #sizes = new Uint32Array(1024);
  #blocks = 0;
  readonly #settings: Settings;

  /** For inodes below `count`. */
  constructor(count: number, settings: Settings) {
    this.starts = new Float64Array(count);
    this.fragments = new Uint32Array(count).fill(NO_FRAGMENT);
    this.offsets = new Uint32Array(count);
    this.#data = new Uint32Array(count);
    this.#firstBlocks = new Uint32Array(count);
    this.#settings = settings;
  }

  /** How many blocks of its own a file of `size` bytes has. Its end goes into a fragment as the options say. */
  blockCount(size: number): number {
    const { blockSize, fragments } = this.#settings;
    const inFragment = fragments === "always" || (fragments && size < blockSize);
    return inFragment ? Math.floor(size / blockSize) : Math.ceil(size / blockSize);
  }

  /** How many bytes at the end of a file of `size` bytes are in a fragment. */
  tailLength(size: number): number {
    return Math.max(size - this.blockCount(size) * this.#settings.blockSize, 0);
  }

  /** Adds a file of `size` bytes whose blocks are still to come; each is a block of zeros until it is placed. */
  add(file: Inode, size: number): void {
    this.#data[file] = file;
    this.#firstBlocks[file] = this.#blocks;
    this.#blocks += this.blockCount(size);
    if (this.#blocks <= this.#sizes.length) return;
    const sizes = new Uint32Array(Math.max(this.#blocks, 2 * this.#sizes.length));
    sizes.set(this.#sizes);
    this.#sizes = sizes;
  }

  /** Adds a file that has the same bytes as one that was added. */
  addDuplicate(file: Inode, of: Inode): void {
    this.#data[file] = of;
  }

  /** Notes where block `index` of a file is, and its size as the inode has it. */
  place(file: Inode, index: number, start: number, size: number): void {
    if (this.starts[file] === 0) this.starts[file] = start;
    this.#sizes[this.#firstBlocks[file]! + index] = size;
  }

  /** The file whose entries in the columns hold for `file`: itself, or what it is a duplicate of. */
  dataOf(file: Inode): Inode {
    return this.#data[file]!;
  }

  /** For a file that was added, of `size` bytes: the sizes of its blocks as the inode has them; 0 for zeros, which are not stored. */
  blockSizes(file: Inode, size: number): Uint32Array {
    const first = this.#firstBlocks[file]!;
    return this.#sizes.subarray(first, first + this.blockCount(size));
  }

  /** For a file that was added, of `size` bytes: how many are in blocks of zeros, which are not stored. */
  sparseBytes(file: Inode, size: number): number {
    const { blockSize } = this.#settings;
    let sparse = 0;
    for (const [index, stored] of this.blockSizes(file, size).entries()) {
      if (stored === 0) sparse += Math.min(blockSize, size - index * blockSize);
    }
    return sparse;
  }
}
