/** What must not be written, and why. Each refusal says what to do instead. */
import * as fs from "node:fs";
import * as path from "node:path";
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { BOOT0_KEPT } from "../image/plan.js";
import { BOOT0 } from "../output/artifacts.js";
import type { BlockDevice } from "./block-device.js";
import type { Uses } from "./device-uses.js";
import type { ImageContent } from "./image-content.js";

/** What of an image decides where it may go. */
export interface ImageFacts extends ImageContent {
  /** In bytes. */
  readonly size: number;
}

const refused = (message: string, hint: string, data: Record<string, unknown> = {}) =>
  new ImgbuildError("device-refused", message, { hint, data });

/** Throws `device-refused` for what something uses. Not to be forced: it would be broken under the user's feet. */
export function checkUnused(file: string, { all, system }: Uses): void {
  if (system.length > 0) {
    throw refused(
      `${file} holds the running system: ${system.join(", ")}`,
      "Is it the right device? `lsblk` lists all of them, with what is on them.",
      { device: file, uses: all },
    );
  }
  if (all.length > 0) {
    throw refused(
      `${file} is in use: ${all.join(", ")}`,
      "If it is the right one, end all of that first: umount FOLDER, swapoff DEVICE, losetup --detach DEVICE.",
      { device: file, uses: all },
    );
  }
}

/** Throws `source-unsupported` for what is no image, wherever it may go. `--force` leaves this check out. */
export function checkContent({ path, compressed, foreign, fileSystem, hasTable, isBoot0 }: ImageContent): void {
  const force = "If it is meant to be written as it is, say --force.";
  const what = compressed ? `what ${path} decompresses to` : path;
  if (foreign !== undefined) {
    throw new ImgbuildError(
      "source-unsupported",
      `${what} is ${foreign.name}, and no image of a disk or a file system`,
      {
        hint: `${foreign.hint} ${force}`,
      },
    );
  }
  if (fileSystem !== undefined || hasTable || isBoot0) return;
  throw new ImgbuildError(
    "source-unsupported",
    `${what} has neither a partition table nor a file system that is known here`,
    {
      hint: `Disks with an MBR or a GPT are taken, SquashFS, ext2, ext3, ext4, FAT, and ${BOOT0}. ${force}`,
    },
  );
}

/**
 * Throws `device-refused` where the image is not one for such a device: a disk's for a partition, a bootloader's for a disk, another
 * size of sectors. `--force` leaves this check out.
 */
export function checkSuits(file: string, device: BlockDevice, image: ImageFacts): void {
  const force = "If it is meant so, say --force.";
  const { name, partitionOf, isBootPartition, logicalBlockSize } = device;
  if (image.isBoot0 !== isBootPartition) {
    throw refused(
      image.isBoot0
        ? `${image.path} is for an eMMC's boot partition, and ${file} is none`
        : `${file} is an eMMC's boot partition, and ${image.path} is not for one`,
      `${image.isBoot0 ? "The boot partition is called like /dev/mmcblk0boot0." : `The eMMC itself is /dev/${name.replace(/boot\d$/, "")}.`} ${force}`,
      { device: file },
    );
  }
  if (image.isBoot0) return;
  if (image.hasTable && partitionOf !== undefined) {
    throw refused(
      `${file} is a partition of ${partitionOf}, and ${image.path} is an image of a whole disk`,
      `The whole disk is /dev/${partitionOf}. ${force}`,
      { device: file, disk: partitionOf },
    );
  }
  if (!image.hasTable && partitionOf === undefined) {
    throw refused(
      `${file} is a whole disk, and ${image.path} has no partition table`,
      `A single file system goes onto a partition; \`lsblk ${file}\` lists them. ${force}`,
      { device: file },
    );
  }
  if (image.sectorSize !== undefined && image.sectorSize !== logicalBlockSize) {
    throw refused(
      `${file} has sectors of ${logicalBlockSize} bytes, and the GPT of ${image.path} is for sectors of ${image.sectorSize}: it would not be found`,
      `Build the image with --set storage.sectorSize=${logicalBlockSize}. ${force}`,
      { device: file, sectorSize: logicalBlockSize },
    );
  }
}

/** Throws `device-refused` for what nothing can be flashed onto: a folder, a pipe, on Linux a device that is no disk. */
export function checkKind(file: string): void {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  // Other hosts have disks as character devices.
  const isDisk = stat?.isBlockDevice() || (process.platform !== "linux" && stat?.isCharacterDevice());
  if (stat === undefined || stat.isFile() || isDisk) return;
  throw refused(
    `${file} is ${stat.isDirectory() ? "a folder" : "no block device"}`,
    "`lsblk` lists the devices. A file of a device's length will do too: truncate -s 4G FILE.",
  );
}

/** Of which partition it is by the name that the output partitions gives it: data.ext4, data.ext4.zst. */
const nameOfPartition = (file: string) => path.basename(file).replace(/\..*/, "");

/** Throws `does-not-fit`, with by how much. `device`: undefined for a file, and on a host that does not tell. */
export function checkLength(file: string, size: number, device: BlockDevice | undefined, image: ImageFacts): void {
  // Whatever goes there, forced or not: what is lost at its end is the module's own, and nobody has it a second time.
  const isBoot0 = image.isBoot0 || device?.isBootPartition === true;
  const needed = image.size + (isBoot0 ? BOOT0_KEPT : 0);
  if (needed <= size) return;
  const kept = isBoot0 ? `, with ${BOOT0_KEPT} bytes at the end that are not the image's` : "";
  const buildFor = image.hasTable
    ? `a larger medium, or build the image for this one: --set storage.size=${size}`
    : `a larger partition, or build the file system for this one: --set partitions.${nameOfPartition(image.path)}.size=${size}`;
  throw new ImgbuildError(
    "does-not-fit",
    `${file} is too small: it has ${size} bytes (${formatSize(size)}), and ${image.path} needs ${needed} (${formatSize(needed)})${kept}: ${needed - size} bytes more`,
    {
      hint: isBoot0
        ? "Use a shorter bootloader: the environment and the module's identity are behind it."
        : `Use ${buildFor}.`,
      data: { device: file, size, needed, over: needed - size },
    },
  );
}
