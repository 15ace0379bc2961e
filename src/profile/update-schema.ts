/** The key `update`: what the bundles of RAUC and SWUpdate say of the device. */
import { z } from "zod";

/** What stands between quotes in both programs' files without being escaped. */
const word = (what: string) =>
  z
    .string()
    .regex(/^[\w .+:@-]+$/, "letters, digits, blanks and . + : @ _ -")
    .optional()
    .describe(what);

export const updateSchema = z
  .strictObject({
    device: z
      .string()
      .regex(/^\/dev\/[\w./-]+$/, "a path in /dev")
      .optional()
      .describe(
        "The disk's partitions in /dev on the device, without their number: /dev/mmcblk0p. Default: by flash.mmc.",
      ),
    version: word("The version of what is built."),
    compatible: word("The device that it is for: what RAUC compares. Default: the profile's name."),
    hardware: word("What SWUpdate compares with the revision in /etc/hwrevision. Default: 1.0."),
    certificate: z
      .string()
      .optional()
      .describe("The certificate that bundles are signed with. A PEM file, beside the profile."),
    key: z.string().optional().describe("Its key. A PEM file, beside the profile; imgbuild keeps only its path."),
  })
  .prefault({})
  .describe("For the outputs rauc and swupdate: what their bundles say of the device.");
