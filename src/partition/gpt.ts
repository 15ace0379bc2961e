/** The GUID partition table: a protective MBR, a header, 128 entries, and header and entries once more at the disk's end. */
import { crc32 } from "../bytes/checksum.js";
import type { Device } from "../bytes/device.js";
import {
  GPT_ENTRIES,
  GPT_NAME_UNITS,
  GPT_REVISION,
  GPT_SIGNATURE,
  gptEntry,
  gptHeader,
  LEGACY_BOOT,
  MBR_SIGNATURE,
  mbr,
  PROTECTIVE_TYPE,
} from "./layout.js";
import { encodeMbrEntry } from "./mbr.js";
import { checkPlaces, conflict, type Placed, type SectorSize, tableRanges } from "./ranges.js";
import { gptType } from "./types.js";

export interface GptPartition extends Placed {
  /** A name ("basic-data", "linux", "esp") or a GUID. */
  readonly type: string | number;
  /** The partition's own: its PARTUUID. */
  readonly guid: string;
  /** At most 36 UTF-16 units. */
  readonly name?: string;
  /** The 64 attribute bits, beside the one that `active` sets. */
  readonly attributes?: bigint;
  /** The "legacy BIOS bootable" attribute, which U-Boot takes for bootable. */
  readonly active?: boolean;
}

export interface GptOptions {
  readonly diskGuid: string;
  readonly sectorSize?: SectorSize;
  readonly partitions: readonly GptPartition[];
}

function nameUnits({ number, name = "" }: GptPartition): number[] {
  if (name.length > GPT_NAME_UNITS || name.includes("\0")) {
    throw conflict(
      `the name of partition ${number}, "${name}", does not fit into ${GPT_NAME_UNITS} UTF-16 units`,
      "Use a shorter one.",
      { number, name },
    );
  }
  return Array.from({ length: name.length }, (_, i) => name.charCodeAt(i));
}

/**
 * Writes both copies of the table onto `device`, the whole disk. Throws a `layout-conflict` error for partitions that it
 * cannot hold, or that overlap.
 */
export async function writeGpt(device: Device, options: GptOptions): Promise<void> {
  const { diskGuid, sectorSize = 512, partitions } = options;
  const ranges = tableRanges("gpt", device.size, sectorSize);
  const [head, tail] = [ranges[0]!, ranges[1]!];
  if (tail.start < head.end) {
    throw conflict(
      `a disk of ${device.size} bytes has no room for a GPT, which takes ${head.end + tail.end - tail.start} bytes`,
      "Make the disk larger.",
      { size: device.size },
    );
  }
  checkPlaces("gpt", partitions, device.size, sectorSize, GPT_ENTRIES);
  const guids = new Map<string, number>();
  const entries = new Uint8Array(head.end - 2 * sectorSize);
  for (const partition of partitions) {
    const { number, start, size, type, guid, attributes = 0n, active = false } = partition;
    const twin = guids.get(guid.toLowerCase());
    if (twin !== undefined) {
      throw conflict(`partitions ${twin} and ${number} have the same GUID, ${guid}`, "Give each its own.", {
        partitions: [twin, number],
        guid,
      });
    }
    guids.set(guid.toLowerCase(), number);
    gptEntry.write(entries, (number - 1) * gptEntry.size, {
      type: gptType(type),
      guid,
      firstSector: start / sectorSize,
      lastSector: (start + size) / sectorSize - 1,
      attributes: active ? attributes | LEGACY_BOOT : attributes,
      name: nameUnits(partition),
    });
  }

  const lastSector = device.size / sectorSize - 1;
  const header = (ownSector: number, otherSector: number, entriesSector: number) => {
    const values = {
      signature: GPT_SIGNATURE,
      revision: GPT_REVISION,
      headerSize: gptHeader.size,
      ownSector,
      otherSector,
      firstUsable: head.end / sectorSize,
      lastUsable: tail.start / sectorSize - 1,
      diskGuid,
      entriesSector,
      entryCount: GPT_ENTRIES,
      entrySize: gptEntry.size,
      entriesCrc: crc32(entries.subarray(0, GPT_ENTRIES * gptEntry.size)),
    };
    return gptHeader.encode({ ...values, headerCrc: crc32(gptHeader.encode(values)) });
  };
  const front = new Uint8Array(head.end);
  // As much of the disk as 32 bits can say, whatever the sector's size.
  const covered = Math.min(lastSector, 2 ** 32 - 1);
  const protective = encodeMbrEntry(PROTECTIVE_TYPE, 1, covered, false);
  protective.set([0x00, 0x02, 0x00], 1); // The specification's CHS of sector 1: this entry is not for firmware.
  mbr.write(front, 0, { entries: [protective], signature: MBR_SIGNATURE });
  front.set(header(1, lastSector, 2), sectorSize);
  front.set(entries, 2 * sectorSize);
  const back = new Uint8Array(tail.end - tail.start);
  back.set(entries);
  back.set(header(lastSector, 1, tail.start / sectorSize), entries.length);
  await device.write(0, front);
  await device.write(tail.start, back);
}
