/** Takes a directory apart: entries, and the long names before them. Deleted ones and orphaned long names are passed over. */
import { type ByteString, display, fromText } from "../bytes/bytestring.js";
import type { ReadableDevice } from "../bytes/device.js";
import type { StructValues } from "../bytes/struct.js";
import type { Timestamp } from "../tree/node.js";
import { corrupt } from "./corrupt.js";
import {
  ATTRIBUTE,
  directoryEntry,
  ENTRY_DELETED,
  ENTRY_END,
  ENTRY_ESCAPED_E5,
  ENTRY_SIZE,
  LAST_LONG_ENTRY,
  LONG_NAME_ATTRIBUTES,
  LOWER_BASE,
  LOWER_EXTENSION,
  longNameEntry,
} from "./layout.js";
import { shortNameChecksum } from "./names.js";
import { decodeTime } from "./time.js";

/** What a directory says of everything in it. */
interface EntryFacts {
  /** The long name where there is one. What in it is no Unicode has become U+FFFD. */
  readonly name: ByteString;
  /** When it was last written, read as UTC, to two seconds. */
  readonly mtime: Timestamp;
  readonly readOnly: boolean;
  readonly hidden: boolean;
  readonly system: boolean;
  /** Of its chain; 0 for an empty file, and for the root of FAT12 and FAT16. */
  readonly firstCluster: number;
  /** Byte on the device at which the entry is; of the root, which has none, at which its own entries begin. */
  readonly at: number;
}

export interface FatFile extends EntryFacts {
  readonly type: "file";
  /** Bytes. */
  readonly size: number;
}

export interface FatDirectory extends EntryFacts {
  readonly type: "directory";
}

export type FatEntry = FatFile | FatDirectory;

/** Bytes 0x80 to 0xff of a short name: code page 437, which Linux takes unless told otherwise. */
const CODE_PAGE_437 =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";

const textOf = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => (byte < 0x80 ? String.fromCharCode(byte) : CODE_PAGE_437[byte - 0x80])).join("");

function decodeShortName(short: Uint8Array, caseFlags: number): string {
  const raw = short.slice();
  if (raw[0] === ENTRY_ESCAPED_E5) raw[0] = 0xe5;
  const part = (bytes: Uint8Array, lower: number) => {
    // As Linux does, a NUL ends it: mtools leaves some behind short names that it makes.
    const text = textOf(bytes).replace(/\0.*$/s, "").replace(/ +$/, "");
    return caseFlags & lower ? text.toLowerCase() : text;
  };
  const base = part(raw.subarray(0, 8), LOWER_BASE);
  const extension = part(raw.subarray(8), LOWER_EXTENSION);
  return extension === "" ? base : `${base}.${extension}`;
}

/** Collects the parts of one long name, which come last part first. */
class LongName {
  #parts: number[][] = [];
  #expected = 0;
  #checksum = 0;

  add(bytes: Uint8Array, at: number): void {
    const entry = longNameEntry.read(bytes, at);
    const ordinal = entry.ordinal & ~LAST_LONG_ENTRY;
    if (entry.ordinal & LAST_LONG_ENTRY) {
      this.#parts = [];
      this.#expected = ordinal;
      this.#checksum = entry.checksum;
    }
    if (ordinal === 0 || ordinal !== this.#expected || entry.checksum !== this.#checksum) {
      this.clear();
      return;
    }
    this.#parts.unshift([...entry.units1, ...entry.units2, ...entry.units3]);
    this.#expected--;
  }

  clear(): void {
    this.#parts = [];
    this.#expected = 0;
  }

  /** The name, when it is whole and belongs to `short`; then it is forgotten. */
  take(short: Uint8Array): string | undefined {
    const whole = this.#parts.length > 0 && this.#expected === 0 && this.#checksum === shortNameChecksum(short);
    const units = this.#parts.flat();
    this.clear();
    if (!whole) return undefined;
    const end = units.indexOf(0);
    return String.fromCharCode(...(end < 0 ? units : units.slice(0, end)));
  }
}

/** A run of bytes on the device. */
export interface Piece {
  readonly at: number;
  readonly length: number;
}

export interface DecodedDirectory {
  readonly entries: FatEntry[];
  /** The volume's, which the root holds. */
  readonly label: string | undefined;
}

/**
 * Reads the directory that lies in `pieces` of the device. Its own entry and its parent's are left out. Throws an
 * `image-corrupt` error for a name that would lead out of the folder to which somebody extracts it.
 */
export async function decodeDirectory(device: ReadableDevice, pieces: Iterable<Piece>): Promise<DecodedDirectory> {
  const entries: FatEntry[] = [];
  let label: string | undefined;
  const long = new LongName();
  for (const piece of pieces) {
    const bytes = await device.read(piece.at, piece.length);
    for (let at = 0; at < bytes.length; at += ENTRY_SIZE) {
      if (bytes[at] === ENTRY_END) return { entries, label };
      const attributes = bytes[at + directoryEntry.offsets.attributes]! & 0x3f;
      if (bytes[at] === ENTRY_DELETED) long.clear();
      else if (attributes === LONG_NAME_ATTRIBUTES) long.add(bytes, at);
      else {
        const entry = directoryEntry.read(bytes, at);
        const name = long.take(entry.name) ?? decodeShortName(entry.name, entry.caseFlags);
        if (attributes & ATTRIBUTE.label) label ??= textOf(entry.name).replace(/ +$/, "");
        else if (name !== "." && name !== "..") entries.push(decodeEntry(name, entry, piece.at + at));
      }
    }
  }
  return { entries, label };
}

function decodeEntry(name: string, entry: StructValues<typeof directoryEntry>, at: number): FatEntry {
  if (name === "" || /[\0/]/.test(name)) throw corrupt(at, `a directory has the name "${display(fromText(name))}"`);
  const has = (attribute: number) => (entry.attributes & attribute) !== 0;
  const facts = {
    name: fromText(name),
    mtime: { seconds: decodeTime(entry.modifiedDate, entry.modifiedTime), nanoseconds: 0 },
    readOnly: has(ATTRIBUTE.readOnly),
    hidden: has(ATTRIBUTE.hidden),
    system: has(ATTRIBUTE.system),
    firstCluster: entry.clusterHigh * 0x10000 + entry.clusterLow,
    at,
  };
  if (has(ATTRIBUTE.directory)) return { type: "directory", ...facts };
  return { type: "file", ...facts, size: entry.size };
}
