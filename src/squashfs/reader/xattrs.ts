/** Extended attributes as they are read: sets by number, with values in line or shared with another set. */
import { type ByteString, display, fromBytes } from "../../bytes/bytestring.js";
import {
  MAX_XATTR_LIST,
  MAX_XATTR_VALUE,
  XATTR_OUT_OF_LINE,
  XATTR_PREFIXES,
  XATTR_REFERENCE_SIZE,
  xattrEntry,
  xattrId,
} from "../layout.js";
import { Cache } from "./cache.js";
import { readStruct } from "./corrupt.js";
import type { XattrTables } from "./image.js";
import { type MetadataCursor, positionOf } from "./metadata.js";

const PREFIXES = new Map(Object.entries(XATTR_PREFIXES).map(([prefix, type]) => [type as number, prefix]));

export type XattrSet = ReadonlyMap<ByteString, Uint8Array>;

/** Keeps what it has read: in most images few sets serve many inodes. */
export class XattrReader {
  readonly #tables: XattrTables;
  /** By where they begin, and how many attributes are in them. */
  readonly #sets = new Cache<string, XattrSet>(Number.POSITIVE_INFINITY);
  /** Those that sets share, by where they are. */
  readonly #values = new Cache<number, Uint8Array>(Number.POSITIVE_INFINITY);
  /**
   * Bytes of the table that were read for what is kept. Each of them belongs to one set, and to one shared value at most:
   * once twice as many were read as there are, sets lie within each other, and a small image would fill the memory.
   */
  #spent = 0;

  constructor(tables: XattrTables) {
    this.#tables = tables;
  }

  /** The set of this number, which has to be one. The map and its values are shared: they may not be changed. */
  async set(number: number): Promise<XattrSet> {
    const cursor = this.#tables.sets.cursor(number);
    const bytes = await cursor.read(xattrId.size);
    const { reference, count } = readStruct(xattrId, bytes, (message) => cursor.corrupt(message));
    return this.#sets.get(`${reference} ${count}`, () =>
      this.#reading(reference, (attributes) => this.#readSet(attributes, count)),
    );
  }

  /** Reads what begins at `reference`. When that fails, nothing is kept of it, and what it spent is not spent. */
  async #reading<T>(reference: number, read: (attributes: LimitedCursor) => Promise<T>): Promise<T> {
    const limit = 2 * (await this.#tables.attributes.survey());
    const cursor = this.#tables.attributes.cursor(positionOf(reference));
    let own = 0;
    const spend = (length: number) => {
      own += length;
      this.#spent += length;
      if (this.#spent > limit) throw cursor.corrupt("sets of extended attributes overlap");
    };
    try {
      return await read({ cursor, spend });
    } catch (error) {
      this.#spent -= own;
      throw error;
    }
  }

  async #readSet(attributes: LimitedCursor, count: number): Promise<XattrSet> {
    const { cursor } = attributes;
    const set = new Map<ByteString, Uint8Array>();
    let names = 0;
    for (let i = 0; i < count; i++) {
      const { type, nameLength } = xattrEntry.read(await readOn(attributes, xattrEntry.size));
      const prefix = PREFIXES.get(type & ~XATTR_OUT_OF_LINE);
      if (prefix === undefined)
        throw cursor.corrupt(`an extended attribute has the type ${type}, which does not exist`);
      names += prefix.length + nameLength + 1;
      if (names > MAX_XATTR_LIST) {
        throw cursor.corrupt(`the names of ${count} extended attributes take more than ${MAX_XATTR_LIST} bytes`);
      }
      const name = `${prefix}${fromBytes(await readOn(attributes, nameLength))}` as ByteString;
      if (name.includes("\0")) throw cursor.corrupt(`the extended attribute "${display(name)}" has a NUL in its name`);
      if (set.has(name)) throw cursor.corrupt(`the extended attribute "${display(name)}" is there twice`);
      set.set(name, type & XATTR_OUT_OF_LINE ? await this.#sharedValue(attributes) : await readValue(attributes));
    }
    return set;
  }

  /** The reference of a value that is elsewhere, in place of one. */
  async #sharedValue(attributes: LimitedCursor): Promise<Uint8Array> {
    const { cursor } = attributes;
    const length = viewOf(await readOn(attributes, 4)).getUint32(0, true);
    if (length !== XATTR_REFERENCE_SIZE) {
      throw cursor.corrupt(`the reference of a shared value has ${length} bytes, not ${XATTR_REFERENCE_SIZE}`);
    }
    const reference = Number(viewOf(await readOn(attributes, XATTR_REFERENCE_SIZE)).getBigUint64(0, true));
    if (!Number.isSafeInteger(reference)) throw cursor.corrupt(`a shared value would be at ${reference}`);
    return this.#values.get(reference, () => this.#reading(reference, readValue));
  }
}

/** A place in the table of attributes, and what is called with the number of bytes before each reading. */
interface LimitedCursor {
  readonly cursor: MetadataCursor;
  readonly spend: (length: number) => void;
}

/** A length in 32 bits, and so many bytes. */
async function readValue(attributes: LimitedCursor): Promise<Uint8Array> {
  const length = viewOf(await readOn(attributes, 4)).getUint32(0, true);
  if (length > MAX_XATTR_VALUE) {
    throw attributes.cursor.corrupt(
      `an extended attribute has a value of ${length} bytes: ${MAX_XATTR_VALUE} are possible`,
    );
  }
  return (await readOn(attributes, length)).slice();
}

async function readOn({ cursor, spend }: LimitedCursor, length: number): Promise<Uint8Array> {
  spend(length);
  return length === 0 ? NO_BYTES : (cursor.take(length) ?? cursor.read(length));
}

const NO_BYTES = new Uint8Array(0);

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
