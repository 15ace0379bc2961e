/** Reads a GPT: the primary copy, or the backup where that is broken, and holds the two against each other. */
import { fromBytes } from "../bytes/bytestring.js";
import { crc32 } from "../bytes/checksum.js";
import type { ReadableDevice } from "../bytes/device.js";
import type { StructValues } from "../bytes/struct.js";
import { attributeNames, LEGACY_BOOT } from "./attributes.js";
import { GPT_SIGNATURE, gptEntry, gptHeader, UNUSED_GUID } from "./layout.js";
import type { SectorSize } from "./ranges.js";
import { checkPartitions, type GptFacts, type Located, type Partition, type Problems } from "./table.js";

type Header = StructValues<typeof gptHeader>;

/** One sound copy of the table: its checksums are right, and it is where it says. */
export interface GptCopy {
  readonly sectorSize: SectorSize;
  readonly header: Header;
  readonly entries: Uint8Array;
}

/** Why there is no sound copy at a place. */
export interface NoCopy {
  readonly message: string;
  readonly offset: number;
  /** Whether there is at least the signature of a header. */
  readonly signature: boolean;
  /** The header, where that is right and its entries are not. */
  readonly header?: Header;
}

/** 32,768 entries of the usual size: more than anyone has, and little enough to read. */
const MOST_ENTRY_BYTES = 2 ** 22;

const hex = (crc: number) => `0x${crc.toString(16).padStart(8, "0")}`;
export const lastSectorOf = (device: ReadableDevice, sectorSize: SectorSize): number =>
  Math.floor(device.size / sectorSize) - 1;

/** The copy whose header is in sector `sector`, or why there is none. */
export async function readCopy(
  device: ReadableDevice,
  sectorSize: SectorSize,
  sector: number,
): Promise<GptCopy | NoCopy> {
  const at = sector * sectorSize;
  const none = (message: string, offset = at, signature = true, header?: Header): NoCopy => ({
    message,
    offset,
    signature,
    ...(header && { header }),
  });
  if (sector < 1 || at + sectorSize > device.size) {
    return none(`a GPT header would have to be in sector ${sector}, which the disk does not have`, at, false);
  }
  const bytes = await device.read(at, sectorSize);
  if (fromBytes(bytes.subarray(0, GPT_SIGNATURE.length)) !== GPT_SIGNATURE) {
    return none(`there is no GPT header in sector ${sector}`, at, false);
  }
  let header: Header;
  try {
    header = gptHeader.read(bytes);
  } catch (error) {
    return none(`the GPT header in sector ${sector} is damaged: ${(error as Error).message}`);
  }
  const { offsets } = gptHeader;
  if (header.headerSize < gptHeader.size || header.headerSize > sectorSize) {
    return none(`the GPT header in sector ${sector} says it has ${header.headerSize} bytes`, at + offsets.headerSize);
  }
  bytes.fill(0, offsets.headerCrc, offsets.headerCrc + 4);
  const headerCrc = crc32(bytes.subarray(0, header.headerSize));
  if (headerCrc !== header.headerCrc) {
    return none(
      `the checksum of the GPT header in sector ${sector} is wrong: it says ${hex(header.headerCrc)}, its bytes have ${hex(headerCrc)}`,
      at + offsets.headerCrc,
    );
  }
  if (header.ownSector !== sector) {
    return none(`the GPT header in sector ${sector} says it is in sector ${header.ownSector}`, at + offsets.ownSector);
  }
  const length = header.entryCount * header.entrySize;
  const start = header.entriesSector * sectorSize;
  // Section 5.3.2: 128 bytes times a power of two.
  if (header.entrySize < gptEntry.size || !Number.isInteger(Math.log2(header.entrySize))) {
    return none(`the GPT's entries would have ${header.entrySize} bytes each`, at + offsets.entrySize);
  }
  if (length > MOST_ENTRY_BYTES || start + length > device.size) {
    return none(
      `the GPT's ${header.entryCount} entries would be at bytes ${start} to ${start + length}: too many, or off the disk`,
      at + offsets.entriesSector,
    );
  }
  const entries = await device.read(start, length);
  const entriesCrc = crc32(entries);
  if (entriesCrc !== header.entriesCrc) {
    return none(
      `the checksum of the GPT's entries is wrong: the header in sector ${sector} says ${hex(header.entriesCrc)}, they have ${hex(entriesCrc)}`,
      start,
      true,
      header,
    );
  }
  return { sectorSize, header, entries };
}

export const isSound = (copy: GptCopy | NoCopy): copy is GptCopy => "entries" in copy;

/** The partitions of a copy. What is wrong with them, and with the header's own numbers, goes to `problems`. */
export function readEntries(device: ReadableDevice, copy: GptCopy, problems: Problems): Partition[] {
  const { sectorSize, header, entries } = copy;
  checkHeader(device, copy, problems);
  const located: Located[] = [];
  const partitions: Partition[] = [];
  const guids = new Map<string, number>();
  for (let i = 0; i < header.entryCount; i++) {
    const offset = header.entriesSector * sectorSize + i * header.entrySize;
    const number = i + 1;
    const what = `partition ${number}`;
    let entry: StructValues<typeof gptEntry>;
    try {
      entry = gptEntry.read(entries, i * header.entrySize);
    } catch (error) {
      problems.error(`the entry of ${what} is damaged: ${(error as Error).message}`, offset);
      continue;
    }
    if (entry.type === UNUSED_GUID) continue;
    const { firstSector, lastSector } = entry;
    if (lastSector < firstSector) {
      problems.error(`${what} ends in sector ${lastSector}, before it begins in ${firstSector}`, offset);
      continue;
    }
    if (firstSector < header.firstUsable || lastSector > header.lastUsable) {
      problems.error(
        `${what} has the sectors ${firstSector} to ${lastSector}, and partitions may use ${header.firstUsable} to ${header.lastUsable}`,
        offset + gptEntry.offsets.firstSector,
      );
    }
    const twin = guids.get(entry.guid);
    if (twin !== undefined)
      problems.error(`partitions ${twin} and ${number} have the same GUID, ${entry.guid}`, offset);
    guids.set(entry.guid, number);
    const end = entry.name.indexOf(0);
    const units = end < 0 ? entry.name : entry.name.slice(0, end);
    const partition = {
      number,
      start: firstSector * sectorSize,
      size: (lastSector + 1 - firstSector) * sectorSize,
      type: entry.type,
      partuuid: entry.guid,
      ...(units.length > 0 && { name: String.fromCharCode(...units) }),
      active: (entry.attributes & LEGACY_BOOT) !== 0n,
      attributes: attributeNames(entry.attributes),
    };
    partitions.push(partition);
    located.push({ what, partition, offset });
  }
  checkPartitions(located, device.size, problems);
  return partitions;
}

/** Reports what the header says of the disk and that is not so. Linux refuses a table whose usable sectors leave the disk. */
function checkHeader(device: ReadableDevice, { sectorSize, header }: GptCopy, problems: Problems): void {
  const at = (field: keyof typeof gptHeader.offsets) => header.ownSector * sectorSize + gptHeader.offsets[field];
  const { firstUsable, lastUsable, entriesSector, entryCount, entrySize } = header;
  const lastSector = lastSectorOf(device, sectorSize);
  const entriesEnd = entriesSector + Math.ceil((entryCount * entrySize) / sectorSize);
  if (firstUsable > lastUsable) {
    problems.error(
      `the GPT lets partitions use the sectors ${firstUsable} to ${lastUsable}, which is none`,
      at("firstUsable"),
    );
  } else if (lastUsable > lastSector) {
    problems.error(
      `the GPT lets partitions use the sectors up to ${lastUsable}, and the disk ends with ${lastSector}: it is ${(lastUsable - lastSector) * sectorSize} bytes or more too short`,
      at("lastUsable"),
    );
  }
  if (entriesSector <= header.ownSector && header.ownSector < entriesEnd) {
    problems.error("the GPT's entries lie over its header", at("entriesSector"));
  } else if (entriesSector < 2 || (entriesSector <= lastUsable && firstUsable < entriesEnd)) {
    problems.error(
      `the GPT's entries are in the sectors ${entriesSector} to ${entriesEnd - 1}, where ${entriesSector < 2 ? "the MBR and the header are" : "partitions may be"}`,
      at("entriesSector"),
    );
  }
  if (entrySize !== gptEntry.size) {
    problems.error(
      `the GPT's entries have ${entrySize} bytes each: Linux reads only those of ${gptEntry.size}`,
      at("entrySize"),
    );
  }
}

/** Reports how the backup of a sound primary copy falls short. */
export async function checkBackup(device: ReadableDevice, primary: GptCopy, problems: Problems): Promise<void> {
  const { sectorSize, header } = primary;
  const lastSector = lastSectorOf(device, sectorSize);
  if (header.otherSector !== lastSector) {
    problems.warning(
      `the backup GPT is in sector ${header.otherSector}, and not in the disk's last one, ${lastSector}; sgdisk --move-second-header moves it`,
      sectorSize + gptHeader.offsets.otherSector,
    );
  }
  const backup = await readCopy(device, sectorSize, header.otherSector);
  if (!isSound(backup)) {
    problems.error(`the backup GPT is ${backup.signature ? "broken" : "missing"}: ${backup.message}`, backup.offset);
    return;
  }
  const at = header.otherSector * sectorSize;
  const { offsets } = gptHeader;
  if (backup.header.otherSector !== header.ownSector) {
    problems.error(
      `the backup GPT says that the primary is in sector ${backup.header.otherSector}`,
      at + offsets.otherSector,
    );
  }
  for (const field of ["diskGuid", "firstUsable", "lastUsable", "entryCount", "entriesCrc"] as const) {
    if (backup.header[field] === header[field]) continue;
    problems.error(`the backup GPT differs from the primary: its ${field} is another`, at + offsets[field]);
  }
}

/** Where the parts of a copy are. */
export function gptFacts({ sectorSize, header }: GptCopy): GptFacts {
  return {
    copy: header.ownSector === 1 ? "primary" : "backup",
    entryCount: header.entryCount,
    entriesAt: header.entriesSector * sectorSize,
    firstUsable: header.firstUsable * sectorSize,
    usableEnd: (header.lastUsable + 1) * sectorSize,
  };
}
