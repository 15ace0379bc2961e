/** The GUID partition table: a protective MBR, a header, the entries, and header and entries once more at the disk's end. */
import { crc32 } from "../bytes/checksum.js";
import type { Device } from "../bytes/device.js";
import { gptAttributes, LEGACY_BOOT } from "./attributes.js";
import { conflict } from "./conflict.js";
import {
  GPT_ENTRIES,
  GPT_NAME_UNITS,
  GPT_REVISION,
  GPT_SIGNATURE,
  gptEntry,
  gptHeader,
  MBR_ENTRIES,
  MBR_SIGNATURE,
  mbr,
  PROTECTIVE_TYPE,
} from "./layout.js";
import { checkActive } from "./mbr.js";
import { encodeMbrEntry } from "./mbr-entry.js";
import { checkNumbers, checkPlaces, type Placed, type SectorSize, tableRanges } from "./ranges.js";
import { gptType, mbrType } from "./types.js";

export interface GptPartition extends Placed {
  /** A name ("basic-data", "linux", "esp") or a GUID. */
  readonly type: string | number;
  /** The partition's own: its PARTUUID. */
  readonly guid: string;
  /** At most 36 UTF-16 units. */
  readonly name?: string;
  /** Names or numbers of attribute bits, beside the one that `active` sets. */
  readonly attributes?: readonly (string | number)[] | undefined;
  /** The "legacy BIOS bootable" attribute, which U-Boot takes for bootable. */
  readonly active?: boolean;
  /**
   * The type of the partition's entry in the MBR, for firmware that reads no GPT. With it the MBR is a hybrid one; at most
   * three partitions can have it.
   */
  readonly hybrid?: string | number | undefined;
}

export interface GptOptions {
  readonly diskGuid: string;
  readonly sectorSize?: SectorSize;
  readonly partitions: readonly GptPartition[];
  /** For how many partitions there is room, 4 to 128. Default: 128. */
  readonly entryCount?: number | undefined;
  /** Where the entries begin, in bytes. Default: sector 2. */
  readonly entriesAt?: number | undefined;
}

/**
 * Writes both copies of the table onto `device`, the whole disk, and nothing between them. Throws a `layout-conflict` error
 * for partitions that it cannot hold, or that overlap, before anything is written.
 */
export async function writeGpt(device: Device, options: GptOptions): Promise<void> {
  const { diskGuid, sectorSize = 512, partitions, entryCount = GPT_ENTRIES, entriesAt = 2 * sectorSize } = options;
  const ranges = tableRanges({ kind: "gpt", ...options }, device.size);
  const [head, tail] = [ranges.at(-2)!, ranges.at(-1)!];
  if (tail.start < head.end) {
    throw conflict(
      `a disk of ${device.size} bytes has no room for a GPT, which takes ${head.end + tail.end - tail.start} bytes`,
      "Make the disk larger.",
      { size: device.size },
    );
  }
  checkNumbers("gpt", partitions, entryCount, "Make room for more, up to 128, or use fewer partitions.");
  // Only what lies behind the entries is the partitions', even if the entries were moved.
  checkPlaces(partitions, [{ ...head, start: 0 }, tail], device.size, sectorSize);
  const entries = encodeEntries(partitions, tail.end - tail.start - sectorSize, sectorSize);
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
      entryCount,
      entrySize: gptEntry.size,
      entriesCrc: crc32(entries.subarray(0, entryCount * gptEntry.size)),
    };
    return gptHeader.encode({ ...values, headerCrc: crc32(gptHeader.encode(values)) });
  };
  const front = new Uint8Array(2 * sectorSize);
  mbr.write(front, 0, { entries: mbrEntries(partitions, lastSector, sectorSize), signature: MBR_SIGNATURE });
  front.set(header(1, lastSector, entriesAt / sectorSize), sectorSize);
  const back = new Uint8Array(tail.end - tail.start);
  back.set(entries);
  back.set(header(lastSector, 1, tail.start / sectorSize), entries.length);
  await device.write(0, front);
  await device.write(entriesAt, entries);
  await device.write(tail.start, back);
}

/** The entries, `length` bytes. */
function encodeEntries(partitions: readonly GptPartition[], length: number, sectorSize: SectorSize): Uint8Array {
  const guids = new Map<string, number>();
  const entries = new Uint8Array(length);
  for (const partition of partitions) {
    const { number, start, size, type, guid, attributes = [], active = false } = partition;
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
      attributes: gptAttributes(attributes) | (active ? LEGACY_BOOT : 0n),
      name: nameUnits(partition),
    });
  }
  return entries;
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
 * The MBR's entries: the protective one over the whole disk (section 5.2.3), or, in a hybrid MBR, over what lies in front of
 * the first partition that is listed too. It comes first: Linux and U-Boot look for one that begins at sector 1.
 */
function mbrEntries(partitions: readonly GptPartition[], lastSector: number, sectorSize: SectorSize): Uint8Array[] {
  const hybrid = partitions.filter((partition) => partition.hybrid !== undefined).sort((a, b) => a.number - b.number);
  if (hybrid.length > MBR_ENTRIES - 1) {
    throw conflict(
      `${hybrid.map(nameOf).join(", ")} are to be in the hybrid MBR, which has ${MBR_ENTRIES - 1} entries beside the protective one`,
      "List only those that firmware without a GPT has to find.",
      { partitions: hybrid.map(({ number }) => number) },
    );
  }
  checkActive(hybrid);
  const first = Math.min(lastSector + 1, ...hybrid.map(({ start }) => start / sectorSize));
  // As much of the disk as 32 bits can say, whatever the sector's size.
  const protective = encodeMbrEntry({
    type: PROTECTIVE_TYPE,
    firstSector: 1,
    sectors: Math.min(first - 1, 2 ** 32 - 1),
  });
  protective.set([0x00, 0x02, 0x00], 1); // The specification's CHS of sector 1: this entry is not for firmware.
  return [protective, ...hybrid.map((partition) => hybridEntry(partition, sectorSize))];
}

/** "partition 2 (rootfs)" */
const nameOf = ({ number, name = "" }: GptPartition) => `partition ${number}${name === "" ? "" : ` (${name})`}`;

function hybridEntry(partition: GptPartition, sectorSize: SectorSize): Uint8Array {
  const { number, start, size, hybrid, active } = partition;
  if ((start + size) / sectorSize > 2 ** 32) {
    throw conflict(
      `${nameOf(partition)} ends at byte ${start + size}, and the hybrid MBR reaches to ${2 ** 32 * sectorSize}`,
      "Leave it out of the hybrid MBR, or place it further to the front.",
      { number, start, size, ...(partition.name && { name: partition.name }) },
    );
  }
  return encodeMbrEntry({
    type: mbrType(hybrid!),
    firstSector: start / sectorSize,
    sectors: size / sectorSize,
    active,
  });
}
