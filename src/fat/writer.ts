/** Writes a FAT volume with its content: contiguous files, every byte that means something, nothing else. */
import { type ByteString, display } from "../bytes/bytestring.js";
import type { Device } from "../bytes/device.js";
import { alignUp, formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { listLargest } from "../tree/largest.js";
import { type Directory, newDirectory, newFile } from "../tree/node.js";
import type { Observer } from "../tree/observer.js";
import type { Tree } from "../tree/tree.js";
import { ContentWriter } from "./content.js";
import { encodeDirectory } from "./directory.js";
import {
  type ClustersNeeded,
  chooseRoom,
  clusterBytes,
  clusterStart,
  fatStart,
  type Geometry,
  rootBytes,
  rootStart,
  smallestVolume,
  type Wanted,
} from "./geometry.js";
import {
  BOOT_SIGNATURE,
  bootSector16,
  bootSector32,
  ENTRY_SIZE,
  EXTENDED_BOOT_SIGNATURE,
  type FatType,
  FIRST_CLUSTER,
  FSINFO_SIGNATURES,
  fsInfo,
  MEDIA_FIXED,
  type SectorSize,
} from "./layout.js";
import { encodeLabel } from "./names.js";
import { assignClusters, clustersOf, countClusters, type FatPlan, type PlannedFile, planTree } from "./plan.js";
import { encodeTable } from "./table.js";

export interface FatOptions {
  /** Up to 11 ASCII characters; FAT keeps capitals only. */
  readonly label?: string;
  /** Default: FAT32 where the size gives it 65,525 clusters (33 MiB), and below that, with a notice, FAT16 or FAT12. */
  readonly type?: FatType;
  /**
   * Bytes in a sector. Default: 512. Has to be the medium's, or larger: Linux does not mount a FAT whose sectors are smaller.
   * With 4096 everything is measured in eight times as much, and FAT32 begins at 257 MiB.
   */
  readonly sectorSize?: SectorSize;
  /**
   * Sectors of the disk in front of the volume, for boot code that reads the disk ("BPB_HiddSec", fatgen103). Default: 0,
   * which means that the disk has no partitions; it stands also for what 32 bits do not count.
   */
  readonly hiddenSectors?: number;
  /** 32 bits. Linux shows it as the UUID: 1234-abcd. */
  readonly volumeId: number;
  /** Seconds since 1970, for the label's entry. Files and folders have their own. */
  readonly time: number;
  readonly observer?: Observer;
}

export interface FatSummary {
  readonly type: FatType;
  /** As stored, in capitals. */
  readonly label: string | undefined;
  readonly volumeId: number;
  /** Bytes. */
  readonly clusterSize: number;
  readonly clusters: number;
  readonly freeClusters: number;
  readonly files: number;
  /** The root included. */
  readonly directories: number;
}

const FSINFO_SECTOR = 1;
const BACKUP_SECTOR = 6;
/** Names of links that a notice lists. */
const COPIES_SHOWN = 5;
/** int 18h tells a PC's firmware to go on with the next device; behind it an endless halt. */
const BOOT_CODE = Uint8Array.of(0xcd, 0x18, 0xf4, 0xeb, 0xfd);

/**
 * Formats `device` and puts `tree` into it. Clusters have the size that mkfs.fat chooses, or a smaller one where the tree
 * would not fit otherwise. In the few cases where even so it fits a smaller volume only, the end of the device is not used.
 *
 * Owner, mode and xattrs have no place in FAT and are left out. Symbolic links to files of the tree become copies of them,
 * and each name of a hard link a file of its own, with a notice. Bytes that belong to no file are not written, except where
 * FAT needs zeros.
 *
 * Throws `not-representable` for names, sizes and node types that FAT cannot hold, `source-invalid` for symbolic links that
 * lead in a circle, `does-not-fit` when the tree is too large, and `layout-conflict` when the size does not suit the type that
 * was asked for.
 */
export async function writeFat(device: Device, tree: Tree, options: FatOptions): Promise<FatSummary> {
  const { observer } = options;
  const label = storedLabel(options);
  const plan = planTree(tree, label);
  const wanted = wantedFor(plan, options);
  const geometry = geometryFor(device.size, plan, wanted);
  const clusterSize = clusterBytes(geometry);
  const used = countClusters(plan, geometry.type, clusterSize);
  if (label !== undefined && label !== options.label) {
    observer?.notice?.(`the FAT label "${options.label}" is stored as "${label}": FAT keeps capitals only`);
  }
  if (options.type === undefined && geometry.type !== 32) {
    const least = formatSize(alignUp(smallestVolume({ ...wanted, type: 32 }, () => 1)!, 2 ** 20));
    observer?.notice?.(
      `a FAT partition of ${formatSize(device.size)} is too small for FAT32, which begins at ${least}: it becomes FAT${geometry.type}`,
    );
  }

  if (plan.copies.length > 0) {
    const shown = plan.copies.slice(0, COPIES_SHOWN).map(display).join(", ");
    const more = plan.copies.length > COPIES_SHOWN ? ` and ${plan.copies.length - COPIES_SHOWN} more` : "";
    observer?.notice?.(`FAT has no links; stored as copies: ${shown}${more}`);
  }

  const chains = assignClusters(plan, geometry.type, clusterSize);
  await writeReserved(device, geometry, options, label, used);
  const table = encodeTable(geometry.type, chains);
  for (let copy = 0; copy < geometry.fatCount; copy++) {
    const at = fatStart(geometry, copy);
    await device.write(at, table);
    await device.zero(at + table.length, fatStart(geometry, copy + 1) - at - table.length);
  }
  const writer = new ContentWriter(device, observer);
  for (const directory of plan.directories) {
    const inRootRegion = directory.firstCluster === 0;
    const room = inRootRegion ? rootBytes(geometry) : clustersOf(directory, clusterSize) * clusterSize;
    writer.moveTo(inRootRegion ? rootStart(geometry) : clusterStart(geometry, directory.firstCluster));
    await writer.put(encodeDirectory(directory, room, label === undefined ? undefined : { label, time: options.time }));
  }
  for (const file of plan.files) {
    if (file.bytes > 0) writer.moveTo(clusterStart(geometry, file.firstCluster));
    await writer.append(file.node.content);
  }
  await writer.flush();
  return {
    type: geometry.type,
    label,
    volumeId: options.volumeId,
    clusterSize,
    clusters: geometry.clusters,
    freeClusters: geometry.clusters - used,
    files: plan.files.length,
    directories: plan.directories.length,
  };
}

/**
 * The smallest size in bytes, whole sectors, of a device that `writeFat` takes `tree` on with the same options. It takes
 * it on every larger one too, up to the largest that the type can have.
 * Throws `not-representable` as `writeFat` does, and `does-not-fit` when no volume of the type can be large enough.
 */
export function measureFat(tree: Tree, options: Pick<FatOptions, "label" | "type" | "sectorSize">): number {
  const plan = planTree(tree, storedLabel(options));
  const size = smallestVolume(wantedFor(plan, options), clusterCounter(plan));
  if (size === undefined) throw tooLarge(options.type, plan);
  return size;
}

/** Throws what `writeFat` throws before it writes: for a tree that FAT cannot hold, or that a device of `size` bytes cannot. */
export function checkFat(size: number, tree: Tree, options: Pick<FatOptions, "label" | "type" | "sectorSize">): void {
  const plan = planTree(tree, storedLabel(options));
  geometryFor(size, plan, wantedFor(plan, options));
}

function geometryFor(size: number, plan: FatPlan, wanted: Wanted): Geometry {
  const geometry = chooseRoom(size, wanted, clusterCounter(plan));
  if (geometry === undefined) throw doesNotFit(size, plan, wanted);
  return geometry;
}

function storedLabel(options: Pick<FatOptions, "label">): string | undefined {
  return options.label === undefined || options.label === "" ? undefined : encodeLabel(options.label);
}

function wantedFor(plan: FatPlan, { type, sectorSize = 512 }: Pick<FatOptions, "type" | "sectorSize">): Wanted {
  return { type, sectorSize, rootEntries: plan.directories[0]!.bytes / ENTRY_SIZE };
}

/** `countClusters`, which has to look at every file, once for each type and cluster size. */
function clusterCounter(plan: FatPlan): ClustersNeeded {
  const counted = new Map<string, number>();
  return (type, clusterSize) => {
    const key = `${type} ${clusterSize}`;
    const clusters = counted.get(key) ?? countClusters(plan, type, clusterSize);
    counted.set(key, clusters);
    return clusters;
  };
}

type Largest = ReturnType<typeof listLargest>;

/** The largest of what would be in the volume, where every link is a copy. */
function largestOf(plan: FatPlan): Largest {
  const folders = new Map<object, Directory>(plan.directories.map((directory) => [directory, newDirectory()]));
  for (const directory of plan.directories) {
    for (const { target } of directory.entries) {
      const name = target.path.slice(target.path.lastIndexOf("/") + 1) as ByteString;
      const node = folders.get(target) ?? newFile((target as PlannedFile).node.content);
      folders.get(directory)!.entries.set(name, node);
    }
  }
  return listLargest({ root: folders.get(plan.directories[0]!)! });
}

function doesNotFit(available: number, plan: FatPlan, wanted: Wanted): ImgbuildError {
  const needed = smallestVolume(wanted, clusterCounter(plan));
  if (needed === undefined) return tooLarge(wanted.type, plan, available);
  const largest = largestOf(plan);
  const shown = largest.slice(0, 3).map(({ path, bytes }) => `${path} (${formatSize(bytes)})`);
  return new ImgbuildError(
    "does-not-fit",
    `the files need a FAT partition of ${needed} bytes (${formatSize(needed)}), and it has ${available} (${formatSize(available)}): ${needed - available} bytes too few`,
    {
      hint: `Make the partition larger, or leave files out; the largest are ${shown.join(", ")}.`,
      data: { needed, available, largest },
    },
  );
}

/** The error for files that no volume of the type can hold, whatever its size. */
function tooLarge(type: FatType | undefined, plan: FatPlan, available?: number): ImgbuildError {
  const content = plan.files.reduce((sum, { bytes }) => sum + bytes, 0);
  return new ImgbuildError(
    "does-not-fit",
    `the files, ${formatSize(content)} (${content} bytes) in ${plan.files.length}, are too large or too many for any FAT${type ?? ""} file system`,
    {
      hint:
        type === undefined || type === 32
          ? "Leave some of them out."
          : "Set the type to 32 or leave it out, to get FAT32; or leave some of them out.",
      data: { available, content, largest: largestOf(plan) },
    },
  );
}

async function writeReserved(
  device: Device,
  geometry: Geometry,
  { volumeId, hiddenSectors = 0 }: FatOptions,
  label: string | undefined,
  used: number,
): Promise<void> {
  const fat32 = geometry.type === 32;
  const shared = {
    jump: Uint8Array.of(0xeb, (fat32 ? bootSector32 : bootSector16).offsets.bootCode - 2, 0x90),
    oemName: "MSWIN4.1", // what the specification recommends, because some drivers look at it
    bytesPerSector: geometry.sectorSize,
    sectorsPerCluster: geometry.sectorsPerCluster,
    reservedSectors: geometry.reservedSectors,
    fatCount: geometry.fatCount,
    rootEntries: geometry.rootEntries,
    totalSectors16: !fat32 && geometry.sectors < 0x10000 ? geometry.sectors : 0,
    media: MEDIA_FIXED,
    fatSectors16: fat32 ? 0 : geometry.fatSectors,
    // Only firmware that addresses by cylinder, head and sector reads these two: the largest that it knows.
    sectorsPerTrack: 63,
    heads: 255,
    hiddenSectors: hiddenSectors < 2 ** 32 ? hiddenSectors : 0,
    totalSectors32: fat32 || geometry.sectors >= 0x10000 ? geometry.sectors : 0,
    driveNumber: 0x80,
    bootSignature: EXTENDED_BOOT_SIGNATURE,
    volumeId,
    label: label ?? "NO NAME",
    typeName: `FAT${geometry.type}`,
    bootCode: BOOT_CODE,
    signature: BOOT_SIGNATURE,
  };
  const reserved = new Uint8Array((fat32 ? BACKUP_SECTOR + FSINFO_SECTOR + 1 : 1) * geometry.sectorSize);
  if (fat32) {
    const boot = {
      ...shared,
      fatSectors32: geometry.fatSectors,
      rootCluster: FIRST_CLUSTER,
      fsInfoSector: FSINFO_SECTOR,
      backupBootSector: BACKUP_SECTOR,
    };
    const info = {
      ...FSINFO_SIGNATURES,
      freeClusters: geometry.clusters - used,
      nextFree: FIRST_CLUSTER + used - 1,
    };
    for (const first of [0, BACKUP_SECTOR]) {
      bootSector32.write(reserved, first * geometry.sectorSize, boot);
      fsInfo.write(reserved, (first + FSINFO_SECTOR) * geometry.sectorSize, info);
    }
  } else {
    bootSector16.write(reserved, 0, shared);
  }
  await device.write(0, reserved);
  await device.zero(reserved.length, fatStart(geometry) - reserved.length);
}
