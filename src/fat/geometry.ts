/** Where the regions of a volume lie: pure arithmetic from its size. Cluster sizes are the ones that mkfs.fat 4.2 chooses. */
import { alignUp, formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { CLUSTER_LIMITS, ENTRY_SIZE, type FatType, FIRST_CLUSTER, type SectorSize } from "./layout.js";

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

/** What a volume is laid out for. */
export interface Wanted {
  /** Undefined: by the size. */
  readonly type: FatType | undefined;
  /** Bytes in a sector, of the medium and of the volume. */
  readonly sectorSize: SectorSize;
  /** Entries that the root directory has to hold. */
  readonly rootEntries: number;
}

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
function layOut(sectors: number, type: FatType, sectorsPerCluster: number, wanted: Wanted): Geometry | undefined {
  const { sectorSize } = wanted;
  const unit = sectors > ALIGN_ABOVE_SECTORS ? sectorsPerCluster : 1;
  const reservedSectors = alignUp(type === 32 ? RESERVED_SECTORS_FAT32 : 1, unit);
  const entriesPerSector = sectorSize / ENTRY_SIZE;
  const rootEntries = type === 32 ? 0 : alignUp(Math.max(ROOT_ENTRIES, wanted.rootEntries), unit * entriesPerSector);
  if (rootEntries > 0xffff) return undefined;
  const rest = sectors - reservedSectors - rootEntries / entriesPerSector;
  const clustersBeside = (fatSectors: number) => Math.floor((rest - FAT_COUNT * fatSectors) / sectorsPerCluster);
  const fatSectorsFor = (clusters: number) =>
    alignUp(Math.ceil(((clusters + FIRST_CLUSTER) * type) / 8 / sectorSize), unit);
  // The table has to describe the clusters that are left beside it: from a size that is too small, up to the first that does.
  const clustersPerFatSector = (sectorSize * 8) / type;
  let fatSectors = alignUp(Math.floor(rest / (clustersPerFatSector * sectorsPerCluster + FAT_COUNT)), unit);
  fatSectors = Math.max(unit, fatSectors - unit);
  while (clustersBeside(fatSectors) > 0 && fatSectorsFor(clustersBeside(fatSectors)) > fatSectors) fatSectors += unit;
  const clusters = clustersBeside(fatSectors);
  if (clusters < 1) return undefined;
  return {
    type,
    sectorSize,
    sectors,
    sectorsPerCluster,
    reservedSectors,
    fatCount: FAT_COUNT,
    fatSectors,
    rootEntries,
    clusters,
  };
}

/**
 * FAT32: up to how many sectors a volume has clusters of one size: from 260 MiB to 32 GiB, with sectors of 512 bytes. With
 * larger sectors mkfs.fat counts sectors all the same, and everything is as many times as large.
 */
const FAT32_CLUSTERS: readonly { readonly upTo: number; readonly sectorsPerCluster: number }[] = [
  { upTo: 260 * 2048, sectorsPerCluster: 1 },
  { upTo: 8 * 2 ** 21, sectorsPerCluster: 8 },
  { upTo: 16 * 2 ** 21, sectorsPerCluster: 16 },
  { upTo: 32 * 2 ** 21, sectorsPerCluster: 32 },
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
function layOutWithin(sectors: number, type: FatType, sectorsPerCluster: number, wanted: Wanted) {
  const [least, most] = CLUSTER_LIMITS[type];
  const geometry = layOut(sectors, type, sectorsPerCluster, wanted);
  return geometry !== undefined && geometry.clusters >= least && geometry.clusters <= most ? geometry : undefined;
}

function layOutAs(sectors: number, type: FatType, wanted: Wanted): Geometry | undefined {
  for (const sectorsPerCluster of clusterSizes(sectors, type)) {
    const geometry = layOutWithin(sectors, type, sectorsPerCluster, wanted);
    if (geometry !== undefined) return geometry;
  }
  return undefined;
}

/**
 * The geometry of a volume of `size` bytes. Without a type it is FAT32 where that has its 65,525 clusters, and FAT16 or
 * FAT12 below. Undefined when no volume of that type can have that size.
 */
function findGeometry(size: number, wanted: Wanted): Geometry | undefined {
  const { type } = wanted;
  const sectors = Math.floor(size / wanted.sectorSize);
  if (sectors > MAX_SECTORS) return undefined;
  for (const candidate of type === undefined ? ([32, 16, 12] as const) : [type]) {
    const geometry = layOutAs(sectors, candidate, wanted);
    // As mkfs.fat has it: what would be FAT16 with clusters below four sectors only is FAT12, unless FAT16 was asked for.
    const unusual = type === undefined && candidate === 16 && geometry !== undefined && geometry.sectorsPerCluster < 4;
    if (geometry !== undefined && !unusual) return geometry;
  }
  return undefined;
}

/**
 * Throws a `layout-conflict` error that says which sizes the type can have, when it cannot have this one. Of a size that is
 * too small, its `data` have what the hint is made of: the bytes `needed`, and the `alternative` to them, where there is one.
 */
function checkSize(size: number, wanted: Wanted, needed: ClustersNeeded): void {
  if (findGeometry(size, wanted) !== undefined) return;
  const { type, sectorSize } = wanted;
  const name = type === undefined ? "FAT" : `FAT${type}`;
  const shown = size < 2 ** 10 ? formatSize(size) : `${formatSize(size)} (${size} bytes)`;
  const refuse = (why: string, hint: string, data: Readonly<Record<string, unknown>> = {}) =>
    new ImgbuildError("layout-conflict", `${name} cannot be ${shown}: ${why}`, {
      hint,
      data: { type: type ?? null, size, ...data },
    });
  const beyond = (MAX_SECTORS + 1) * sectorSize;
  if (size >= beyond) {
    throw refuse(
      `it has at most ${MAX_SECTORS.toLocaleString("en-US")} sectors of ${sectorSize} bytes`,
      `Make it smaller than ${formatSize(beyond)} (${beyond} bytes).`,
    );
  }
  const least = smallestVolume(wanted, () => 1);
  if (least !== undefined && size < least) {
    const clusters = CLUSTER_LIMITS[type ?? 12][0];
    const enough = smallestVolume(wanted, needed) ?? least;
    const other = type === undefined ? undefined : findRoom(size, { ...wanted, type: undefined }, needed)?.type;
    const alternative = other === undefined ? undefined : `leave the type out to get FAT${other}`;
    throw refuse(
      `it has at least ${clusters.toLocaleString("en-US")} cluster${clusters === 1 ? "" : "s"}, and so ${least} bytes`,
      `Make it at least ${formatSize(alignUp(enough, 2 ** 20))}${alternative === undefined ? "" : `, or ${alternative}`}.`,
      { needed: enough, ...(alternative !== undefined && { alternative }) },
    );
  }
  throw refuse(
    `that is more than ${CLUSTER_LIMITS[type ?? 32][1].toLocaleString("en-US")} clusters of at most ${formatSize(64 * sectorSize)}`,
    "Make it smaller, or leave the type out to get FAT32.",
  );
}

/** How many clusters of so many bytes something takes on a volume of a type. */
export type ClustersNeeded = (type: FatType, clusterBytes: number) => number;

/**
 * The geometry of a volume of exactly `size` bytes with room for content: the usual one, or with smaller clusters, of which
 * many small files waste less. Undefined when the content does not fit either way.
 */
function findRoom(size: number, wanted: Wanted, needed: ClustersNeeded): Geometry | undefined {
  const usual = findGeometry(size, wanted);
  if (usual === undefined) return undefined;
  for (let { sectorsPerCluster } = usual; sectorsPerCluster >= 1; sectorsPerCluster /= 2) {
    const geometry = layOutWithin(usual.sectors, usual.type, sectorsPerCluster, wanted);
    if (geometry !== undefined && geometry.clusters >= needed(geometry.type, clusterBytes(geometry))) return geometry;
  }
  return undefined;
}

/**
 * The geometry of a volume of at most `size` bytes with room for content. Whatever fits into a volume fits into every larger
 * one of the type: where the type or the cluster size changes with the size, and what fitted just below does not fit any
 * more, the volume is left shorter than its place. Undefined when the content does not fit; throws as `checkSize`.
 */
export function chooseRoom(size: number, wanted: Wanted, needed: ClustersNeeded): Geometry | undefined {
  checkSize(size, wanted, needed);
  const whole = findRoom(size, wanted, needed);
  if (whole !== undefined) return whole;
  const smallest = smallestVolume(wanted, needed);
  return smallest === undefined || smallest > size ? undefined : findRoom(smallest, wanted, needed);
}

/** Clusters, of so many sectors, that volumes from `from` to `upTo` sectors can have. */
interface ClusterChoice {
  readonly sectorsPerCluster: number;
  readonly from: number;
  readonly upTo: number;
}

const halvings = (sectorsPerCluster: number) =>
  Array.from({ length: Math.log2(sectorsPerCluster) + 1 }, (_, i) => sectorsPerCluster / 2 ** i);

/** Whatever `findRoom` may choose. */
const CLUSTER_CHOICES: Readonly<Record<FatType, readonly ClusterChoice[]>> = (() => {
  const small = CLUSTER_SIZES.map((sectorsPerCluster) => ({ sectorsPerCluster, from: 0, upTo: MAX_SECTORS }));
  const large = FAT32_CLUSTERS.flatMap(({ upTo, sectorsPerCluster: usual }, i) => {
    const from = (FAT32_CLUSTERS[i - 1]?.upTo ?? 0) + 1;
    return halvings(usual).map((sectorsPerCluster) => ({ sectorsPerCluster, from, upTo }));
  });
  return { 12: small, 16: small, 32: large };
})();

/**
 * The smallest size in bytes of a volume with room for content that takes `needed(type, clusterBytes)` clusters. Undefined
 * when the type cannot be as large.
 *
 * How many clusters a size gives does not grow with it everywhere, so it goes sector by sector; but from a bound below which
 * there is no room, and no further than what the bound leaves out can amount to. That depends on no size.
 */
export function smallestVolume(wanted: Wanted, needed: ClustersNeeded): number | undefined {
  const { type, sectorSize, rootEntries } = wanted;
  // Reserved sectors, the root, and two tables that hold two entries more, each rounded up to at most 64 sectors; as much
  // once more, within which clusters of FAT12 and FAT16 become so many that the next larger ones are the usual ones.
  const leftOut = 2 * (64 + (64 + Math.ceil(Math.max(ROOT_ENTRIES, rootEntries) / (sectorSize / ENTRY_SIZE))) + 2 * 65);
  let best: number | undefined;
  for (const candidate of type === undefined ? ([12, 16, 32] as const) : [type]) {
    const [least, most] = CLUSTER_LIMITS[candidate];
    for (const { sectorsPerCluster, from, upTo } of CLUSTER_CHOICES[candidate]) {
      const want = Math.max(needed(candidate, sectorsPerCluster * sectorSize), least);
      if (want > most) continue;
      const clustersAndTables = want * sectorsPerCluster + FAT_COUNT * Math.floor((want * candidate) / 8 / sectorSize);
      let sectors = Math.max(clustersAndTables, from);
      for (const end = Math.min(sectors + leftOut, upTo); sectors <= end; sectors++) {
        const size = sectors * sectorSize;
        if (best !== undefined && size >= best) break;
        if (findRoom(size, wanted, needed) !== undefined) best = size;
      }
    }
  }
  return best;
}
