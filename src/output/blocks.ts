/** An image as outputs read it: its blocks, of which some matter, and its bytes, of which those in holes are not read. */
import type { Device } from "../bytes/device.js";
import { type Extent, ExtentSet } from "../bytes/extent.js";
import { alignUp } from "../bytes/size.js";

/** What to read at once. */
const PIECE = 2 ** 21;
const ZEROS = new Uint8Array(PIECE);
const COPY = 2 ** 20;

/** As much of a RecordingDevice as is needed. */
export interface Recorded {
  readonly size: number;
  readonly data: ExtentSet;
  readonly written: Iterable<Extent>;
  read(at: number, length: number): Promise<Uint8Array>;
}

/** The blocks of which something belongs to the image, in bytes. The last may reach beyond the image's end. */
export function writtenBlocks({ written }: Recorded, blockSize: number): ExtentSet {
  const blocks = new ExtentSet();
  for (const { start, end } of written) blocks.add(start - (start % blockSize), alignUp(end, blockSize));
  return blocks;
}

/** A piece of an image. `bytes` may not be changed, and are valid until the next piece is asked for. */
export interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
  /** Whether it is a hole: all zeros, and not read from the disk. */
  readonly hole: boolean;
}

/** The bytes of [start, end) in order: in pieces of at most 2 MiB, which begin at multiples of that. */
export async function* pieces(from: Recorded, start: number, end: number): AsyncGenerator<Piece> {
  for (let at = start; at < end; ) {
    const pieceEnd = Math.min(end, at - (at % PIECE) + PIECE);
    const data = from.data.intersect(at, pieceEnd);
    if (data.length === 0) {
      yield { at, bytes: ZEROS.subarray(0, pieceEnd - at), hole: true };
    } else if (data[0]!.start === at && data[0]!.end === pieceEnd) {
      yield { at, bytes: await from.read(at, pieceEnd - at), hole: false };
    } else {
      const bytes = new Uint8Array(pieceEnd - at);
      for (const extent of data) bytes.set(await from.read(extent.start, extent.end - extent.start), extent.start - at);
      yield { at, bytes, hole: false };
    }
    at = pieceEnd;
  }
}

/** Copies [start, start + length) of an image to the beginning of `to`, which is all zeros: holes stay holes. */
export async function copyRange(from: Recorded, start: number, length: number, to: Device): Promise<void> {
  for (const extent of from.data.intersect(start, start + length)) {
    for (let at = extent.start; at < extent.end; at += COPY) {
      await to.write(at - start, await from.read(at, Math.min(COPY, extent.end - at)));
    }
  }
}
