/** Disk images with partition tables, and what other programs say about them. */
import * as fs from "node:fs";
import * as path from "node:path";
import type { TestContext } from "node:test";
import type { Device } from "../../src/bytes/device.js";
import { FileDevice, FileReader } from "../../src/bytes/file-device.js";
import { seededUuid } from "../../src/host.js";
import { type PartitionTable, type ReadTableOptions, readPartitionTable } from "../../src/partition/index.js";
import { run, temporaryFolder } from "../support/tools.js";

export const MiB = 2 ** 20;
export const GiB = 2 ** 30;
export const DISK = seededUuid("test", "disk");
export const guid = (number: number): string => seededUuid("test", "partition", `${number}`);

/** A disk image of `size` bytes, zeros but for what `write` writes. */
export async function makeDisk(
  t: TestContext,
  size: number,
  write: (device: Device) => Promise<void> = async () => {},
): Promise<string> {
  const image = path.join(temporaryFolder(t), "disk.img");
  const device = new FileDevice(image, size);
  try {
    await write(device);
  } finally {
    device.close();
  }
  return image;
}

export async function readTable(image: string, options?: ReadTableOptions): Promise<PartitionTable> {
  const device = new FileReader(image);
  try {
    return await readPartitionTable(device, options);
  } finally {
    device.close();
  }
}

export function readBytes(image: string, at: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const fd = fs.openSync(image, "r");
  fs.readSync(fd, bytes, 0, length, at);
  fs.closeSync(fd);
  return bytes;
}

export interface SfdiskTable {
  label: string;
  id: string;
  firstlba?: number;
  lastlba?: number;
  sectorsize: number;
  partitions: {
    node: string;
    start: number;
    size: number;
    type: string;
    uuid?: string;
    name?: string;
    bootable?: boolean;
    attrs?: string;
  }[];
}

/** What sfdisk reads. `image` may be a device too. */
export const sfdisk = (image: string): SfdiskTable => JSON.parse(run("sfdisk", ["-J", image])).partitiontable;

/** The table that sfdisk makes of a script. */
export const sfdiskMakes = (image: string, ...script: readonly string[]): string =>
  run("sfdisk", ["--quiet", image], { input: Buffer.from([...script, ""].join("\n")) });

export interface PartedPartition {
  readonly number: number;
  readonly start: number;
  readonly size: number;
  readonly name: string;
  readonly flags: readonly string[];
}

/** What parted reads, in bytes: its terse form has a line for the disk and one a partition. */
export function parted(image: string): { label: string; sectorSize: number; partitions: PartedPartition[] } {
  const [, disk, ...lines] = run("parted", ["--script", "--machine", image, "unit", "B", "print"]).trim().split("\n");
  const fields = disk!.split(":");
  return {
    label: fields[5]!,
    sectorSize: Number(fields[3]),
    partitions: lines.map((line) => {
      const [number, start, , size, , name, flags] = line.replace(/;$/, "").split(":");
      return {
        number: Number(number),
        start: Number.parseInt(start!, 10),
        size: Number.parseInt(size!, 10),
        name: name!,
        flags: flags === "" ? [] : flags!.split(", "),
      };
    }),
  };
}
