/** Kernel modules and kernels come compressed; both are small enough to be expanded in memory. */
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { Decompress as Unzstd } from "fzstd";
import xz from "xz-decompress";

export type Compression = "gzip" | "xz" | "zstd";

/** The bytes that `source` expands to, as they come. Throws what the codec throws when the data is damaged. */
async function* decompress(format: Compression, source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (format === "gzip") {
    yield* Readable.from(source).pipe(createGunzip()) as AsyncIterable<Uint8Array>;
  } else if (format === "xz") {
    const stream = new xz.XzReadableStream(Readable.toWeb(Readable.from(source)) as ReadableStream<Uint8Array>);
    const reader = stream.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } else {
    const parts: Uint8Array[] = [];
    const unzstd = new Unzstd((part) => parts.push(part));
    for await (const bytes of source) {
      unzstd.push(bytes);
      yield* parts.splice(0);
    }
    unzstd.push(new Uint8Array(0), true);
    yield* parts;
  }
}

const PIECE = 65536;

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

/** All that `bytes` expands to. Throws what the codec throws when the data is damaged. */
export async function expand(format: Compression, bytes: Uint8Array): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of decompress(format, pieces(bytes))) parts.push(part);
  return Buffer.concat(parts);
}

/**
 * What `bytes` expands to until the codec finds something wrong, for compressed data that is followed by other data: no
 * header says where the payload of a kernel image ends. Its last part may be missing.
 */
export async function expandUntilDamage(format: Compression, bytes: Uint8Array): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  try {
    for await (const part of decompress(format, pieces(bytes))) parts.push(part);
  } catch {
    // What came before it is what was wanted.
  }
  return Buffer.concat(parts);
}
