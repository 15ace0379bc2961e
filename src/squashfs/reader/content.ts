/** A file's bytes, any range of them. Whole blocks are decompressed to where they are wanted. */
import type { Extent } from "../../bytes/extent.js";
import { ImgbuildError } from "../../errors.js";
import type { Content, ContentReader } from "../../tree/node.js";
import { BlockList, type Segment } from "./block-list.js";
import { corrupt } from "./corrupt.js";
import type { DataBlock, DataReader } from "./data.js";
import type { Image } from "./image.js";
import type { FileInode } from "./inodes.js";

/** Compressed bytes of one file that are read at once; a block may be larger. */
const READ_SIZE = 2 ** 20;

/** The content of `inode`. Its holes are looked up when the inode says that it has some. */
export async function contentOfFile(image: Image, data: DataReader, inode: FileInode): Promise<Content> {
  const extents = inode.sparse > 0 ? await new BlockList(image, inode).data() : undefined;
  return new FileContent(image, data, inode, extents);
}

class FileContent implements Content {
  readonly data?: readonly Extent[];
  readonly #image: Image;
  readonly #data: DataReader;
  readonly #inode: FileInode;

  constructor(image: Image, data: DataReader, inode: FileInode, extents: readonly Extent[] | undefined) {
    this.#image = image;
    this.#data = data;
    this.#inode = inode;
    if (extents !== undefined) this.data = extents;
  }

  get size(): number {
    return this.#inode.size;
  }

  get place(): string {
    const { start, size, blocks, fragment } = this.#inode;
    return `${start} ${size} ${blocks} ${fragment?.number} ${fragment?.offset}`;
  }

  async open(): Promise<ContentReader> {
    return new FileContentReader(this.#image, this.#data, this.#inode);
  }
}

class FileContentReader implements ContentReader {
  readonly #data: DataReader;
  readonly #inode: FileInode;
  readonly #blockSize: number;
  readonly #blocks: BlockList;

  constructor(image: Image, data: DataReader, inode: FileInode) {
    this.#data = data;
    this.#inode = inode;
    this.#blockSize = image.superblock.blockSize;
    this.#blocks = new BlockList(image, inode);
  }

  async read(at: number, into: Uint8Array): Promise<void> {
    const { size, blocks } = this.#inode;
    const end = at + into.length;
    if (!(at >= 0 && end <= size)) {
      throw new ImgbuildError("usage", `bytes ${at} to ${end} are wanted of a file of ${size} bytes`, {
        hint: "Read within the size of the content.",
      });
    }
    const ownEnd = Math.min(end, blocks * this.#blockSize);
    for (let position = at; position < ownEnd; ) {
      position = await this.#readRun(position, into.subarray(position - at, ownEnd - at));
    }
    if (end > ownEnd) await this.#readFragment(into.subarray(Math.max(0, ownEnd - at)), Math.max(at, ownEnd));
  }

  async close(): Promise<void> {}

  /** Reads blocks that are side by side in the image, from file byte `at` on: at least one. Returns the byte behind them. */
  async #readRun(at: number, into: Uint8Array): Promise<number> {
    const blockSize = this.#blockSize;
    const number = Math.floor(at / blockSize);
    const segment = await this.#blocks.segment(number);
    const offset = at - number * blockSize;
    if (offset > 0 || into.length < this.#length(number)) {
      const part = into.subarray(0, this.#length(number) - offset);
      const block = this.#block(segment, number);
      if (block.size === 0) part.fill(0);
      else part.set((await this.#data.block(block)).subarray(offset, offset + part.length));
      return at + part.length;
    }
    const first = number - segment.first;
    let last = first;
    for (let room = into.length; last < segment.sizes.length; last++) {
      room -= this.#length(segment.first + last);
      if (room < 0 || (last > first && segment.starts[last + 1]! - segment.starts[first]! > READ_SIZE)) break;
    }
    const start = segment.starts[first]!;
    const length = segment.starts[last]! - start;
    const stored = length === 0 ? NO_BYTES : await this.#data.stored(start, length, this.#block(segment, number).what);
    let done = 0;
    for (let i = first; i < last; i++) {
      const block = this.#block(segment, segment.first + i);
      const target = into.subarray(done, done + block.length);
      if (block.size === 0) target.fill(0);
      else this.#data.expand(stored.subarray(block.at - start, segment.starts[i + 1]! - start), block, target);
      done += block.length;
    }
    return at + done;
  }

  /** Bytes of the file in its block `number`: the last one may be short. */
  #length(number: number): number {
    return Math.min(this.#blockSize, this.#inode.size - number * this.#blockSize);
  }

  #block({ first, sizes, starts }: Segment, number: number): DataBlock {
    return {
      at: starts[number - first]!,
      size: sizes[number - first]!,
      length: this.#length(number),
      what: () =>
        `block ${number} of inode ${this.#inode.number} (from byte ${number * this.#blockSize} of the file on)`,
    };
  }

  async #readFragment(into: Uint8Array, at: number): Promise<void> {
    const { size, fragment, number } = this.#inode;
    const { number: index, offset } = fragment!;
    const { start, bytes } = await this.#data.fragment(index);
    const tail = size % this.#blockSize;
    if (offset + tail > bytes.length) {
      const place = `byte ${offset} of fragment ${index}, which has ${bytes.length}`;
      throw corrupt(start, `the last ${tail} bytes of inode ${number} should be at ${place}`);
    }
    const from = offset + at - (size - tail);
    into.set(bytes.subarray(from, from + into.length));
  }
}

const NO_BYTES = new Uint8Array(0);
