/** The key `storage`: the medium, and its partition table. */
import { z } from "zod";
import { size } from "./sizes.js";

export const storageSchema = z
  .strictObject({
    size: size("Length of the board's user area; partitions that take the rest reach to its end.").optional(),
    table: z.enum(["mbr", "gpt"]).describe("The kind of partition table."),
    sectorSize: z
      .union([z.literal(512), z.literal(4096)])
      .default(512)
      .describe("Bytes in a sector of the medium: 512 on eMMC and SD cards, 4096 on UFS and some disks."),
    alignment: size("Every partition without an offset begins at a multiple of this, which is whole sectors.").prefault(
      "4MiB",
    ),
    gpt: z
      .strictObject({
        entries: z
          .int()
          .min(4)
          .max(128)
          .optional()
          .describe("For how many partitions there is room. Fewer than 128 leave room for a bootloader behind them."),
        entriesAt: size(
          "Where the entries begin. Default: in sector 2. Further back, a bootloader fits between header and entries.",
        ).optional(),
      })
      .optional()
      .describe("How a GPT lies on the medium."),
    reserved: z
      .array(
        z.strictObject({
          name: z.string().min(1).describe("What it is, for messages."),
          start: size("Where it begins, in bytes from the medium's start."),
          size: size("Its length."),
        }),
      )
      .prefault([])
      .describe(
        "Stretches of the user area that nothing may touch: an environment, calibration, another's bootloader.",
      ),
  })
  .describe("The medium that the image is for, and its partition table.");
