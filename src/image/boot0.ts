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
