/** Writes an image: each file system into its own window, in place; the partition table last. */
import { fromText } from "../bytes/bytestring.js";
import { type Device, type RecordingDevice, slice } from "../bytes/device.js";
import { seededId, seededUuid } from "../bytes/seeded-ids.js";
import { ImgbuildError } from "../errors.js";
import { checkExt4, measureExt4, writeExt4 } from "../ext4/index.js";
import { checkFat, measureFat, writeFat } from "../fat/index.js";
import { readPartitionTable, writeGpt, writeMbr } from "../partition/index.js";
import { writeSquashfs } from "../squashfs/index.js";
import type { Content } from "../tree/node.js";
import type { Observer } from "../tree/observer.js";
import type { Tree } from "../tree/tree.js";
import { encodeEnvironment, SLOT_ENVIRONMENT_SIZE } from "../uboot/index.js";
import type { VerityTree } from "../verity/index.js";
import { boot0Size } from "./boot0.js";
import { type Container, explainCapacity } from "./capacity.js";
import { slotEnvironment } from "./claims.js";
import { checkLength, copyContent } from "./copy-content.js";
import { withHashTree, writeHashTree } from "./hash-tree.js";
import { type Layout, type Placement, place } from "./place.js";
import { type PartitionPlan, type Plan, partitionWithRole } from "./plan.js";
import type { Prepared } from "./prepare.js";
import { diskGuid, diskSignature, partitionGuid, partuuid } from "./table-ids.js";

export interface AssembleOptions {
  /** Timestamps that the formats make, in seconds since 1970. */
  readonly time: number;
  /** Number of compression workers. */
  readonly jobs: number;
  readonly observer?: Observer;
  /** Called when work on a partition begins. */
  readonly stage?: (name: string) => void;
}

interface WrittenFileSystem {
  /** How many bytes of the partition its file system uses, with the hash tree; the whole of it for those that span it. */
  readonly used: number;
  readonly uuid: string | undefined;
  /** The hash tree behind it. */
  readonly verity?: VerityTree | undefined;
}

/** A partition as it was written. */
export interface WrittenPartition extends Placement, WrittenFileSystem {
  /** As the kernel's root=PARTUUID= wants it. */
  readonly partuuid: string;
}

export interface AssembledImage {
  readonly layout: Layout;
  readonly partitions: readonly WrittenPartition[];
  /** Disk signature or disk GUID. */
  readonly tableId: string;
}

/** A device that gets its length once the partitions' places are known. */
export interface GrowingDevice extends Device {
  resize(size: number): void;
}

const isTree = (content: Tree | Content | undefined): content is Tree => content !== undefined && "root" in content;

/** Sizes of the "fit" partitions that can be known without writing them. A SquashFS has to be compressed first. */
async function measure(plan: Plan, prepared: Prepared, options: AssembleOptions): Promise<Map<string, number>> {
  const fitted = new Map<string, number>();
  for (const partition of plan.partitions) {
    if (partition.size !== "fit") continue;
    const content = prepared.contents.get(partition.name);
    try {
      if (partition.filesystem === "fat" && isTree(content)) {
        fitted.set(partition.name, measureFat(content, fatOptions(plan, partition, prepared, options)));
      } else if (partition.filesystem === "ext4" && (content === undefined || isTree(content))) {
        fitted.set(partition.name, measureExt4(content, ext4Options(partition, prepared, options)));
      } else if (partition.filesystem === "raw" && content !== undefined && !isTree(content)) {
        fitted.set(partition.name, content.size);
      }
    } catch (error) {
      throw explainCapacity(error, containerOf(partition), isTree(content) ? content : undefined);
    }
  }
  return fitted;
}

/**
 * Places everything without writing it, and checks what can be known to fit before it is written: ext4, FAT and raw
 * partitions, and the eMMC's boot partition. Sizes of "fit" SquashFS partitions are missing and named in `unknown`.
 */
export async function layOut(
  plan: Plan,
  prepared: Prepared,
  options: AssembleOptions,
): Promise<{ layout: Layout; unknown: readonly string[] }> {
  const fitted = await measure(plan, prepared, options);
  const unknown = plan.partitions
    .filter(({ name, size }) => size === "fit" && !fitted.has(name))
    .map(({ name }) => name);
  const layout = place(plan, fitted, bootloaderSizes(prepared));
  for (const { partition, size } of layout.placements) {
    if (partition.size !== "fit") await checkRoom(size, plan, partition, prepared, options);
  }
  boot0Size(plan, prepared);
  return { layout, unknown };
}

/** Throws what writing an ext4, FAT or raw partition of `size` bytes would, as far as it is about its size. */
async function checkRoom(
  size: number,
  plan: Plan,
  partition: PartitionPlan,
  prepared: Prepared,
  options: AssembleOptions,
): Promise<void> {
  const content = prepared.contents.get(partition.name);
  try {
    if (partition.filesystem === "ext4")
      await checkExt4(size, isTree(content) ? content : undefined, ext4Options(partition, prepared, options));
    if (partition.filesystem === "fat")
      checkFat(size, treeFor(partition, content), fatOptions(plan, partition, prepared, options));
    if (partition.filesystem === "raw" && content !== undefined && !isTree(content)) checkLength(size, content);
  } catch (error) {
    throw explainCapacity(error, containerOf(partition), isTree(content) ? content : undefined);
  }
}

/** Writes the image onto `device`, through `recorder`; it must be all zeros and without a limit, and gets its length. */
export async function assemble(
  device: GrowingDevice,
  recorder: RecordingDevice,
  plan: Plan,
  prepared: Prepared,
  options: AssembleOptions,
): Promise<AssembledImage> {
  // A bootloader that does not fit is refused before minutes are spent on the rest.
  boot0Size(plan, prepared);
  const sizes = bootloaderSizes(prepared);
  const fitted = await measure(plan, prepared, options);
  const isOpen = ({ name, size }: PartitionPlan) => size === "fit" && !fitted.has(name);
  const compressOpen = async (besides?: PartitionPlan) => {
    for (const partition of plan.partitions) {
      if (partition === besides || !isOpen(partition)) continue;
      fitted.set(partition.name, await compressedSize(recorder, plan, partition, prepared, options));
    }
  };
  const placeAll = async () => {
    try {
      return place(plan, fitted, sizes);
    } catch (error) {
      if (!(error instanceof ImgbuildError) || error.data.uncounted === undefined) throw error;
      // What it says is a bound, and following it would end in the next error.
      await compressOpen();
      return place(plan, fitted, sizes);
    }
  };
  const written: WrittenFileSystem[] = [];
  for (const index of orderOf(plan)) {
    const partition = plan.partitions[index]!;
    // Its start depends on earlier sizes only, which are known by now: checkPlan lets no "rest" come before an open one.
    const placement = (await placeAll()).placements[index]!;
    options.stage?.(partition.name);
    const content = prepared.contents.get(partition.name);
    const open = isOpen(partition);
    const room = open ? (plan.storage.size ?? device.size) - placement.start : placement.size;
    const stretch = { start: placement.start, window: slice(recorder, placement.start, room) };
    const container = open ? mediumOf(plan, partition, fitted, sizes) : containerOf(partition);
    const result = await writePartition(stretch, plan, partition, content, prepared, options).catch(async (error) => {
      if (open && error instanceof ImgbuildError && error.code === "does-not-fit") await compressOpen(partition);
      throw explainCapacity(error, container, isTree(content) ? content : undefined);
    });
    if (open) fitted.set(partition.name, result.used);
    written[index] = result;
    if (partition.role === "rootfs" && result.verity !== undefined) prepared.rootHash?.set(result.verity.rootHash);
  }
  const layout = place(plan, fitted, sizes);
  device.resize(layout.size);
  await writeUserAreaBootloader(recorder, plan, prepared);
  await writeSlotEnvironment(recorder, plan, prepared.identity);
  options.stage?.("partition table");
  const tableId = await writeTable(recorder, plan, layout, prepared.identity);
  const table = await readPartitionTable(recorder, { sectorSize: plan.storage.sectorSize });
  return {
    layout,
    tableId,
    partitions: written.map((fileSystem, index) => {
      const placement = layout.placements[index]!;
      const entry = table.partitions.find(({ number }) => number === placement.partition.number)!;
      return { ...placement, ...fileSystem, partuuid: entry.partuuid };
    }),
  };
}

/**
 * The order in which partitions are written: that of their places. Where the root has a hash tree, whose root hash goes onto a
 * partition in front of it, every SquashFS comes first; places depend on no other sizes that only writing can tell.
 */
function orderOf({ partitions }: Plan): number[] {
  const order = partitions.map((_, index) => index);
  if (!partitions.some((partition) => partition.filesystem === "squashfs" && partition.verity)) return order;
  const isSquashfs = (index: number) => partitions[index]!.filesystem === "squashfs";
  return [...order.filter(isSquashfs), ...order.filter((index) => !isSquashfs(index))];
}

/** How long the file system of an open partition is: its writer goes on to the end also where there is no room for it. */
async function compressedSize(
  device: Device,
  plan: Plan,
  partition: PartitionPlan,
  prepared: Prepared,
  options: AssembleOptions,
): Promise<number> {
  options.stage?.(partition.name);
  const content = prepared.contents.get(partition.name);
  try {
    const nowhere = { start: 0, window: slice(device, 0, 0) };
    return (await writePartition(nowhere, plan, partition, content, prepared, options)).used;
  } catch (error) {
    if (error instanceof ImgbuildError && typeof error.data.needed === "number") return error.data.needed;
    throw error;
  }
}

function bootloaderSizes(prepared: Prepared): Map<string, number> {
  return new Map([...prepared.bootloader].map(([file, content]) => [file, content.size]));
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

/** Writes content into `window` of a disk, whose byte `start` is the first of it. */
async function writePartition(
  { start, window }: { start: number; window: Device },
  plan: Plan,
  partition: PartitionPlan,
  content: Tree | Content | undefined,
  prepared: Prepared,
  options: AssembleOptions,
): Promise<WrittenFileSystem> {
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

function containerOf({ name, filesystem }: PartitionPlan): Container {
  const ratioSetting = filesystem === "ext4" ? `partitions.${name}.inodeRatio=` : undefined;
  return { name, filesystem, setting: `partitions.${name}.size=`, ratioSetting };
}

/** A partition that becomes as long as its content: what is too small for it is the medium. */
function mediumOf(
  plan: Plan,
  partition: PartitionPlan,
  fitted: ReadonlyMap<string, number>,
  bootloader: ReadonlyMap<string, number>,
): Container {
  const settingFor = (needed: number) => {
    try {
      return place(plan, new Map([...fitted, [partition.name, needed]]), bootloader).size;
    } catch (error) {
      if (error instanceof ImgbuildError && typeof error.data.needed === "number") return error.data.needed;
      return needed;
    }
  };
  return { name: partition.name, filesystem: partition.filesystem, setting: "storage.size=", settingFor };
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

async function writeUserAreaBootloader(device: Device, plan: Plan, prepared: Prepared): Promise<void> {
  if (plan.bootloader?.area !== "user") return;
  for (const { file, offset } of plan.bootloader.files) {
    const content = prepared.bootloader.get(file);
    if (content !== undefined) await copyContent(device, offset, content);
  }
}

/** Has slot A booted, and no other: in both copies, so that nothing is left of what the medium had there. */
async function writeSlotEnvironment(device: Device, plan: Plan, identity: string): Promise<void> {
  const place = slotEnvironment(plan);
  if (place === undefined) return;
  const first = partitionWithRole(plan, "rootfs")!;
  const variables = new Map([
    [fromText("slots_id"), fromText(partuuid(plan, first, identity))],
    [fromText("root_part"), fromText(first.number.toString(16))],
    [fromText("upgrade_available"), fromText("0")],
  ]);
  const bytes = encodeEnvironment(variables, {
    size: SLOT_ENVIRONMENT_SIZE,
    flag: plan.slots.redundant ? 1 : undefined,
    padding: 0,
  });
  for (let at = place.start; at < place.end; at += bytes.length) await device.write(at, bytes);
}

async function writeTable(device: Device, plan: Plan, layout: Layout, identity: string): Promise<string> {
  const { table, sectorSize, gpt } = plan.storage;
  const entries = layout.placements.map(({ partition, start, size, recordAt }) => ({
    number: partition.number,
    start,
    size,
    recordAt,
    type: partition.type,
    active: partition.active,
    name: partition.partlabel ?? partition.name,
    attributes: partition.attributes,
    hybrid: partition.hybrid,
    guid: partitionGuid(identity, partition.name),
  }));
  if (table === "mbr") {
    const signature = diskSignature(identity);
    await writeMbr(device, { signature, sectorSize, partitions: entries });
    return signature.toString(16).padStart(8, "0");
  }
  const guid = diskGuid(identity);
  await writeGpt(device, {
    diskGuid: guid,
    sectorSize,
    entryCount: gpt?.entries,
    entriesAt: gpt?.entriesAt,
    partitions: entries,
  });
  return guid;
}
