/** SquashFS as one of the file systems that an image may hold. */
import type { ReadableDevice } from "../bytes/device.js";
import { openSquashfs, type SquashfsEntry, type SquashfsInode, type SquashfsReader } from "../squashfs/index.js";
import type { FileSystem, FileSystemFacts } from "./file-system.js";
import { fileSystemOf, isoTime } from "./format-reader.js";
import { findHashTree } from "./hash-tree.js";

export async function openSquashfsFileSystem(device: ReadableDevice): Promise<FileSystem> {
  const reader = await openSquashfs(device);
  return fileSystemOf<SquashfsInode, SquashfsEntry>(reader, () => squashfsFacts(reader, device));
}

async function squashfsFacts({ facts }: SquashfsReader, device: ReadableDevice): Promise<FileSystemFacts> {
  const tree = await findHashTree(device, facts.bytesUsed);
  return {
    type: "squashfs",
    size: facts.bytesUsed,
    used: facts.bytesUsed,
    free: 0,
    details: {
      compressor: facts.compressor,
      "block size": facts.blockSize,
      inodes: facts.inodes,
      fragments: facts.fragments,
      "attribute sets": facts.xattrSets,
      exportable: facts.exportable,
      made: isoTime(facts.time),
      ...(tree !== undefined && { "dm-verity root hash": typeof tree === "string" ? tree : tree.rootHash }),
    },
    notes: [],
  };
}
