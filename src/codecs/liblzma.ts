/**
 * liblzma 5.8.4 as WebAssembly; scripts/build-wasm.mjs has where it comes from. What is used of it, with names instead of
 * the letters under which the module exports them. All constants and structures are those of lzma/*.h, with pointers and
 * size_t of 32 bits.
 */
import { growTo, Heap, type WasmMemory } from "./c-library.js";
import { instantiateWasm } from "./wasm.js";

/** lzma_ret (lzma/base.h). */
export const LZMA = {
  ok: 0,
  streamEnd: 1,
  unsupportedCheck: 3,
  memError: 5,
  memLimitError: 6,
  formatError: 7,
  optionsError: 8,
  dataError: 9,
  bufError: 10,
} as const;

export interface Liblzma {
  readonly heap: Heap;
  /** lzma_stream_buffer_encode(filters, check, allocator, in, in_size, out, *out_pos, out_size) */
  encodeBuffer(
    filters: number,
    check: number,
    allocator: number,
    input: number,
    inputSize: number,
    output: number,
    outputPosition: number,
    outputSize: number,
  ): number;
  /** lzma_stream_buffer_decode(*memlimit, flags, allocator, in, *in_pos, in_size, out, *out_pos, out_size) */
  decodeBuffer(
    memoryLimit: number,
    flags: number,
    allocator: number,
    input: number,
    inputPosition: number,
    inputSize: number,
    output: number,
    outputPosition: number,
    outputSize: number,
  ): number;
  /** lzma_stream_decoder(strm, memlimit, flags) */
  startDecoder(stream: number, memoryLimit: bigint, flags: number): number;
  /** lzma_code(strm, action) */
  code(stream: number, action: number): number;
  /** lzma_end(strm) */
  end(stream: number): void;
}

interface Exports {
  /** The memory, and what is to be called first. */
  readonly b: WasmMemory;
  c(): void;
  readonly f: Liblzma["code"];
  readonly g: Liblzma["end"];
  readonly n: Liblzma["encodeBuffer"];
  readonly q: Liblzma["decodeBuffer"];
  readonly r: Liblzma["startDecoder"];
  /** malloc and free. */
  s(size: number): number;
  t(pointer: number): void;
}

/** A new instance, whose memory is its own: 1 MB and what is allocated, at most 256 MB. */
export async function loadLiblzma(): Promise<Liblzma> {
  const wasm: Exports = await instantiateWasm<Exports>(new URL("./liblzma.wasm", import.meta.url), {
    a: { a: (size: number) => growTo(wasm.b, size) },
  });
  wasm.c();
  return {
    heap: new Heap(wasm.b, wasm.s, wasm.t),
    encodeBuffer: wasm.n,
    decodeBuffer: wasm.q,
    startDecoder: wasm.r,
    code: wasm.f,
    end: wasm.g,
  };
}
