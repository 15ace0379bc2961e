/** The image's compressor, found by its number, and decompressing with errors that say where. */
import { createDecompressor, type Decompressor } from "../../codecs/index.js";
import { ImgbuildError } from "../../errors.js";
import { COMPRESSORS, type FormatCompressor } from "../compressors.js";
import { corrupt } from "./corrupt.js";

/** The one number that is taken and not in COMPRESSORS: kernels do not read it either (squashfs_fs.h). */
const LZMA = 2;

export class Decoder {
  /** As the format calls its compressor: "gzip". */
  readonly compressor: string;
  readonly #decompressor: Decompressor;

  private constructor(compressor: string, decompressor: Decompressor) {
    this.compressor = compressor;
    this.#decompressor = decompressor;
  }

  /** Throws a `source-unsupported` error for a compressor that cannot be decoded. */
  static async forCompressor(id: number): Promise<Decoder> {
    const known = Object.entries<FormatCompressor>(COMPRESSORS).find(([, compressor]) => compressor.id === id);
    if (known === undefined) {
      throw new ImgbuildError(
        "source-unsupported",
        `this SquashFS image is compressed with ${id === LZMA ? "lzma" : `compressor number ${id}, which is not known`}`,
        { hint: `These can be read: ${Object.keys(COMPRESSORS).join(", ")}.` },
      );
    }
    const [name, { decoder }] = known;
    return new Decoder(name, await createDecompressor(decoder));
  }

  /**
   * Decompresses `input`, which came from byte `offset` of the image, and returns the number of bytes written to `output`.
   * Throws `image-corrupt` when it is damaged or holds more than `output` takes; `what` says for the message what it is.
   */
  decompress(input: Uint8Array, output: Uint8Array, offset: number, what: () => string): number {
    try {
      return this.#decompressor.decompress(input, output);
    } catch (error) {
      if (!(error instanceof ImgbuildError && error.code === "image-corrupt")) throw error;
      throw corrupt(offset, `${what()} cannot be decompressed: ${error.message}`, error);
    }
  }
}
