/** The whole user area, compressed: emmc.img.gz, .xz, .zst. Holes are not read from the disk. */
import { IMAGE } from "./artifact-names.js";
import { pieces } from "./blocks.js";
import { CompressedFile, type Compression } from "./compress.js";
import type { Output } from "./output.js";

export function compressedImage(compression: Compression): Output {
  return {
    async write({ image, options }, folder) {
      options.stage?.(`${IMAGE}.${compression}`);
      const file = await CompressedFile.create(folder.append(`${IMAGE}.${compression}`), compression, options.jobs);
      try {
        for await (const { bytes, hole } of pieces(image, 0, image.size)) {
          if (hole) await file.writeZeros(bytes.length);
          else await file.write(bytes);
        }
        await file.end();
      } finally {
        await file.abort();
      }
    },
  };
}
