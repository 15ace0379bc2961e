/** Writes an image: each file system into its own window, in place; the partition table last. */
import { fromText } from "../bytes/bytestring.js";
import { type Device, type RecordingDevice, slice } from "../bytes/device.js";
import { ImgbuildError } from "../errors.js";
import { readPartitionTable, writeGpt, writeMbr } from "../partition/index.js";
import type { Observer } from "../tree/observer.js";
import { encodeEnvironment, SLOT_ENVIRONMENT_SIZE } from "../uboot/index.js";
import { boot0Size } from "./boot0.js";
import { type Container, explainCapacity } from "./capacity.js";
import { slotEnvironment } from "./claims.js";
import { copyContent } from "./copy-content.js";
import { type Layout, type Placement, place } from "./place.js";
import { type PartitionPlan, type Plan, partitionWithRole } from "./plan.js";
import type { Prepared } from "./prepare.js";
import { diskGuid, diskSignature, partitionGuid, partuuid } from "./table-ids.js";
import { checkPartition, measurePartition, type WrittenFileSystem, writePartition } from "./write-partition.js";

export interface AssembleOptions {
  /** Timestamps that the formats make, in seconds since 1970. */
  readonly time: number;
  /** Number of compression workers. */
  readonly jobs: number;
  readonly observer?: Observer;
  /** Called when work on a partition begins. */
  readonly stage?: (name: string) => void;
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

/** Sizes of the "fit" partitions that can be known without writing them. A SquashFS has to be compressed first. */
function measure(plan: Plan, prepared: Prepared, options: AssembleOptions): Map<string, number> {
  const fitted = new Map<string, number>();
  for (const partition of plan.partitions) {
    if (partition.size !== "fit") continue;
    try {
      const size = measurePartition(plan, partition, prepared, options);
      if (size !== undefined) fitted.set(partition.name, size);
    } catch (error) {
      throw explained(error, partition, prepared);
    }
  }
  return fitted;
}

/** An error about a partition's room, with what takes it and what to change. `container`: what is too small, if not the partition. */
function explained(error: unknown, partition: PartitionPlan, { contents }: Prepared, container?: Container): unknown {
  const content = contents.get(partition.name);
  const tree = content !== undefined && "root" in content ? content : undefined;
  return explainCapacity(error, container ?? containerOf(partition), tree);
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
  const fitted = measure(plan, prepared, options);
  const unknown = plan.partitions
    .filter(({ name, size }) => size === "fit" && !fitted.has(name))
    .map(({ name }) => name);
  const layout = place(plan, fitted, bootloaderSizes(prepared));
  for (const { partition, size } of layout.placements) {
    if (partition.size === "fit") continue;
    await checkPartition(size, plan, partition, prepared, options).catch((error) => {
      throw explained(error, partition, prepared);
    });
  }
  boot0Size(plan, prepared);
  return { layout, unknown };
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
  const fitted = measure(plan, prepared, options);
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
    const open = isOpen(partition);
    const room = open ? (plan.storage.size ?? device.size) - placement.start : placement.size;
    const stretch = { start: placement.start, window: slice(recorder, placement.start, room) };
    const container = open ? mediumOf(plan, partition, fitted, sizes) : undefined;
    const result = await writePartition(stretch, plan, partition, prepared, options).catch(async (error) => {
      if (open && error instanceof ImgbuildError && error.code === "does-not-fit") await compressOpen(partition);
      throw explained(error, partition, prepared, container);
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
  try {
    const nowhere = { start: 0, window: slice(device, 0, 0) };
    return (await writePartition(nowhere, plan, partition, prepared, options)).used;
  } catch (error) {
    if (error instanceof ImgbuildError && typeof error.data.needed === "number") return error.data.needed;
    throw error;
  }
}

function bootloaderSizes(prepared: Prepared): Map<string, number> {
  return new Map([...prepared.bootloader].map(([file, content]) => [file, content.size]));
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
