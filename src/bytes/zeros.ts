import { sameBytes } from "./same-bytes.js";

const ZEROS = new Uint8Array(2 ** 16);

/**
 * Whether bytes [start, end) are all zeros. Compares with zeros, many bytes at a time; and blocks of data mostly differ in
 * their first byte.
 */
export function isZero(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
  if (start < end && bytes[start] !== 0) return false;
  for (let at = start; at < end; at += ZEROS.length) {
    const length = Math.min(end - at, ZEROS.length);
    if (!sameBytes(bytes.subarray(at, at + length), ZEROS.subarray(0, length))) return false;
  }
  return true;
}
