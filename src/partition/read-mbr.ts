/** Reads an MBR's table and the chain of records behind an extended partition. */
import type { ReadableDevice } from "../bytes/device.js";
import type { StructValues } from "../bytes/struct.js";
import { ACTIVE, EXTENDED_TYPES, MBR_ENTRIES, MBR_SIGNATURE, mbr, mbrEntry, PROTECTIVE_TYPE } from "./layout.js";
import { mbrPartuuid } from "./mbr.js";
import type { Placed, SectorSize } from "./ranges.js";
import { checkPartitions, corrupt, type Located, type Partition, type PartitionTable, type Problems } from "./table.js";

export type Sector0 = StructValues<typeof mbr>;
export type MbrEntryValues = StructValues<typeof mbrEntry>;

/** Linux gives up after 256 partitions of a disk (DISK_MAX_PARTS): a longer chain is nobody's. */
const MOST_RECORDS = 256;

export const entryAt = (index: number): number => mbr.offsets.entries + index * mbrEntry.size;
export const mbrEntries = (sector: Sector0): MbrEntryValues[] => sector.entries.map((bytes) => mbrEntry.read(bytes));
export const typeText = (type: number): string => `0x${type.toString(16).padStart(2, "0")}`;

/** Throws an `image-corrupt` error when sector 0 is the start of something else that ends in 55 AA: a file system, a program. */
export function checkStatus(device: ReadableDevice, entries: readonly MbrEntryValues[]): void {
  const odd = entries.findIndex(({ status }) => status !== 0 && status !== ACTIVE);
  if (odd < 0) return;
  throw corrupt(
    `there is no partition table: entry ${odd + 1} of sector 0 has the status ${entries[odd]!.status}, so that the disk of ${device.size} bytes rather holds a single file system`,
    entryAt(odd),
  );
}

/** Reads the table of sector 0, which has been read, and the logical partitions. */
export async function readMbr(
  device: ReadableDevice,
  sector: Sector0,
  sectorSize: SectorSize,
  problems: Problems,
): Promise<PartitionTable> {
  const partitions: Partition[] = [];
  const extended: Partition[] = [];
  const located: Located[] = [];
  const describe = (entry: MbrEntryValues, number: number, base: number): Partition => ({
    number,
    start: (base + entry.firstSector) * sectorSize,
    size: entry.sectors * sectorSize,
    type: typeText(entry.type),
    partuuid: mbrPartuuid(sector.diskSignature, number),
    active: entry.status === ACTIVE,
  });
  for (const [i, entry] of mbrEntries(sector).entries()) {
    if (entry.sectors === 0) continue;
    const isExtended = EXTENDED_TYPES.includes(entry.type);
    const partition = describe(entry, i + 1, 0);
    (isExtended ? extended : partitions).push(partition);
    located.push({ what: `${isExtended ? "the extended " : ""}partition ${i + 1}`, partition, offset: entryAt(i) });
    if (entry.type === 0) reportTypeless(`partition ${i + 1}`, entryAt(i), problems);
    if (entry.firstSector === 0) problems.error(`partition ${i + 1} lies over the MBR itself`, entryAt(i));
    if (entry.type === PROTECTIVE_TYPE) {
      problems.error(
        `partition ${i + 1} has a GPT's protective type, 0xee, but does not begin at sector 1: Linux takes the disk for neither`,
        entryAt(i),
      );
    }
  }
  checkPartitions(located, device.size, problems);
  const inside: Located[] = [];
  let number = MBR_ENTRIES + 1;
  for (const outer of extended) {
    for await (const { entry, recordAt, offset } of readChain(device, outer, sectorSize, problems)) {
      const partition = describe(entry, number, recordAt / sectorSize);
      const what = `partition ${number++}`;
      partitions.push(partition);
      inside.push({ what, partition, offset });
      if (entry.type === 0) reportTypeless(what, offset, problems);
      if (partition.start < recordAt + sectorSize) problems.error(`${what} lies over its own record`, offset);
      if (partition.start + partition.size > outer.start + outer.size) {
        problems.error(`${what} leaves the extended partition ${outer.number}`, offset);
      }
    }
  }
  checkPartitions(inside, device.size, problems);
  const active = partitions.filter((partition) => partition.active);
  if (active.length > 1) {
    problems.warning(`partitions ${active.map((one) => one.number).join(" and ")} are both active`, entryAt(0));
  }
  const id = sector.diskSignature.toString(16).padStart(8, "0");
  return { kind: "mbr", id, sectorSize, partitions, extended, hybrid: [], problems: [] };
}

/** Linux, and so `number`, goes by the length alone (block/partitions/msdos.c). */
function reportTypeless(what: string, offset: number, problems: Problems): void {
  problems.error(`${what} has the type 0x00: Linux counts it, and U-Boot does not see it`, offset);
}

interface LogicalEntry {
  readonly entry: MbrEntryValues;
  readonly recordAt: number;
  /** Of the entry itself. */
  readonly offset: number;
}

/** The logical partitions of an extended one, in the order in which Linux and U-Boot count them. */
async function* readChain(
  device: ReadableDevice,
  outer: Placed,
  sectorSize: SectorSize,
  problems: Problems,
): AsyncGenerator<LogicalEntry> {
  const seen = new Set<number>();
  let pointedFrom = mbr.offsets.entries;
  for (let recordAt: number | undefined = outer.start; recordAt !== undefined; ) {
    if (seen.has(recordAt)) {
      problems.error(`the chain of extended boot records comes back to the one at byte ${recordAt}`, pointedFrom);
      return;
    }
    if (seen.size === MOST_RECORDS) {
      problems.error(`the chain of extended boot records is longer than ${MOST_RECORDS}`, pointedFrom);
      return;
    }
    seen.add(recordAt);
    if (recordAt < outer.start || recordAt >= outer.start + outer.size || recordAt + mbr.size > device.size) {
      problems.error(
        `the next extended boot record would be at byte ${recordAt}, outside of the extended partition or the disk`,
        pointedFrom,
      );
      return;
    }
    const record: Sector0 = mbr.read(await device.read(recordAt, mbr.size));
    if (record.signature !== MBR_SIGNATURE) {
      problems.error(
        `there is no extended boot record at byte ${recordAt}: 55 AA is missing`,
        recordAt + mbr.offsets.signature,
      );
      return;
    }
    let next: number | undefined;
    let found = 0;
    for (const [i, entry] of mbrEntries(record).entries()) {
      const offset: number = recordAt + entryAt(i);
      if (entry.sectors === 0) {
        if (!EXTENDED_TYPES.includes(entry.type)) continue;
        problems.error(
          `the extended boot record at byte ${recordAt} points to the next without a length: Linux ends the chain there, others follow it`,
          offset,
        );
        continue;
      }
      if (!EXTENDED_TYPES.includes(entry.type)) {
        // Linux reads the third and the fourth only where they make sense: some programs leave garbage there.
        const end: number = recordAt + (entry.firstSector + entry.sectors) * sectorSize;
        if (i >= 2 && end > outer.start + outer.size) continue;
        if (++found === 2) {
          problems.error(
            `the extended boot record at byte ${recordAt} has more than one partition: Linux counts each, others one`,
            offset,
          );
        }
        yield { entry, recordAt, offset };
      } else if (next === undefined) {
        next = outer.start + entry.firstSector * sectorSize;
        pointedFrom = offset;
      }
    }
    // Alone, it is how an extended partition without logical ones looks.
    if (found === 0 && (next !== undefined || seen.size > 1)) {
      problems.error(
        `the extended boot record at byte ${recordAt} has no partition: Linux leaves it out of its count, others do not`,
        recordAt + mbr.offsets.entries,
      );
    }
    recordAt = next;
  }
}
