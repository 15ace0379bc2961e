/**
 * DEFLATE (RFC 1951) in the zlib container (RFC 1950), decoded by our own decoder, which is AssemblyScript in inflate/ and
 * comes as WebAssembly: the same on every host, with the reason where data is damaged.
 */
import { ImgbuildError } from "../errors.js";
import type { Decompressor } from "./codec.js";
import { instantiateWasm } from "./wasm.js";

/** What the WebAssembly exports; inflate/index.ts documents it. Pointers are numbers. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  input(): number;
  output(): number;
  maxInput(): number;
  maxOutput(): number;
  decompress(length: number, limit: number): number;
}

/** By number, as in inflate/failures.ts. */
const FAILURES: Readonly<Record<number, string>> = {
  [-1]: "it ends early",
  [-2]: "the result is longer than its place",
  [-3]: "it does not begin with a zlib header",
  [-4]: "it needs a preset dictionary",
  [-5]: "a block has a type that there is not",
  [-6]: "the length of a stored block and its complement do not match",
  [-7]: "a block has more symbols than there are",
  [-8]: "a block repeats a codeword length where there is none",
  [-9]: "a block's code is over-subscribed",
  [-10]: "a block's code is incomplete",
  [-11]: "a block's code has no end of block",
  [-12]: "a codeword stands for nothing",
  [-13]: "a match reaches too far back, before the result's beginning",
  [-14]: "the checksum does not match",
  [-15]: "something follows its checksum",
};

let loading: Promise<Exports> | undefined;

/**
 * A decompressor for the zlib container: blocks of up to 1 MiB, which is what a longer `output` counts as. The decoder is
 * the same for everyone in a thread, as it does one thing after the other.
 */
export async function zlibDecompressor(): Promise<Decompressor> {
  loading ??= instantiateWasm<Exports>(new URL("./inflate.wasm", import.meta.url));
  const wasm = await loading;
  const memory = new Uint8Array(wasm.memory.buffer);
  const [from, to, maxInput, maxOutput] = [wasm.input(), wasm.output(), wasm.maxInput(), wasm.maxOutput()];
  return {
    decompress(input, output) {
      if (input.length > maxInput) throw damaged(`${input.length} bytes are more than a block can have`);
      memory.set(input, from);
      const length = wasm.decompress(input.length, Math.min(output.length, maxOutput));
      if (length < 0) throw damaged(FAILURES[length]!);
      output.set(memory.subarray(to, to + length));
      return length;
    },
  };
}

function damaged(reason: string): ImgbuildError {
  return new ImgbuildError("image-corrupt", `zlib data is damaged: ${reason}`);
}
