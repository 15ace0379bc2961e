/** Tables in memory, to be damaged: bytes are changed, and a GPT's checksums made right again where the test is not about them. */
import { crc32 } from "node:zlib";
import { MemoryDevice } from "../../src/bytes/device.js";
import {
  type GptOptions,
  type GptPartition,
  type MbrPartition,
  writeGpt,
  writeMbr,
} from "../../src/partition/index.js";
import { DISK, guid, MiB } from "./disk.js";

export const SIZE = 8 * MiB;
export const LAST = SIZE / 512 - 1;

export const PARTITIONS: readonly GptPartition[] = [
  { number: 1, start: MiB, size: MiB, type: "linux", guid: guid(1), name: "root" },
  { number: 2, start: 3 * MiB, size: MiB, type: "linux", guid: guid(2), name: "data" },
];

export async function gptInMemory(options: Partial<GptOptions> = {}): Promise<MemoryDevice> {
  const device = new MemoryDevice(SIZE);
  await writeGpt(device, { diskGuid: DISK, partitions: PARTITIONS, ...options });
  return device;
}

/** One primary and three logical partitions. */
export const LOGICAL: readonly MbrPartition[] = [
  { number: 1, start: MiB, size: MiB, type: "linux" },
  { number: 5, start: 3 * MiB, size: MiB / 2, type: "linux" },
  { number: 6, start: 4 * MiB, size: MiB / 2, type: "linux" },
  { number: 7, start: 5 * MiB, size: MiB / 2, type: "linux" },
];

export async function mbrInMemory(): Promise<MemoryDevice> {
  const device = new MemoryDevice(SIZE);
  await writeMbr(device, { signature: 7, partitions: LOGICAL });
  return device;
}

/** Changes bytes of both copies of a GPT: of their headers, and of their entries, each from its own start. */
export function change(
  device: MemoryDevice,
  part: "header" | "entries",
  at: number,
  ...values: readonly number[]
): MemoryDevice {
  for (const copy of [512, LAST * 512]) {
    const view = new DataView(device.bytes.buffer);
    const start = part === "header" ? copy : Number(view.getBigUint64(copy + 72, true)) * 512;
    device.bytes.set(values, start + at);
  }
  return mend(device);
}

/** Makes the checksums of both copies right. */
export function mend(device: MemoryDevice): MemoryDevice {
  const view = new DataView(device.bytes.buffer, device.bytes.byteOffset, device.bytes.byteLength);
  for (const copy of [512, device.size - 512]) {
    const start = Number(view.getBigUint64(copy + 72, true)) * 512;
    const length = view.getUint32(copy + 80, true) * view.getUint32(copy + 84, true);
    if (start + length <= device.size)
      view.setUint32(copy + 88, crc32(device.bytes.subarray(start, start + length)), true);
    view.setUint32(copy + 16, 0, true);
    view.setUint32(copy + 16, crc32(device.bytes.subarray(copy, copy + view.getUint32(copy + 12, true))), true);
  }
  return device;
}

/** A number as it is stored. */
export const le32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
export const le64 = (value: number): number[] => [...le32(value), ...le32(Math.floor(value / 2 ** 32))];
