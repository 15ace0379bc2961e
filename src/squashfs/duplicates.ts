/**
 * Finds files with the same bytes. A hash only says where to look: what it finds is compared byte by byte, with the source
 * and not with the image, because the image may be larger than the device, and then its end is stored nowhere.
 */
import { sameBytes } from "../bytes/same-bytes.js";
import { isZero } from "../bytes/zeros.js";
import type { Content } from "../tree/node.js";
import { type Inode, type Plan, ROOT } from "./plan.js";
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
  /**
   * A hash table in columns, for there may be millions of files. By the low bits of a hash: the file with such a hash that was
   * stored last, or the root, which is no file.
   */
  readonly #last: Uint32Array;
  /** By file: the one before it, and its hash. */
  readonly #before: Uint32Array;
  readonly #hashes: Uint32Array;
  readonly #plan: Plan;
  readonly #buffers: readonly [Uint8Array, Uint8Array];

  /** `files` are all that will be stored. They are hashed and compared in steps of `blockSize` bytes. */
  constructor(plan: Plan, files: Uint32Array, blockSize: number) {
    for (const file of files) {
      const { size } = plan.contentOf(file);
      this.#sizes.set(size, (this.#sizes.get(size) ?? 0) + 1);
    }
    this.#last = new Uint32Array(2 ** Math.ceil(Math.log2(files.length + 1))).fill(ROOT);
    this.#before = new Uint32Array(plan.names.length);
    this.#hashes = new Uint32Array(plan.names.length);
    this.#plan = plan;
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
   * The stored file that has the same bytes as `file`, whose hash is given, and its `bytes` where they are in memory.
   * What was stored, and what has this hash now, may have changed since: a file that does not have the hash any more is not
   * taken for the same.
   */
  async find(file: Inode, hash: number, bytes?: Uint8Array): Promise<Inode | undefined> {
    const content = this.#plan.contentOf(file);
    let compared = 0;
    for (let other = this.#last[this.#slot(hash)]!; other !== ROOT; other = this.#before[other]!) {
      if (this.#hashes[other] !== hash) continue;
      const stored = this.#plan.contentOf(other);
      if (stored === content) return other;
      if (stored.size !== content.size) continue;
      if (++compared > MAX_COMPARED) break;
      const same =
        bytes === undefined
          ? await Source.with(stored, (a) => Source.with(content, (b) => this.#sameContent(a, b, hash)))
          : await this.#sameBytes(stored, bytes);
      if (same) return other;
    }
    return undefined;
  }

  /** Remembers a stored file. */
  add(file: Inode, hash: number): void {
    this.#storedSizes.add(this.#plan.contentOf(file).size);
    const slot = this.#slot(hash);
    this.#hashes[file] = hash;
    this.#before[file] = this.#last[slot]!;
    this.#last[slot] = file;
  }

  #slot(hash: number): number {
    return hash & (this.#last.length - 1);
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
