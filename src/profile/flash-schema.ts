/** The key `flash`: what flashing has to know of the board. */
import { z } from "zod";
import { address } from "./sizes.js";

export const flashSchema = z
  .strictObject({
    mmc: z.int().nonnegative().optional().describe("The number of the board's eMMC, as U-Boot's `mmc dev` counts."),
    uuu: z
      .strictObject({
        rom: z
          .enum(["sdp", "sdps"])
          .describe(
            "How the boot ROM takes a bootloader over USB. sdp: i.MX6, i.MX7, i.MX8M Mini and 8M. sdps: i.MX8X, i.MX8, i.MX8M Nano and Plus, i.MX9.",
          ),
        loadAddress: address(
          "Where the SPL takes the second bootloader file to, where that is a file of its own.",
        ).optional(),
        bufferAddress: address(
          "Where U-Boot has what fastboot downloads: its CONFIG_FASTBOOT_BUF_ADDR. The output uuu needs it.",
        ).optional(),
        devices: z
          .array(z.string().regex(/^(?:SDPV|FB): [-\w ]+$/, 'what follows "CFG:" in a script of uuu'))
          .default([])
          .describe("USB ids that uuu does not know: what follows CFG: in its scripts."),
      })
      .optional()
      .describe("Boards that NXP's uuu can flash over USB."),
  })
  .prefault({})
  .describe("What scripts and recipes for flashing have to know of the board.");
