const ZEROS = Buffer.alloc(2 ** 16);

/**
 * Whether bytes [start, end) are all zeros. Compares with zeros, which the C library does many bytes at a time: several times
 * faster than a loop over words, and blocks of data mostly differ in their first byte.
 */
export function isZero(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
  if (start < end && bytes[start] !== 0) return false;
  for (let at = start; at < end; at += ZEROS.length) {
    const length = Math.min(end - at, ZEROS.length);
    if (ZEROS.compare(bytes, at, at + length, 0, length) !== 0) return false;
  }
  return true;
}
