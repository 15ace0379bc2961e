/** Tables of equal records, found by number: ids, fragments, inode references, sets of extended attributes. */
import type { ReadableDevice } from "../../bytes/device.js";
import { METADATA_SIZE } from "../layout.js";
import { corrupt } from "./corrupt.js";
import type { Decoder } from "./decoder.js";
import { type MetadataCursor, MetadataTable } from "./metadata.js";

export interface LookupTablePlace {
  /** For messages: "the id table". */
  readonly name: string;
  /** Where the index is: the position of each metadata block, 64 bits each. Bytes of the image. */
  readonly index: number;
  /** Where the index has to have ended. */
  readonly end: number;
  readonly records: number;
  readonly recordSize: number;
}

export class LookupTable {
  readonly records: number;
  readonly #recordSize: number;
  readonly #blocks: readonly number[];
  readonly #table: MetadataTable;

  private constructor(table: MetadataTable, blocks: readonly number[], { records, recordSize }: LookupTablePlace) {
    this.#table = table;
    this.#blocks = blocks;
    this.records = records;
    this.#recordSize = recordSize;
  }

  /** Reads and checks the index of a table that has records. */
  static async open(device: ReadableDevice, decoder: Decoder, place: LookupTablePlace): Promise<LookupTable> {
    const { name, index, end, records, recordSize } = place;
    const count = Math.ceil((records * recordSize) / METADATA_SIZE);
    if (index + 8 * count > end) {
      throw corrupt(
        index,
        `${name} should have ${records} records, and its index does not fit in front of byte ${end}`,
      );
    }
    const bytes = await device.read(index, 8 * count);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const blocks: number[] = [];
    for (let i = 0; i < count; i++) {
      const at = Number(view.getBigUint64(8 * i, true));
      if (at >= index || at <= (blocks.at(-1) ?? 0)) {
        throw corrupt(
          index + 8 * i,
          `block ${i} of ${name} would be at byte ${at}: they are in order, before their index`,
        );
      }
      blocks.push(at);
    }
    return new LookupTable(new MetadataTable(device, decoder, name, blocks[0]!, index), blocks, place);
  }

  /** Where the first of its metadata blocks is in the image. */
  get start(): number {
    return this.#table.start;
  }

  /** Records in a metadata block. */
  get perBlock(): number {
    return METADATA_SIZE / this.#recordSize;
  }

  /** A cursor at record `number`, which has to be one. */
  cursor(number: number): MetadataCursor {
    const { perBlock } = this;
    const block = this.#blocks[Math.floor(number / perBlock)]! - this.#table.start;
    return this.#table.cursor({ block, offset: (number % perBlock) * this.#recordSize });
  }

  /** The bytes of record `number`. */
  read(number: number): Promise<Uint8Array> {
    return this.cursor(number).read(this.#recordSize);
  }
}
