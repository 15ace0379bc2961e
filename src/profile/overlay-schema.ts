/** The key `overlay`: what can be written on the device. */
import { z } from "zod";
import { NEW_ROOT_POLICIES, RESET_FLAGS } from "../image/plan.js";

export const overlaySchema = z
  .strictObject({
    paths: z
      .array(z.string().startsWith("/"))
      .default(["/home/root"])
      .describe("Paths with an upper layer on UserData, or / alone: the whole root, with the read-only one at /rom."),
    volatile: z
      .array(z.string().startsWith("/"))
      .default([])
      .describe("Paths that are writable in memory; nothing of it outlives a boot."),
    newRoot: z
      .enum(NEW_ROOT_POLICIES)
      .default("keep")
      .describe(
        "What becomes of what was written when another root comes under it. keep: it stays, and hides what is new. reset: it goes. refresh: copies that nobody edited go.",
      ),
    keep: z
      .array(z.string().startsWith("/"))
      .default([])
      .describe(
        "Files that a factory reset carries over, by absolute paths; * ? and [ ] as the shell has them, so that * leaves out names with a dot in front. A folder is kept with all that is in it.",
      ),
    resetFlag: z
      .enum(RESET_FLAGS)
      .default("userdata")
      .describe(
        "Where a file factory-reset asks for a factory reset: on userdata; or on bootfs too, which is mounted at every boot to look.",
      ),
    layers: z
      .array(
        z.strictObject({
          path: z.string().startsWith("/").describe("The folder that the layer lies over; what it holds is in there."),
          from: z
            .string()
            .describe(
              "userdata:FILE, a SquashFS on UserData; partition:NAME, of this profile; or LABEL=, UUID=, PARTLABEL=, PARTUUID= as the device's mount knows them.",
            ),
        }),
      )
      .default([])
      .describe(
        "Layers between the root and what is written, later ones above. Where no overlay is at their path, they are read-only. One that is missing is left out.",
      ),
    grow: z
      .boolean()
      .default(true)
      .describe(
        "At the first boot UserData grows to the end of the medium, where nothing lies behind it and the root has sfdisk, partx and resize2fs.",
      ),
  })
  .prefault({})
  .describe("What of the read-only root can be written on the device, and what becomes of what was written.");
