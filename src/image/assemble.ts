/** Writes an image: each file system into its own window, in place; the partition table last. */
import { type Device, type RecordingDevice, slice } from "../bytes/device.js";
import { seededId, seededUuid } from "../bytes/seeded-ids.js";
import { alignUp, formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { measureExt4, writeExt4 } from "../ext4/index.js";
import { checkFat, measureFat, writeFat } from "../fat/index.js";
import { readPartitionTable, writeGpt, writeMbr } from "../partition/index.js";
import { writeSquashfs } from "../squashfs/index.js";
import type { Content } from "../tree/node.js";
import type { Observer } from "../tree/observer.js";
import type { Tree } from "../tree/tree.js";
import { type Container, explainCapacity, largestText } from "./capacity.js";
import { sizeText } from "./claims.js";
import { type Layout, type Placement, place } from "./place.js";
import type { PartitionPlan, Plan } from "./plan.js";
import type { Prepared } from "./prepare.js";

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
export interface WrittenPartition extends Placement {
  /** How many bytes of the partition its file system uses; the whole of it for those that span it. */
  readonly used: number;
  readonly uuid: string | undefined;
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
 * Places everything without writing it, and checks what can be known to fit before it is written: FAT partitions, raw ones
 * and the eMMC's boot partition. Sizes of "fit" SquashFS partitions are missing and named in `unknown`.
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
    if (partition.size !== "fit") checkRoom(size, plan, partition, prepared, options);
  }
  boot0Size(plan, prepared);
  return { layout, unknown };
}

/** Throws what writing a FAT or raw partition of `size` bytes would, as far as it is about its size. */
function checkRoom(
  size: number,
  plan: Plan,
  partition: PartitionPlan,
  prepared: Prepared,
  options: AssembleOptions,
): void {
  const content = prepared.contents.get(partition.name);
  try {
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
  const written: { used: number; uuid: string | undefined }[] = [];
  for (const [index, partition] of plan.partitions.entries()) {
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
    written.push(result);
  }
  const layout = place(plan, fitted, sizes);
  device.resize(layout.size);
  await writeUserAreaBootloader(recorder, plan, prepared);
  options.stage?.("partition table");
  const tableId = await writeTable(recorder, plan, layout, prepared.identity);
  const table = await readPartitionTable(recorder, { sectorSize: plan.storage.sectorSize });
  return {
    layout,
    tableId,
    partitions: written.map(({ used, uuid }, index) => {
      const placement = layout.placements[index]!;
      const entry = table.partitions.find(({ number }) => number === placement.partition.number)!;
      return { ...placement, used, uuid, partuuid: entry.partuuid };
    }),
  };
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
): Promise<{ used: number; uuid: string | undefined }> {
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
      const { compressor, level, xz, blockSize, exports } = partition;
      const { time, jobs, observer } = options;
      const { size } = await writeSquashfs(window, treeFor(partition, content), {
        compressor,
        level,
        xz,
        blockSize,
        exports,
        time,
        jobs,
        observer,
      });
      return { used: size, uuid: undefined };
    }
  }
}

function containerOf({ name, filesystem }: PartitionPlan): Container {
  return { name, filesystem, setting: `partitions.${name}.size=` };
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

const COPY_CHUNK = 2 ** 20;

/** Copies a file onto the device, in pieces. */
export async function copyContent(device: Device, at: number, content: Content): Promise<void> {
  checkLength(device.size - at, content);
  const reader = await content.open();
  try {
    for (let done = 0; done < content.size; done += COPY_CHUNK) {
      const piece = new Uint8Array(Math.min(COPY_CHUNK, content.size - done));
      await reader.read(done, piece);
      await device.write(at + done, piece);
    }
  } finally {
    await reader.close();
  }
}

function checkLength(available: number, { size }: Content): void {
  if (size <= available) return;
  throw new ImgbuildError("does-not-fit", `${formatSize(size)} do not fit into ${formatSize(available)}`, {
    data: { needed: size, available },
  });
}

async function writeUserAreaBootloader(device: Device, plan: Plan, prepared: Prepared): Promise<void> {
  if (plan.bootloader?.area !== "user") return;
  for (const { file, offset } of plan.bootloader.files) {
    const content = prepared.bootloader.get(file);
    if (content !== undefined) await copyContent(device, offset, content);
  }
}

/** An eMMC's boot partitions are multiples of this. JEDEC JESD84-B51, BOOT_SIZE_MULT. */
const BOOT_SIZE_UNIT = 2 ** 17;

/** The content of the eMMC's boot partition 0, or undefined when the board keeps its own. Length: up to the last file's end. */
export function boot0Size(plan: Plan, prepared: Prepared): number | undefined {
  if (plan.bootloader?.area !== "boot0" || prepared.bootloader.size === 0) return undefined;
  const files = plan.bootloader.files
    .map(({ file, offset }) => ({ file, start: offset, end: offset + prepared.bootloader.get(file)!.size }))
    .sort((a, b) => a.start - b.start);
  for (let i = 1; i < files.length; i++) {
    const [a, b] = [files[i - 1]!, files[i]!];
    if (a.end > b.start) {
      throw new ImgbuildError(
        "layout-conflict",
        `bootloader file ${a.file} ends at ${a.end}, beyond the start of ${b.file} at ${b.start}`,
        {
          hint: `Is ${a.file} the right file? Otherwise change the offsets in bootloader.files.`,
        },
      );
    }
  }
  const { end } = files.at(-1)!;
  const { size } = plan.bootloader;
  if (end <= size) return alignUp(end, 512);
  const largest = files
    .map((file) => ({ path: file.file, bytes: file.end - file.start }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 10);
  const remedy = `bootloader.size=${sizeText(alignUp(end, BOOT_SIZE_UNIT))}`;
  throw new ImgbuildError(
    "does-not-fit",
    `the bootloader needs ${end} bytes of boot0, ${end - size} more than its ${size}: ${files.at(-1)!.file} ends there`,
    {
      hint: `Set ${remedy} if the board's eMMC has it, or the offsets in bootloader.files to less.${largestText(largest)}`,
      data: { name: "boot0", needed: end, available: size, over: end - size, remedy, largest },
    },
  );
}

/** Writes the bootloader files onto `device` as they lie in boot0. */
export async function writeBoot0(device: Device, plan: Plan, prepared: Prepared): Promise<void> {
  for (const { file, offset } of plan.bootloader!.files)
    await copyContent(device, offset, prepared.bootloader.get(file)!);
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
    guid: seededUuid(identity, partition.name, "partition"),
  }));
  if (table === "mbr") {
    const signature = seededId(identity, "disk signature");
    await writeMbr(device, { signature, sectorSize, partitions: entries });
    return signature.toString(16).padStart(8, "0");
  }
  const diskGuid = seededUuid(identity, "disk");
  await writeGpt(device, {
    diskGuid,
    sectorSize,
    entryCount: gpt?.entries,
    entriesAt: gpt?.entriesAt,
    partitions: entries,
  });
  return diskGuid;
}
