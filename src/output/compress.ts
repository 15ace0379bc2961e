/**
 * Compressed files, on all cores: the content is cut into pieces that are compressed each for itself, so the bytes do not
 * depend on the number of workers, and what others make of the file is one content.
 *
 *     gz    one member, whose DEFLATE stream is made in pieces        RFC 1952
 *     zst   a frame for each piece, with its size and checksum        RFC 8878
 *     xz    one stream with a block for each piece, and its index     The .xz File Format 1.2
 */

import { crc32 } from "../bytes/checksum.js";
import { alignUp } from "../bytes/size.js";
import { type CodecSpec, CompressorPool, createCompressor, DEFLATE_END, type Slot } from "../codecs/index.js";
import type { AppendedFile } from "./output.js";

export const COMPRESSIONS = ["gz", "xz", "zst"] as const;
export type Compression = (typeof COMPRESSIONS)[number];

/** Long enough that cutting costs no size to speak of, short enough that all workers have something to do. */
const PIECE = 2 ** 21;
/** More than any of the three makes of a piece that cannot be compressed. */
const MAX_RESULT = PIECE + (PIECE >> 5);

/** What is around the compressed pieces. */
interface Container {
  readonly spec: CodecSpec;
  begin(): Uint8Array;
  /** What becomes of a compressed piece. */
  piece(compressed: Uint8Array): Uint8Array;
  /** `size` is the content's, in bytes, `checksum` its CRC-32. */
  end(size: number, checksum: number): Uint8Array;
}

/** A file of no frames would be no zstd file: one of a single block, the last, stored, of no bytes; and the XXH64 of none. */
const EMPTY_FRAME = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x24, 0, 1, 0, 0, 0x99, 0xe9, 0xd8, 0x51);

const CONTAINERS: Readonly<Record<Compression, () => Container>> = {
  gz: () => ({
    spec: { codec: "zlib", options: { level: 6, pieces: true } },
    // Without name and time, of an unknown system.
    begin: () => Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255),
    piece: (compressed) => compressed,
    end(size, checksum) {
      const trailer = new Uint8Array(DEFLATE_END.length + 8);
      trailer.set(DEFLATE_END);
      const view = new DataView(trailer.buffer, DEFLATE_END.length);
      view.setUint32(0, checksum, true);
      view.setUint32(4, size % 2 ** 32, true);
      return trailer;
    },
  }),
  zst: () => ({
    spec: { codec: "zstd", options: { level: 3, checksum: true } },
    begin: () => new Uint8Array(0),
    piece: (compressed) => compressed,
    end: (size) => (size === 0 ? EMPTY_FRAME : new Uint8Array(0)),
  }),
  xz: () => new XzStream(),
};

/** A file that is compressed while it is written. `end` or `abort` it. */
export class CompressedFile {
  readonly #file: AppendedFile;
  readonly #container: Container;
  readonly #pool: CompressorPool;
  #slot: Slot | undefined;
  /** Bytes in the slot. */
  #filled = 0;
  #size = 0;
  #checksum = 0;
  #zeroPiece: Uint8Array | undefined;
  #overZeros: ((checksum: number) => number) | undefined;

  private constructor(file: AppendedFile, container: Container, pool: CompressorPool) {
    this.#file = file;
    this.#container = container;
    this.#pool = pool;
  }

  /** Begins `file`. `jobs` is the number of workers. */
  static async create(file: AppendedFile, compression: Compression, jobs: number): Promise<CompressedFile> {
    const container = CONTAINERS[compression]();
    const pool = await CompressorPool.create({
      spec: container.spec,
      slotSize: PIECE,
      resultSize: MAX_RESULT,
      jobs,
    });
    await file.write(container.begin());
    return new CompressedFile(file, container, pool);
  }

  /** Appends `bytes`; the caller may reuse them. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#checksum = crc32(bytes, this.#checksum);
    await this.#put(bytes.length, (slot, at, from, length) => slot.set(bytes.subarray(from, from + length), at));
  }

  /** Appends zeros. Whole pieces of them are compressed once. */
  async writeZeros(length: number): Promise<void> {
    let left = length;
    const put = async (count: number) => {
      this.#checksum = crc32(new Uint8Array(count), this.#checksum);
      await this.#put(count, (slot, at, _, some) => slot.fill(0, at, at + some));
      left -= count;
    };
    if (this.#filled > 0) await put(Math.min(left, PIECE - this.#filled));
    while (left >= PIECE) {
      await this.#putZeroPiece();
      left -= PIECE;
    }
    if (left > 0) await put(left);
  }

  /** Completes the file. */
  async end(): Promise<void> {
    if (this.#filled > 0) await this.#submit();
    await this.#pool.drain();
    await this.#file.write(this.#container.end(this.#size, this.#checksum));
    await this.abort();
  }

  /** Ends the workers. Safe to call more than once. */
  async abort(): Promise<void> {
    await this.#pool.close();
  }

  async #put(
    length: number,
    copy: (slot: Uint8Array, at: number, from: number, length: number) => void,
  ): Promise<void> {
    for (let done = 0; done < length; ) {
      this.#slot ??= await this.#pool.acquire();
      const count = Math.min(length - done, PIECE - this.#filled);
      copy(this.#slot.input, this.#filled, done, count);
      this.#filled += count;
      done += count;
      if (this.#filled === PIECE) await this.#submit();
    }
    this.#size += length;
  }

  async #submit(): Promise<void> {
    this.#pool.submit(this.#slot!, this.#filled, true, (bytes) => this.#file.write(this.#container.piece(bytes)));
    this.#slot = undefined;
    this.#filled = 0;
  }

  async #putZeroPiece(): Promise<void> {
    const zeroPiece = await this.#compressedZeros();
    // It waits in the line of pieces for those before it.
    this.#pool.submit(await this.#pool.acquire(), 0, false, () => this.#file.write(this.#container.piece(zeroPiece)));
    this.#overZeros ??= checksumOverZeros(PIECE);
    this.#checksum = this.#overZeros(this.#checksum);
    this.#size += PIECE;
  }

  async #compressedZeros(): Promise<Uint8Array> {
    if (this.#zeroPiece === undefined) {
      const compressor = await createCompressor(this.#container.spec as CodecSpec & { codec: "zlib" });
      const output = new Uint8Array(MAX_RESULT);
      this.#zeroPiece = output.slice(0, compressor.compress(new Uint8Array(PIECE), output));
    }
    return this.#zeroPiece;
  }
}

/**
 * How `length` zeros change a CRC-32. The register behind them is a linear function, over GF(2), of the register before
 * them: what each of its bits becomes says all.
 */
function checksumOverZeros(length: number): (checksum: number) => number {
  const zeros = new Uint8Array(length);
  const become = Array.from({ length: 32 }, (_, bit) => ~crc32(zeros, ~(1 << bit) >>> 0));
  return (checksum) => {
    let register = 0;
    for (let bit = 0; bit < 32; bit++) if ((~checksum >>> bit) & 1) register ^= become[bit]!;
    return ~register >>> 0;
  };
}

/**
 * One .xz stream of the blocks of several (The .xz File Format 1.2, sections 2 to 4): the codec makes a whole file of each
 * piece, with one block.
 *
 *     file      stream header, 12 bytes | block | index | stream footer, 12 bytes
 *     index     0 | number of records | for each: unpadded size, uncompressed size | padding | CRC-32
 */
class XzStream implements Container {
  readonly spec: CodecSpec = { codec: "xz", options: { level: 4, dictionarySize: PIECE } };
  readonly #records: number[] = [];
  #count = 0;

  begin(): Uint8Array {
    const header = Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, ...XZ_FLAGS, 0, 0, 0, 0);
    new DataView(header.buffer).setUint32(8, crc32(header.subarray(6, 8)), true);
    return header;
  }

  piece(compressed: Uint8Array): Uint8Array {
    const view = new DataView(compressed.buffer, compressed.byteOffset, compressed.length);
    // "Backward Size": of the index, in fours, less one.
    const indexSize = 4 * (view.getUint32(compressed.length - 8, true) + 1);
    const indexAt = compressed.length - 12 - indexSize;
    let at = indexAt + 2;
    const from = at;
    for (let numbers = 0; numbers < 2; at++) if (compressed[at]! < 0x80) numbers++;
    this.#records.push(...compressed.subarray(from, at));
    this.#count++;
    return compressed.subarray(12, indexAt);
  }

  end(): Uint8Array {
    const fields = [0, ...multibyte(this.#count), ...this.#records];
    const indexSize = alignUp(fields.length, 4) + 4;
    const tail = new Uint8Array(indexSize + 12);
    const view = new DataView(tail.buffer);
    tail.set(fields);
    view.setUint32(indexSize - 4, crc32(tail.subarray(0, indexSize - 4)), true);
    view.setUint32(indexSize + 4, indexSize / 4 - 1, true);
    tail.set(XZ_FLAGS, indexSize + 8);
    view.setUint32(indexSize, crc32(tail.subarray(indexSize + 4, indexSize + 10)), true);
    tail.set([0x59, 0x5a], indexSize + 10);
    return tail;
  }
}

/** "Stream Flags": the check of each block is a CRC-32. */
const XZ_FLAGS = [0, 1];

/** Section 1.2: seven bits a byte, the lowest first; the highest bit says that there are more. */
function multibyte(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) | 0x80, ...multibyte(Math.floor(value / 0x80))];
}
