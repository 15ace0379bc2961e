/** Metadata: a stream of bytes in compressed blocks of 8 KiB, and tables of equal records with an index of their blocks. */
import type { Compressor } from "../codecs/index.js";
import { ImgbuildError } from "../errors.js";
import { METADATA_SIZE, METADATA_STORED } from "./layout.js";
import type { Output } from "./output.js";

/** Inodes, directories and extended attributes find each other by 32-bit positions in a table's compressed bytes. */
const MAX_TABLE = 2 ** 32;

/** Where something begins: the compressed position of its metadata block in the table, and the byte in the block. */
export interface Position {
  readonly block: number;
  readonly offset: number;
}

/** A position as the 64-bit references of the format have it: the block above 16 bits of offset. */
export function reference({ block, offset }: Position): number {
  return block * 0x10000 + offset;
}

/** The two bytes before a metadata block, and the block, stored as it is. */
export function storedBlock(bytes: Uint8Array): Uint8Array {
  const block = new Uint8Array(2 + bytes.length);
  setHeader(block, bytes.length | METADATA_STORED);
  block.set(bytes, 2);
  return block;
}

function setHeader(block: Uint8Array, header: number): void {
  block[0] = header & 0xff;
  block[1] = header >>> 8;
}

/** Builds one table in memory. What is complete can be taken out on the way, so that a large one does not stay there. */
export class MetadataWriter {
  readonly #compressor: Compressor | undefined;
  readonly #input = new Uint8Array(METADATA_SIZE);
  readonly #output = new Uint8Array(METADATA_SIZE);
  #filled = 0;
  /** Length of all complete blocks, with their headers. */
  #block = 0;
  #complete: Uint8Array[] = [];

  /** Without a compressor, blocks are stored as they are. */
  constructor(compressor: Compressor | undefined) {
    this.#compressor = compressor;
  }

  /** Where the next byte goes. */
  get position(): Position {
    return { block: this.#block, offset: this.#filled };
  }

  /** Appends `bytes`, which may be reused afterwards. Throws `not-representable` when the table becomes too large. */
  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const piece = bytes.subarray(done, done + METADATA_SIZE - this.#filled);
      this.#input.set(piece, this.#filled);
      this.#filled += piece.length;
      done += piece.length;
      if (this.#filled === METADATA_SIZE) this.#endBlock();
    }
  }

  /** Ends the last block, however short. Nothing may be written afterwards. */
  finish(): void {
    if (this.#filled > 0) this.#endBlock();
  }

  /** The blocks that were completed since the last call. */
  take(): Uint8Array[] {
    return this.#complete.splice(0);
  }

  #endBlock(): void {
    // What begins in this block is referred to by where the block begins.
    if (this.#block >= MAX_TABLE) {
      throw new ImgbuildError(
        "not-representable",
        "the tree has more metadata than a SquashFS table can hold (4 GiB)",
        { hint: "Split the tree into several images." },
      );
    }
    const input = this.#input.subarray(0, this.#filled);
    const length = this.#compressor?.compress(input, this.#output.subarray(0, this.#filled - 1)) ?? 0;
    const block = new Uint8Array(2 + (length || this.#filled));
    setHeader(block, length || this.#filled | METADATA_STORED);
    block.set(length ? this.#output.subarray(0, length) : input, 2);
    this.#complete.push(block);
    this.#block += block.length;
    this.#filled = 0;
  }
}

/**
 * Writes records, which must not straddle metadata blocks, and then the position of each block, 64 bits each. Returns where
 * these positions begin; `head`, if given, comes right before them and is what is pointed to.
 */
export async function writeTable(
  output: Output,
  compressor: Compressor | undefined,
  records: Uint8Array,
  head: Uint8Array = new Uint8Array(0),
): Promise<number> {
  const table = new MetadataWriter(compressor);
  table.write(records);
  table.finish();
  const blocks = table.take();
  const index = new Uint8Array(8 * blocks.length);
  const positions = new DataView(index.buffer);
  for (const [i, block] of blocks.entries()) positions.setBigUint64(8 * i, BigInt(await output.append(block)), true);
  const start = await output.append(head);
  await output.append(index);
  return start;
}
