/**
 * Metadata as it is read: blocks by their position in the image, decompressed once while they are in use, and cursors that
 * read across them. Nothing that an image says is believed before it is held against where its table begins and ends.
 */
import type { ReadableDevice } from "../../bytes/device.js";
import type { ImgbuildError } from "../../errors.js";
import { METADATA_SIZE, METADATA_STORED } from "../layout.js";
import type { Position } from "../metadata.js";
import { Cache } from "./cache.js";
import { corrupt, corruptMetadata } from "./corrupt.js";
import type { Decoder } from "./decoder.js";

/** Decompressed blocks that a table keeps: 4 MiB, the inodes of some 50,000 files. */
const CACHED_BLOCKS = 512;
/** Compressed bytes that are read at once. */
const WINDOW_SIZE = 2 ** 16;
const HEADER_SIZE = 2;

/** Bytes of the image that were read, or are being read, at once. */
interface Window {
  readonly start: number;
  readonly end: number;
  readonly bytes: Promise<Uint8Array>;
}

const NO_WINDOW: Window = { start: 0, end: 0, bytes: Promise.resolve(new Uint8Array(0)) };

export interface MetadataBlock {
  /** Where its header is in the image. */
  readonly at: number;
  /** Decompressed: 1 to 8192 bytes. */
  readonly bytes: Uint8Array;
  /** Where the block behind it would begin. */
  readonly next: number;
}

/** A position from a 64-bit reference: the block above 16 bits of offset. */
export function positionOf(reference: number): Position {
  return { block: Math.floor(reference / 0x10000), offset: reference % 0x10000 };
}

/** Metadata blocks that follow one another from `start` to `end`, both in bytes of the image. */
export class MetadataTable {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly #device: ReadableDevice;
  readonly #decoder: Decoder;
  readonly #cache = new Cache<number, MetadataBlock>(CACHED_BLOCKS);
  #window = NO_WINDOW;
  /** Where blocks begin, once that was found out; and the finding out. */
  #starts: ReadonlySet<number> | undefined;
  #survey: Promise<number> | undefined;

  /** `name` is for messages: "the inode table". */
  constructor(device: ReadableDevice, decoder: Decoder, name: string, start: number, end: number) {
    this.#device = device;
    this.#decoder = decoder;
    this.name = name;
    this.start = start;
    this.end = end;
  }

  /** A cursor at a position as the format has it: relative to the table. */
  cursor({ block, offset }: Position): MetadataCursor {
    return new MetadataCursor(this, this.start + block, offset);
  }

  /** The block whose header is at byte `at` of the image. */
  block(at: number): Promise<MetadataBlock> {
    return this.#cache.get(at, () => this.#readBlock(at));
  }

  async #readBlock(at: number): Promise<MetadataBlock> {
    if (this.#starts?.has(at) === false) throw corrupt(at, `no block of ${this.name} begins here`);
    const { header, stored } = await this.#stored(at);
    let bytes: Uint8Array;
    if (header & METADATA_STORED) {
      bytes = stored.slice();
    } else {
      const output = new Uint8Array(METADATA_SIZE);
      const length = this.#decoder.decompress(stored, output, at, () => `a metadata block of ${this.name}`);
      if (length === 0) throw corrupt(at, `a metadata block of ${this.name} is empty`);
      bytes = output.subarray(0, length);
    }
    return { at, bytes, next: at + HEADER_SIZE + stored.length };
  }

  /**
   * Goes through the headers of all blocks, without decompressing any, and returns how many bytes the table can hold at
   * most. From then on references to anything but the beginning of a block are refused. It is what the sum of the things in
   * the table is held against: where every byte is counted once, images cannot say much in few bytes.
   */
  survey(): Promise<number> {
    this.#survey ??= this.#readHeaders().catch((error) => {
      this.#survey = undefined;
      throw error;
    });
    return this.#survey;
  }

  async #readHeaders(): Promise<number> {
    const starts = new Set<number>();
    for (let at = this.start; at < this.end; ) {
      starts.add(at);
      const { stored } = await this.#stored(at);
      at += HEADER_SIZE + stored.length;
    }
    this.#starts = starts;
    return starts.size * METADATA_SIZE;
  }

  /** The header of the block at `at`, and its bytes as they are in the image. */
  async #stored(at: number): Promise<{ header: number; stored: Uint8Array }> {
    if (at < this.start || at + HEADER_SIZE >= this.end) {
      throw corrupt(at, `${this.name} goes from byte ${this.start} to ${this.end}, and no block of it can begin here`);
    }
    const head = await this.#bytes(at, HEADER_SIZE);
    const header = head[0]! | (head[1]! << 8);
    const size = header & ~METADATA_STORED;
    if (size === 0 || size > METADATA_SIZE) {
      throw corrupt(
        at,
        `a metadata block of ${this.name} says it has ${size} bytes: 1 to ${METADATA_SIZE} are possible`,
      );
    }
    if (at + HEADER_SIZE + size > this.end) {
      throw corrupt(at, `a metadata block of ${this.name} has ${size} bytes, and the table ends at byte ${this.end}`);
    }
    return { header, stored: await this.#bytes(at + HEADER_SIZE, size) };
  }

  /** Bytes of the table, at most a metadata block: a view. */
  async #bytes(at: number, length: number): Promise<Uint8Array> {
    let window = this.#window;
    if (at < window.start || at + length > window.end) {
      const end = Math.min(at + WINDOW_SIZE, this.end);
      window = { start: at, end, bytes: this.#device.read(at, end - at) };
      this.#window = window;
    }
    try {
      return (await window.bytes).subarray(at - window.start, at - window.start + length);
    } catch (error) {
      // The next one tries again.
      if (this.#window === window) this.#window = NO_WINDOW;
      throw error;
    }
  }
}

/** Reads on from a place in a table. What it returns are views of cached blocks: they may not be changed. */
export class MetadataCursor {
  readonly #table: MetadataTable;
  readonly #start: { readonly at: number; readonly offset: number };
  /** Where the header of the current block is in the image. */
  #at: number;
  /** The next byte, in the decompressed block. */
  #offset: number;
  /** Undefined until something is read. */
  #block: MetadataBlock | undefined;

  constructor(table: MetadataTable, at: number, offset: number) {
    this.#table = table;
    this.#start = { at, offset };
    this.#at = at;
    this.#offset = offset;
  }

  /** Where the next byte is, relative to the table. */
  get position(): Position {
    if (this.#block !== undefined && this.#offset === METADATA_SIZE) {
      return { block: this.#block.next - this.#table.start, offset: 0 };
    }
    return { block: this.#at - this.#table.start, offset: this.#offset };
  }

  /** An error about what is at this cursor. */
  corrupt(message: string): ImgbuildError {
    return corruptMetadata(this.#at, this.#offset, `${this.#table.name}: ${message}`);
  }

  /** The next `length` bytes when they are in a block that is there already: so that not every small step is waited for. */
  take(length: number): Uint8Array | undefined {
    const end = this.#offset + length;
    if (this.#block === undefined || end > this.#block.bytes.length) return undefined;
    const taken = this.#block.bytes.subarray(this.#offset, end);
    this.#offset = end;
    return taken;
  }

  /** The next `length` bytes. Callers see to it that there is a limit to `length`. */
  async read(length: number): Promise<Uint8Array> {
    let piece = await this.#piece(length);
    if (piece.length === length) return piece;
    const bytes = new Uint8Array(length);
    for (let done = 0; ; piece = await this.#piece(length - done)) {
      bytes.set(piece, done);
      done += piece.length;
      if (done === length) return bytes;
    }
  }

  /** Goes back to where it began. */
  rewind(): void {
    if (this.#block?.at !== this.#start.at) this.#block = undefined;
    this.#at = this.#start.at;
    this.#offset = this.#start.offset;
  }

  /** The next bytes in one block: 1 to `length`. */
  async #piece(length: number): Promise<Uint8Array> {
    const begun = this.#block !== undefined;
    let block = this.#block ?? (await this.#table.block(this.#at));
    if (begun && this.#offset === block.bytes.length) {
      // Only the last block of a table may be short: references behind it would mean something else to others.
      if (block.bytes.length < METADATA_SIZE || block.next >= this.#table.end) throw this.corrupt("it ends early");
      block = await this.#table.block(block.next);
      this.#at = block.at;
      this.#offset = 0;
    }
    if (this.#offset >= block.bytes.length) {
      throw this.corrupt(`something begins here, and the block ends at ${block.bytes.length}`);
    }
    this.#block = block;
    const piece = block.bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += piece.length;
    return piece;
  }
}
