/** Kernel modules and kernels come compressed; both are small enough to be expanded in memory. */
import { type CompressionFormat, decompress } from "../codecs/decompress.js";

const PIECE = 65536;

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

/** All that `bytes` expands to. Throws what the codec throws when the data is damaged. */
export async function expand(format: CompressionFormat, bytes: Uint8Array): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of decompress(format, pieces(bytes))) parts.push(part);
  return Buffer.concat(parts);
}

/**
 * What `bytes` expands to until the codec finds something wrong, for compressed data that is followed by other data: no
 * header says where the payload of a kernel image ends. Its last part may be missing.
 */
export async function expandUntilDamage(format: CompressionFormat, bytes: Uint8Array): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  try {
    for await (const part of decompress(format, pieces(bytes))) parts.push(part);
  } catch {
    // What came before it is what was wanted.
  }
  return Buffer.concat(parts);
}
