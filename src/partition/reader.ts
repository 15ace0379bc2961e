/** Reads the table of a disk, whoever made it, and tells which of two tables is the one that counts. */
import { fromBytes } from "../bytes/bytestring.js";
import { crc32 } from "../bytes/checksum.js";
import type { ReadableDevice } from "../bytes/device.js";
import type { StructValues } from "../bytes/struct.js";
import { ImgbuildError } from "../errors.js";
import {
  ACTIVE,
  GPT_SIGNATURE,
  gptEntry,
  gptHeader,
  LEGACY_BOOT,
  MBR_SIGNATURE,
  mbr,
  mbrEntry,
  PROTECTIVE_TYPE,
  UNUSED_GUID,
} from "./layout.js";
import { mbrPartuuid } from "./mbr.js";
import type { SectorSize, TableKind } from "./ranges.js";

export interface Partition {
  /** From 1 on. */
  readonly number: number;
  /** Bytes. */
  readonly start: number;
  /** Bytes. */
  readonly size: number;
  /** "0x0c" in an MBR, a GUID in lower case in a GPT. */
  readonly type: string;
  /** As Linux, blkid and U-Boot print it. */
  readonly partuuid: string;
  /** GPT only, where there is one. */
  readonly name?: string;
  /** Bootable: the MBR's active flag, or the GPT's legacy boot attribute. */
  readonly active: boolean;
}

export interface PartitionTable {
  readonly kind: TableKind;
  /** The disk's signature in eight digits, or its GUID. */
  readonly id: string;
  /** Bytes. An MBR does not say; it is read as having 512. */
  readonly sectorSize: SectorSize;
  /** By number. */
  readonly partitions: readonly Partition[];
  /** What is wrong with the table though it could be read: a broken or misplaced copy, a GPT that no longer counts. */
  readonly problems: readonly string[];
}

function corrupt(message: string, offset: number): ImgbuildError {
  return new ImgbuildError("image-corrupt", `${message} (byte ${offset})`, { data: { offset } });
}

/**
 * The partition table of `device`, the whole disk. A GPT counts only when the MBR has its protective entry; without, it is
 * what is left of an earlier life of the disk. Throws an `image-corrupt` error, with the position, when there is no table
 * or none of its copies is sound.
 */
export async function readPartitionTable(device: ReadableDevice): Promise<PartitionTable> {
  if (device.size < mbr.size) throw corrupt(`a disk of ${device.size} bytes has no partition table`, 0);
  const sector = mbr.read(await device.read(0, mbr.size));
  if (sector.signature !== MBR_SIGNATURE) {
    throw corrupt("there is no partition table: 55 AA is missing at the end of sector 0", mbr.offsets.signature);
  }
  const entries = sector.entries.map((bytes) => mbrEntry.read(bytes));
  return entries.some(({ type }) => type === PROTECTIVE_TYPE) ? readGpt(device) : readMbr(device, sector, entries);
}

async function readMbr(
  device: ReadableDevice,
  sector: StructValues<typeof mbr>,
  entries: readonly StructValues<typeof mbrEntry>[],
): Promise<PartitionTable> {
  const partitions: Partition[] = [];
  for (const [i, entry] of entries.entries()) {
    if (entry.type === 0 || entry.sectors === 0) continue;
    const at = mbr.offsets.entries + i * mbrEntry.size;
    if (entry.status !== 0 && entry.status !== ACTIVE) {
      throw corrupt(`partition ${i + 1} has the status ${entry.status}, so this is no partition table`, at);
    }
    const start = entry.firstSector * 512;
    const size = entry.sectors * 512;
    if (start + size > device.size) {
      throw corrupt(`partition ${i + 1} ends at ${start + size}, and the disk at ${device.size}`, at);
    }
    partitions.push({
      number: i + 1,
      start,
      size,
      type: `0x${entry.type.toString(16).padStart(2, "0")}`,
      partuuid: mbrPartuuid(sector.diskSignature, i + 1),
      active: entry.status === ACTIVE,
    });
  }
  const stale = await findHeader(device);
  const problems =
    stale === undefined ? [] : ["a GPT without its protective MBR is left from before; it does not count"];
  return { kind: "mbr", id: sector.diskSignature.toString(16).padStart(8, "0"), sectorSize: 512, partitions, problems };
}

/** The signature alone: what lies there on a disk without a GPT, a bootloader perhaps, must not be taken for a header. */
async function hasGptSignature(device: ReadableDevice, at: number): Promise<boolean> {
  return fromBytes(await device.read(at, GPT_SIGNATURE.length)) === GPT_SIGNATURE;
}

/** The size of a sector, told from where the primary header's signature is. */
async function findHeader(device: ReadableDevice): Promise<SectorSize | undefined> {
  for (const sectorSize of [512, 4096] as const) {
    if (device.size < sectorSize + gptHeader.size) return undefined;
    if (await hasGptSignature(device, sectorSize)) return sectorSize;
  }
  return undefined;
}

interface GptCopy {
  readonly header: StructValues<typeof gptHeader>;
  readonly entries: Uint8Array;
}

/** One copy of the table. Throws an `image-corrupt` error when a checksum or a position is wrong. */
async function readCopy(device: ReadableDevice, sectorSize: SectorSize, sectorNumber: number): Promise<GptCopy> {
  const at = sectorNumber * sectorSize;
  if (sectorNumber < 1 || at + sectorSize > device.size) throw corrupt("the GPT header would be off the disk", at);
  const bytes = await device.read(at, sectorSize);
  let header: StructValues<typeof gptHeader>;
  try {
    header = gptHeader.read(bytes);
  } catch (error) {
    throw corrupt(`the GPT header is damaged: ${(error as Error).message}`, at);
  }
  if (header.signature !== GPT_SIGNATURE) throw corrupt("there is no GPT header", at);
  if (header.headerSize < gptHeader.size || header.headerSize > sectorSize) {
    throw corrupt(`the GPT header says it has ${header.headerSize} bytes`, at + gptHeader.offsets.headerSize);
  }
  bytes.fill(0, gptHeader.offsets.headerCrc, gptHeader.offsets.headerCrc + 4);
  if (crc32(bytes.subarray(0, header.headerSize)) !== header.headerCrc) {
    throw corrupt("the GPT header's checksum is wrong", at + gptHeader.offsets.headerCrc);
  }
  if (header.ownSector !== sectorNumber) {
    throw corrupt(`the GPT header says it is in sector ${header.ownSector}`, at + gptHeader.offsets.ownSector);
  }
  const length = header.entryCount * header.entrySize;
  const start = header.entriesSector * sectorSize;
  // 128 bytes and a power of two, says section 5.3.2; a million entries are more than anyone has.
  if (
    header.entrySize < gptEntry.size ||
    header.entrySize % 8 !== 0 ||
    length > 2 ** 24 ||
    start + length > device.size
  ) {
    throw corrupt("the GPT's entries are not where they could be", at + gptHeader.offsets.entriesSector);
  }
  const entries = await device.read(start, length);
  if (crc32(entries) !== header.entriesCrc) throw corrupt("the checksum of the GPT's entries is wrong", start);
  return { header, entries };
}

async function readGpt(device: ReadableDevice): Promise<PartitionTable> {
  const sectorSize = (await findHeader(device)) ?? (await findBackup(device)) ?? 512;
  const problems: string[] = [];
  const lastSector = Math.floor(device.size / sectorSize) - 1;
  let copy: GptCopy;
  try {
    copy = await readCopy(device, sectorSize, 1);
    await checkBackup(device, sectorSize, lastSector, copy, problems);
  } catch (primary) {
    if (!(primary instanceof ImgbuildError && primary.code === "image-corrupt")) throw primary;
    problems.push(`the primary GPT is broken, and its backup is used: ${primary.message}`);
    try {
      copy = await readCopy(device, sectorSize, lastSector);
    } catch {
      throw primary;
    }
  }
  const { header, entries } = copy;
  const partitions: Partition[] = [];
  for (let i = 0; i < header.entryCount; i++) {
    const at = header.entriesSector * sectorSize + i * header.entrySize;
    let entry: StructValues<typeof gptEntry>;
    try {
      entry = gptEntry.read(entries, i * header.entrySize);
    } catch (error) {
      throw corrupt(`GPT entry ${i + 1} is damaged: ${(error as Error).message}`, at);
    }
    if (entry.type === UNUSED_GUID) continue;
    const start = entry.firstSector * sectorSize;
    const size = (entry.lastSector + 1) * sectorSize - start;
    if (size <= 0 || start + size > device.size) {
      throw corrupt(`partition ${i + 1} has the sectors ${entry.firstSector} to ${entry.lastSector}`, at);
    }
    const units = entry.name.slice(0, entry.name.indexOf(0) < 0 ? undefined : entry.name.indexOf(0));
    partitions.push({
      number: i + 1,
      start,
      size,
      type: entry.type,
      partuuid: entry.guid,
      ...(units.length > 0 && { name: String.fromCharCode(...units) }),
      active: (entry.attributes & LEGACY_BOOT) !== 0n,
    });
  }
  return { kind: "gpt", id: header.diskGuid, sectorSize, partitions, problems };
}

/** The size of a sector, told from where the backup header's signature is: in the disk's last sector. */
async function findBackup(device: ReadableDevice): Promise<SectorSize | undefined> {
  for (const sectorSize of [512, 4096] as const) {
    if (device.size < 2 * sectorSize) return undefined;
    const at = (Math.floor(device.size / sectorSize) - 1) * sectorSize;
    if (await hasGptSignature(device, at)) return sectorSize;
  }
  return undefined;
}

async function checkBackup(
  device: ReadableDevice,
  sectorSize: SectorSize,
  lastSector: number,
  primary: GptCopy,
  problems: string[],
): Promise<void> {
  const { otherSector } = primary.header;
  if (otherSector !== lastSector) {
    problems.push(`the backup GPT is in sector ${otherSector}, and not in the disk's last one, ${lastSector}`);
  }
  try {
    const backup = await readCopy(device, sectorSize, otherSector);
    if (backup.header.entriesCrc !== primary.header.entriesCrc)
      problems.push("the backup GPT differs from the primary");
  } catch (error) {
    if (!(error instanceof ImgbuildError && error.code === "image-corrupt")) throw error;
    problems.push(`the backup GPT is broken: ${error.message}`);
  }
}
