/**
 * On-disk structures as tables that can be read line by line against a specification. Every field has its offset written
 * out; overlaps and overruns are refused when the table is declared.
 */

/** How one field is stored. */
export interface FieldType<T> {
  /** Length on disk, in bytes. */
  readonly size: number;
  /** What a field that was left out is written as. */
  readonly zero: T;
  get(view: DataView, at: number): T;
  /** Throws a RangeError when the value cannot be stored. */
  set(view: DataView, at: number, value: T): void;
}

function integer(size: 1 | 2 | 4, littleEndian: boolean): FieldType<number> {
  const limit = 2 ** (8 * size);
  const bits = (8 * size) as 8 | 16 | 32;
  // Looked up once: file systems have millions of inodes, with dozens of fields each.
  const get = DataView.prototype[`getUint${bits}`];
  const set = DataView.prototype[`setUint${bits}`];
  return {
    size,
    zero: 0,
    get: (view, at) => get.call(view, at, littleEndian),
    set(view, at, value) {
      if (!Number.isInteger(value) || value < 0 || value >= limit) {
        throw new RangeError(`${value} is not an unsigned ${bits}-bit integer`);
      }
      set.call(view, at, value, littleEndian);
    },
  };
}

function bigInteger(littleEndian: boolean): FieldType<bigint> {
  return {
    size: 8,
    zero: 0n,
    get: (view, at) => view.getBigUint64(at, littleEndian),
    set(view, at, value) {
      if (value < 0n || value >> 64n) throw new RangeError(`${value} is not an unsigned 64-bit integer`);
      view.setBigUint64(at, value, littleEndian);
    },
  };
}

/** A 64-bit field that holds a size or an offset, as a number: reading one of 2^53 or more throws a RangeError. */
function safeInteger(littleEndian: boolean): FieldType<number> {
  return {
    size: 8,
    zero: 0,
    get(view, at) {
      const value = view.getBigUint64(at, littleEndian);
      if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError(`${value} is beyond 2^53`);
      return Number(value);
    },
    set(view, at, value) {
      if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is not a size below 2^53`);
      view.setBigUint64(at, BigInt(value), littleEndian);
    },
  };
}

export const u8 = integer(1, true);
export const u16 = integer(2, true);
export const u32 = integer(4, true);
/** Unsigned 64-bit, every value, as a bigint. */
export const u64 = bigInteger(true);
/** Unsigned 64-bit that counts bytes or blocks: a number below 2^53. */
export const size64 = safeInteger(true);
export const be16 = integer(2, false);
export const be32 = integer(4, false);
export const be64 = bigInteger(false);

/** `length` bytes as they are. Shorter values are padded with zeros. */
export function bytes(length: number): FieldType<Uint8Array> {
  return {
    size: length,
    zero: new Uint8Array(length),
    get: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, length).slice(),
    set(view, at, value) {
      if (value.length > length) throw new RangeError(`${value.length} bytes do not fit into ${length}`);
      const target = new Uint8Array(view.buffer, view.byteOffset + at, length);
      target.fill(0);
      target.set(value);
    },
  };
}

/** ASCII text of at most `length` characters, padded with `pad` (NUL or blank), which is cut off again when read. */
export function ascii(length: number, pad: "\0" | " " = "\0"): FieldType<string> {
  return {
    size: length,
    zero: "",
    get(view, at) {
      let text = "";
      for (let i = 0; i < length; i++) text += String.fromCharCode(view.getUint8(at + i));
      if (pad === "\0") return text.includes("\0") ? text.slice(0, text.indexOf("\0")) : text;
      return text.replace(/ +$/, "");
    },
    set(view, at, value) {
      if (value.length > length) throw new RangeError(`"${value}" is longer than ${length} characters`);
      for (let i = 0; i < length; i++) {
        const code = i < value.length ? value.charCodeAt(i) : pad.charCodeAt(0);
        if (code > 0x7f) throw new RangeError(`"${value}" is not ASCII`);
        view.setUint8(at + i, code);
      }
    },
  };
}

/** `count` values of one type, one after the other. Values left out at the end are zero. */
export function array<T>(type: FieldType<T>, count: number): FieldType<readonly T[]> {
  return {
    size: type.size * count,
    zero: new Array<T>(count).fill(type.zero),
    get: (view, at) => Array.from({ length: count }, (_, i) => type.get(view, at + i * type.size)),
    set(view, at, values) {
      if (values.length > count) throw new RangeError(`${values.length} values do not fit into ${count}`);
      for (let i = 0; i < count; i++) type.set(view, at + i * type.size, values[i] ?? type.zero);
    },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: a table mixes field types
type Fields = Readonly<Record<string, readonly [offset: number, type: FieldType<any>]>>;

/** The values of a structure's fields. */
export type ValuesOf<F extends Fields> = {
  -readonly [K in keyof F]: F[K] extends readonly [number, FieldType<infer T>] ? T : never;
};

export interface Struct<F extends Fields> {
  readonly name: string;
  /** Length on disk, in bytes. */
  readonly size: number;
  /** Where each field begins, in bytes from the structure's start. */
  readonly offsets: { readonly [K in keyof F]: number };
  /** Reads the structure at `at`. Throws a RangeError that names `struct.field`, or says that the bytes end early. */
  read(from: Uint8Array, at?: number): ValuesOf<F>;
  /** Writes every field at `at`; fields left out, and bytes that no field covers, become zero. */
  write(into: Uint8Array, at: number, values: Partial<ValuesOf<F>>): void;
  /** A new array of `size` bytes. */
  encode(values: Partial<ValuesOf<F>>): Uint8Array;
}

/** The structure that a `struct()` constant describes, as an object type: `type Superblock = StructValues<typeof superblock>`. */
export type StructValues<S> = S extends Struct<infer F> ? ValuesOf<F> : never;

/** Declares a structure of `size` bytes. `fields` maps each name to `[offset, type]`, in the specification's own order. */
export function struct<const F extends Fields>(name: string, size: number, fields: F): Struct<F> {
  const entries = Object.entries(fields).sort((a, b) => a[1][0] - b[1][0]);
  let end = 0;
  for (const [field, [offset, type]] of entries) {
    if (offset < end)
      throw new Error(`${name}.${field} at ${offset} overlaps the field before it, which ends at ${end}`);
    end = offset + type.size;
  }
  if (end > size) throw new Error(`${name} has ${size} bytes, but its fields reach to ${end}`);

  const located = (field: string, error: unknown) => new RangeError(`${name}.${field}: ${(error as Error).message}`);
  const write = (into: Uint8Array, at: number, values: Partial<ValuesOf<F>>) => {
    if (at < 0 || at + size > into.length)
      throw new RangeError(`${name} at ${at} does not fit into ${into.length} bytes`);
    into.fill(0, at, at + size);
    const view = new DataView(into.buffer, into.byteOffset + at, size);
    for (const [field, [offset, type]] of entries) {
      const value = values[field as keyof F];
      if (value === undefined) continue;
      try {
        type.set(view, offset, value);
      } catch (error) {
        throw located(field, error);
      }
    }
  };
  return {
    name,
    size,
    offsets: Object.fromEntries(entries.map(([field, [offset]]) => [field, offset])) as { [K in keyof F]: number },
    read(from, at = 0) {
      if (at < 0 || at + size > from.length) {
        throw new RangeError(`${name} at ${at} reaches beyond the end of ${from.length} bytes`);
      }
      const view = new DataView(from.buffer, from.byteOffset + at, size);
      const values: Record<string, unknown> = {};
      for (const [field, [offset, type]] of entries) {
        try {
          values[field] = type.get(view, offset);
        } catch (error) {
          throw located(field, error);
        }
      }
      return values as ValuesOf<F>;
    },
    write,
    encode(values) {
      const into = new Uint8Array(size);
      write(into, 0, values);
      return into;
    },
  };
}
