/** What an image is, by its first bytes and its name: that decides where it may go. */
import * as path from "node:path";
import { fromBytes } from "../bytes/bytestring.js";
import { MemoryDevice } from "../bytes/device.js";
import { detectFileSystem, type FileSystemKind } from "../image/file-system.js";
import { BOOT0 } from "../output/artifacts.js";
import { detectForeignFormat, type ForeignFormat } from "./foreign-formats.js";
import { headOfSource, type ImageSource } from "./image-source.js";

export interface ImageContent {
  readonly path: string;
  /** Its first bytes, those of a partition table among them. */
  readonly head: Uint8Array;
  readonly compressed: boolean;
  /** Set where it is no image at all. */
  readonly foreign: ForeignFormat | undefined;
  /** Of a single one, without partitions; undefined for none that is known. */
  readonly fileSystem: FileSystemKind | undefined;
  /** Whether it is a disk with partitions, and no single file system. */
  readonly hasTable: boolean;
  /** Whether it is the content of an eMMC's boot partition. */
  readonly isBoot0: boolean;
  /** Of its GPT; undefined where it does not say. */
  readonly sectorSize: number | undefined;
}

/** Rejects as reading and decompressing the source do. */
export async function readImageContent(source: ImageSource): Promise<ImageContent> {
  const head = new MemoryDevice(await headOfSource(source));
  const fileSystem = await detectFileSystem(head);
  const isGpt = (at: number) => fromBytes(head.bytes.subarray(at, at + 8)) === "EFI PART";
  return {
    path: source.path,
    head: head.bytes,
    compressed: source.compression !== undefined,
    foreign: detectForeignFormat(head.bytes),
    fileSystem,
    hasTable: fileSystem === undefined && head.bytes[510] === 0x55 && head.bytes[511] === 0xaa,
    isBoot0: path.basename(source.path).startsWith(BOOT0),
    sectorSize: isGpt(512) ? 512 : isGpt(4096) ? 4096 : undefined,
  };
}
