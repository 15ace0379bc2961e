/** The key `boot`: what is on BootFS, and what the kernel is started with. */
import { z } from "zod";
import { BOOT_LOADERS, KERNEL_FORMATS } from "../image/plan.js";

export const bootSchema = z
  .strictObject({
    loader: z
      .enum(BOOT_LOADERS)
      .default("uboot")
      .describe(
        "Who loads the kernel from BootFS: U-Boot, by a boot.scr; or the Raspberry Pi's firmware, by config.txt and cmdline.txt.",
      ),
    config: z
      .array(z.string().regex(/^[\x20-\x7e]*$/, "one line of ASCII"))
      .default([])
      .describe("With the loader raspberrypi: more lines of config.txt."),
    kernel: z.enum(KERNEL_FORMATS).describe("The kernel's name and format on BootFS."),
    kernelFile: z
      .string()
      .optional()
      .describe("The boot file that is the kernel. Default: the one that looks like it."),
    deviceTrees: z.array(z.string()).default([]).describe("The board's device trees; * and ? stand for characters."),
    defaultDeviceTree: z.string().optional().describe("The one to use where U-Boot's environment names none."),
    console: z.string().describe("Kernel console: ttymxc0,115200."),
    arguments: z.array(z.string()).default([]).describe("More kernel arguments."),
    initramfs: z.string().default("auto").describe("auto: built where the kernel needs one; none; or a file."),
    drivers: z
      .array(z.string())
      .default([])
      .describe("Kernel modules that the board's storage needs, if not built in."),
    optionalDrivers: z
      .array(z.string())
      .default([])
      .describe("Kernel modules that are loaded with them where the kernel has them."),
    busybox: z.string().optional().describe("A static busybox for the initramfs. Default: the root's own."),
    files: z
      .array(z.string())
      .default([])
      .describe(
        "More boot files that go onto BootFS. With * and ?, all that match, which may be none; overlays/*.dtbo keeps the folder.",
      ),
  })
  .describe("The kernel, what it is started with, and what else is on BootFS.");
