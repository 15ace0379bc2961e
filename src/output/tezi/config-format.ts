/**
 * config_format, by which an installer refuses what is newer than itself. The pages "Configuration Files" of the installer say which
 * version understands which format, and the history of toradex/qt-tezi (config.h) what came in between.
 */
import type { TeziContent, TeziImage } from "./image-json.js";

/** Version 1.4, of 2018: environment, GPT, erase, extended attributes in archives. Earlier ones are not looked into. */
const LEAST = 2;

/** The least format whose installers know all that `image` uses, for a module with a 32 or 64 bit processor. */
export function configFormat(image: Omit<TeziImage, "config_format">, architecture: string): number {
  const contents = image.blockdevs.flatMap(({ content, partitions = [] }) =>
    [content, ...partitions.map((partition) => partition.content)].filter((one) => one !== undefined),
  );
  const isGpt = ({ table_type }: { table_type?: string }) => table_type === "gpt";
  const needed: readonly (readonly [used: boolean, format: number])[] = [
    // 2.0b3: Zstandard; and 1.8, which has no format of its own: error_script.
    [image.error_script !== undefined || contents.some(hasZstd), 3],
    // 2.0b6: an environment on an i.MX8 that is the image's, and not the installer's own; the flag of a GPT for what is active.
    [image.u_boot_env !== undefined && architecture === "arm64", 4],
    [image.blockdevs.some((device) => isGpt(device) && device.partitions?.some(({ active }) => active === true)), 4],
    // 5.6; 5.3, which has no format of its own: the eMMC as "emmc", whatever its number.
    [image.blockdevs.some(({ name }) => name.startsWith("emmc")), 5],
  ];
  return Math.max(LEAST, ...needed.filter(([used]) => used).map(([, format]) => format));
}

const hasZstd = ({ filename, rawfiles = [] }: TeziContent) =>
  [filename, ...rawfiles.map((raw) => raw.filename)].some((name) => name?.endsWith(".zst"));
