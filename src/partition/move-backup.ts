/** Moving the backup of a GPT to the end of a disk that is longer than the one the table was made for. */
import { crc32 } from "../bytes/checksum.js";
import type { Device } from "../bytes/device.js";
import { alignUp } from "../bytes/size.js";
import { gptHeader, mbr, mbrEntry, PROTECTIVE_TYPE } from "./layout.js";
import type { SectorSize } from "./ranges.js";
import { type GptCopy, isSound, lastSectorOf, readCopy } from "./read-gpt.js";

/**
 * Puts the backup of the GPT on `device` into the disk's last sectors, and lets the primary header and the protective MBR
 * tell of them: the table is then as if it had been made for this disk (UEFI Specification 2.10, sections 5.2.3 and 5.3.2).
 * What lies outside of it is left alone, but for the header of the backup as it was, which becomes zeros.
 *
 * Returns how many bytes partitions may use more than before: 0 where the backup is at the end already, and undefined where
 * there is no GPT whose primary copy is sound, or its partitions reach to where the backup has to go.
 */
export async function moveGptBackup(device: Device): Promise<number | undefined> {
  const primary = await soundPrimary(device);
  if (primary === undefined) return undefined;
  const { sectorSize, header, entries } = primary;
  const lastSector = lastSectorOf(device, sectorSize);
  if (header.otherSector === lastSector) return 0;
  const back = new Uint8Array(alignUp(entries.length, sectorSize) + sectorSize);
  const backupEntries = lastSector + 1 - back.length / sectorSize;
  const lastUsable = backupEntries - 1;
  // A disk that is shorter than the image: what is there already would be cut.
  if (lastUsable < header.lastUsable) return undefined;

  const encoded = async (ownSector: number, otherSector: number, entriesSector: number) => {
    // A header may be longer than its known fields; what follows them is kept.
    const sector = await device.read(sectorSize, sectorSize);
    const values = { ...header, ownSector, otherSector, entriesSector, lastUsable, headerCrc: 0 };
    gptHeader.write(sector, 0, values);
    gptHeader.write(sector, 0, { ...values, headerCrc: crc32(sector.subarray(0, header.headerSize)) });
    return sector;
  };
  back.set(entries);
  back.set(await encoded(lastSector, 1, backupEntries), back.length - sectorSize);
  const front = await encoded(1, lastSector, header.entriesSector);
  // The new backup before the primary that names it, and only then the old one goes: there is a sound table at any time.
  await device.write(backupEntries * sectorSize, back);
  await device.write(sectorSize, front);
  const before = header.otherSector * sectorSize;
  if (header.otherSector > header.lastUsable && before < backupEntries * sectorSize) {
    await device.zero(before, sectorSize);
  }
  await coverDisk(device, lastSector);
  return (lastUsable - header.lastUsable) * sectorSize;
}

async function soundPrimary(device: Device): Promise<GptCopy | undefined> {
  for (const sectorSize of [512, 4096] satisfies SectorSize[]) {
    const copy = await readCopy(device, sectorSize, 1);
    if (isSound(copy)) return copy;
  }
  return undefined;
}

/** Lets the protective entry cover the disk. A hybrid MBR's ends in front of the first partition that it lists, and stays. */
async function coverDisk(device: Device, lastSector: number): Promise<void> {
  const sector = await device.read(0, mbr.size);
  const { entries } = mbr.read(sector);
  const used = entries.filter((entry) => mbrEntry.read(entry).type !== 0);
  const index = entries.findIndex((entry) => mbrEntry.read(entry).type === PROTECTIVE_TYPE);
  if (index < 0 || used.length > 1) return;
  const at = mbr.offsets.entries + index * mbrEntry.size;
  mbrEntry.write(sector, at, { ...mbrEntry.read(sector, at), sectors: Math.min(lastSector, 2 ** 32 - 1) });
  await device.write(0, sector);
}
