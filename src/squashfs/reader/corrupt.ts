/** The errors of damaged images: each names the structure and the byte in the image. */
import { ImgbuildError } from "../../errors.js";

const HINT =
  "The image is damaged or was cut short: compare its checksum with the original's, copy it again or build it again.";

/** Something at byte `offset` of the image that cannot be true. */
export function corrupt(offset: number, message: string, cause?: unknown): ImgbuildError {
  return new ImgbuildError("image-corrupt", `${message} (byte ${offset})`, { hint: HINT, data: { offset }, cause });
}

/**
 * Something in a metadata block that cannot be true. `offset` is where the block begins in the image, `within` the byte in
 * it once it is decompressed.
 */
export function corruptMetadata(offset: number, within: number, message: string): ImgbuildError {
  return new ImgbuildError(
    "image-corrupt",
    `${message} (in the metadata block at byte ${offset}, byte ${within} of what it holds)`,
    { hint: HINT, data: { offset, within } },
  );
}

/** Reads a structure all of whose bytes are there; a number in it that is too large becomes the error that `report` makes. */
export function readStruct<Values>(
  struct: { read(from: Uint8Array): Values },
  bytes: Uint8Array,
  report: (message: string) => ImgbuildError,
): Values {
  try {
    return struct.read(bytes);
  } catch (error) {
    throw report((error as Error).message);
  }
}
