/**
 * Where a file's blocks are. The inode table has their sizes only, and each begins where the one before ends: the list is
 * read in segments, and of those that were passed no more is kept than where they begin. A file of many terabytes, which
 * holes make possible in a small image, takes no memory for what it might have.
 */
import type { Extent } from "../../bytes/extent.js";
import { BLOCK_STORED } from "../layout.js";
import type { Position } from "../metadata.js";
import type { Image } from "./image.js";
import type { FileInode } from "./inodes.js";

/** Blocks of a segment: as many as a metadata block has sizes of. */
const SEGMENT_BLOCKS = 2048;
/** Extents that are told apart. What comes behind counts as data, which costs time but is not wrong. */
const MAX_EXTENTS = 2 ** 16;

/** Consecutive blocks, the first of which is block `first` of the file. */
export interface Segment {
  readonly first: number;
  /** As stored: bytes, and BLOCK_STORED; 0 for a hole. */
  readonly sizes: Uint32Array;
  /** Where each block is in the image, and where the last one ends. */
  readonly starts: Float64Array;
}

/** Bytes that a block takes in the image. */
export function storedLength(size: number): number {
  return (size & ~BLOCK_STORED) >>> 0;
}

export class BlockList {
  readonly #image: Image;
  readonly #inode: FileInode;
  /** Where the list of each segment is that is known, and the data of its first block. */
  readonly #known: { readonly list: Position; readonly start: number }[];
  #segment: Segment | undefined;

  constructor(image: Image, inode: FileInode) {
    this.#image = image;
    this.#inode = inode;
    this.#known = [{ list: inode.blockList, start: inode.start }];
  }

  /** The segment that has block `number` of the file, which has to have it. */
  async segment(number: number): Promise<Segment> {
    const index = Math.floor(number / SEGMENT_BLOCKS);
    if (this.#segment?.first === index * SEGMENT_BLOCKS) return this.#segment;
    let segment: Segment | undefined;
    for (let i = Math.min(index, this.#known.length - 1); i <= index; i++) segment = await this.#read(i);
    this.#segment = segment;
    return segment!;
  }

  /** Where the file has data; neighbouring blocks are one extent. */
  async data(): Promise<Extent[]> {
    const { size, blocks } = this.#inode;
    const { blockSize } = this.#image.superblock;
    const extents: { start: number; end: number }[] = [];
    const add = (start: number, end: number) => {
      const last = extents.at(-1);
      if (last !== undefined && (last.end === start || extents.length === MAX_EXTENTS)) last.end = end;
      else extents.push({ start, end });
    };
    for (let first = 0; first < blocks; first += SEGMENT_BLOCKS) {
      const { sizes } = await this.segment(first);
      for (let i = 0; i < sizes.length; i++) {
        if (sizes[i] !== 0) add((first + i) * blockSize, Math.min((first + i + 1) * blockSize, size));
      }
    }
    if (blocks * blockSize < size) add(blocks * blockSize, size);
    return extents;
  }

  async #read(index: number): Promise<Segment> {
    const { superblock, inodes } = this.#image;
    const { list, start } = this.#known[index]!;
    const first = index * SEGMENT_BLOCKS;
    const count = Math.min(SEGMENT_BLOCKS, this.#inode.blocks - first);
    const sizes = new Uint32Array(count);
    const starts = new Float64Array(count + 1);
    starts[0] = start;
    if (count > 0) {
      const cursor = inodes.cursor(list);
      const bytes = await cursor.read(4 * count);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let i = 0; i < count; i++) {
        const size = view.getUint32(4 * i, true);
        sizes[i] = size;
        starts[i + 1] = starts[i]! + storedLength(size);
        if (storedLength(size) > superblock.blockSize) {
          throw cursor.corrupt(
            `block ${first + i} of inode ${this.#inode.number} says it has ${storedLength(size)} bytes: ` +
              `${superblock.blockSize} are possible`,
          );
        }
      }
      this.#known[index + 1] ??= { list: cursor.position, start: starts[count]! };
    }
    return { first, sizes, starts };
  }
}
