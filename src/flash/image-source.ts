/** The image that is flashed: a file, or what comes out of a compressed one, read once from its start to its end. */
import * as fs from "node:fs";
import type { Extent } from "../bytes/extent.js";
import { FileReader } from "../bytes/file-device.js";
import { type CompressionFormat, decompress, detectCompression } from "../codecs/decompress.js";
import { ImgbuildError } from "../errors.js";
import { PIECE } from "./medium.js";

export interface ImagePiece {
  /** In bytes from the image's start. */
  readonly at: number;
  /** At most PIECE of them, and none on both sides of a multiple of PIECE. */
  readonly bytes: Uint8Array;
}

export interface ImageSource {
  readonly path: string;
  /** undefined: it is compressed, and only decompressing can tell. */
  readonly size: number | undefined;
  readonly compression: CompressionFormat | undefined;
  /** The bytes in `extents`, which ascend. Rejects with `image-corrupt` where the image ends before them, and as decoders do. */
  pieces(extents: Iterable<Extent>): AsyncGenerator<ImagePiece, void>;
}

/** Throws `source-missing`, `source-unreadable`, and `source-invalid` for what is empty or no file. */
export async function openImageSource(path: string): Promise<ImageSource> {
  const stat = fs.statSync(path, { throwIfNoEntry: false });
  if (stat !== undefined && !stat.isFile()) {
    const isBlockDevice = stat.isBlockDevice();
    throw new ImgbuildError(
      "source-invalid",
      `${path} is ${isBlockDevice ? "a block device" : "no file"}, and the image has to be a file`,
      {
        hint: isBlockDevice
          ? "The image comes first, and then the device to write to. A device is copied into a file by: dd if=DEVICE of=FILE bs=4M."
          : "Name the file with the image, or the output folder of a build.",
      },
    );
  }
  const file = new FileReader(path);
  try {
    const { size } = file;
    if (size === 0) throw new ImgbuildError("source-invalid", `${path} is empty`, { hint: "Build the image again." });
    const compression = detectCompression(await file.read(0, Math.min(6, size)));
    if (compression !== undefined) {
      return { path, size: undefined, compression, pieces: (extents) => streamedPieces(path, compression, extents) };
    }
    return { path, size, compression, pieces: (extents) => filePieces(path, extents) };
  } finally {
    file.close();
  }
}

/** [start, end) cut at multiples of PIECE. */
export function* cutAtPieces({ start, end }: Extent): Generator<Extent, void> {
  for (let at = start; at < end; ) {
    const next = Math.min(end, (Math.floor(at / PIECE) + 1) * PIECE);
    yield { start: at, end: next };
    at = next;
  }
}

async function* filePieces(path: string, extents: Iterable<Extent>): AsyncGenerator<ImagePiece, void> {
  const file = new FileReader(path);
  try {
    for (const extent of extents) {
      for (const { start, end } of cutAtPieces(extent)) yield { at: start, bytes: await file.read(start, end - start) };
    }
  } finally {
    file.close();
  }
}

async function* streamedPieces(
  path: string,
  compression: CompressionFormat,
  extents: Iterable<Extent>,
): AsyncGenerator<ImagePiece, void> {
  const chunks = decompress(compression, fs.createReadStream(path, { highWaterMark: 2 ** 18 }));
  let chunk: Uint8Array = new Uint8Array(0);
  /** Where `chunk` begins. */
  let position = 0;
  const advance = async () => {
    const { value, done } = await chunks.next();
    if (done) return false;
    position += chunk.length;
    chunk = value;
    return true;
  };
  try {
    for (const extent of extents) {
      for (const { start, end } of cutAtPieces(extent)) {
        const bytes = new Uint8Array(end - start);
        for (let at = start; at < end; ) {
          if (at < position + chunk.length) {
            const part = chunk.subarray(at - position, end - position);
            bytes.set(part, at - start);
            at += part.length;
          } else if (!(await advance())) {
            throw new ImgbuildError(
              "image-corrupt",
              `what ${path} decompresses to ends at byte ${position + chunk.length}, before byte ${end}`,
              { hint: "Is the block map beside it that of another image?" },
            );
          }
        }
        yield { at: start, bytes };
      }
    }
    // To the end: a checksum is there.
    while (await advance());
  } finally {
    await chunks.return();
  }
}

/** How long the image is, and whether it can be read at all, by decompressing it. */
export async function measureSource(source: ImageSource, progress?: (bytes: number) => void): Promise<number> {
  if (source.size !== undefined) return source.size;
  let size = 0;
  for await (const chunk of decompress(source.compression!, fs.createReadStream(source.path))) {
    size += chunk.length;
    progress?.(chunk.length);
  }
  return size;
}

/** The image's first bytes, at most PIECE. */
export async function headOfSource(source: ImageSource): Promise<Uint8Array> {
  if (source.size !== undefined) {
    for await (const { bytes } of source.pieces([{ start: 0, end: Math.min(source.size, PIECE) }])) return bytes;
    return new Uint8Array(0);
  }
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of decompress(source.compression!, fs.createReadStream(source.path))) {
    parts.push(chunk);
    length += chunk.length;
    if (length >= PIECE) break;
  }
  return Buffer.concat(parts).subarray(0, PIECE);
}
