/** The errors of images that cannot be read: each names the structure and, where it is damage, the byte in the image. */
import { ImgbuildError } from "../../errors.js";

/** Something at byte `offset` of the image that cannot be true. */
export function corrupt(offset: number, message: string): ImgbuildError {
  return new ImgbuildError("image-corrupt", `${message} (byte ${offset})`, {
    hint: "The image is damaged or was cut short: run e2fsck on a copy of it, or get it again from where it came from.",
    data: { offset },
  });
}

/** Something that is in order, and that this reader does not know. */
export function unsupported(message: string, hint: string): ImgbuildError {
  return new ImgbuildError("source-unsupported", message, { hint });
}
