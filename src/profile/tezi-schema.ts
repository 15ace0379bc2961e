/** The key `tezi`: what the Toradex Easy Installer is told besides what the rest of the profile says. */
import { z } from "zod";
import { TEZI_COMPRESSIONS } from "../image/plan.js";

/** One line, as the installer shows it. */
const line = (what: string) =>
  z
    .string()
    .min(1)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    .regex(/^[^\x00-\x1f\x7f]*$/, "one line, without control characters")
    .optional()
    .describe(what);

const productId = z
  .string()
  .regex(/^[0-9]{4}$/, "a product number of four digits, in quotes: its zeros in front count");

const file = (what: string) => z.string().optional().describe(`${what} A file, beside the profile.`);

export const teziSchema = z
  .strictObject({
    productIds: z
      .array(productId)
      .min(1)
      .describe("Modules that the image is for, by product number: the installer offers it on no other."),
    name: line("What the installer lists it as. Default: the description."),
    version: line("Shown beside the name."),
    releaseDate: z.iso.date("a date such as 2026-01-31").optional().describe("Shown with it: 2026-01-31."),
    autoinstall: z
      .boolean()
      .default(false)
      .describe("Installs without asking as soon as the installer sees the image."),
    device: z
      .string()
      .regex(/^[a-z0-9]+$/, "a device's name in /dev")
      .default("mmcblk0")
      .describe("The module's eMMC as the installer's kernel names it: mmcblk0, or emmc where its number differs."),
    compression: z
      .enum(TEZI_COMPRESSIONS)
      .default("none")
      .describe("Of the archives with BootFS and UserData. Kernels and a SquashFS are compressed as they are."),
    bootloader: z
      .record(z.string(), z.record(z.string(), z.array(productId).min(1)))
      .default({})
      .describe(
        "Bootloader files of which some modules need another: {FILE: {OTHER: [product numbers], ...}}, for all modules.",
      ),
    environment: file("U-Boot's environment from then on, the whole of it: KEY=VALUE lines."),
    prepareScript: file("A shell script that the installer runs before it writes anything."),
    wrapupScript: file("A shell script that the installer runs when all is written."),
    errorScript: file("A shell script that the installer runs when it fails."),
    icon: file("A PNG of 40 by 40 pixels for the list."),
    marketing: file("A tar of pictures to be shown meanwhile."),
    license: file("A licence in HTML or text, to be agreed to first."),
    licenseTitle: line("Title of the licence."),
    releaseNotes: file("Release notes in HTML or text."),
  })
  .describe("For the outputs tezi and tezi.tar: what the Toradex Easy Installer is told.");
