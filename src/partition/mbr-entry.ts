/** One of the MBR's entries of 16 bytes, as the MBR, an extended boot record and a GPT's protective MBR have them. */
import { ACTIVE, mbrEntry } from "./layout.js";

/** As far as three bytes of cylinder, head and sector reach; beyond, every partition says this. */
const LAST_CHS = Uint8Array.of(0xfe, 0xff, 0xff);

/** Cylinder, head and sector as old firmware wants them, for a disk of 255 heads and 63 sectors. */
function chs(sector: number): Uint8Array {
  const cylinder = Math.floor(sector / (255 * 63));
  if (cylinder > 1023) return LAST_CHS;
  const head = Math.floor(sector / 63) % 255;
  return Uint8Array.of(head, ((cylinder >> 8) << 6) | ((sector % 63) + 1), cylinder & 0xff);
}

export interface MbrEntry {
  readonly type: number;
  /** From the disk's start. */
  readonly firstSector: number;
  readonly sectors: number;
  readonly active?: boolean | undefined;
  /** The sector from which the entry counts: 0, but for what an extended boot record holds. */
  readonly countedFrom?: number;
}

/** The 16 bytes of an entry. The cylinders are counted from the disk's start in every case, as sfdisk does. */
export function encodeMbrEntry({ type, firstSector, sectors, active, countedFrom = 0 }: MbrEntry): Uint8Array {
  return mbrEntry.encode({
    status: active ? ACTIVE : 0,
    firstChs: chs(firstSector),
    type,
    lastChs: chs(firstSector + sectors - 1),
    firstSector: firstSector - countedFrom,
    sectors,
  });
}
