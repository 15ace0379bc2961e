/** The blocks that hold files' bytes: data blocks and fragment blocks, checked, decompressed, and kept while they are in use. */
import { BLOCK_STORED, fragmentEntry, superblock } from "../layout.js";
import { storedLength } from "./block-list.js";
import { Cache } from "./cache.js";
import { corrupt, readStruct } from "./corrupt.js";
import type { Image } from "./image.js";

/** Decompressed blocks that are kept, of up to 1 MiB each: enough for programs that read a few files in small pieces. */
const CACHED_BLOCKS = 4;
const CACHED_FRAGMENTS = 8;

/** A data block of a file. */
export interface DataBlock {
  /** Where it is in the image. */
  readonly at: number;
  /** As the inode has it: bytes, and BLOCK_STORED. Not 0. */
  readonly size: number;
  /** Bytes of the file that are in it. */
  readonly length: number;
  /** For messages. */
  readonly what: () => string;
}

/** A fragment block. */
export interface Fragment {
  /** Where it is in the image. */
  readonly start: number;
  /** Decompressed. They may not be changed. */
  readonly bytes: Uint8Array;
}

export class DataReader {
  readonly #image: Image;
  /** By all that decides on what is in them: in a damaged image, two files may have different ideas of one block. */
  readonly #blocks = new Cache<string, Uint8Array>(CACHED_BLOCKS);
  readonly #fragments = new Cache<number, Fragment>(CACHED_FRAGMENTS);

  constructor(image: Image) {
    this.#image = image;
  }

  /** Bytes of the image's data, which is between the superblock and the inode table. `what` is there for messages. */
  async stored(at: number, length: number, what: () => string): Promise<Uint8Array> {
    const { device, inodes } = this.#image;
    if (at < superblock.size || at + length > inodes.start) {
      throw corrupt(
        at,
        `${what()} would go to byte ${at + length}: data is between bytes ${superblock.size} and ${inodes.start}`,
      );
    }
    return device.read(at, length);
  }

  /** Makes `stored`, the bytes of a block in the image, those of the file: exactly as many as `into` takes. */
  expand(stored: Uint8Array, { at, size, length, what }: DataBlock, into: Uint8Array): void {
    let got = stored.length;
    if ((size & BLOCK_STORED) === 0) got = this.#image.decoder.decompress(stored, into, at, what);
    else if (got === length) into.set(stored);
    if (got !== length) throw corrupt(at, `${what()} has ${got} bytes and should have ${length}`);
  }

  /** The bytes of a block of which only a part is wanted now. The rest will be soon. They may not be changed. */
  block(block: DataBlock): Promise<Uint8Array> {
    const { at, size, length, what } = block;
    return this.#blocks.get(`${at} ${size} ${length}`, async () => {
      const bytes = new Uint8Array(length);
      this.expand(await this.stored(at, storedLength(size), what), block, bytes);
      return bytes;
    });
  }

  /** Fragment block `number`, which has to be one. */
  fragment(number: number): Promise<Fragment> {
    return this.#fragments.get(number, () => this.#readFragment(number));
  }

  async #readFragment(number: number): Promise<Fragment> {
    const { fragments, decoder, superblock } = this.#image;
    const cursor = fragments!.cursor(number);
    const { start, size } = readStruct(fragmentEntry, await cursor.read(fragmentEntry.size), (message) =>
      cursor.corrupt(message),
    );
    const length = storedLength(size);
    if (length === 0 || length > superblock.blockSize) {
      throw cursor.corrupt(`fragment ${number} says it has ${length} bytes: 1 to ${superblock.blockSize} are possible`);
    }
    const what = () => `fragment ${number}`;
    let bytes = await this.stored(start, length, what);
    if ((size & BLOCK_STORED) === 0) {
      const output = new Uint8Array(superblock.blockSize);
      bytes = output.subarray(0, decoder.decompress(bytes, output, start, what));
    }
    return { start, bytes };
  }
}
