/** What is wrong with a plan before anything is read: rules that no single key breaks. */
import { alignUp } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { parseFeatures, parseMountOptions } from "../ext4/index.js";
import { GPT_ENTRIES, gptAttributes, gptType, MBR_PARTITIONS, mbrType, tableRanges } from "../partition/index.js";
import { SLOT_ENVIRONMENT_SIZE } from "../uboot/index.js";
import { baseLayers } from "./base-layers.js";
import { tableShape } from "./claims.js";
import {
  type Ext4Partition,
  isLogical,
  KERNEL_FORMATS_OF,
  MBR_PRIMARIES,
  type PartitionPlan,
  type PartitionRole,
  type Plan,
  type StoragePlan,
  secondSlot,
} from "./plan.js";

/** The roles that imgbuild fills itself, and the file systems that what runs on the device can use there. */
const FILLED: Readonly<Record<Exclude<PartitionRole, "data">, readonly PartitionPlan["filesystem"][]>> = {
  bootfs: ["fat"],
  rootfs: ["squashfs", "ext4"],
  userdata: ["ext4"],
};

/** Artifacts have these names without their ending; a partition of such a name would take the file's place. */
const RESERVED = ["emmc", "boot0", "manifest"];

function refuse(message: string, hint: string): ImgbuildError {
  return new ImgbuildError("profile-invalid", message, { hint });
}

/**
 * Throws `profile-invalid`, or `layout-conflict` for what the table cannot say: a type or an attribute, a shape that no GPT
 * has.
 */
export function checkPlan(plan: Plan): void {
  const { partitions, storage } = plan;
  checkLoader(plan);
  checkRoles(plan);
  checkStorage(storage);
  const rest = partitions.findIndex(({ size }) => size === "rest");
  const open = partitions.findLastIndex(({ filesystem, size }) => filesystem === "squashfs" && size === "fit");
  if (rest >= 0 && rest < open) {
    // How long a SquashFS gets is known when it is written, and by then what is in front of it has been.
    const [first, second] = [partitions[rest]!.name, partitions[open]!.name];
    throw refuse(
      `${first} is to take the rest in front of ${second}, whose size only compressing can tell`,
      `Put ${first} behind ${second}, or give ${second} a size.`,
    );
  }
  const numbers = new Map<number, string>();
  for (const partition of partitions) {
    const other = numbers.get(partition.number);
    if (other !== undefined) {
      throw refuse(
        `partitions ${other} and ${partition.name} both have the number ${partition.number}`,
        `Change partitions.${partition.name}.number.`,
      );
    }
    numbers.set(partition.number, partition.name);
    checkPartition(partition, storage);
  }
  if (storage.table === "mbr") checkMbr(partitions, storage);
  else checkGpt(partitions, storage);
  baseLayers(plan);
  if (plan.overlay.resetFlag === "bootfs" && !partitions.some(({ role }) => role === "bootfs")) {
    throw refuse("overlay.resetFlag is bootfs, and no partition is", "Set it to userdata, or add partitions.bootfs.");
  }
}

/** One root at least, two at most, and one of what else imgbuild fills. */
function checkRoles({ partitions, slots }: Plan): void {
  for (const role of ["bootfs", "rootfs", "userdata"] as const) {
    const found = partitions.filter((partition) => partition.role === role);
    const names = found.map(({ name }) => name).join(" and ");
    if (role === "rootfs" && found.length === 0) {
      throw refuse(
        "the profile has no partition rootfs",
        "Add partitions.rootfs, or set a partition's role to rootfs.",
      );
    }
    if (found.length > (role === "rootfs" ? 2 : 1)) {
      throw refuse(`partitions ${names} all have the role ${role}`, `Set role to data for those that are not it.`);
    }
    if (found.length < 2) continue;
    checkSlots(found[0]!, found[1]!);
    const missing = (["bootfs", "userdata"] as const).find((other) => !partitions.some((one) => one.role === other));
    if (missing !== undefined) {
      throw refuse(
        `the slots ${names} need a partition with the role ${missing}: what switches between them is there`,
        `Add partitions.${missing}, or leave one slot out.`,
      );
    }
  }
  if (slots.environmentAt !== undefined && slots.environmentAt % SLOT_ENVIRONMENT_SIZE !== 0) {
    throw refuse(
      `slots.environmentAt is ${slots.environmentAt}, no multiple of ${SLOT_ENVIRONMENT_SIZE}`,
      `Set it to ${alignUp(slots.environmentAt, SLOT_ENVIRONMENT_SIZE)}.`,
    );
  }
}

/** Two slots take each other's images: both are squashfs, of one size, and with a hash tree or without. */
function checkSlots(first: PartitionPlan, second: PartitionPlan): void {
  const other = [first, second].find(({ filesystem }) => filesystem !== "squashfs");
  if (other !== undefined) {
    throw refuse(
      `the slot ${other.name} is ${other.filesystem}, and an update writes a squashfs`,
      `Set partitions.${other.name}.filesystem to squashfs.`,
    );
  }
  const checked = [first, second].filter((slot) => slot.filesystem === "squashfs" && slot.verity);
  if (checked.length === 1) {
    throw refuse(
      `the slot ${checked[0]!.name} has verity and the other one has not: each takes the other's images`,
      `Set partitions.${first.name}.verity and partitions.${second.name}.verity to the same.`,
    );
  }
  if (typeof first.size === "number" && first.size === second.size) return;
  throw refuse(
    `the slots ${first.name} and ${second.name} have no size in common: ${first.size} and ${second.size}`,
    `Set both to the size that the largest root to come may have: partitions.${first.name}.size and partitions.${second.name}.size.`,
  );
}

/** What only one of the loaders reads, and which kernels it can be given. */
function checkLoader(plan: Plan): void {
  const { loader, config, kernel } = plan.boot;
  const formats = KERNEL_FORMATS_OF[plan.architecture];
  if (!formats.includes(kernel)) {
    throw refuse(
      `boot.kernel is ${kernel}, which no kernel for ${plan.architecture} is`,
      `Set boot.kernel to ${formats.join(" or ")}, or change architecture.`,
    );
  }
  if (loader === "raspberrypi" && plan.architecture === "x86_64") {
    throw refuse("boot.loader is raspberrypi, and the processor x86_64", "Set boot.loader to uboot.");
  }
  if (loader === "uboot" && config.length > 0) {
    throw refuse(
      "boot.config has lines for config.txt, which boot.loader uboot does not read",
      "Set boot.loader to raspberrypi, or leave boot.config out.",
    );
  }
  const second = secondSlot(plan);
  if (loader === "raspberrypi" && second !== undefined) {
    throw refuse(
      `the slot ${second.name} could never be booted: the Raspberry Pi's firmware knows one root`,
      "Boot through U-Boot (boot.loader: uboot), or leave the second slot out.",
    );
  }
}

function checkStorage(storage: StoragePlan): void {
  const { size, sectorSize, alignment, table, gpt } = storage;
  if (size !== undefined && size % sectorSize !== 0) {
    throw refuse(
      `storage.size is ${size} bytes, which is no whole number of sectors of ${sectorSize} bytes`,
      `Set it to ${Math.floor(size / sectorSize) * sectorSize}, or to the next, ${alignUp(size, sectorSize)}.`,
    );
  }
  if (alignment === 0 || alignment % sectorSize !== 0) {
    throw refuse(
      `storage.alignment is ${alignment} bytes, which is no whole number of sectors of ${sectorSize} bytes`,
      "Set it to 4MiB, which suits every flash memory, or to another multiple.",
    );
  }
  if (table === "mbr" && gpt !== undefined) {
    throw refuse(
      "storage.gpt says how a GPT lies, and storage.table is mbr",
      "Set storage.table to gpt, or leave it out.",
    );
  }
  tableRanges(tableShape(storage), size ?? 0);
}

/** Rules of an MBR: at most four primary partitions, logical ones in one run behind each other, one active. */
function checkMbr(partitions: readonly PartitionPlan[], storage: StoragePlan): void {
  const logical = partitions.filter((partition) => isLogical(storage, partition));
  const primary = partitions.filter((partition) => !isLogical(storage, partition));
  const last = partitions.find(({ number }) => number > MBR_PARTITIONS);
  if (last !== undefined) {
    throw refuse(
      `partition ${last.name} has the number ${last.number}, and an MBR's end at ${MBR_PARTITIONS}`,
      `Set storage.table to gpt, or partitions.${last.name}.number to ${MBR_PARTITIONS} or less.`,
    );
  }
  if (logical.length > 0 && primary.length === MBR_PRIMARIES) {
    throw refuse(
      `partitions ${primary.map(({ name }) => name).join(", ")} take the four entries of the MBR, and ${logical[0]!.name}, number ${logical[0]!.number}, needs one for an extended partition`,
      `Number ${primary.at(-1)!.name} from 5 on too, or leave out the numbers.`,
    );
  }
  for (const [i, { name, number }] of logical.entries()) {
    const wanted = MBR_PRIMARIES + 1 + i;
    if (number === wanted) continue;
    throw refuse(
      `partition ${name} has the number ${number}, and logical partitions are counted by their places, from 5 on: it would be ${wanted}`,
      `Set partitions.${name}.number to ${wanted}, or leave it out.`,
    );
  }
  const first = partitions.indexOf(logical[0]!);
  const between = partitions.slice(first, first + logical.length).find((partition) => !logical.includes(partition));
  if (logical.length > 0 && between !== undefined) {
    throw refuse(
      `partition ${between.name}, number ${between.number}, lies between logical partitions, inside the extended one that holds them`,
      `Put ${between.name} in front of ${logical[0]!.name} or behind ${logical.at(-1)!.name}, or number it from 5 on.`,
    );
  }
  const gptOnly = partitions.find(
    ({ partlabel, attributes, hybrid }) => partlabel !== undefined || attributes.length > 0 || hybrid !== undefined,
  );
  if (gptOnly !== undefined) {
    const key = gptOnly.partlabel !== undefined ? "partlabel" : gptOnly.hybrid !== undefined ? "hybrid" : "attributes";
    throw refuse(
      `partitions.${gptOnly.name}.${key} is for a GPT, and storage.table is mbr`,
      "Set storage.table to gpt, or leave it out.",
    );
  }
  checkOneActive(partitions);
}

/** Rules of a GPT: room for every number, at most three partitions in a hybrid MBR. */
function checkGpt(partitions: readonly PartitionPlan[], { gpt }: StoragePlan): void {
  const room = gpt?.entries ?? GPT_ENTRIES;
  const beyond = partitions.find(({ number }) => number > room);
  if (beyond !== undefined) {
    throw refuse(
      `storage.gpt.entries is ${room}, and partition ${beyond.name} has the number ${beyond.number}`,
      `Set storage.gpt.entries to ${Math.max(...partitions.map(({ number }) => number))} or more.`,
    );
  }
  const hybrid = partitions.filter((partition) => partition.hybrid !== undefined);
  if (hybrid.length > MBR_PRIMARIES - 1) {
    throw refuse(
      `${hybrid.map(({ name }) => name).join(", ")} are to be in the hybrid MBR, which has room for ${MBR_PRIMARIES - 1}`,
      "Leave hybrid out where firmware does not need it.",
    );
  }
  checkOneActive(hybrid);
}

function checkOneActive(partitions: readonly PartitionPlan[]): void {
  const active = partitions.filter((partition) => partition.active).map(({ name }) => name);
  if (active.length < 2) return;
  throw refuse(
    `partitions ${active.join(" and ")} are both active, and an MBR has one that is`,
    `Set partitions.${active[1]}.active to false.`,
  );
}

function checkPartition(partition: PartitionPlan, storage: StoragePlan): void {
  const { name, filesystem, source, type, hybrid, attributes } = partition;
  if (RESERVED.includes(name)) throw refuse(`a partition cannot be called ${name}`, "An artifact has that name.");
  if (storage.table === "mbr") mbrType(type);
  else gptType(type);
  if (hybrid !== undefined) mbrType(hybrid);
  gptAttributes(attributes);
  checkSectors(partition, storage);
  if (filesystem === "ext4") checkExt4(partition);
  const { role } = partition;
  if (role === "data") {
    if (source !== undefined || filesystem === "ext4" || filesystem === "raw") return;
    throw refuse(
      `partition ${name} has nothing to put into its ${filesystem}`,
      `Set partitions.${name}.source to a folder or a tar.`,
    );
  }
  if (source !== undefined) {
    throw refuse(
      `partitions.${name}.source: imgbuild fills ${role} itself`,
      `Leave source out, or set partitions.${name}.role to data.`,
    );
  }
  const wanted = FILLED[role];
  if (!wanted.includes(filesystem)) {
    throw refuse(`${name} cannot be ${filesystem}`, `Set partitions.${name}.filesystem to ${wanted.join(" or ")}.`);
  }
}

/** The features and mount options of an ext4 partition, and that UserData has those which the overlay on it needs. */
function checkExt4({ name, role, blockSize, inodeSize, features: list = "", mountOptions = "" }: Ext4Partition): void {
  const parsed = <T>(key: string, parse: () => T): T => {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof ImgbuildError)) throw error;
      throw refuse(`partitions.${name}.${key}: ${error.message}`, error.hint ?? "");
    }
  };
  const features = parsed("features", () => parseFeatures(list, { blockSize, inodeSize }));
  parsed("mountOptions", () => parseMountOptions(mountOptions));
  const missing = (["filetype", "ext_attr"] as const).find((feature) => !features.has(feature));
  if (role === "userdata" && missing !== undefined) {
    throw refuse(
      `partitions.${name}.features: an overlay cannot be kept on a file system without ${missing}`,
      `Leave ${missing} switched on.`,
    );
  }
}

/** Linux mounts no file system whose blocks are smaller than the medium's sectors. A FAT is made with sectors as they are. */
function checkSectors(partition: PartitionPlan, { sectorSize }: StoragePlan): void {
  const { name, filesystem } = partition;
  if (filesystem === "ext4" && partition.blockSize < sectorSize) {
    throw refuse(
      `partition ${name} has blocks of ${partition.blockSize} bytes, smaller than the medium's sectors of ${sectorSize}: Linux cannot mount it`,
      `Set partitions.${name}.blockSize to 4KiB.`,
    );
  }
}
