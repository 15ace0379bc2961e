/** Takes a directory apart: entries, and the long names before them. Deleted ones and orphaned long names are passed over. */
import type { ReadableDevice } from "../bytes/device.js";
import { ImgbuildError } from "../errors.js";
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

export interface FoundEntry {
  readonly name: string;
  readonly directory: boolean;
  readonly size: number;
  readonly firstCluster: number;
  /** Seconds since 1970. */
  readonly modified: number;
  /** Byte on the device at which the entry is. */
  readonly at: number;
}

/** Bytes 0x80 to 0xff of a short name: code page 437, which Linux takes unless told otherwise. */
const CODE_PAGE_437 =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";

const textOf = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => (byte < 0x80 ? String.fromCharCode(byte) : CODE_PAGE_437[byte - 0x80])).join("");

function decodeShortName(short: Uint8Array, caseFlags: number): string {
  const raw = short.slice();
  if (raw[0] === ENTRY_ESCAPED_E5) raw[0] = 0xe5;
  const part = (bytes: Uint8Array, lower: number) => {
    const text = textOf(bytes).replace(/ +$/, "");
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

/** Reads the directory that lies in `pieces` of the device. Its own entry and its parent's are left out. */
export async function decodeDirectory(
  device: ReadableDevice,
  pieces: readonly { readonly at: number; readonly length: number }[],
): Promise<{ entries: FoundEntry[]; label: string | undefined }> {
  const entries: FoundEntry[] = [];
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
        else if (name !== "." && name !== "..") {
          // Who extracts such a name would leave the folder that it is in.
          if (name === "" || /[\0/]/.test(name)) {
            throw new ImgbuildError(
              "image-corrupt",
              `a directory has the name ${JSON.stringify(name)} (byte ${piece.at + at})`,
              {
                data: { offset: piece.at + at },
              },
            );
          }
          entries.push({
            name,
            directory: (attributes & ATTRIBUTE.directory) !== 0,
            size: entry.size,
            firstCluster: entry.clusterHigh * 0x10000 + entry.clusterLow,
            modified: decodeTime(entry.modifiedDate, entry.modifiedTime),
            at: piece.at + at,
          });
        }
      }
    }
  }
  return { entries, label };
}
