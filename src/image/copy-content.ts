/** Files that lie in an image as they are: raw partitions and bootloaders. */
import type { Device } from "../bytes/device.js";
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import type { Content } from "../tree/node.js";

const COPY_CHUNK = 2 ** 20;

/** Copies a file onto the device, in pieces. */
export async function copyContent(device: Device, at: number, content: Content): Promise<void> {
  checkLength(device.size - at, content);
  const reader = await content.open();
  try {
    for (let done = 0; done < content.size; done += COPY_CHUNK) {
      const piece = new Uint8Array(Math.min(COPY_CHUNK, content.size - done));
      await reader.read(done, piece);
      await device.write(at + done, piece);
    }
  } finally {
    await reader.close();
  }
}

/** Throws `does-not-fit` for a file that is longer than `available` bytes. */
export function checkLength(available: number, { size }: Content): void {
  if (size <= available) return;
  throw new ImgbuildError("does-not-fit", `${formatSize(size)} do not fit into ${formatSize(available)}`, {
    data: { needed: size, available },
  });
}
