/**
 * Finds files with the same bytes. A hash only says where to look: what it finds is compared byte by byte, with the source
 * and not with the image, because the image may be larger than the device, and then its end is stored nowhere.
 */
import { sameBytes } from "../bytes/same-bytes.js";
import { isZero } from "../bytes/zeros.js";
import type { Content } from "../tree/node.js";
import type { StoredFile } from "./data.js";
import { ContentHash, readWhole, Source } from "./source.js";

/**
 * So many files of one size and hash are compared with the next one, those stored last: more of them there are only where
 * somebody makes them, to have every file compared with every other one.
 */
const MAX_COMPARED = 8;

export class Duplicates {
  /** How many files have each size: most files need no hash at all. */
  readonly #sizes = new Map<number, number>();
  /** The sizes of the files that were stored. */
  readonly #storedSizes = new Set<number>();
  /** By hash: the file that was stored last, and behind it those before. */
  readonly #stored = new Map<number, StoredFile>();
  readonly #buffers: readonly [Uint8Array, Uint8Array];

  /** `contents` are all that will be stored. They are hashed and compared in steps of `blockSize` bytes. */
  constructor(contents: Iterable<Content>, blockSize: number) {
    for (const { size } of contents) this.#sizes.set(size, (this.#sizes.get(size) ?? 0) + 1);
    this.#buffers = [new Uint8Array(blockSize), new Uint8Array(blockSize)];
  }

  /** Whether another file, stored or still to come, has this size. */
  mayRepeat(size: number): boolean {
    return (this.#sizes.get(size) ?? 0) > 1;
  }

  /** Whether a file of this size was stored. */
  hasCandidates(size: number): boolean {
    return this.#storedSizes.has(size);
  }

  /**
   * The stored file that has the same bytes as `content`, whose hash is given, and its `bytes` where they are in memory.
   * What was stored, and what has this hash now, may have changed since: a file that does not have the hash any more is not
   * taken for the same.
   */
  async find(content: Content, hash: number, bytes?: Uint8Array): Promise<StoredFile | undefined> {
    let compared = 0;
    for (let file = this.#stored.get(hash); file !== undefined; file = file.sameHash) {
      if (file.content === content) return file;
      if (file.content.size !== content.size) continue;
      if (++compared > MAX_COMPARED) break;
      const stored = file.content;
      const same =
        bytes === undefined
          ? await Source.with(stored, (a) => Source.with(content, (b) => this.#sameContent(a, b, hash)))
          : await this.#sameBytes(stored, bytes);
      if (same) return file;
    }
    return undefined;
  }

  /** Remembers a stored file. */
  add(hash: number, file: StoredFile): void {
    this.#storedSizes.add(file.content.size);
    file.sameHash = this.#stored.get(hash);
    this.#stored.set(hash, file);
  }

  /** Compares with `bytes`, which are at most one step. */
  async #sameBytes(stored: Content, bytes: Uint8Array): Promise<boolean> {
    const left = this.#buffers[0].subarray(0, bytes.length);
    await readWhole(stored, left);
    return sameBytes(left, bytes);
  }

  async #sameContent(a: Source, b: Source, hash: number): Promise<boolean> {
    const { size } = a.content;
    const step = this.#buffers[0].length;
    const found = new ContentHash(size);
    for (let index = 0; index * step < size; index++) {
      const at = index * step;
      const length = Math.min(step, size - at);
      if (a.isHole(at, at + length) && b.isHole(at, at + length)) continue;
      const left = this.#buffers[0].subarray(0, length);
      const right = this.#buffers[1].subarray(0, length);
      await a.read(at, left);
      await b.read(at, right);
      if (!sameBytes(left, right)) return false;
      if (!isZero(left)) found.add(index, left);
    }
    return found.value === hash;
  }
}
