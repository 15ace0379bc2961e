/** Reading a file's content block by block, front to back, without reading its holes. */
import { crc32 } from "../bytes/checksum.js";
import type { Content, ContentReader } from "../tree/node.js";

export class Source {
  readonly content: Content;
  readonly #reader: ContentReader;
  /** The first extent that may reach beyond the last position asked for. */
  #extent = 0;

  private constructor(content: Content, reader: ContentReader) {
    this.content = content;
    this.#reader = reader;
  }

  /** Opens `content` for the time of `use`. */
  static async with<T>(content: Content, use: (source: Source) => Promise<T>): Promise<T> {
    const reader = await content.open();
    try {
      return await use(new Source(content, reader));
    } finally {
      await reader.close();
    }
  }

  /** Whether [start, end) is known to be zeros. Positions must not descend between calls. */
  isHole(start: number, end: number): boolean {
    const { data } = this.content;
    if (data === undefined) return false;
    while (this.#extent < data.length && data[this.#extent]!.end <= start) this.#extent++;
    return this.#extent === data.length || data[this.#extent]!.start >= end;
  }

  /** Fills `into` from byte `at` on. Rejects as the content's reader does. Positions must not descend between calls. */
  async read(at: number, into: Uint8Array): Promise<void> {
    if (this.isHole(at, at + into.length)) into.fill(0);
    else await this.#reader.read(at, into);
  }
}

/** Fills `into`, which is as long as the content. Throws or rejects as its reader does; undefined when it is done already. */
export function readWhole(content: Content, into: Uint8Array): Promise<void> | undefined {
  if (content.readWhole !== undefined) return content.readWhole(into);
  return Source.with(content, (source) => source.read(0, into));
}

/**
 * Hashes a content block by block. Blocks of zeros are left out, and all others come with their number: so it does not
 * matter whether zeros were read, or known to be a hole. The size is taken in first: files of zeros, of which disk images
 * and caches have many, would all have the same hash otherwise.
 */
export class ContentHash {
  #value: number;

  /** For a content of `size` bytes. */
  constructor(size: number) {
    this.#value = (size ^ Math.floor(size / 2 ** 32)) >>> 0;
  }

  /** Takes in block number `index`, which is not all zeros. */
  add(index: number, bytes: Uint8Array): void {
    this.#value = crc32(bytes, (this.#value ^ index) >>> 0);
  }

  get value(): number {
    return this.#value;
  }
}
