/** What Linux knows about a block device, from sysfs: what it is. Other hosts tell none of it. */
import * as fs from "node:fs";
import * as path from "node:path";
import { attribute, HOST, type HostPaths, type Uses, usesOfDevice } from "./device-uses.js";

export interface BlockDevice {
  /** The kernel's: "sda", "mmcblk0p1". */
  readonly name: string;
  /** For people: "Generic SD Card Reader (USB)". */
  readonly description: string;
  /** The disk that it is a partition of; undefined for a whole disk. */
  readonly partitionOf: string | undefined;
  /** An eMMC's boot partition: a disk of its own, that only a bootloader goes into. */
  readonly isBootPartition: boolean;
  readonly readOnly: boolean;
  readonly removable: boolean;
  /** In bytes: what the device reads and writes at least. */
  readonly logicalBlockSize: number;
  /** A file of sysfs that says whether an eMMC's boot partition is locked, where there is one. */
  readonly lock: string | undefined;
  /** Who uses it, or a part of it. */
  readonly uses: Uses;
}

/** The device with that number; undefined on a host that does not tell. */
export function blockDevice(number: string, host: HostPaths = HOST): BlockDevice | undefined {
  const link = path.join(host.sys, "dev/block", number);
  if (!fs.existsSync(link)) return undefined;
  const folder = fs.realpathSync(link);
  const isPartition = fs.existsSync(path.join(folder, "partition"));
  const disk = isPartition ? path.dirname(folder) : folder;
  const lock = path.join(folder, "force_ro");
  return {
    name: path.basename(folder),
    description: descriptionOf(disk),
    partitionOf: isPartition ? path.basename(disk) : undefined,
    isBootPartition: /^mmcblk\d+boot\d$/.test(path.basename(folder)),
    readOnly: attribute(folder, "ro") === "1",
    removable: attribute(disk, "removable") === "1",
    logicalBlockSize: Number(attribute(disk, "queue/logical_block_size") ?? 512),
    lock: fs.existsSync(lock) ? lock : undefined,
    uses: usesOfDevice(folder, host),
  };
}

/** In bytes, of the device with that number; undefined on a host that does not tell. The kernel counts it in 512 bytes, whatever the blocks are. */
export function lengthOfDevice(number: string, host: HostPaths = HOST): number | undefined {
  const sectors = attribute(path.join(host.sys, "dev/block", number), "size");
  return sectors === undefined ? undefined : Number(sectors) * 512;
}

function descriptionOf(disk: string): string {
  const names = ["device/vendor", "device/model", "device/name"].map((name) => attribute(disk, name));
  const backing = attribute(disk, "loop/backing_file");
  const bus = /\/usb\d/.test(disk) ? "USB" : attribute(disk, "device/type");
  const words = [...names.filter((name) => name !== undefined && name !== ""), ...(backing ? [`file ${backing}`] : [])];
  const kind = bus !== undefined && /^[A-Z]+$/.test(bus) ? ` (${bus})` : "";
  return `${words.length > 0 ? words.join(" ") : "a device without a name"}${kind}`;
}
