/** Reads the boot sector: the geometry, and whether it can be true. "FAT Type Determination" (fatgen103). */
import type { ReadableDevice } from "../bytes/device.js";
import type { StructValues } from "../bytes/struct.js";
import { corrupt } from "./corrupt.js";
import { clusterBytes, clusterStart, type Geometry } from "./geometry.js";
import {
  BOOT_SIGNATURE,
  bootSector16,
  bootSector32,
  CLUSTER_LIMITS,
  EXTENDED_BOOT_SIGNATURE,
  type FatType,
  FIRST_CLUSTER,
  STATE_DIRTY,
} from "./layout.js";

export interface BootFacts {
  readonly geometry: Geometry;
  readonly volumeId: number;
  /** As the boot sector has it; the root directory may have another. */
  readonly label: string | undefined;
  /** First cluster of the root; 0 on FAT12 and FAT16. */
  readonly rootCluster: number;
  /** Byte at which FSInfo is; undefined where there is none. */
  readonly fsInfo: number | undefined;
  /** Byte at which FAT32 has the copy of its boot sector; undefined where there is none. */
  readonly backup: number | undefined;
  /** Linux sets it while the volume is mounted for writing. */
  readonly dirty: boolean;
}

type Boot = StructValues<typeof bootSector16> | StructValues<typeof bootSector32>;

const isPowerOfTwo = (value: number) => value > 0 && (value & (value - 1)) === 0;

const unsound = (offset: number, message: string) => corrupt(offset, `not a sound FAT boot sector: ${message}`);

/** Throws an `image-corrupt` error with the position of the field that cannot be true. */
export async function readBootSector(device: ReadableDevice): Promise<BootFacts> {
  if (device.size < bootSector16.size) throw unsound(0, `the volume has only ${device.size} bytes`);
  const sector = await device.read(0, bootSector16.size);
  const small = bootSector16.read(sector);
  // As Linux and U-Boot decide: FAT32 has its size of a table elsewhere, and 0 here.
  const large = small.fatSectors16 === 0 ? bootSector32.read(sector) : undefined;
  const boot: Boot = large ?? small;
  const { offsets } = large === undefined ? bootSector16 : bootSector32;
  if (boot.signature !== BOOT_SIGNATURE) throw unsound(offsets.signature, "55 AA is missing at its end");
  if (!isPowerOfTwo(boot.bytesPerSector) || boot.bytesPerSector < 512 || boot.bytesPerSector > 4096) {
    throw unsound(offsets.bytesPerSector, `sectors of ${boot.bytesPerSector} bytes`);
  }
  if (!isPowerOfTwo(boot.sectorsPerCluster)) {
    throw unsound(offsets.sectorsPerCluster, `clusters of ${boot.sectorsPerCluster} sectors`);
  }
  if (boot.reservedSectors === 0) throw unsound(offsets.reservedSectors, "no reserved sectors");
  if (boot.fatCount === 0) throw unsound(offsets.fatCount, "no file allocation table");
  const sectors = boot.totalSectors16 || boot.totalSectors32;
  const sectorsAt = boot.totalSectors16 ? offsets.totalSectors16 : offsets.totalSectors32;
  if (sectors === 0 || sectors * boot.bytesPerSector > device.size) {
    const ours = `${sectors} sectors of ${boot.bytesPerSector} bytes`;
    throw unsound(sectorsAt, `${ours}, on a device of ${device.size} bytes`);
  }
  const geometry = geometryOf(boot, large?.fatSectors32, sectors);
  if (geometry.clusters < 1) throw unsound(sectorsAt, "its tables leave no room for a cluster");
  const most = CLUSTER_LIMITS[geometry.type][1];
  if (geometry.clusters > most) {
    throw unsound(sectorsAt, `${geometry.clusters} clusters, and FAT${geometry.type} has at most ${most}`);
  }
  const tableEntries = Math.floor((geometry.fatSectors * geometry.sectorSize * 8) / geometry.type);
  if (tableEntries < geometry.clusters + FIRST_CLUSTER) {
    throw unsound(
      large === undefined ? offsets.fatSectors16 : bootSector32.offsets.fatSectors32,
      `a table of ${tableEntries} entries for ${geometry.clusters} clusters`,
    );
  }
  const rootCluster = large?.rootCluster ?? 0;
  if (large !== undefined && (rootCluster < FIRST_CLUSTER || rootCluster >= FIRST_CLUSTER + geometry.clusters)) {
    throw unsound(bootSector32.offsets.rootCluster, `its root is cluster ${rootCluster}`);
  }
  const extended = boot.bootSignature === EXTENDED_BOOT_SIGNATURE;
  const infoSector = large?.fsInfoSector ?? 0;
  const backupSector = large?.backupBootSector ?? 0;
  return {
    geometry,
    volumeId: extended ? boot.volumeId : 0,
    label: extended && boot.label !== "" && boot.label !== "NO NAME" ? boot.label : undefined,
    rootCluster,
    // 0 and 0xffff both say that there is none; it is one of the reserved sectors.
    fsInfo: infoSector > 0 && infoSector < geometry.reservedSectors ? infoSector * geometry.sectorSize : undefined,
    backup:
      backupSector > 0 && backupSector < geometry.reservedSectors ? backupSector * geometry.sectorSize : undefined,
    dirty: (boot.state & STATE_DIRTY) !== 0,
  };
}

function geometryOf(boot: Boot, fatSectors32: number | undefined, sectors: number): Geometry {
  const fixed: Omit<Geometry, "type" | "clusters"> = {
    sectorSize: boot.bytesPerSector,
    sectors,
    sectorsPerCluster: boot.sectorsPerCluster,
    reservedSectors: boot.reservedSectors,
    fatCount: boot.fatCount,
    fatSectors: fatSectors32 ?? boot.fatSectors16,
    rootEntries: fatSectors32 === undefined ? boot.rootEntries : 0,
  };
  const bare: Geometry = { ...fixed, type: 32, clusters: 0 };
  const dataBytes = sectors * boot.bytesPerSector - clusterStart(bare, FIRST_CLUSTER);
  const clusters = Math.floor(dataBytes / clusterBytes(bare));
  const type: FatType = fatSectors32 !== undefined ? 32 : clusters <= CLUSTER_LIMITS[12][1] ? 12 : 16;
  return { ...fixed, type, clusters };
}
