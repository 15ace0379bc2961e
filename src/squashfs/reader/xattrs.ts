/** Extended attributes as they are read: sets by number, with values in line or shared with another set. */
import { type ByteString, display, fromBytes } from "../../bytes/bytestring.js";
import { XATTR_OUT_OF_LINE, XATTR_PREFIXES, xattrEntry, xattrId } from "../layout.js";
import { readStruct } from "./corrupt.js";
import type { XattrTables } from "./image.js";
import { type MetadataCursor, positionOf } from "./metadata.js";

/** Linux's limits, XATTR_LIST_MAX and XATTR_SIZE_MAX: for all names of a file with their NULs, and for one value. */
const MAX_NAMES = 65_536;
const MAX_VALUE = 65_536;
const REFERENCE_SIZE = 8;

const PREFIXES = new Map(Object.entries(XATTR_PREFIXES).map(([prefix, type]) => [type as number, prefix]));

export type XattrSet = ReadonlyMap<ByteString, Uint8Array>;

/** Keeps what it has read: in most images few sets serve many inodes. */
export class XattrReader {
  readonly #tables: XattrTables;
  /** By where they begin. */
  readonly #sets = new Map<number, XattrSet>();
  readonly #values = new Map<number, Uint8Array>();
  /** Bytes of the table that may still be read: see `#spend`. */
  #left: number | undefined;

  constructor(tables: XattrTables) {
    this.#tables = tables;
  }

  /** The set of this number, which has to be one. The map and its values are shared: they may not be changed. */
  async set(number: number): Promise<XattrSet> {
    const cursor = this.#tables.sets.cursor(number);
    const bytes = await cursor.read(xattrId.size);
    const { reference, count } = readStruct(xattrId, bytes, (message) => cursor.corrupt(message));
    const known = this.#sets.get(reference);
    if (known?.size === count) return known;
    const set = await this.#readSet(reference, count);
    this.#sets.set(reference, set);
    return set;
  }

  async #readSet(reference: number, count: number): Promise<XattrSet> {
    const cursor = this.#tables.attributes.cursor(positionOf(reference));
    const set = new Map<ByteString, Uint8Array>();
    let names = 0;
    for (let i = 0; i < count; i++) {
      const { type, nameLength } = xattrEntry.read(await this.#read(cursor, xattrEntry.size));
      const prefix = PREFIXES.get(type & ~XATTR_OUT_OF_LINE);
      if (prefix === undefined)
        throw cursor.corrupt(`an extended attribute has the type ${type}, which does not exist`);
      names += prefix.length + nameLength + 1;
      if (names > MAX_NAMES) {
        throw cursor.corrupt(`the names of ${count} extended attributes take more than ${MAX_NAMES} bytes`);
      }
      const name = `${prefix}${fromBytes(await this.#read(cursor, nameLength))}` as ByteString;
      if (name.includes("\0")) throw cursor.corrupt(`the extended attribute "${display(name)}" has a NUL in its name`);
      if (set.has(name)) throw cursor.corrupt(`the extended attribute "${display(name)}" is there twice`);
      set.set(name, type & XATTR_OUT_OF_LINE ? await this.#sharedValue(cursor) : await this.#value(cursor));
    }
    return set;
  }

  /** A length in 32 bits, and so many bytes. */
  async #value(cursor: MetadataCursor): Promise<Uint8Array> {
    const length = viewOf(await this.#read(cursor, 4)).getUint32(0, true);
    if (length > MAX_VALUE) {
      throw cursor.corrupt(`an extended attribute has a value of ${length} bytes: ${MAX_VALUE} are possible`);
    }
    return (await this.#read(cursor, length)).slice();
  }

  /** The reference of a value that is elsewhere, in place of one. */
  async #sharedValue(cursor: MetadataCursor): Promise<Uint8Array> {
    const length = viewOf(await this.#read(cursor, 4)).getUint32(0, true);
    if (length !== REFERENCE_SIZE) {
      throw cursor.corrupt(`the reference of a shared value has ${length} bytes, not ${REFERENCE_SIZE}`);
    }
    const reference = Number(viewOf(await this.#read(cursor, REFERENCE_SIZE)).getBigUint64(0, true));
    let value = this.#values.get(reference);
    if (value === undefined) {
      if (!Number.isSafeInteger(reference)) throw cursor.corrupt(`a shared value would be at ${reference}`);
      value = await this.#value(this.#tables.attributes.cursor(positionOf(reference)));
      this.#values.set(reference, value);
    }
    return value;
  }

  /**
   * Reads on in the table. Each of its bytes belongs to one set, and to one shared value at most: once twice as many were
   * read as there are, sets lie within each other, and a small image would fill the memory.
   */
  async #read(cursor: MetadataCursor, length: number): Promise<Uint8Array> {
    this.#left ??= 2 * (await this.#tables.attributes.survey());
    this.#left -= length;
    if (this.#left < 0) throw cursor.corrupt("sets of extended attributes overlap");
    return length === 0 ? NO_BYTES : (cursor.take(length) ?? cursor.read(length));
  }
}

const NO_BYTES = new Uint8Array(0);

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
