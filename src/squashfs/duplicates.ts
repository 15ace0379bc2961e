/**
 * Finds files with the same bytes. A hash only says where to look: what it finds is compared byte by byte, with the source
 * and not with the image, because the image may be larger than the device, and then its end is stored nowhere.
 */
import type { Content } from "../tree/node.js";
import type { StoredFile } from "./data.js";
import { Source } from "./source.js";

interface Candidate {
  readonly content: Content;
  readonly stored: StoredFile;
}

export class Duplicates {
  /** How many files have each size: most files need no hash at all. */
  readonly #sizes = new Map<number, number>();
  readonly #candidates = new Map<number, Map<number, Candidate[]>>();
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
    return this.#candidates.has(size);
  }

  /** The stored file that has the same bytes as `content`, whose hash is given. */
  async find(content: Content, hash: number): Promise<StoredFile | undefined> {
    for (const candidate of this.#candidates.get(content.size)?.get(hash) ?? []) {
      if (candidate.content === content || (await this.#equal(candidate.content, content))) return candidate.stored;
    }
    return undefined;
  }

  /** Remembers a stored file. */
  add(content: Content, hash: number, stored: StoredFile): void {
    let bySize = this.#candidates.get(content.size);
    if (bySize === undefined) {
      bySize = new Map();
      this.#candidates.set(content.size, bySize);
    }
    const byHash = bySize.get(hash);
    if (byHash === undefined) bySize.set(hash, [{ content, stored }]);
    else byHash.push({ content, stored });
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
      for (let i = 0; i < length; i++) if (left[i] !== right[i]) return false;
    }
    return true;
  }
}
