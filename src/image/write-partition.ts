/** One partition: how long it has to be, whether its content fits, and its file system with what is in it. */
import type { Device } from "../bytes/device.js";
import { seededId, seededUuid } from "../bytes/seeded-ids.js";
import { ImgbuildError } from "../errors.js";
import { checkExt4, measureExt4, writeExt4 } from "../ext4/index.js";
import { checkFat, measureFat, writeFat } from "../fat/index.js";
import { writeSquashfs } from "../squashfs/index.js";
import type { Content } from "../tree/node.js";
import type { Tree } from "../tree/tree.js";
import type { VerityTree } from "../verity/index.js";
import type { AssembleOptions } from "./assemble.js";
import { checkLength, copyContent } from "./copy-content.js";
import { withHashTree, writeHashTree } from "./hash-tree.js";
import type { PartitionPlan, Plan } from "./plan.js";
import type { Prepared } from "./prepare.js";

export interface WrittenFileSystem {
  /** How many bytes of the partition its file system uses, with the hash tree; the whole of it for those that span it. */
  readonly used: number;
  readonly uuid: string | undefined;
  /** The hash tree behind it. */
  readonly verity?: VerityTree | undefined;
}

const isTree = (content: Tree | Content | undefined): content is Tree => content !== undefined && "root" in content;

/** How long a "fit" partition has to be; undefined for a SquashFS, which only writing can tell, and for a raw one without content. */
export function measurePartition(
  plan: Plan,
  partition: PartitionPlan,
  prepared: Prepared,
  options: AssembleOptions,
): number | undefined {
  const content = prepared.contents.get(partition.name);
  if (partition.filesystem === "fat" && isTree(content)) {
    return measureFat(content, fatOptions(plan, partition, prepared, options));
  }
  if (partition.filesystem === "ext4" && (content === undefined || isTree(content))) {
    return measureExt4(content, ext4Options(partition, prepared, options));
  }
  if (partition.filesystem === "raw" && content !== undefined && !isTree(content)) return content.size;
  return undefined;
}

/** Throws what writing an ext4, FAT or raw partition of `size` bytes would, as far as it is about its size. */
export async function checkPartition(
  size: number,
  plan: Plan,
  partition: PartitionPlan,
  prepared: Prepared,
  options: AssembleOptions,
): Promise<void> {
  const content = prepared.contents.get(partition.name);
  if (partition.filesystem === "ext4")
    await checkExt4(size, isTree(content) ? content : undefined, ext4Options(partition, prepared, options));
  if (partition.filesystem === "fat")
    checkFat(size, treeFor(partition, content), fatOptions(plan, partition, prepared, options));
  if (partition.filesystem === "raw" && content !== undefined && !isTree(content)) checkLength(size, content);
}

/** Writes a partition's file system with its content into `window` of a disk, whose byte `start` is the first of it. */
export async function writePartition(
  { start, window }: { start: number; window: Device },
  plan: Plan,
  partition: PartitionPlan,
  prepared: Prepared,
  options: AssembleOptions,
): Promise<WrittenFileSystem> {
  const content = prepared.contents.get(partition.name);
  switch (partition.filesystem) {
    case "raw":
      if (content === undefined || isTree(content)) return { used: 0, uuid: undefined };
      await copyContent(window, 0, content);
      return { used: content.size, uuid: undefined };
    case "fat": {
      const fat = fatOptions(plan, partition, prepared, options);
      const hiddenSectors = start / plan.storage.sectorSize;
      await writeFat(window, treeFor(partition, content), { ...fat, hiddenSectors });
      const id = fat.volumeId.toString(16).toUpperCase().padStart(8, "0");
      return { used: window.size, uuid: `${id.slice(0, 4)}-${id.slice(4)}` };
    }
    case "ext4": {
      const ext4 = ext4Options(partition, prepared, options);
      // Without content it is an empty one, for the device to fill.
      await writeExt4(window, content === undefined ? undefined : treeFor(partition, content), ext4);
      return { used: window.size, uuid: ext4.uuid };
    }
    case "squashfs": {
      // Slot B, which the first update fills.
      if (content === undefined && partition.role === "rootfs") return { used: 0, uuid: undefined };
      const { name, compressor, level, xz, blockSize, exports, verity } = partition;
      const { time, jobs, observer } = options;
      const writing = writeSquashfs(window, treeFor(partition, content), {
        compressor,
        level,
        xz,
        blockSize,
        exports,
        time,
        jobs,
        observer,
      });
      if (!verity) return { used: (await writing).size, uuid: undefined };
      const { size } = await writing.catch((error) => {
        throw withHashTree(error);
      });
      const tree = await writeHashTree(window, size, { name, identity: prepared.identity, observer });
      return { used: tree.size, uuid: undefined, verity: tree };
    }
  }
}

type PartitionOf<F extends PartitionPlan["filesystem"]> = Extract<PartitionPlan, { filesystem: F }>;

function fatOptions(
  { storage }: Plan,
  partition: PartitionOf<"fat">,
  { identity }: Prepared,
  { time, observer }: AssembleOptions,
) {
  return {
    sectorSize: storage.sectorSize,
    label: partition.label,
    type: partition.fatType,
    volumeId: seededId(identity, partition.name, "volume id"),
    time,
    observer,
  };
}

function ext4Options(partition: PartitionOf<"ext4">, { identity }: Prepared, { time, observer }: AssembleOptions) {
  return {
    label: partition.label,
    uuid: seededUuid(identity, partition.name, "file system"),
    hashSeed: seededUuid(identity, partition.name, "directory hash"),
    time,
    blockSize: partition.blockSize,
    inodeRatio: partition.inodeRatio,
    reservedPercent: partition.reservedPercent,
    journalSize: partition.journalSize,
    growTo: partition.growTo,
    features: partition.features,
    inodeSize: partition.inodeSize,
    mountOptions: partition.mountOptions,
    errors: partition.errors,
    observer,
  };
}

function treeFor(partition: PartitionPlan, content: Tree | Content | undefined): Tree {
  if (isTree(content)) return content;
  throw new ImgbuildError(
    "profile-invalid",
    `partition ${partition.name} has nothing to put into its ${partition.filesystem}`,
    {
      hint: `Set partitions.${partition.name}.source to a folder or a tar.`,
    },
  );
}
