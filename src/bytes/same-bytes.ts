const { Buffer: NodeBuffer } = globalThis as { Buffer?: typeof Buffer };

/**
 * Whether two arrays have the same bytes. In Node the C library compares them, several times faster than a loop; elsewhere
 * it is a loop over words.
 */
export const sameBytes: (a: Uint8Array, b: Uint8Array) => boolean =
  NodeBuffer === undefined ? compareWords : (a, b) => NodeBuffer.compare(a, b) === 0;

function compareWords(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  // Unlike arrays of words, views take any alignment.
  const left = new DataView(a.buffer, a.byteOffset, a.length);
  const right = new DataView(b.buffer, b.byteOffset, b.length);
  let at = 0;
  for (const last = a.length - 4; at <= last; at += 4) if (left.getInt32(at) !== right.getInt32(at)) return false;
  for (; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
