/**
 * Logical partitions: the MBR's way around its four entries. One entry is the extended partition. In it, in front of each
 * logical partition, lies an extended boot record with two entries: that partition, and the next record. Linux and U-Boot
 * count along this chain, from 5 on (Linux, block/partitions/msdos.c; U-Boot, disk/part_dos.c).
 */
import { conflict } from "./conflict.js";
import { EXTENDED_LBA_TYPE, EXTENDED_TYPE, MBR_ENTRIES, MBR_SIGNATURE, mbr } from "./layout.js";
import type { MbrPartition } from "./mbr.js";
import { encodeMbrEntry } from "./mbr-entry.js";

import { type Placed, type ReservedRange, rangeOf, type SectorSize } from "./ranges.js";
import { mbrType } from "./types.js";

/** The extended partition, and in order the logical ones with their records. */
export interface LogicalPartitions {
  /** Its number is among the MBR's four. */
  readonly extended: Placed;
  readonly chain: readonly { readonly partition: MbrPartition; readonly recordAt: number }[];
}

/**
 * Finds room for the records of the partitions numbered 5 and up, and the extended partition around them; undefined when
 * there are none. Throws a `layout-conflict` error for numbers or places from which no chain can be made.
 */
export function planLogical(
  partitions: readonly MbrPartition[],
  sectorSize: SectorSize,
  extendedNumber: number | undefined,
): LogicalPartitions | undefined {
  const logical = partitions.filter(({ number }) => number > MBR_ENTRIES).sort((a, b) => a.number - b.number);
  const [first, last] = [logical[0], logical.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const chain = logical.map((partition, i) => {
    const { number } = partition;
    const wanted = MBR_ENTRIES + 1 + i;
    if (number !== wanted) {
      throw conflict(
        `there is a partition ${number}, and no partition ${wanted}: logical partitions are counted from 5 without gaps`,
        `Number partition ${number} ${wanted}.`,
        { number, wanted },
      );
    }
    return { partition, recordAt: recordOf(partition, logical[i - 1], sectorSize) };
  });
  const start = chain[0]!.recordAt;
  const number = extendedNumber ?? freeNumber(partitions, first);
  return { extended: { number, start, size: last.start + last.size - start }, chain };
}

/** Where the record in front of `partition` lies: behind the partition before it in the chain. */
function recordOf(partition: MbrPartition, before: MbrPartition | undefined, sectorSize: SectorSize): number {
  const { number, start, recordAt = start - sectorSize } = partition;
  const free = before === undefined ? sectorSize : before.start + before.size;
  if (recordAt % sectorSize === 0 && recordAt >= free && recordAt <= start - sectorSize) return recordAt;
  const previous = before === undefined ? "the MBR" : `partition ${before.number} (${rangeOf(before)})`;
  throw conflict(
    `there is no room for the extended boot record of partition ${number} (${rangeOf(partition)}) at byte ${recordAt}: it takes a sector of ${sectorSize} bytes between ${previous} and that partition`,
    `Let partition ${number} start at ${free + sectorSize} or later.`,
    { number, start, recordAt, free },
  );
}

/** The last of the four numbers that no primary partition has. */
function freeNumber(partitions: readonly Placed[], first: Placed): number {
  for (let number = MBR_ENTRIES; number > 0; number--) {
    if (!partitions.some((partition) => partition.number === number)) return number;
  }
  throw conflict(
    `partitions 1 to ${MBR_ENTRIES} leave no entry of the MBR for the extended partition that holds partition ${first.number}`,
    "Number one of them from 5 on.",
    { number: first.number },
  );
}

/** What the records take, so that nothing else is put there. */
export function recordRanges({ chain }: LogicalPartitions, sectorSize: SectorSize): ReservedRange[] {
  return chain.map(({ partition, recordAt }) => ({
    what: `the extended boot record of partition ${partition.number}`,
    start: recordAt,
    end: recordAt + sectorSize,
  }));
}

/** The extended partition's entry for the MBR. */
export function encodeExtended({ extended }: LogicalPartitions, sectorSize: SectorSize): Uint8Array {
  return encodeMbrEntry({
    type: EXTENDED_LBA_TYPE,
    firstSector: extended.start / sectorSize,
    sectors: extended.size / sectorSize,
  });
}

/** The 512 bytes of each record, and where they go. */
export function* encodeRecords(
  { extended, chain }: LogicalPartitions,
  sectorSize: SectorSize,
): Generator<{ at: number; bytes: Uint8Array }> {
  for (const [i, { partition, recordAt }] of chain.entries()) {
    const entries = [
      encodeMbrEntry({
        type: mbrType(partition.type),
        firstSector: partition.start / sectorSize,
        sectors: partition.size / sectorSize,
        active: partition.active,
        countedFrom: recordAt / sectorSize,
      }),
    ];
    const next = chain[i + 1];
    if (next !== undefined) {
      const end = next.partition.start + next.partition.size;
      entries.push(
        encodeMbrEntry({
          type: EXTENDED_TYPE,
          firstSector: next.recordAt / sectorSize,
          sectors: (end - next.recordAt) / sectorSize,
          countedFrom: extended.start / sectorSize,
        }),
      );
    }
    yield { at: recordAt, bytes: mbr.encode({ entries, signature: MBR_SIGNATURE }) };
  }
}
