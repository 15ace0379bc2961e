/** XXH64, which Zstandard's frames have of their content, by our own module, which is AssemblyScript in xxhash/. */
import { loadBlockModule } from "./block-module.js";
import { oncePerThread } from "./wasm.js";

/** What the WebAssembly exports; xxhash/index.ts documents it. Pointers are numbers. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  buffer(): number;
  maxPiece(): number;
  start(): void;
  add(length: number): void;
  low32(): number;
}

/** Of a thread: the lower 32 bits of the XXH64 of bytes, with the seed 0, as a frame ends with them (RFC 8878, section 3.1.1). */
export const loadContentChecksum = oncePerThread(async (): Promise<(bytes: Uint8Array) => number> => {
  const { wasm, buffer } = await loadBlockModule<Exports>(new URL("./xxhash.wasm", import.meta.url));
  const piece = buffer(wasm.buffer(), wasm.maxPiece());
  return (bytes) => {
    wasm.start();
    for (let at = 0; at < bytes.length; at += piece.size) {
      const part = bytes.subarray(at, at + piece.size);
      piece.fill(part);
      wasm.add(part.length);
    }
    return wasm.low32() >>> 0;
  };
});
