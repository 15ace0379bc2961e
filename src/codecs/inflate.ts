/** Reading the zlib container (RFC 1950) with the host's zlib: whatever decodes, the bytes are the same. */
import { inflateSync } from "node:zlib";
import { ImgbuildError } from "../errors.js";
import type { Decompressor } from "./codec.js";

/** A decompressor for the zlib container. */
export function zlibDecompressor(): Decompressor {
  return {
    decompress(input, output) {
      let bytes: Uint8Array;
      try {
        bytes = inflateSync(input, { maxOutputLength: Math.max(output.length, 1) });
      } catch (cause) {
        throw new ImgbuildError("image-corrupt", `zlib data is damaged: ${(cause as Error).message}`, { cause });
      }
      if (bytes.length > output.length) throw new ImgbuildError("image-corrupt", "zlib data is longer than its place");
      output.set(bytes);
      return bytes.length;
    },
  };
}
