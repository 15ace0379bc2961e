/** Reading a tree from an image that may be damaged: the same for every format that is read. */
import type { ByteString } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";

/** How much of a file system is to be read, and what becomes of damage in it. `D` is what the format has for a directory. */
export interface TreeReading<D> {
  /** The directory to begin at. Default: the root. */
  readonly from?: D;
  /**
   * Is told of what cannot be read, which is left out then; `path` is from the directory that was begun at, and undefined for
   * what no path leads to. What it throws ends the reading. Without it, the first damage does.
   */
  readonly damaged?: ((error: ImgbuildError, path: ByteString | undefined) => void) | undefined;
}

/** Throws `error`, or tells of it: when it is about the image, and somebody wants to know. */
export function reportDamage(
  error: unknown,
  damaged: TreeReading<unknown>["damaged"],
  path: ByteString | undefined,
): void {
  if (damaged === undefined || !isDamage(error)) throw error;
  damaged(error, path);
}

/** Whether `error` says something about what was read: that it is damaged, or uses what nobody here knows. */
export function isDamage(error: unknown): error is ImgbuildError {
  return error instanceof ImgbuildError && (error.code === "image-corrupt" || error.code === "source-unsupported");
}

/** The path of `name` in the folder `folder`, which is empty for the root. */
export function pathIn(folder: ByteString, name: ByteString): ByteString {
  return (folder === "" ? name : `${folder}/${name}`) as ByteString;
}
