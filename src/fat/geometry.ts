/** Where the regions of a volume lie: pure arithmetic from its size. Cluster sizes are the ones that mkfs.fat 4.2 chooses. */
import { alignUp, formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { CLUSTER_LIMITS, ENTRY_SIZE, type FatType, FIRST_CLUSTER } from "./layout.js";

export interface Geometry {
  readonly type: FatType;
  /** Bytes in a sector. */
  readonly sectorSize: number;
  /** Sectors of the whole volume. */
  readonly sectors: number;
  readonly sectorsPerCluster: number;
  /** Sectors before the first table. */
  readonly reservedSectors: number;
  readonly fatCount: number;
  /** Sectors of one table. */
  readonly fatSectors: number;
  /** Entries of the fixed root directory; 0 on FAT32, where the root is a chain like any other. */
  readonly rootEntries: number;
  /** Clusters in the data region. They are numbered from 2. */
  readonly clusters: number;
}

const SECTOR_SIZE = 512;
/** The boot sector counts them in 32 bits. */
const MAX_SECTORS = 2 ** 32 - 1;
const FAT_COUNT = 2;
/** What a fixed root directory holds at least, as everybody makes it. */
const ROOT_ENTRIES = 512;
/** Boot sector, FSInfo, their backup at sector 6, and room that every formatter leaves. */
const RESERVED_SECTORS_FAT32 = 32;
/** Up to 4 MiB, room counts for more than alignment. */
const ALIGN_ABOVE_SECTORS = 8192;

export const clusterBytes = (geometry: Geometry): number => geometry.sectorsPerCluster * geometry.sectorSize;
/** Byte at which table `index` begins. */
export const fatStart = (geometry: Geometry, index = 0): number =>
  (geometry.reservedSectors + index * geometry.fatSectors) * geometry.sectorSize;
/** Byte at which the fixed root directory begins, and on FAT32 the data region. */
export const rootStart = (geometry: Geometry): number => fatStart(geometry, geometry.fatCount);
export const rootBytes = (geometry: Geometry): number => geometry.rootEntries * ENTRY_SIZE;
/** Byte at which `cluster`, a number from 2 on, begins. */
export const clusterStart = (geometry: Geometry, cluster: number): number =>
  rootStart(geometry) +
  alignUp(rootBytes(geometry), geometry.sectorSize) +
  (cluster - FIRST_CLUSTER) * clusterBytes(geometry);

/** Lays out a volume with a given cluster size. Undefined when it has not even room for its own tables. */
function layOut(sectors: number, type: FatType, sectorsPerCluster: number, rootNeeded: number): Geometry | undefined {
  const unit = sectors > ALIGN_ABOVE_SECTORS ? sectorsPerCluster : 1;
  const reservedSectors = alignUp(type === 32 ? RESERVED_SECTORS_FAT32 : 1, unit);
  const entriesPerSector = SECTOR_SIZE / ENTRY_SIZE;
  const rootEntries = type === 32 ? 0 : alignUp(Math.max(ROOT_ENTRIES, rootNeeded), unit * entriesPerSector);
  if (rootEntries > 0xffff) return undefined;
  const rest = sectors - reservedSectors - rootEntries / entriesPerSector;
  const clustersBeside = (fatSectors: number) => Math.floor((rest - FAT_COUNT * fatSectors) / sectorsPerCluster);
  const fatSectorsFor = (clusters: number) =>
    alignUp(Math.ceil(((clusters + FIRST_CLUSTER) * type) / 8 / SECTOR_SIZE), unit);
  // The table has to describe the clusters that are left beside it: from a size that is too small, up to the first that does.
  const clustersPerFatSector = (SECTOR_SIZE * 8) / type;
  let fatSectors = alignUp(Math.floor(rest / (clustersPerFatSector * sectorsPerCluster + FAT_COUNT)), unit);
  fatSectors = Math.max(unit, fatSectors - unit);
  while (clustersBeside(fatSectors) > 0 && fatSectorsFor(clustersBeside(fatSectors)) > fatSectors) fatSectors += unit;
  const clusters = clustersBeside(fatSectors);
  if (clusters < 1) return undefined;
  return {
    type,
    sectorSize: SECTOR_SIZE,
    sectors,
    sectorsPerCluster,
    reservedSectors,
    fatCount: FAT_COUNT,
    fatSectors,
    rootEntries,
    clusters,
  };
}

/** FAT32: up to how many sectors a volume has clusters of one size. */
const FAT32_CLUSTERS: readonly { readonly upTo: number; readonly sectorsPerCluster: number }[] = [
  { upTo: (260 * 2 ** 20) / SECTOR_SIZE, sectorsPerCluster: 1 },
  { upTo: (8 * 2 ** 30) / SECTOR_SIZE, sectorsPerCluster: 8 },
  { upTo: (16 * 2 ** 30) / SECTOR_SIZE, sectorsPerCluster: 16 },
  { upTo: (32 * 2 ** 30) / SECTOR_SIZE, sectorsPerCluster: 32 },
  { upTo: MAX_SECTORS, sectorsPerCluster: 64 },
];
/** FAT12 and FAT16: the first of these with which the number of clusters suits the type. */
const CLUSTER_SIZES = [4, 8, 16, 32, 64, 2, 1];

/** Sectors per cluster to try, the usual one first. */
function clusterSizes(sectors: number, type: FatType): readonly number[] {
  if (type !== 32) return CLUSTER_SIZES;
  return FAT32_CLUSTERS.filter(({ upTo }) => sectors <= upTo)
    .slice(0, 1)
    .map(({ sectorsPerCluster }) => sectorsPerCluster);
}

/** As `layOut`, and undefined also when the number of clusters would make it a volume of another type. */
function layOutWithin(sectors: number, type: FatType, sectorsPerCluster: number, rootNeeded: number) {
  const [least, most] = CLUSTER_LIMITS[type];
  const geometry = layOut(sectors, type, sectorsPerCluster, rootNeeded);
  return geometry !== undefined && geometry.clusters >= least && geometry.clusters <= most ? geometry : undefined;
}

function layOutAs(sectors: number, type: FatType, rootNeeded: number): Geometry | undefined {
  for (const sectorsPerCluster of clusterSizes(sectors, type)) {
    const geometry = layOutWithin(sectors, type, sectorsPerCluster, rootNeeded);
    if (geometry !== undefined) return geometry;
  }
  return undefined;
}

/**
 * The geometry of a volume of `size` bytes. Without `type` it is FAT32 where that has its 65,525 clusters, and FAT16 or
 * FAT12 below. `rootNeeded` is how many entries the root directory has to hold. Undefined when no volume of that type
 * can have that size.
 */
function findGeometry(size: number, type: FatType | undefined, rootNeeded: number): Geometry | undefined {
  const sectors = Math.floor(size / SECTOR_SIZE);
  if (sectors > MAX_SECTORS) return undefined;
  for (const candidate of type === undefined ? ([32, 16, 12] as const) : [type]) {
    const geometry = layOutAs(sectors, candidate, rootNeeded);
    // As mkfs.fat has it: what would be FAT16 with clusters below 2 KiB only is FAT12, unless FAT16 was asked for.
    const unusual = type === undefined && candidate === 16 && geometry !== undefined && geometry.sectorsPerCluster < 4;
    if (geometry !== undefined && !unusual) return geometry;
  }
  return undefined;
}

/** As `findGeometry`. Throws a `layout-conflict` error that says which sizes the type can have. */
function chooseGeometry(size: number, type: FatType | undefined, rootNeeded: number): Geometry {
  const geometry = findGeometry(size, type, rootNeeded);
  if (geometry !== undefined) return geometry;
  const name = type === undefined ? "FAT" : `FAT${type}`;
  const shown = size < 2 ** 10 ? formatSize(size) : `${formatSize(size)} (${size} bytes)`;
  const refuse = (why: string, hint: string, data: Readonly<Record<string, number>> = {}) =>
    new ImgbuildError("layout-conflict", `${name} cannot be ${shown}: ${why}`, {
      hint,
      data: { type: type ?? null, size, ...data },
    });
  if (size >= (MAX_SECTORS + 1) * SECTOR_SIZE) {
    throw refuse(
      `it has at most ${MAX_SECTORS.toLocaleString("en-US")} sectors of ${SECTOR_SIZE} bytes`,
      `Make it smaller than ${formatSize((MAX_SECTORS + 1) * SECTOR_SIZE)} (${(MAX_SECTORS + 1) * SECTOR_SIZE} bytes).`,
    );
  }
  const least = smallestVolume(type, rootNeeded, () => 1);
  if (least !== undefined && size < least) {
    const clusters = CLUSTER_LIMITS[type ?? 12][0];
    throw refuse(
      `it has at least ${clusters.toLocaleString("en-US")} cluster${clusters === 1 ? "" : "s"}, and so ${least} bytes`,
      `Make the partition at least ${formatSize(alignUp(least, 2 ** 20))}${type === 32 ? ", or leave the type out to get FAT16." : "."}`,
      { needed: least },
    );
  }
  throw refuse(
    `that is more than ${CLUSTER_LIMITS[type ?? 32][1].toLocaleString("en-US")} clusters of at most 32 KiB`,
    "Make the partition smaller, or leave the type out to get FAT32.",
  );
}

/** How many clusters of so many bytes something takes on a volume of a type. */
export type ClustersNeeded = (type: FatType, clusterBytes: number) => number;

/**
 * The geometry of a volume of exactly `size` bytes with room for content: the usual one, or with smaller clusters, of which
 * many small files waste less. Undefined when the content does not fit either way.
 */
function findRoom(
  size: number,
  type: FatType | undefined,
  rootNeeded: number,
  needed: ClustersNeeded,
): Geometry | undefined {
  const usual = findGeometry(size, type, rootNeeded);
  if (usual === undefined) return undefined;
  for (let { sectorsPerCluster } = usual; sectorsPerCluster >= 1; sectorsPerCluster /= 2) {
    const geometry = layOutWithin(usual.sectors, usual.type, sectorsPerCluster, rootNeeded);
    if (geometry !== undefined && geometry.clusters >= needed(geometry.type, clusterBytes(geometry))) return geometry;
  }
  return undefined;
}

/**
 * The geometry of a volume of at most `size` bytes with room for content. Whatever fits into a volume fits into every larger
 * one of the type: where the type or the cluster size changes with the size, and what fitted just below does not fit any
 * more, the volume is left shorter than its place. Undefined when the content does not fit; throws as `chooseGeometry`.
 */
export function chooseRoom(
  size: number,
  type: FatType | undefined,
  rootNeeded: number,
  needed: ClustersNeeded,
): Geometry | undefined {
  chooseGeometry(size, type, rootNeeded);
  const whole = findRoom(size, type, rootNeeded, needed);
  if (whole !== undefined) return whole;
  const smallest = smallestVolume(type, rootNeeded, needed);
  return smallest === undefined || smallest > size ? undefined : findRoom(smallest, type, rootNeeded, needed);
}

/**
 * The smallest size in bytes of a volume with room for content that takes `needed(type, clusterBytes)` clusters, and
 * for `rootNeeded` entries in its root. Undefined when the type cannot be as large.
 */
export function smallestVolume(
  type: FatType | undefined,
  rootNeeded: number,
  needed: ClustersNeeded,
): number | undefined {
  let best: number | undefined;
  for (const candidate of type === undefined ? ([12, 16, 32] as const) : [type]) {
    const [least, most] = CLUSTER_LIMITS[candidate];
    const choices =
      candidate === 32
        ? FAT32_CLUSTERS.map(({ sectorsPerCluster }, i) => ({
            sectorsPerCluster,
            from: (FAT32_CLUSTERS[i - 1]?.upTo ?? 0) + 1,
          }))
        : CLUSTER_SIZES.map((sectorsPerCluster) => ({ sectorsPerCluster, from: 0 }));
    for (const { sectorsPerCluster, from } of choices) {
      const want = Math.max(needed(candidate, sectorsPerCluster * SECTOR_SIZE), least);
      if (want > most) continue;
      // Its clusters and its tables at least; then sector by sector, as far as alignment and the root may take it.
      const bare = want * sectorsPerCluster + Math.floor((want * candidate * FAT_COUNT) / 8 / SECTOR_SIZE);
      let sectors = Math.max(bare, from);
      for (
        const end = sectors + 8 * 64 + Math.ceil(rootNeeded / (SECTOR_SIZE / ENTRY_SIZE));
        sectors <= end;
        sectors++
      ) {
        if (best !== undefined && sectors * SECTOR_SIZE >= best) break;
        if (findRoom(sectors * SECTOR_SIZE, type, rootNeeded, needed) !== undefined) best = sectors * SECTOR_SIZE;
      }
    }
  }
  return best;
}
