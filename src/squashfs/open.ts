/** Opening an image. The reader is loaded then: whoever only writes, and is done in half a second, does not wait for it. */
import type { ReadableDevice } from "../bytes/device.js";
import type { SquashfsReader } from "./reader/reader.js";

/**
 * Opens the SquashFS 4.0 image that begins at byte 0 of `device`. Reads the superblock, and the indexes of the tables.
 *
 * Rejects with `image-corrupt` when it is no such image, when it was cut short or is damaged; with `source-unsupported` for
 * other versions of the format and for compressors that cannot be decoded; and with what the device rejects with.
 */
export async function openSquashfs(device: ReadableDevice): Promise<SquashfsReader> {
  const { openReader } = await import("./reader/reader.js");
  return openReader(device);
}
