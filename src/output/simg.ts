/**
 * The Android sparse format, which fastboot sends and U-Boot writes (U-Boot, include/sparse_format.h): the image in chunks of
 * blocks, each with bytes of its own, filled with one value of 32 bits, or of no concern.
 *
 *     file header | chunk header, its data | chunk header, its data | ...
 */
import { sameBytes } from "../bytes/same-bytes.js";
import { struct, u16, u32 } from "../bytes/struct.js";
import { pieces, type Recorded, writtenBlocks } from "./blocks.js";
import type { AppendedFile, Output } from "./output.js";

const fileHeader = struct("sparse_header", 28, {
  magic: [0, u32],
  majorVersion: [4, u16],
  minorVersion: [6, u16],
  fileHeaderSize: [8, u16],
  chunkHeaderSize: [10, u16],
  blockSize: [12, u32],
  blocks: [16, u32],
  chunks: [20, u32],
  /** Of the image; 0: there is none. */
  checksum: [24, u32],
});

const chunkHeader = struct("chunk_header", 12, {
  type: [0, u16],
  reserved: [2, u16],
  /** In blocks of the image. */
  blocks: [4, u32],
  /** In bytes of this file, with the header. */
  size: [8, u32],
});

const MAGIC = 0xed26ff3a;
const RAW = 0xcac1;
const FILL = 0xcac2;
const DONT_CARE = 0xcac3;

/** Chunks with data are cut here: their size is in 32 bits, and some readers take it as a signed number. */
const MAX_RAW = 2 ** 30;

export const simg: Output = {
  async write({ image, options }, folder) {
    options.stage?.("Android sparse image");
    await writeSparse(image, folder.append("emmc.simg"));
  },
};

/** Writes `image`, which is whole sectors, to `file`. */
export async function writeSparse(image: Recorded, file: AppendedFile): Promise<void> {
  // Of the usual 4096 bytes, unless these would make the image longer than it is.
  const blockSize = [4096, 2048, 1024].find((size) => image.size % size === 0) ?? 512;
  await file.write(new Uint8Array(fileHeader.size));
  const chunks = new Chunks(file, blockSize);
  let at = 0;
  for (const { start, end } of writtenBlocks(image, blockSize)) {
    await chunks.add(DONT_CARE, (start - at) / blockSize);
    for await (const { bytes, hole } of pieces(image, start, end)) {
      if (hole) await chunks.add(FILL, bytes.length / blockSize, 0);
      else await chunks.addBlocks(bytes);
    }
    at = end;
  }
  await chunks.add(DONT_CARE, (image.size - at) / blockSize);
  await chunks.end();
  const header = fileHeader.encode({
    magic: MAGIC,
    majorVersion: 1,
    fileHeaderSize: fileHeader.size,
    chunkHeaderSize: chunkHeader.size,
    blockSize,
    blocks: image.size / blockSize,
    chunks: chunks.count,
  });
  await file.rewrite(0, header);
}

/** Makes chunks as long as they can be of blocks that come one after the other. */
class Chunks {
  readonly #file: AppendedFile;
  readonly #blockSize: number;
  #type = DONT_CARE;
  #fill = 0;
  /** Of the chunk that grows. */
  #blocks = 0;
  #headerAt = 0;
  count = 0;

  constructor(file: AppendedFile, blockSize: number) {
    this.#file = file;
    this.#blockSize = blockSize;
  }

  async add(type: number, blocks: number, fill = 0): Promise<void> {
    if (blocks === 0) return;
    const full = type === RAW && (this.#blocks + blocks) * this.#blockSize > MAX_RAW;
    if (type !== this.#type || fill !== this.#fill || full) await this.end();
    if (this.#blocks === 0) {
      [this.#type, this.#fill, this.#headerAt] = [type, fill, this.#file.size];
      if (type === RAW) await this.#file.write(new Uint8Array(chunkHeader.size));
    }
    this.#blocks += blocks;
  }

  /** Adds blocks of data: those with one value all over as such. */
  async addBlocks(bytes: Uint8Array): Promise<void> {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let rawFrom = 0;
    const flush = async (to: number) => {
      if (to === rawFrom) return;
      await this.add(RAW, (to - rawFrom) / this.#blockSize);
      await this.#file.write(bytes.subarray(rawFrom, to));
    };
    for (let at = 0; at < bytes.length; at += this.#blockSize) {
      if (!isFilled(bytes, at, at + this.#blockSize)) continue;
      await flush(at);
      await this.add(FILL, 1, view.getUint32(at, true));
      rawFrom = at + this.#blockSize;
    }
    await flush(bytes.length);
  }

  /** Ends the chunk that grows. */
  async end(): Promise<void> {
    if (this.#blocks === 0) return;
    const size =
      chunkHeader.size + (this.#type === RAW ? this.#blocks * this.#blockSize : this.#type === FILL ? u32.size : 0);
    const header = new Uint8Array(this.#type === FILL ? size : chunkHeader.size);
    chunkHeader.write(header, 0, { type: this.#type, blocks: this.#blocks, size });
    if (this.#type === RAW) {
      await this.#file.rewrite(this.#headerAt, header);
    } else {
      if (this.#type === FILL) u32.set(new DataView(header.buffer), chunkHeader.size, this.#fill);
      await this.#file.write(header);
    }
    this.#blocks = 0;
    this.count++;
  }
}

/** Whether [start, end) is four bytes over and over: then it is the same four bytes further on. */
function isFilled(bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start] !== bytes[end - 4] || bytes[start + 1] !== bytes[end - 3]) return false;
  return sameBytes(bytes.subarray(start, end - 4), bytes.subarray(start + 4, end));
}
