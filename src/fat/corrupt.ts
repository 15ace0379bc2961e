/** The errors of damaged volumes: each names the byte on the device. */
import { ImgbuildError } from "../errors.js";

const HINT =
  "The file system is damaged or was cut short: copy it again, build it again, or let fsck.fat repair a copy of it.";

/** Something at byte `offset` of the device that cannot be true. */
export function corrupt(offset: number, message: string, data: Readonly<Record<string, unknown>> = {}): ImgbuildError {
  return new ImgbuildError("image-corrupt", `${message} (byte ${offset})`, { hint: HINT, data: { ...data, offset } });
}
