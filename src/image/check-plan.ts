/** What is wrong with a plan before anything is read: rules that no single key breaks. */
import { ImgbuildError } from "../errors.js";
import { gptType, mbrType } from "../partition/index.js";
import type { PartitionPlan, Plan } from "./plan.js";

/** The partitions that imgbuild fills itself, and the file systems that what runs on the device can use there. */
const ROLES: Readonly<Record<string, readonly PartitionPlan["filesystem"][]>> = {
  bootfs: ["fat"],
  rootfs: ["squashfs", "ext4"],
  userdata: ["ext4"],
};

/** Artifacts have these names without their ending; a partition of such a name would take the file's place. */
const RESERVED = ["emmc", "boot0", "manifest"];

const MBR_PRIMARIES = 4;

function refuse(message: string, hint: string): ImgbuildError {
  return new ImgbuildError("profile-invalid", message, { hint });
}

/** Throws `profile-invalid`, or `layout-conflict` for a partition type that the table does not know. */
export function checkPlan({ partitions, storage }: Plan): void {
  if (!partitions.some(({ name }) => name === "rootfs")) {
    throw refuse("the profile has no partition rootfs", "Add partitions.rootfs.");
  }
  if (storage.table === "mbr" && partitions.length > MBR_PRIMARIES) {
    throw refuse(
      `an MBR holds ${MBR_PRIMARIES} partitions, and the profile has ${partitions.length}`,
      "Set storage.table to gpt, or leave partitions out.",
    );
  }
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
    checkPartition(partition, storage.table);
  }
}

function checkPartition({ name, filesystem, source, type }: PartitionPlan, table: "mbr" | "gpt"): void {
  if (RESERVED.includes(name)) throw refuse(`a partition cannot be called ${name}`, "An artifact has that name.");
  if (table === "mbr") mbrType(type);
  else gptType(type);
  const role = ROLES[name];
  if (role === undefined) {
    if (source !== undefined || filesystem === "ext4" || filesystem === "raw") return;
    throw refuse(
      `partition ${name} has nothing to put into its ${filesystem}`,
      `Set partitions.${name}.source to a folder or a tar.`,
    );
  }
  if (source !== undefined) {
    throw refuse(
      `partitions.${name}.source: imgbuild fills ${name} itself`,
      "Leave source out, or rename the partition.",
    );
  }
  if (!role.includes(filesystem)) {
    throw refuse(`${name} cannot be ${filesystem}`, `Set partitions.${name}.filesystem to ${role.join(" or ")}.`);
  }
}
