/** The files' bytes: cut into blocks that the pool compresses, blocks of zeros left out, ends in fragments, each once. */
import { isZero } from "../bytes/zeros.js";
import type { Slot } from "../codecs/index.js";
import { ImgbuildError } from "../errors.js";
import type { Content } from "../tree/node.js";
import type { BlockStore } from "./blocks.js";
import type { Duplicates } from "./duplicates.js";
import type { FragmentWriter } from "./fragments.js";
import type { Settings } from "./options.js";
import type { Inode, Plan } from "./plan.js";
import { ContentHash, readWhole, Source } from "./source.js";
import type { StoredFiles } from "./stored-files.js";

export class DataWriter {
  /** Files whose bytes were there already, and how many bytes they have. */
  duplicates = 0;
  duplicateBytes = 0;
  sparseBytes = 0;
  readonly #plan: Plan;
  readonly #files: StoredFiles;
  readonly #blocks: BlockStore;
  readonly #fragments: FragmentWriter;
  readonly #duplicates: Duplicates | undefined;
  readonly #settings: Settings;
  /** One block that is looked at before it is known where it goes. */
  readonly #scratch: Uint8Array;

  /** Notes in `files` where the bytes are. */
  constructor(
    plan: Plan,
    files: StoredFiles,
    blocks: BlockStore,
    fragments: FragmentWriter,
    duplicates: Duplicates | undefined,
    settings: Settings,
  ) {
    this.#plan = plan;
    this.#files = files;
    this.#blocks = blocks;
    this.#fragments = fragments;
    this.#duplicates = duplicates;
    this.#settings = settings;
    this.#scratch = new Uint8Array(settings.blockSize);
  }

  /** Stores the content of a file, or finds that its bytes are stored. Rejects with the content's own errors. */
  async add(file: Inode): Promise<void> {
    const content = this.#plan.contentOf(file);
    const { size } = content;
    const { blockSize, observer } = this.#settings;
    if (size === 0) this.#files.add(file, size);
    else if (size <= blockSize) await this.#addShort(file, content);
    else await Source.with(content, (source) => this.#addLong(file, source));
    observer.progress?.(0, 1);
  }

  /** Up to one block: it is read once, and then it is known whether and where it is stored. */
  async #addShort(file: Inode, content: Content): Promise<void> {
    const { size } = content;
    // Most of them end up in the fragment block that is being filled: they are read to their place.
    const room = this.#fragments.room(size);
    const bytes = room ?? this.#scratch.subarray(0, size);
    await readWhole(content, bytes);
    const zero = isZero(bytes);
    const hash = new ContentHash(size);
    if (this.#duplicates?.mayRepeat(size)) {
      if (!zero) hash.add(0, bytes);
      if (await this.#isDuplicate(file, hash.value, bytes)) return;
    }
    this.#files.add(file, size);
    if (this.#files.blockCount(size) === 0) {
      if (room === undefined) await this.#fragments.add(bytes, file);
      else this.#fragments.take(size, file);
    } else if (zero && this.#settings.sparse) {
      this.sparseBytes += size;
    } else {
      const slot = await this.#blocks.acquire("data");
      slot.input.set(bytes);
      await this.#put(file, 0, slot, size);
    }
    this.#remember(file, size, hash);
    this.#settings.observer.progress?.(size, 0);
  }

  /** More than a block. When another file has its size, its hash is needed before it is stored: it is read twice. */
  async #addLong(file: Inode, source: Source): Promise<void> {
    const { content } = source;
    let expected: number | undefined;
    if (this.#duplicates?.hasCandidates(content.size)) {
      expected = await Source.with(content, (again) => this.#hash(again));
      if (await this.#isDuplicate(file, expected)) return;
    }
    this.#files.add(file, content.size);
    const hash = await this.#storeBlocks(file, source);
    if (expected !== undefined && hash.value !== expected) {
      throw new ImgbuildError("source-changed", `${this.#plan.pathOf(file)} changed while it was read`, {
        hint: "Build from a tree that nobody writes to.",
      });
    }
    this.#remember(file, content.size, hash);
  }

  async #storeBlocks(file: Inode, source: Source): Promise<ContentHash> {
    const { size } = source.content;
    const { blockSize, sparse, observer } = this.#settings;
    const hashed = this.#duplicates?.mayRepeat(size) ?? false;
    const hash = new ContentHash(size);
    const blocks = this.#files.blockCount(size);
    for (let index = 0; index < blocks; index++) {
      const at = index * blockSize;
      const length = Math.min(blockSize, size - at);
      if (sparse && source.isHole(at, at + length)) {
        this.sparseBytes += length;
      } else {
        const slot = await this.#blocks.acquire("data");
        const bytes = slot.input.subarray(0, length);
        await source.read(at, bytes);
        const zero = (hashed || sparse) && isZero(bytes);
        if (hashed && !zero) hash.add(index, bytes);
        if (zero && sparse) {
          this.#blocks.release(slot);
          this.sparseBytes += length;
        } else {
          await this.#put(file, index, slot, length);
        }
      }
      observer.progress?.(length, 0);
    }
    const stored = blocks * blockSize;
    if (stored < size) {
      const tail = this.#scratch.subarray(0, size - stored);
      await source.read(stored, tail);
      if (hashed && !isZero(tail)) hash.add(blocks, tail);
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

  #put(file: Inode, index: number, slot: Slot, length: number): Promise<void> {
    return this.#blocks.put(slot, length, "data", (start, size) => this.#files.place(file, index, start, size));
  }

  /** Whether the bytes of a file are stored already; if so, it is done. */
  async #isDuplicate(file: Inode, hash: number, bytes?: Uint8Array): Promise<boolean> {
    const { size } = this.#plan.contentOf(file);
    const found = await this.#duplicates!.find(file, hash, bytes);
    if (found === undefined) return false;
    this.#files.addDuplicate(file, found);
    this.duplicates++;
    this.duplicateBytes += size;
    this.#settings.observer.progress?.(size, 0);
    return true;
  }

  #remember(file: Inode, size: number, hash: ContentHash): void {
    if (this.#duplicates?.mayRepeat(size)) this.#duplicates.add(file, hash.value);
  }
}
