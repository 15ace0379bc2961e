/**
 * Blocks as Zstandard frames (RFC 8878), each with its content's size, as ZSTD_compress makes them. A checksum of the content,
 * which it leaves out, is added where it is asked for. Compressing and decompressing are two modules; scripts/build-wasm.mjs has where they come from.
 */
import { ImgbuildError } from "../errors.js";
import { BlockBuffers, growTo, Heap, type WasmMemory } from "./c-library.js";
import type { Compressor, Decompressor } from "./codec.js";
import { loadLibzstdDecoder } from "./libzstd-decoder.js";
import { instantiateWasm, oncePerThread } from "./wasm.js";
import { loadContentChecksum } from "./xxhash.js";

export interface ZstdOptions {
  /** 1 (fast) to 22 (small), libzstd's levels. */
  readonly level: number;
  /** Whether each frame ends in a checksum of its content. Blocks of SquashFS have none. */
  readonly checksum?: boolean;
}

/** libzstd's encoder, under the letters with which the module exports it. */
interface Exports {
  /** The memory, and what is to be called first. */
  readonly c: WasmMemory;
  d(): void;
  /** malloc and free. */
  f(size: number): number;
  g(pointer: number): void;
  /** ZSTD_compressBound(srcSize): the longest result. */
  h(inputSize: number): number;
  /** ZSTD_compress(dst, dstCapacity, src, srcSize, level), with -1 for all of its errors. */
  i(output: number, outputSize: number, input: number, inputSize: number, level: number): number;
}

interface Encoder {
  readonly heap: Heap;
  readonly buffers: BlockBuffers;
  readonly bound: Exports["h"];
  readonly compress: Exports["i"];
}

/** The encoder of a thread. It keeps nothing between two blocks, so everyone can have the same. */
const loadEncoder = oncePerThread(async (): Promise<Encoder> => {
  const wasm: Exports = await instantiateWasm<Exports>(new URL("./zstd-encoder.wasm", import.meta.url), {
    a: {
      a: (size: number) => growTo(wasm.c, size),
      b: (to: number, from: number, size: number) => new Uint8Array(wasm.c.buffer).copyWithin(to, from, from + size),
    },
  });
  wasm.d();
  const heap = new Heap(wasm.c, wasm.f, wasm.g);
  return { heap, buffers: new BlockBuffers(heap), bound: wasm.h, compress: wasm.i };
});

/** The encoder allocates its state for each block, so nothing is left of the one before. Throws an `internal` error for an impossible level. */
export async function zstdCompressor({ level, checksum = false }: ZstdOptions): Promise<Compressor> {
  if (!Number.isInteger(level) || level < 1 || level > 22) {
    throw new ImgbuildError("internal", `there is no zstd level ${level}`);
  }
  const { heap, buffers, bound, compress } = await loadEncoder();
  const { input, output } = buffers;
  const checksumOf = checksum ? await loadContentChecksum() : undefined;
  const trailer = checksum ? CHECKSUM_SIZE : 0;
  return {
    compress(bytes, result) {
      const from = input.fill(bytes);
      // Into a smaller output libzstd may fail although the result would just fit.
      const room = bound(bytes.length);
      const to = output.reserve(room);
      const size = compress(to, room, from, bytes.length, level);
      if (size < 0) throw new ImgbuildError("internal", "libzstd cannot compress a block");
      if (size + trailer > result.length) return 0;
      result.set(heap.bytes.subarray(to, to + size));
      if (checksumOf !== undefined) {
        result[DESCRIPTOR]! |= HAS_CHECKSUM;
        new DataView(result.buffer, result.byteOffset).setUint32(size, checksumOf(bytes), true);
      }
      return size + trailer;
    },
  };
}

/**
 * The decompressor of a thread. Takes any frame that needs no dictionary. What the frame says about its window costs no memory:
 * blocks are decompressed at once.
 */
export const zstdDecompressor = oncePerThread(async (): Promise<Decompressor> => {
  const { heap, decompress } = await loadLibzstdDecoder();
  const { input, output } = new BlockBuffers(heap);
  return {
    decompress(bytes, result) {
      // libzstd would take several frames one after the other.
      if (frameLength(bytes) !== bytes.length) throw damaged("it is not one whole frame");
      const from = input.fill(bytes);
      const to = output.reserve(result.length);
      const size = decompress(to, result.length, from, bytes.length);
      if (size === -MEMORY_ALLOCATION)
        throw new ImgbuildError("internal", "libzstd got no memory to decompress a block");
      if (size < 0) throw damaged(`libzstd reports error ${-size}`);
      result.set(heap.bytes.subarray(to, to + size));
      return size;
    },
  };
});

/** ZSTD_ErrorCode (zstd_errors.h): of what the decoder may say, what is not the frame's fault. */
const MEMORY_ALLOCATION = 64;

/** Little-endian: 28 B5 2F FD. */
const MAGIC = 0xfd2fb528;
/** Where the "Frame_Header_Descriptor" is, and its "Content_Checksum_flag". */
const DESCRIPTOR = 4;
const HAS_CHECKSUM = 4;
const CHECKSUM_SIZE = 4;
const RLE_BLOCK = 1;

/**
 * The length of the frame that begins `bytes` (RFC 8878, section 3.1.1). -1 when it is none. More than there is, or not a
 * number, when it ends early.
 */
function frameLength(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 6 || view.getUint32(0, true) !== MAGIC) return -1;
  const descriptor = bytes[DESCRIPTOR]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSize = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  const dictionaryId = [0, 1, 2, 4][descriptor & 3]!;
  let at = 5 + (singleSegment ? 0 : 1) + dictionaryId + contentSize;
  for (let last = false; !last; ) {
    if (at + 3 > bytes.length) return Number.NaN;
    const header = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
    last = (header & 1) !== 0;
    at += 3 + (((header >> 1) & 3) === RLE_BLOCK ? 1 : header >> 3);
  }
  return at + ((descriptor & HAS_CHECKSUM) === 0 ? 0 : CHECKSUM_SIZE);
}

function damaged(reason: string): ImgbuildError {
  return new ImgbuildError("image-corrupt", `a zstd block is damaged: ${reason}`);
}
