/** What the bundles of update programs have to know: the new root, and where it goes. */
import { ImgbuildError } from "../errors.js";
import type { Plan } from "../image/plan.js";
import type { BuiltImage } from "./output.js";

/** What the root is called in a bundle. */
export const ROOT_FILE = "rootfs.squashfs";

export interface UpdateSlot {
  /** A path in /dev on the device. */
  readonly device: string;
  /** The partition's number as root_part has it: in hexadecimal. */
  readonly rootPart: string;
}

/** The slots in their order: one, or A and B. Throws `profile-invalid` where nothing says what they are called on the device. */
export function updateSlots({ profile, partitions, update, flash }: Plan, output: string): UpdateSlot[] {
  const invalid = (message: string, hint: string) =>
    new ImgbuildError("profile-invalid", `the output ${output} cannot be made for ${profile}: ${message}`, { hint });
  const prefix = update.device ?? (flash.mmc === undefined ? undefined : `/dev/mmcblk${flash.mmc}p`);
  if (prefix === undefined) {
    throw invalid("nothing says what its disk is called in /dev", "Set update.device: /dev/mmcblk0p, /dev/vda.");
  }
  const roots = partitions.filter(({ role }) => role === "rootfs");
  const other = roots.find(({ filesystem }) => filesystem !== "squashfs");
  if (other !== undefined) throw invalid(`its ${other.name} is no squashfs`, "Leave the output out.");
  if (roots.some((partition) => partition.filesystem === "squashfs" && partition.verity)) {
    throw invalid(
      "the boot script would have to be told the new root's root hash, which no bundle does",
      "Update with overlayctl in two slots, or leave verity or the output out.",
    );
  }
  return roots.map(({ number }) => ({ device: `${prefix}${number}`, rootPart: number.toString(16) }));
}

/** The version that a bundle says. */
export const updateVersion = ({ update }: Plan): string => update.version ?? "0";

/** Tells that nobody has given a version: of bundles that all have the same one, update programs do not know which is newer. */
export function noteVersion({ plan, options }: BuiltImage, file: string): void {
  if (plan.update.version !== undefined) return;
  options.observer?.notice?.(`${file} says version ${updateVersion(plan)}: set update.version`);
}

/** Where the root lies that was built: the file system, and what belongs to it. In bytes. */
export function rootPlace({ assembled }: BuiltImage): { start: number; size: number } {
  const { start, used } = assembled.partitions.find(({ partition, used }) => partition.role === "rootfs" && used > 0)!;
  return { start, size: used };
}
