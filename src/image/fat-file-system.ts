/** FAT as one of the file systems that an image may hold: its entries are its inodes. */
import { type ByteString, display } from "../bytes/bytestring.js";
import type { ReadableDevice } from "../bytes/device.js";
import { type FatDirectory, type FatEntry, type FatReader, openFat } from "../fat/index.js";
import type { TreeReading } from "../tree/damage.js";
import type { FileSystem, FileSystemFacts } from "./file-system.js";
import { fileSystemOf } from "./format-reader.js";

export async function openFatFileSystem(device: ReadableDevice): Promise<FileSystem> {
  const reader = await openFat(device);
  const face = {
    root: reader.root,
    lookup: (path: ByteString, from: FatDirectory) => reader.lookup(path, from),
    entries: (directory: FatDirectory) => reader.entries(directory),
    inode: async (entry: FatEntry) => entry,
    node: async (entry: FatEntry) => reader.node(entry),
    tree: (reading: TreeReading<FatDirectory>) => reader.tree(reading),
    check: () => reader.check(),
  };
  return fileSystemOf<FatEntry, FatEntry>(face, () => fatFacts(reader));
}

async function fatFacts(reader: FatReader): Promise<FileSystemFacts> {
  const { facts } = reader;
  const free = (await reader.countFree()) * facts.clusterSize;
  const size = facts.sectors * facts.sectorSize;
  const id = facts.volumeId.toString(16).toUpperCase().padStart(8, "0");
  return {
    type: `FAT${facts.type}`,
    label: facts.label === undefined ? undefined : display(facts.label as ByteString),
    uuid: `${id.slice(0, 4)}-${id.slice(4)}`,
    size,
    used: size - free,
    free,
    details: { "sector size": facts.sectorSize, "cluster size": facts.clusterSize, clusters: facts.clusters },
    notes: facts.clean ? [] : [{ severity: "warning", message: "it was not unmounted before it was copied" }],
  };
}
