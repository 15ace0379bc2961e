/** Files that hold an image, or tell of one, and are none: written as they are, nothing would start from them. */
import { fromBytes } from "../bytes/bytestring.js";

export interface ForeignFormat {
  /** "an Android sparse image". */
  readonly name: string;
  /** How to come by an image. */
  readonly hint: string;
}

interface Signature extends ForeignFormat {
  readonly magic: string;
  /** In bytes from the file's start. */
  readonly at?: number;
}

const decompress = (program: string) =>
  `Decompress it first: ${program}. zstd, gzip and xz are decompressed on the way.`;
const UNPACK = "The image is in it: unpack it, and name the image.";
const CONVERT = "Make an image of it: qemu-img convert -O raw FILE emmc.img.";

const SIGNATURES: readonly Signature[] = [
  {
    name: "an Android sparse image",
    magic: "\x3a\xff\x26\xed", // libsparse, sparse_format.h
    hint: "Make an image of it: simg2img FILE emmc.img. `imgbuild build --format img` makes one at once.",
  },
  { name: "a bzip2 file", magic: "BZh", hint: decompress("bunzip2") },
  { name: "an lz4 file", magic: "\x04\x22\x4d\x18", hint: decompress("lz4 -d") }, // LZ4 Frame Format
  { name: "an lz4 file", magic: "\x02\x21\x4c\x18", hint: decompress("lz4 -d") }, // the same document, legacy frame
  { name: "an lzop file", magic: "\x89LZO\0\r\n\x1a\n", hint: decompress("lzop -d") },
  { name: "an lzip file", magic: "LZIP\x01", hint: decompress("lzip -d") },
  { name: "a zip archive", magic: "PK\x03\x04", hint: UNPACK },
  { name: "a 7z archive", magic: "7z\xbc\xaf\x27\x1c", hint: UNPACK },
  {
    name: "a tar archive",
    magic: "ustar",
    at: 257, // POSIX.1, pax, "ustar Interchange Format"
    hint: "Unpack it where an image is in it. `imgbuild build` makes an image of a root file system in a tar.",
  },
  ...["070701", "070702"].map((magic) => ({
    name: "a cpio archive",
    magic,
    hint: "An update.swu is installed by SWUpdate on the device; name the image itself.",
  })),
  { name: "a qcow2 image", magic: "QFI\xfb", hint: CONVERT },
  { name: "a VMDK image", magic: "KDMV", hint: CONVERT },
  { name: "a VHDX image", magic: "vhdxfile", hint: CONVERT },
  { name: "a VDI image", magic: "\x7f\x10\xda\xbe", at: 64, hint: CONVERT },
];

const TEXT: ForeignFormat = {
  name: "a text",
  hint: "Block maps, image.json and uuu.auto tell of an image: name the image itself.",
};

/** Which of them a file is that begins with `head`; undefined for none that is known. Any text is one: no disk is without a zero. */
export function detectForeignFormat(head: Uint8Array): ForeignFormat | undefined {
  const start = fromBytes(head.subarray(0, 512));
  return SIGNATURES.find(({ magic, at = 0 }) => start.startsWith(magic, at)) ?? (isText(head) ? TEXT : undefined);
}

function isText(head: Uint8Array): boolean {
  try {
    // The last character may be cut.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what no text has
    return text !== "" && !/[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text);
  } catch {
    return false;
  }
}
