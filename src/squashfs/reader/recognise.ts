/** What a device is when it is no SquashFS image: from the signatures of what people take for one. */
import { fromBytes } from "../../bytes/bytestring.js";
import type { ReadableDevice } from "../../bytes/device.js";

/** Enough for every signature below. */
const HEAD_SIZE = 2048;

/** Signatures by their place. The more telling ones come first: a FAT volume ends its first sector as a disk does. */
const SIGNATURES: readonly [at: number, signature: string, what: string][] = [
  [1080, "\x53\xef", "an ext2, ext3 or ext4 file system"],
  [1024, "\xe2\xe1\xf5\xe0", "an EROFS file system"],
  [0, "\x45\x3d\xcd\x28", "a cramfs file system"],
  [0, "\x1f\x8b", "a gzip file"],
  [0, "\xfd7zXZ\0", "an xz file"],
  [0, "\x28\xb5\x2f\xfd", "a zstd file"],
  [0, "\x04\x22\x4d\x18", "an lz4 file"],
  [0, "BZh", "a bzip2 file"],
  [0, "PK\x03\x04", "a zip archive"],
  [257, "ustar", "a tar archive"],
  [0, "070701", "a cpio archive"],
  [0, "\x7fELF", "a program"],
  [0, "\x27\x05\x19\x56", "a U-Boot image"],
  [512, "EFI PART", "a whole disk with a GPT: its partitions have to be opened each"],
  [54, "FAT1", "a FAT file system"],
  [82, "FAT32", "a FAT file system"],
  [510, "\x55\xaa", "a whole disk with an MBR: its partitions have to be opened each"],
];

/** A few words, or undefined when it is nothing that is known. */
export async function recognise(device: ReadableDevice): Promise<string | undefined> {
  const head = fromBytes(await device.read(0, Math.min(HEAD_SIZE, device.size)));
  if (/^\0*$/.test(head)) return "empty: it begins with zeros";
  return SIGNATURES.find(([at, signature]) => head.startsWith(signature, at))?.[2];
}
