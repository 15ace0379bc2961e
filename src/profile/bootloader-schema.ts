/** The key `bootloader`: what lies outside of the partitions, and where. */
import { z } from "zod";
import { BOOT0_KEPT } from "../image/plan.js";
import { size } from "./sizes.js";

/** As long as an eMMC's boot partition can be: 255 units of 128 KiB. JEDEC JESD84-B51, BOOT_SIZE_MULT. */
const MAX_BOOT_PARTITION = `${255 * 128}KiB`;

const bootloaderFile = z
  .strictObject({
    file: z.string().describe("The file's name in the bootloader folder."),
    sector: z.int().nonnegative().optional().describe("Where it goes, in sectors of 512 bytes from the area's start."),
    offset: size("Where it goes, in bytes from the area's start.").optional(),
  })
  .refine(({ sector, offset }) => (sector === undefined) !== (offset === undefined), {
    message: "needs either sector or offset",
  })
  .transform(({ file, sector, offset }) => ({ file, offset: offset ?? sector! * 512 }));

export const bootloaderSchema = z
  .strictObject({
    area: z.enum(["boot0", "user"]).describe("The eMMC's boot partition 0, or the user area."),
    size: size("Length of the eMMC's boot partition 0. Default: as long as one can be.").prefault(MAX_BOOT_PARTITION),
    reservedEnd: size(
      `With boot0: how much at its end no file may reach, because the board keeps an environment or its identity there. At least ${BOOT0_KEPT}.`,
    ).prefault(BOOT0_KEPT),
    optional: z
      .boolean()
      .default(false)
      .describe(
        "The board has one elsewhere: an image without it makes sense. In the user area, flashing it may overwrite one that is there.",
      ),
    files: z.array(bootloaderFile).min(1).describe("The files of the bootloader, and where each goes."),
  })
  .refine(({ area, reservedEnd }) => area !== "boot0" || reservedEnd >= BOOT0_KEPT, {
    path: ["reservedEnd"],
    message: `needs ${BOOT0_KEPT} or more: U-Boot's environment and the module's identity are at the end of boot0`,
  })
  .optional()
  .describe(
    "What runs before the kernel and lies outside of the partitions. Boards without the key have none of ours.",
  );
