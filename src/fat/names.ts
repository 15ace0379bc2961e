/**
 * Names in both of their forms: UTF-16 in up to 255 units, and eight capital letters with an extension of three that every
 * entry has. "Long Directory Entries", "Short Names" and "The Basis-Name Generation Algorithm" (fatgen103).
 */
import { type ByteString, display, toBytes } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { upperCase } from "./case.js";
import { LOWER_BASE, LOWER_EXTENSION, MAX_LONG_NAME_UNITS, UNITS_PER_LONG_ENTRY } from "./layout.js";

export interface FatName {
  /** Eight and three characters, padded with blanks. */
  readonly short: Uint8Array;
  /** Which of the two parts are meant in lower case. */
  readonly caseFlags: number;
  /** The whole name. Absent where the short name says it all. */
  readonly long?: string;
}

/** Entries that a name takes in its directory, the short one included. */
export function slotsOf(name: FatName): number {
  return 1 + Math.ceil((name.long?.length ?? 0) / UNITS_PER_LONG_ENTRY);
}

/** Ties long entries to their short name: a sum that rotates right. "ChkSum()". */
export function shortNameChecksum(short: Uint8Array): number {
  let sum = 0;
  for (const byte of short) sum = (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff;
  return sum;
}

/** Two names that are equal folded cannot be in one folder. */
export function foldName(name: string): string {
  let folded = "";
  for (let i = 0; i < name.length; i++) folded += String.fromCharCode(upperCase(name.charCodeAt(i)));
  return folded;
}

const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

/** A name as text, for `foldName`; what is no UTF-8 becomes U+FFFD. */
export const nameText = (name: ByteString): string => lenient.decode(toBytes(name));

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const FORBIDDEN = /[\x00-\x1f"*/:<>?\\|\uffff]/;

/** The text of a name. Throws a `not-representable` error that shows `path` when FAT cannot hold it. */
function decodeName(name: ByteString, path: ByteString): string {
  const refuse = (reason: string) =>
    new ImgbuildError("not-representable", `FAT cannot store the name ${display(path)}: ${reason}`, {
      hint: "Rename it, or leave it out of this partition.",
      data: { path: display(path) },
    });
  let text: string;
  try {
    text = decoder.decode(toBytes(name));
  } catch (error) {
    throw Object.assign(refuse("it is not UTF-8"), { cause: error });
  }
  const forbidden = FORBIDDEN.exec(text);
  if (forbidden) throw refuse(`${JSON.stringify(forbidden[0])} is not allowed in it`);
  if (/[. ]$/.test(text)) throw refuse("it ends with a dot or a blank, which readers cut off");
  if (text.length > MAX_LONG_NAME_UNITS) {
    throw refuse(`it has ${text.length} UTF-16 units, and ${MAX_LONG_NAME_UNITS} is the most`);
  }
  return text;
}

const SHORT = /^[A-Z0-9!#$%&'()@^_`{}~-]{1,8}(?:\.[A-Z0-9!#$%&'()@^_`{}~-]{1,3})?$/;

const shortBytes = (base: string, extension: string) =>
  Uint8Array.from(base.padEnd(8) + extension.padEnd(3), (character) => character.charCodeAt(0));

/** The name as a short one when it differs from that in case at most. */
function plainShortName(name: string): FatName | undefined {
  // ASCII only: a long s or a dotless i has an ASCII capital, but is another letter.
  const capitals = name.replace(/[a-z]/g, (letter) => letter.toUpperCase());
  if (!SHORT.test(capitals)) return undefined;
  const [base, extension = ""] = capitals.split(".") as [string, string?];
  const [ownBase, ownExtension = ""] = name.split(".") as [string, string?];
  const short = shortBytes(base, extension);
  let caseFlags = 0;
  for (const [own, upper, flag] of [
    [ownBase, base, LOWER_BASE],
    [ownExtension, extension, LOWER_EXTENSION],
  ] as const) {
    if (own === upper) continue;
    if (own !== upper.toLowerCase()) return { short, caseFlags: 0, long: name };
    caseFlags |= flag;
  }
  return { short, caseFlags };
}

/** What is left of a long name for its short one, before a number makes it unique. */
function basis(name: string): [base: string, extension: string] {
  const dot = name.replace(/^[. ]+/, (lead) => "_".repeat(lead.length)).lastIndexOf(".");
  const reduce = (part: string) =>
    part
      .replace(/[. ]/g, "")
      .replace(/[a-z]/g, (letter) => letter.toUpperCase())
      .replace(/[^A-Z0-9!#$%&'()@^_`{}~-]/g, "_");
  const base = reduce(dot < 0 ? name : name.slice(0, dot)).slice(0, 8);
  return [base || "_", dot < 0 ? "" : reduce(name.slice(dot + 1)).slice(0, 3)];
}

/**
 * Both names of everything in one folder, in the order given. Throws a `not-representable` error for a name that FAT cannot
 * hold, and for two names that differ in case only. `path` gives the whole path of a name, for messages.
 */
export function nameEntries(names: readonly ByteString[], path: (name: ByteString) => ByteString): FatName[] {
  const seen = new Map<string, ByteString>();
  const texts = names.map((name) => {
    const text = decodeName(name, path(name));
    const folded = foldName(text);
    const twin = seen.get(folded);
    if (twin !== undefined) {
      throw new ImgbuildError(
        "not-representable",
        `FAT cannot store both ${display(path(twin))} and ${display(path(name))}: they differ in case only`,
        { hint: "Rename one of them.", data: { paths: [display(path(twin)), display(path(name))] } },
      );
    }
    seen.set(folded, name);
    return text;
  });
  // Names that are short as they are come first: no number may take one of them from its owner.
  const named = texts.map(plainShortName);
  const taken = new Set(named.filter((name) => name !== undefined).map(({ short }) => String.fromCharCode(...short)));
  const lastNumber = new Map<string, number>();
  return texts.map((text, i) => {
    const plain = named[i];
    if (plain !== undefined) return plain;
    const [base, extension] = basis(text);
    const family = `${base.slice(0, 6)}.${extension}`;
    for (let number = (lastNumber.get(family) ?? 0) + 1; ; number++) {
      const tail = `~${number}`;
      const short = shortBytes(base.slice(0, 8 - tail.length) + tail, extension);
      const key = String.fromCharCode(...short);
      if (taken.has(key)) continue;
      taken.add(key);
      lastNumber.set(family, number);
      return { short, caseFlags: 0, long: text };
    }
  });
}

/** The eleven characters of a volume label. Throws a `not-representable` error for one that FAT cannot hold. */
export function encodeLabel(label: string): string {
  const upper = label.replace(/[a-z]/g, (letter) => letter.toUpperCase());
  if (!/^[\x20-\x7e]{1,11}$/.test(upper) || /["*+,./:;<=>?[\\\]|]/.test(upper) || upper.startsWith(" ")) {
    throw new ImgbuildError("not-representable", `"${label}" cannot be the label of a FAT file system`, {
      hint: 'Use 1 to 11 ASCII letters, digits, blanks, "-" or "_".',
      data: { label },
    });
  }
  return upper;
}
