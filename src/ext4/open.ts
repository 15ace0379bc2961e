/** Opening a file system. The reader is loaded then: it is a third of all code, and whoever only writes does not wait for it. */
import type { ReadableDevice } from "../bytes/device.js";
import type { Ext4Reader } from "./reader/reader.js";

/**
 * Opens the ext2, ext3 or ext4 file system that begins at byte 0 of `device`. When it was not unmounted, its journal is
 * replayed in memory, which reads all of it: what is found then is what the kernel would find.
 *
 * Rejects with `image-corrupt` when it is no such file system, when it was cut short or is damaged where all begins;
 * with `source-unsupported` for features that cannot be read and for journals on other devices; and with what the device
 * rejects with.
 */
export async function openExt4(device: ReadableDevice): Promise<Ext4Reader> {
  const { openReader } = await import("./reader/reader.js");
  return openReader(device);
}
