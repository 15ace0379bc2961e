/** Opens an image, whatever it is: a disk with a partition table, or a single file system. */
import { type ReadableDevice, slice } from "../bytes/device.js";
import { isZero } from "../bytes/zeros.js";
import { ImgbuildError } from "../errors.js";
import {
  gptType,
  mbrType,
  PARTITION_TYPES,
  type Partition,
  type PartitionTable,
  readPartitionTable,
  tableRanges,
} from "../partition/index.js";
import { detectFileSystem, type FileSystem, type FileSystemKind, openFileSystem } from "./file-system.js";

/** A stretch of an image that may hold a file system: a partition, or all of it. */
export interface Volume {
  /** The entry of the table; undefined for an image without one. */
  readonly partition: Partition | undefined;
  readonly device: ReadableDevice;
  /** By its signature; undefined for none that is known. */
  readonly kind: FileSystemKind | undefined;
  /** Rejects as the format does, with offsets in the volume, and with `source-unsupported` where there is none. */
  open(): Promise<FileSystem>;
}

export interface OpenedImage {
  readonly device: ReadableDevice;
  /** Undefined for a single file system. */
  readonly table: PartitionTable | undefined;
  /** By number. */
  readonly volumes: readonly Volume[];
}

/**
 * Opens it: reads the table, and of each partition what tells the file systems apart. A FAT or SquashFS at its start counts
 * before a table, whose place they leave free or use for something else; an ext4 counts when there is no table with a
 * partition, since what is behind the first sector may be left from before.
 *
 * Rejects with `image-corrupt` for a broken table, and with `source-unsupported` for an image that is neither.
 */
export async function openImage(device: ReadableDevice): Promise<OpenedImage> {
  const kind = await detectFileSystem(device);
  const single = { device, table: undefined, volumes: [volume(device, undefined, kind)] };
  if (kind === "squashfs" || kind === "fat") return single;
  let table: PartitionTable;
  try {
    table = await readPartitionTable(device);
  } catch (error) {
    if (kind !== undefined) return single;
    throw (await hasTable(device)) ? error : await notAnImage(device, error);
  }
  if (kind !== undefined && table.partitions.length === 0) return single;
  const volumes: Volume[] = [];
  for (const partition of [...table.partitions].sort((a, b) => a.number - b.number)) {
    // A broken table's partitions may leave the disk: of those, what is there is looked at.
    const start = Math.min(partition.start, device.size);
    const window = slice(device, start, Math.min(partition.size, device.size - start));
    volumes.push(volume(window, partition, await detectFileSystem(window)));
  }
  return { device, table, volumes };
}

function volume(device: ReadableDevice, partition: Partition | undefined, kind: FileSystemKind | undefined): Volume {
  return {
    partition,
    device,
    kind,
    async open() {
      if (kind !== undefined) return openFileSystem(device, kind);
      const what = partition === undefined ? "the image" : `partition ${partition.number}`;
      throw new ImgbuildError("source-unsupported", `${what} holds no file system that is known here`, {
        hint: "SquashFS, ext2, ext3, ext4 and FAT can be read.",
      });
    },
  };
}

/** Whether somebody meant to have a partition table here: there is a boot record's end, or a GPT's header. */
async function hasTable(device: ReadableDevice): Promise<boolean> {
  const head = await device.read(0, Math.min(2 ** 13, device.size));
  const isGpt = (at: number) => new TextDecoder("latin1").decode(head.subarray(at, at + 8)) === "EFI PART";
  return (head[510] === 0x55 && head[511] === 0xaa) || isGpt(512) || isGpt(4096);
}

async function notAnImage(device: ReadableDevice, cause: unknown): Promise<ImgbuildError> {
  const empty = device.size === 0 || isZero(await device.read(0, Math.min(2 ** 16, device.size)));
  return new ImgbuildError(
    "source-unsupported",
    `this is no image: ${empty ? "it begins with zeros" : "there is no partition table in it, and no file system that is known here"}`,
    {
      hint: "It has to be a disk image with an MBR or a GPT, a SquashFS, an ext2, ext3 or ext4, or a FAT, not compressed.",
      cause,
    },
  );
}

/** Bytes of a disk that belong to no partition and not to the table. */
export interface Gap {
  readonly start: number;
  readonly end: number;
}

/** The gaps of a disk, in order: where bootloaders lie, and what is free. Records of logical partitions are no gaps. */
export function gapsOf({ device, table }: OpenedImage): Gap[] {
  if (table === undefined) return [];
  const { kind, sectorSize, gpt } = table;
  const shape =
    gpt === undefined ? { kind } : { kind, sectorSize, entryCount: gpt.entryCount, entriesAt: gpt.entriesAt };
  const taken = [...usedRanges(shape, device.size), ...[...table.partitions, ...table.extended].map(rangeOf)];
  const gaps: Gap[] = [];
  let at = 0;
  for (const { start, end } of taken.sort((a, b) => a.start - b.start)) {
    if (start > at) gaps.push({ start: at, end: Math.min(start, device.size) });
    at = Math.max(at, end);
  }
  if (at < device.size) gaps.push({ start: at, end: device.size });
  return gaps.filter(({ start, end }) => end > start);
}

const rangeOf = ({ start, size }: { start: number; size: number }) => ({ start, end: start + size });

/** A table may have a shape that `tableRanges` does not know, with more entries than usual; it is a gap then. */
function usedRanges(shape: Parameters<typeof tableRanges>[0], size: number): Gap[] {
  try {
    return tableRanges(shape, size);
  } catch {
    return [{ start: 0, end: 2 * (shape.sectorSize ?? 512) }];
  }
}

/** The byte at which something other than zeros begins in [start, end), or undefined. */
export async function firstData(device: ReadableDevice, { start, end }: Gap): Promise<number | undefined> {
  for (let at = start; at < end; at += 2 ** 20) {
    const bytes = await device.read(at, Math.min(2 ** 20, end - at));
    if (!isZero(bytes)) return at + bytes.findIndex((byte) => byte !== 0);
  }
  return undefined;
}

/** The name of a partition's type, or the type itself where it has none. */
export function typeName({ kind }: Pick<PartitionTable, "kind">, { type }: Pick<Partition, "type">): string {
  const numberOf = (name: string) => {
    try {
      return kind === "gpt" ? gptType(name) : `0x${mbrType(name).toString(16).padStart(2, "0")}`;
    } catch {
      return undefined; // not in this kind of table
    }
  };
  const names = PARTITION_TYPES.filter((name) => numberOf(name) === type);
  // One GUID stands for every FAT.
  return names.includes("basic-data") ? "basic-data" : (names[0] ?? type);
}
