/** The MBR's table: four primary partitions in sector 0. */
import type { Device } from "../bytes/device.js";
import { ACTIVE, MBR_ENTRIES, MBR_SIGNATURE, mbr, mbrEntry } from "./layout.js";
import { checkPlaces, conflict, type Placed, type SectorSize } from "./ranges.js";
import { mbrType } from "./types.js";

export interface MbrPartition extends Placed {
  /** A name ("fat32-lba", "linux", "raw"), a number, or a number's text ("0x0c"). */
  readonly type: string | number;
  /** Bootable: where firmware looks for what it boots. U-Boot takes the first such partition for the one with boot.scr. */
  readonly active?: boolean;
}

export interface MbrOptions {
  /** 32 bits, the "disk id" from which PARTUUIDs are made. Not 0, which means none. */
  readonly signature: number;
  readonly sectorSize?: SectorSize;
  readonly partitions: readonly MbrPartition[];
}

const MAX_SECTOR = 2 ** 32 - 1;
/** As far as three bytes of cylinder, head and sector reach; beyond, every partition says this. */
const LAST_CHS = Uint8Array.of(0xfe, 0xff, 0xff);

/** Cylinder, head and sector as old firmware wants them, for a disk of 255 heads and 63 sectors. */
function chs(sector: number): Uint8Array {
  const cylinder = Math.floor(sector / (255 * 63));
  if (cylinder > 1023) return LAST_CHS;
  const head = Math.floor(sector / 63) % 255;
  return Uint8Array.of(head, ((cylinder >> 8) << 6) | ((sector % 63) + 1), cylinder & 0xff);
}

/** The 16 bytes of an entry. */
export function encodeMbrEntry(type: number, firstSector: number, sectors: number, active: boolean): Uint8Array {
  return mbrEntry.encode({
    status: active ? ACTIVE : 0,
    firstChs: chs(firstSector),
    type,
    lastChs: chs(firstSector + sectors - 1),
    firstSector,
    sectors,
  });
}

/**
 * Writes the table into sector 0 of `device`, the whole disk; the 440 bytes of boot code before it become zero. Throws a
 * `layout-conflict` error for partitions that the table cannot hold, or that overlap.
 */
export async function writeMbr(device: Device, options: MbrOptions): Promise<void> {
  const { signature, sectorSize = 512, partitions } = options;
  checkPlaces("mbr", partitions, device.size, sectorSize, MBR_ENTRIES);
  const entries: Uint8Array[] = new Array(MBR_ENTRIES).fill(new Uint8Array(mbrEntry.size));
  for (const { number, start, size, type, active = false } of partitions) {
    const first = start / sectorSize;
    const sectors = size / sectorSize;
    if (first + sectors - 1 > MAX_SECTOR || sectors > MAX_SECTOR) {
      throw conflict(
        `partition ${number} ends at byte ${start + size}, and an MBR table reaches to ${(MAX_SECTOR + 1) * sectorSize}`,
        "Use a GPT.",
        { number, start, size },
      );
    }
    entries[number - 1] = encodeMbrEntry(mbrType(type), first, sectors, active);
  }
  const active = partitions.filter((partition) => partition.active);
  if (active.length > 1) {
    throw conflict(
      `partitions ${active.map(({ number }) => number).join(" and ")} are both active, and firmware boots from one`,
      "Leave one of them active.",
      { partitions: active.map(({ number }) => number) },
    );
  }
  await device.write(0, mbr.encode({ diskSignature: signature, entries, signature: MBR_SIGNATURE }));
}

/** The PARTUUID of a partition: what `root=PARTUUID=` and U-Boot's `part uuid` use. */
export function mbrPartuuid(signature: number, number: number): string {
  return `${signature.toString(16).padStart(8, "0")}-${number.toString(16).padStart(2, "0")}`;
}
