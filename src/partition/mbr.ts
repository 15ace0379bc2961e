/** The MBR's table: four primary partitions in sector 0, or three and any number of logical ones. */
import type { Device } from "../bytes/device.js";
import { conflict } from "./conflict.js";
import { MBR_ENTRIES, MBR_SIGNATURE, mbr, mbrEntry } from "./layout.js";
import { encodeExtended, encodeRecords, planLogical, recordRanges } from "./logical.js";
import { encodeMbrEntry } from "./mbr-entry.js";
import { checkNumbers, checkPlaces, type Placed, type ReservedRange, type SectorSize, tableRanges } from "./ranges.js";
import { mbrType } from "./types.js";

/** A primary partition (number 1 to 4) or a logical one (from 5 on). */
export interface MbrPartition extends Placed {
  /** A name ("fat32-lba", "linux", "raw"), a number, or a number's text ("0x0c"). */
  readonly type: string | number;
  /** Bootable: where firmware looks for what it boots. U-Boot takes the first such partition for the one with boot.scr. */
  readonly active?: boolean;
  /**
   * Of a logical partition: where its extended boot record lies, in bytes, behind the logical partition before it. Default:
   * in the sector in front of the partition.
   */
  readonly recordAt?: number | undefined;
}

export interface MbrOptions {
  /** 32 bits, the "disk id" from which PARTUUIDs are made. Not 0, which means none. */
  readonly signature: number;
  readonly sectorSize?: SectorSize;
  readonly partitions: readonly MbrPartition[];
  /** The number of the extended partition, when there are logical ones. Default: the last that is free of 1 to 4. */
  readonly extended?: number;
}

/** As many as sfdisk and fdisk know: Linux itself reads more. */
export const MBR_PARTITIONS = 60;
const MAX_SECTOR = 2 ** 32 - 1;

/**
 * Writes the table into sector 0 of `device`, the whole disk, and the records of logical partitions in front of them; the
 * 440 bytes of boot code in sector 0 become zero. Throws a `layout-conflict` error for partitions that the table cannot
 * hold, or that overlap, before anything is written.
 */
export async function writeMbr(device: Device, options: MbrOptions): Promise<void> {
  const { signature, sectorSize = 512, partitions } = options;
  checkNumbers("mbr", partitions, MBR_PARTITIONS, "Use fewer partitions, or a GPT.");
  const primary = partitions.filter(({ number }) => number <= MBR_ENTRIES);
  const table = tableRanges({ kind: "mbr", sectorSize }, device.size);
  const logical = planLogical(partitions, sectorSize, options.extended);
  if (logical === undefined) {
    checkPlaces(primary, table, device.size, sectorSize);
  } else {
    const { extended, chain } = logical;
    checkNumbers("mbr", [...primary, extended], MBR_ENTRIES, `The extended partition is one of 1 to ${MBR_ENTRIES}.`);
    const around: ReservedRange = {
      what: `the extended partition ${extended.number}, from the first logical partition to the last`,
      start: extended.start,
      end: extended.start + extended.size,
    };
    checkPlaces(primary, [...table, around], device.size, sectorSize);
    const inside = chain.map(({ partition }) => partition);
    checkPlaces(inside, [...table, ...recordRanges(logical, sectorSize)], device.size, sectorSize);
  }
  checkReach(partitions, sectorSize);
  checkActive(partitions);
  const entries: Uint8Array[] = new Array(MBR_ENTRIES).fill(new Uint8Array(mbrEntry.size));
  for (const { number, start, size, type, active } of primary) {
    entries[number - 1] = encodeMbrEntry({
      type: mbrType(type),
      firstSector: start / sectorSize,
      sectors: size / sectorSize,
      active,
    });
  }
  const records = logical === undefined ? [] : [...encodeRecords(logical, sectorSize)];
  if (logical !== undefined) entries[logical.extended.number - 1] = encodeExtended(logical, sectorSize);
  for (const { at, bytes } of records) await device.write(at, bytes);
  await device.write(0, mbr.encode({ diskSignature: signature, entries, signature: MBR_SIGNATURE }));
}

/** Where a partition of an MBR ends at the latest, in bytes: its entry counts sectors in 32 bits. */
export function mbrReach(sectorSize: SectorSize): number {
  return (MAX_SECTOR + 1) * sectorSize;
}

function checkReach(partitions: readonly MbrPartition[], sectorSize: SectorSize): void {
  const reach = mbrReach(sectorSize);
  const beyond = partitions.find(({ start, size }) => start + size > reach || size / sectorSize > MAX_SECTOR);
  if (beyond === undefined) return;
  const { number, start, size } = beyond;
  throw conflict(
    `partition ${number} ends at byte ${start + size}, and an MBR table reaches to ${reach}`,
    "Use a GPT.",
    { number, start, size },
  );
}

/** Throws a `layout-conflict` error when more than one entry of an MBR is active. */
export function checkActive(partitions: readonly { readonly number: number; readonly active?: boolean }[]): void {
  const active = partitions.filter((partition) => partition.active).map(({ number }) => number);
  if (active.length < 2) return;
  throw conflict(
    `partitions ${active.join(" and ")} are both active, and firmware boots from one`,
    "Leave one of them active.",
    { partitions: active },
  );
}

/** The PARTUUID of a partition: what `root=PARTUUID=` and U-Boot's `part uuid` use. */
export function mbrPartuuid(signature: number, number: number): string {
  return `${signature.toString(16).padStart(8, "0")}-${number.toString(16).padStart(2, "0")}`;
}
