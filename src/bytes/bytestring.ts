/**
 * File names and paths are bytes. In memory they are ByteStrings: JavaScript strings with one character, U+0000 to
 * U+00FF, for each byte. So they are keys of a Map, compare with `<` in byte order, and any name, UTF-8 or not, comes out
 * as it went in.
 */

declare const byteString: unique symbol;

/** A string whose characters stand for bytes. Make one with `fromBytes` or `fromText`. */
export type ByteString = string & { readonly [byteString]: true };

export function fromBytes(bytes: Uint8Array): ByteString {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) {
    text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  }
  return text as ByteString;
}

export function toBytes(text: ByteString): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The UTF-8 bytes of ordinary text: a path from the command line or a profile. */
export function fromText(text: string): ByteString {
  return fromBytes(encoder.encode(text));
}

/**
 * Characters that a terminal acts on, or that hide or turn others around: C0, DEL and C1 controls, line separators, marks of
 * direction, and formats without a width. What is shown of names and texts has none of them, here and everywhere.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSAFE = /[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** Bytes that may be one character of UTF-8, or one byte that is none. */
const SEQUENCE = /[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|./gs;

const escapeBytes = (bytes: ByteString) =>
  Array.from(bytes, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, "0")}`).join("");

/** For messages: UTF-8 where it is that, and \xNN for each byte of what is unsafe and of what is no UTF-8. Not reversible. */
export function display(text: ByteString): string {
  // Printable ASCII is what nearly all names are.
  if (/^[\x20-\x7e]*$/.test(text)) return text;
  return safeText(text.replace(SEQUENCE, (part) => decoded(part as ByteString) ?? escapeBytes(part as ByteString)));
}

/** As `display`, but with \\ for \, so that the bytes can be had back: for listings, and for what reads them. */
export const escapeName = (name: ByteString): string => display(name.replaceAll("\\", "\\\\") as ByteString);

/** Text that is none of ours, for a terminal: \xNN for each byte of UTF-8 of what is unsafe. Safe text stays as it is. */
export const safeText = (text: string): string => text.replace(UNSAFE, (character) => escapeBytes(fromText(character)));

function decoded(part: ByteString): string | undefined {
  try {
    return decoder.decode(toBytes(part));
  } catch {
    return undefined;
  }
}

/** Byte order, for `sort`. */
export function compareBytes(a: ByteString, b: ByteString): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
