/** Legacy images of type "script": what mkimage -T script makes, and U-Boot's `source` runs. */
import { crc32 } from "../bytes/checksum.js";
import { ascii, be32, struct, u8 } from "../bytes/struct.js";
import { ImgbuildError } from "../errors.js";

/** The header of every legacy image. U-Boot include/image.h, `struct legacy_img_hdr`. */
const imageHeader = struct("legacy_img_hdr", 64, {
  magic: [0, be32],
  headerCrc: [4, be32],
  time: [8, be32],
  size: [12, be32],
  loadAddress: [16, be32],
  entryPoint: [20, be32],
  dataCrc: [24, be32],
  os: [28, u8],
  architecture: [29, u8],
  type: [30, u8],
  compression: [31, u8],
  name: [32, ascii(32)],
});

/** In front of a script: the lengths of the image's parts, of which there is one, and the zero that ends the list. */
const partSizes = struct("script part sizes", 8, { first: [0, be32], end: [4, be32] });

const MAGIC = 0x27051956;
const OS_LINUX = 5;
const TYPE_SCRIPT = 6;
/** U-Boot include/image.h, IH_ARCH_*. */
const ARCHITECTURES = { arm: 2, arm64: 22, x86_64: 24 } as const;

export interface ScriptOptions {
  /** Shown by U-Boot when the script runs: at most 32 ASCII characters. */
  readonly name: string;
  /** Seconds since 1970. The header has 32 bits for it; what is outside becomes the nearest. */
  readonly time: number;
  /** U-Boot does not look at it for scripts; mkimage -l shows it. */
  readonly architecture: keyof typeof ARCHITECTURES;
}

export interface Script {
  readonly name: string;
  /** Seconds since 1970. */
  readonly time: number;
  readonly text: string;
}

/** A boot.scr that runs `text`. Throws a RangeError, with the field's name, for a name that the header cannot hold. */
export function encodeScript(text: string, { name, time, architecture }: ScriptOptions): Uint8Array {
  const script = new TextEncoder().encode(text);
  const image = new Uint8Array(imageHeader.size + partSizes.size + script.length);
  partSizes.write(image, imageHeader.size, { first: script.length });
  image.set(script, imageHeader.size + partSizes.size);
  const header = {
    magic: MAGIC,
    time: Math.min(Math.max(time, 0), 2 ** 32 - 1),
    size: image.length - imageHeader.size,
    dataCrc: crc32(image.subarray(imageHeader.size)),
    os: OS_LINUX,
    architecture: ARCHITECTURES[architecture],
    type: TYPE_SCRIPT,
    name,
  };
  // The header's checksum is of the header with a zero in its place.
  imageHeader.write(image, 0, { ...header, headerCrc: crc32(imageHeader.encode(header)) });
  return image;
}

/** The script in a boot.scr. Throws an `image-corrupt` error with the position of what is wrong. */
export function decodeScript(image: Uint8Array): Script {
  const corrupt = (offset: number, what: string) =>
    new ImgbuildError("image-corrupt", `not a sound U-Boot script image: ${what} (byte ${offset})`, {
      data: { offset },
    });
  if (image.length < imageHeader.size + partSizes.size) throw corrupt(image.length, "it ends too early");
  const header = imageHeader.read(image);
  const { offsets } = imageHeader;
  if (header.magic !== MAGIC) throw corrupt(offsets.magic, "27 05 19 56 is missing at its start");
  const blank = image.slice(0, imageHeader.size).fill(0, offsets.headerCrc, offsets.headerCrc + 4);
  if (crc32(blank) !== header.headerCrc) throw corrupt(offsets.headerCrc, "the header's checksum is wrong");
  if (header.type !== TYPE_SCRIPT) throw corrupt(offsets.type, `it is an image of type ${header.type}`);
  const data = image.subarray(imageHeader.size, imageHeader.size + header.size);
  if (data.length < header.size || header.size < partSizes.size)
    throw corrupt(offsets.size, `${header.size} bytes of data`);
  if (crc32(data) !== header.dataCrc) throw corrupt(offsets.dataCrc, "the data's checksum is wrong");
  const { first, end } = partSizes.read(data);
  if (end !== 0 || partSizes.size + first > data.length) throw corrupt(imageHeader.size, "it has more than one part");
  const script = data.subarray(partSizes.size, partSizes.size + first);
  return { name: header.name, time: header.time, text: new TextDecoder().decode(script) };
}
