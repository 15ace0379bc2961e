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

/** For messages: UTF-8 where it is that, and \xNN for control characters and for bytes that are not. Not reversible. */
export function display(text: ByteString): string {
  const escapeByte = (character: string) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  let shown: string;
  try {
    shown = decoder.decode(toBytes(text));
  } catch {
    shown = text.replace(/[\x80-\xff]/g, escapeByte);
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters must not reach a terminal
  return shown.replace(/[\x00-\x1f\x7f-\x9f]/g, escapeByte);
}

/** Byte order, for `sort`. */
export function compareBytes(a: ByteString, b: ByteString): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
