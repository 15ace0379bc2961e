/** libzstd's decoder as WebAssembly; scripts/build-wasm.mjs has where it comes from. */
import { Heap, type WasmMemory } from "./c-library.js";
import { instantiateWasm, oncePerThread } from "./wasm.js";

/** zstd.h. Results below 0 are minus a ZSTD_ErrorCode (zstd_errors.h). */
export interface LibzstdDecoder {
  readonly heap: Heap;
  /** ZSTD_decompress(dst, dstCapacity, src, compressedSize) */
  decompress(output: number, outputSize: number, input: number, inputSize: number): number;
  /** ZSTD_createDCtx() */
  createContext(): number;
  /** ZSTD_freeDCtx(dctx) */
  freeContext(context: number): number;
  /** ZSTD_decompressStream(zds, output, input): what libzstd wants next, 0 at the end of a frame. */
  decompressStream(context: number, output: number, input: number): number;
}

interface Exports {
  readonly memory: WasmMemory;
  malloc(size: number): number;
  free(pointer: number): void;
  ZSTD_decompress: LibzstdDecoder["decompress"];
  ZSTD_createDCtx: LibzstdDecoder["createContext"];
  ZSTD_freeDCtx: LibzstdDecoder["freeContext"];
  ZSTD_decompressStream: LibzstdDecoder["decompressStream"];
}

/** The decoder of a thread. State is in contexts, so everyone can have the same. */
export const loadLibzstdDecoder = oncePerThread(async (): Promise<LibzstdDecoder> => {
  // It grows its memory itself and only says that it did.
  const wasm = await instantiateWasm<Exports>(new URL("./zstd-decoder.wasm", import.meta.url), {
    env: { emscripten_notify_memory_growth() {} },
  });
  return {
    heap: new Heap(wasm.memory, wasm.malloc, wasm.free),
    decompress: wasm.ZSTD_decompress,
    createContext: wasm.ZSTD_createDCtx,
    freeContext: wasm.ZSTD_freeDCtx,
    decompressStream: wasm.ZSTD_decompressStream,
  };
});
