/** The key `emulator`: the machine in QEMU. */
import { z } from "zod";
import { EMULATED_MACHINES } from "../image/plan.js";
import { size } from "./sizes.js";

export const emulatorSchema = z
  .strictObject({
    machine: z.enum(EMULATED_MACHINES).describe("QEMU's name of it."),
    memory: size("The machine's memory.").prefault("512MiB"),
    storage: z.enum(["sd-card", "virtio-blk"]).describe("How the image is attached to it."),
    controller: z
      .int()
      .nonnegative()
      .optional()
      .describe("With sd-card: the machine's SD controller that the card is in, from 0. Default: QEMU's choice."),
    boot: z.enum(["kernel", "uboot"]).describe("Whether QEMU loads the kernel, or U-Boot does."),
    serial: z.int().nonnegative().default(0).describe("The serial port that is the console."),
    deviceTree: z.string().optional().describe("The device tree on BootFS to boot with."),
    enable: z.array(z.string()).default([]).describe("Device tree nodes to switch on for the machine's storage."),
    console: z.string().optional().describe("The console's name in this machine, where it is another."),
  })
  .optional()
  .describe("The machine that `imgbuild boot` emulates.");
