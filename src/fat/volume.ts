/** An opened volume: what its readers share. */
import type { ByteString } from "../bytes/bytestring.js";
import type { ReadableDevice } from "../bytes/device.js";
import type { BootFacts } from "./boot-sector.js";
import { ChainReader } from "./chain.js";
import { type DecodedDirectory, decodeDirectory, type FatDirectory, type Piece } from "./entries.js";
import { clusterStart, type Geometry, rootBytes, rootStart } from "./geometry.js";

export interface OpenVolume {
  readonly device: ReadableDevice;
  readonly geometry: Geometry;
  readonly chains: ChainReader;
  readonly root: FatDirectory;
  /** Where a root is that has no chain: on FAT12 and FAT16. */
  readonly fixedRoot: Piece | undefined;
}

export function openVolume(device: ReadableDevice, { geometry, rootCluster }: BootFacts): OpenVolume {
  const fixedRoot = rootCluster === 0 ? { at: rootStart(geometry), length: rootBytes(geometry) } : undefined;
  const root: FatDirectory = {
    type: "directory",
    name: "" as ByteString,
    mtime: { seconds: 0, nanoseconds: 0 },
    readOnly: false,
    hidden: false,
    system: false,
    firstCluster: rootCluster,
    at: fixedRoot?.at ?? clusterStart(geometry, rootCluster),
  };
  return { device, geometry, chains: new ChainReader(device, geometry), root, fixedRoot };
}

/** What is in `directory`, as it lies there. Throws an `image-corrupt` error where its chain or an entry is damaged. */
export async function readDirectory(volume: OpenVolume, directory: FatDirectory): Promise<DecodedDirectory> {
  const fixed = directory === volume.root ? volume.fixedRoot : undefined;
  const pieces = fixed === undefined ? (await volume.chains.chain(directory)).pieces() : [fixed];
  return decodeDirectory(volume.device, pieces);
}
