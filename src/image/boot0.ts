/** The eMMC's boot partition 0: bootloader files at their offsets. */
import type { Device } from "../bytes/device.js";
import { alignUp } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { largestText } from "./capacity.js";
import { sizeText } from "./claims.js";
import { copyContent } from "./copy-content.js";
import type { Plan } from "./plan.js";
import type { Prepared } from "./prepare.js";

/** An eMMC's boot partitions are multiples of this. JEDEC JESD84-B51, BOOT_SIZE_MULT. */
const BOOT_SIZE_UNIT = 2 ** 17;

/**
 * The length in bytes of the content of the eMMC's boot partition 0, or undefined when the board keeps its own. It ends with
 * the last file's last sector: whatever the length of a board's boot0, nothing is written to what lies at its end.
 *
 * Throws `layout-conflict` when files overlap, `does-not-fit` when one reaches boot0's end or what is reserved there.
 */
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
  const { size, reservedEnd } = plan.bootloader;
  const room = Math.max(0, size - reservedEnd);
  const length = alignUp(end, 512);
  if (length <= room) return length;
  const largest = files
    .map((file) => ({ path: file.file, bytes: file.end - file.start }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 10);
  const remedy = `bootloader.size=${sizeText(alignUp(length + reservedEnd, BOOT_SIZE_UNIT))}`;
  throw new ImgbuildError(
    "does-not-fit",
    `the bootloader needs ${length} bytes of boot0, ${length - room} more than the ${room} there are: ${files.at(-1)!.file} ends at ${end}, and bootloader.reservedEnd keeps the last ${reservedEnd} of its ${size} free`,
    {
      hint: `Set ${remedy} if the board's eMMC has it, or the offsets in bootloader.files to less.${largestText(largest)}`,
      data: { name: "boot0", needed: length, available: room, over: length - room, remedy, largest },
    },
  );
}

/** Writes the bootloader files onto `device` as they lie in boot0. */
export async function writeBoot0(device: Device, plan: Plan, prepared: Prepared): Promise<void> {
  for (const { file, offset } of plan.bootloader!.files)
    await copyContent(device, offset, prepared.bootloader.get(file)!);
}
