/**
 * Extended attributes: sets that inodes refer to by number. Inodes with the same attributes share a set, and sets with the
 * same value share it: it is stored where it occurs first, and from elsewhere referred to.
 */
import { type ByteString, compareBytes, fromBytes, toBytes } from "../bytes/bytestring.js";
import type { Compressor } from "../codecs/index.js";
import {
  MAX_XATTR_LIST,
  MAX_XATTR_NAME,
  MAX_XATTR_VALUE,
  NO_XATTRS,
  XATTR_OUT_OF_LINE,
  XATTR_PREFIXES,
  XATTR_REFERENCE_SIZE,
  xattrEntry,
  xattrId,
  xattrTable,
} from "./layout.js";
import { MetadataWriter, reference, writeTable } from "./metadata.js";
import type { Output } from "./output.js";

interface Attribute {
  readonly type: number;
  /** Without the prefix. */
  readonly name: Uint8Array;
  readonly fullNameLength: number;
  readonly value: Uint8Array;
  /** The value as a key for comparing. */
  readonly valueKey: ByteString;
}

export class XattrWriter {
  readonly #compressor: Compressor | undefined;
  readonly #attributes: MetadataWriter;
  readonly #sets = new Map<string, number>();
  readonly #ids: Uint8Array[] = [];
  readonly #values = new Map<ByteString, number>();

  /** Without a compressor, the tables are stored as they are. */
  constructor(compressor: Compressor | undefined) {
    this.#compressor = compressor;
    this.#attributes = new MetadataWriter(compressor);
  }

  /** Number of different sets. */
  get sets(): number {
    return this.#ids.length;
  }

  /** The number of the set of these attributes, or NO_XATTRS when none of them can be stored. The others are left out. */
  add(xattrs: ReadonlyMap<ByteString, Uint8Array>): number {
    if (xattrs.size === 0) return NO_XATTRS;
    const attributes = storableXattrs(xattrs).map(([name, value]) => represent(name, value));
    if (attributes.length === 0) return NO_XATTRS;
    const key = attributes.map(keyOf).join("");
    let id = this.#sets.get(key);
    if (id === undefined) {
      id = this.#ids.length;
      this.#sets.set(key, id);
      this.#ids.push(this.#writeSet(attributes));
    }
    return id;
  }

  /** Writes the tables; the position of the last, which the superblock points to, or undefined when there are no sets. */
  async write(output: Output): Promise<number | undefined> {
    if (this.sets === 0) return undefined;
    this.#attributes.finish();
    const start = output.position;
    for (const block of this.#attributes.take()) await output.append(block);
    const ids = new Uint8Array(xattrId.size * this.sets);
    for (const [i, id] of this.#ids.entries()) ids.set(id, i * xattrId.size);
    return writeTable(output, this.#compressor, ids, xattrTable.encode({ start, sets: this.sets }));
  }

  #writeSet(attributes: readonly Attribute[]): Uint8Array {
    const start = reference(this.#attributes.position);
    let size = 0;
    for (const { type, name, fullNameLength, value, valueKey } of attributes) {
      // What listing the set takes: names with their NUL, and values. It is for information only.
      size += fullNameLength + 1 + value.length;
      const shared = this.#values.get(valueKey);
      const storedType = shared === undefined ? type : type | XATTR_OUT_OF_LINE;
      this.#attributes.write(xattrEntry.encode({ type: storedType, nameLength: name.length }));
      this.#attributes.write(name);
      if (shared === undefined) {
        // Sharing a shorter value would save nothing.
        if (value.length > XATTR_REFERENCE_SIZE) this.#values.set(valueKey, reference(this.#attributes.position));
        this.#attributes.write(littleEndian(value.length, 4));
        this.#attributes.write(value);
      } else {
        this.#attributes.write(littleEndian(XATTR_REFERENCE_SIZE, 4));
        this.#attributes.write(littleEndian(shared, XATTR_REFERENCE_SIZE));
      }
    }
    return xattrId.encode({ reference: start, count: attributes.length, size });
  }
}

type Prefix = keyof typeof XATTR_PREFIXES;

const PREFIXES = Object.keys(XATTR_PREFIXES) as Prefix[];

const prefixOf = (name: ByteString) => PREFIXES.find((prefix) => name.startsWith(prefix));

/** Why an attribute cannot be stored: the format has no number for its namespace, or Linux refuses what would be stored. */
export type XattrObstacle = "acl" | "namespace" | "size";

/**
 * The attributes that can be stored, in the order of their names, so that neither the image nor the sharing of sets depends on
 * the order of the map. `omit` is told of each of the others.
 */
export function storableXattrs(
  xattrs: ReadonlyMap<ByteString, Uint8Array>,
  omit?: (name: ByteString, obstacle: XattrObstacle) => void,
): [name: ByteString, value: Uint8Array][] {
  let listed = 0;
  return [...xattrs]
    .sort((a, b) => compareBytes(a[0], b[0]))
    .filter(([name, value]) => {
      const size = name.length + 1;
      const obstacle = obstacleOf(name, value) ?? (listed + size > MAX_XATTR_LIST ? "size" : undefined);
      if (obstacle === undefined) listed += size;
      else omit?.(name, obstacle);
      return obstacle === undefined;
    });
}

function obstacleOf(name: ByteString, value: Uint8Array): XattrObstacle | undefined {
  if (name.startsWith("system.posix_acl_")) return "acl";
  const prefix = prefixOf(name);
  if (prefix === undefined) return "namespace";
  const fits = name.length > prefix.length && name.length <= MAX_XATTR_NAME && value.length <= MAX_XATTR_VALUE;
  return fits && !name.includes("\0") ? undefined : "size";
}

function represent(fullName: ByteString, value: Uint8Array): Attribute {
  const prefix = prefixOf(fullName)!;
  const name = toBytes(fullName.slice(prefix.length) as ByteString);
  return { type: XATTR_PREFIXES[prefix], name, fullNameLength: fullName.length, value, valueKey: fromBytes(value) };
}

/** Lengths in front of the parts, so that no two sets have the same key. */
function keyOf({ type, name, valueKey }: Attribute): string {
  return `${type}:${name.length}:${valueKey.length}:${fromBytes(name)}${valueKey}`;
}

function littleEndian(value: number, size: 4 | 8): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes.subarray(0, size);
}
