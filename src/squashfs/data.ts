/** The files' bytes: cut into blocks that the pool compresses, blocks of zeros left out, ends in fragments, each once. */
import { isZero } from "../bytes/zeros.js";
import type { Slot } from "../codecs/index.js";
import { ImgbuildError } from "../errors.js";
import type { Content } from "../tree/node.js";
import type { BlockStore } from "./blocks.js";
import type { Duplicates } from "./duplicates.js";
import type { FragmentWriter } from "./fragments.js";
import { NO_FRAGMENT } from "./layout.js";
import type { Settings } from "./options.js";
import { type Inode, pathOf } from "./plan.js";
import { ContentHash, readWhole, Source } from "./source.js";

/** Where a file's bytes are. Complete once all blocks have their place. */
export interface StoredFile {
  /** What it was read from. */
  readonly content: Content;
  /** Position of the first block that is stored; its blocks follow one another. 0 without one. */
  start: number;
  /** The size of each block as the inode has it; 0 for a block of zeros, which is not stored. */
  readonly blocks: BlockSizes;
  /** Bytes in blocks of zeros that are not stored. */
  sparse: number;
  /** Number of the fragment block with the file's end, or NO_FRAGMENT. */
  fragment: number;
  /** Where in the fragment block. */
  offset: number;
  /** Another file of the same size and hash (duplicates.ts). */
  sameHash: StoredFile | undefined;
}

export type BlockSizes = number[] | Uint32Array;

/** Most files have no blocks of their own. */
const NO_BLOCKS: BlockSizes = [];
/** For fewer than this, an Array takes less memory than a Uint32Array, whose objects alone take 200 bytes. */
const MANY_BLOCKS = 64;

function newBlockSizes(count: number): BlockSizes {
  if (count === 0) return NO_BLOCKS;
  return count < MANY_BLOCKS ? new Array<number>(count).fill(0) : new Uint32Array(count);
}

export class DataWriter {
  /** Files whose bytes were there already, and how many bytes they have. */
  duplicates = 0;
  duplicateBytes = 0;
  sparseBytes = 0;
  readonly #blocks: BlockStore;
  readonly #fragments: FragmentWriter;
  readonly #duplicates: Duplicates | undefined;
  readonly #settings: Settings;
  /** One block that is looked at before it is known where it goes. */
  readonly #scratch: Uint8Array;

  constructor(blocks: BlockStore, fragments: FragmentWriter, duplicates: Duplicates | undefined, settings: Settings) {
    this.#blocks = blocks;
    this.#fragments = fragments;
    this.#duplicates = duplicates;
    this.#settings = settings;
    this.#scratch = new Uint8Array(settings.blockSize);
  }

  /** Stores the content of a file, or finds that its bytes are stored. Rejects with the content's own errors. */
  async add(content: Content, inode: Inode): Promise<StoredFile> {
    const { size } = content;
    const { blockSize, observer } = this.#settings;
    const file =
      size === 0
        ? this.#newFile(content)
        : size <= blockSize
          ? await this.#addShort(content)
          : await Source.with(content, (source) => this.#addLong(source, inode));
    observer.progress?.(0, 1);
    return file;
  }

  /** Up to one block: it is read once, and then it is known whether and where it is stored. */
  async #addShort(content: Content): Promise<StoredFile> {
    const { size } = content;
    // Most of them end up in the fragment block that is being filled: they are read to their place.
    const bytes = this.#fragments.room(size) ?? this.#scratch.subarray(0, size);
    await readWhole(content, bytes);
    const zero = isZero(bytes);
    const hash = new ContentHash(content.size);
    if (this.#duplicates?.mayRepeat(content.size)) {
      if (!zero) hash.add(0, bytes);
      const found = await this.#findDuplicate(content, hash.value, bytes);
      if (found !== undefined) return found;
    }
    const file = this.#newFile(content);
    if (file.blocks.length === 0) {
      await this.#fragments.add(bytes, file);
    } else if (zero && this.#settings.sparse) {
      this.#skip(file, content.size);
    } else {
      const slot = await this.#blocks.acquire("data");
      slot.input.set(bytes);
      await this.#put(file, 0, slot, content.size);
    }
    this.#remember(content, hash, file);
    this.#settings.observer.progress?.(content.size, 0);
    return file;
  }

  /** More than a block. When another file has its size, its hash is needed before it is stored: it is read twice. */
  async #addLong(source: Source, inode: Inode): Promise<StoredFile> {
    const { content } = source;
    let expected: number | undefined;
    if (this.#duplicates?.hasCandidates(content.size)) {
      expected = await Source.with(content, (again) => this.#hash(again));
      const found = await this.#findDuplicate(content, expected);
      if (found !== undefined) return found;
    }
    const file = this.#newFile(content);
    const hash = await this.#storeBlocks(source, file);
    if (expected !== undefined && hash.value !== expected) {
      throw new ImgbuildError("source-changed", `${pathOf(inode)} changed while it was read`, {
        hint: "Build from a tree that nobody writes to.",
      });
    }
    this.#remember(content, hash, file);
    return file;
  }

  async #storeBlocks(source: Source, file: StoredFile): Promise<ContentHash> {
    const { size } = source.content;
    const { blockSize, sparse, observer } = this.#settings;
    const hashed = this.#duplicates?.mayRepeat(size) ?? false;
    const hash = new ContentHash(size);
    for (let index = 0; index < file.blocks.length; index++) {
      const at = index * blockSize;
      const length = Math.min(blockSize, size - at);
      if (sparse && source.isHole(at, at + length)) {
        this.#skip(file, length);
      } else {
        const slot = await this.#blocks.acquire("data");
        const bytes = slot.input.subarray(0, length);
        await source.read(at, bytes);
        const zero = (hashed || sparse) && isZero(bytes);
        if (hashed && !zero) hash.add(index, bytes);
        if (zero && sparse) {
          this.#blocks.release(slot);
          this.#skip(file, length);
        } else {
          await this.#put(file, index, slot, length);
        }
      }
      observer.progress?.(length, 0);
    }
    const stored = file.blocks.length * blockSize;
    if (stored < size) {
      const tail = this.#scratch.subarray(0, size - stored);
      await source.read(stored, tail);
      if (hashed && !isZero(tail)) hash.add(file.blocks.length, tail);
      await this.#fragments.add(tail, file);
      observer.progress?.(tail.length, 0);
    }
    return hash;
  }

  async #hash(source: Source): Promise<number> {
    const { size } = source.content;
    const { blockSize } = this.#settings;
    const hash = new ContentHash(size);
    for (let index = 0; index * blockSize < size; index++) {
      const at = index * blockSize;
      const bytes = this.#scratch.subarray(0, Math.min(blockSize, size - at));
      if (source.isHole(at, at + bytes.length)) continue;
      await source.read(at, bytes);
      if (!isZero(bytes)) hash.add(index, bytes);
    }
    return hash.value;
  }

  #put(file: StoredFile, index: number, slot: Slot, length: number): Promise<void> {
    return this.#blocks.put(slot, length, "data", (start, size) => {
      if (file.start === 0) file.start = start;
      file.blocks[index] = size;
    });
  }

  #skip(file: StoredFile, length: number): void {
    file.sparse += length;
    this.sparseBytes += length;
  }

  async #findDuplicate(content: Content, hash: number, bytes?: Uint8Array): Promise<StoredFile | undefined> {
    const found = await this.#duplicates!.find(content, hash, bytes);
    if (found === undefined) return undefined;
    this.duplicates++;
    this.duplicateBytes += content.size;
    this.#settings.observer.progress?.(content.size, 0);
    return found;
  }

  #remember(content: Content, hash: ContentHash, file: StoredFile): void {
    if (this.#duplicates?.mayRepeat(content.size)) this.#duplicates.add(hash.value, file);
  }

  /** A file whose blocks are still to come. The end of a file goes into a fragment as the options say. */
  #newFile(content: Content): StoredFile {
    const { size } = content;
    const { blockSize, fragments } = this.#settings;
    const inFragment = fragments === "always" || (fragments && size < blockSize);
    const blocks = inFragment ? Math.floor(size / blockSize) : Math.ceil(size / blockSize);
    return {
      content,
      start: 0,
      blocks: newBlockSizes(blocks),
      sparse: 0,
      fragment: NO_FRAGMENT,
      offset: 0,
      sameHash: undefined,
    };
  }
}
