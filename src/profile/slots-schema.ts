/** The key `slots`: how updates of the root fall back. */
import { z } from "zod";
import { CONFIRMATIONS } from "../image/plan.js";
import { size } from "./sizes.js";

export const slotsSchema = z
  .strictObject({
    tries: z.int().min(1).max(9).default(3).describe("How often a new root is tried before the old one is back."),
    confirm: z
      .enum(CONFIRMATIONS)
      .default("automatic")
      .describe("Who says that a new root is good. automatic: the end of its boot. manual: overlayctl confirm."),
    deadline: z
      .int()
      .min(0)
      .max(86400)
      .default(600)
      .describe("Seconds after which a new root that has not been confirmed is restarted; 0: never."),
    redundant: z
      .boolean()
      .default(false)
      .describe("Whether U-Boot was built with CONFIG_SYS_REDUNDAND_ENVIRONMENT: its environments have a flag byte."),
    environmentAt: size(
      "Where 8 KiB are that say which slot is booted: a multiple of 4KiB. Default: right in front of the first partition.",
    ).optional(),
  })
  .prefault({})
  .describe("For profiles with two partitions of the role rootfs: updates that fall back.");
