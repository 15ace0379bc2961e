/**
 * Finds files with the same bytes. A hash only says where to look: what it finds is compared byte by byte, with the source
 * and not with the image, because the image may be larger than the device, and then its end is stored nowhere.
 */
import { sameBytes } from "../bytes/same-bytes.js";
import type { Content } from "../tree/node.js";
import type { StoredFile } from "./data.js";
import { Source } from "./source.js";

export class Duplicates {
  /** How many files have each size: most files need no hash at all. */
  readonly #sizes = new Map<number, number>();
  /** By size and hash: the file that was stored last, and behind it those before. */
  readonly #stored = new Map<number, Map<number, StoredFile>>();
  readonly #buffers: readonly [Uint8Array, Uint8Array];

  /** `contents` are all that will be stored. They are compared in steps of `blockSize` bytes. */
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
    return this.#stored.has(size);
  }

  /** The stored file that has the same bytes as `content`, whose hash is given. */
  async find(content: Content, hash: number): Promise<StoredFile | undefined> {
    for (let file = this.#stored.get(content.size)?.get(hash); file !== undefined; file = file.sameHash) {
      if (file.content === content || (await this.#equal(file.content, content))) return file;
    }
    return undefined;
  }

  /** Remembers a stored file. */
  add(hash: number, file: StoredFile): void {
    const { size } = file.content;
    let byHash = this.#stored.get(size);
    if (byHash === undefined) {
      byHash = new Map();
      this.#stored.set(size, byHash);
    }
    file.sameHash = byHash.get(hash);
    byHash.set(hash, file);
  }

  #equal(one: Content, other: Content): Promise<boolean> {
    return Source.with(one, (a) => Source.with(other, (b) => this.#sameBytes(a, b, one.size)));
  }

  async #sameBytes(a: Source, b: Source, size: number): Promise<boolean> {
    const step = this.#buffers[0].length;
    for (let at = 0; at < size; at += step) {
      const length = Math.min(step, size - at);
      if (a.isHole(at, at + length) && b.isHole(at, at + length)) continue;
      const left = this.#buffers[0].subarray(0, length);
      const right = this.#buffers[1].subarray(0, length);
      await a.read(at, left);
      await b.read(at, right);
      if (!sameBytes(left, right)) return false;
    }
    return true;
  }
}
