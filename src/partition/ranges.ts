/** Where partitions may lie, and the refusal of those that lie elsewhere. All positions and sizes are in bytes. */
import { alignUp, formatSize } from "../bytes/size.js";
import { conflict } from "./conflict.js";
import { GPT_ENTRIES, gptEntry } from "./layout.js";

export type TableKind = "mbr" | "gpt";
/** Bytes in a sector: what the disk counts in. eMMC, SD cards and virtio have 512; UFS and some NVMe and USB disks 4096. */
export type SectorSize = 512 | 4096;

/** What decides where a table's bytes lie. */
export interface TableShape {
  readonly kind: TableKind;
  /** Default: 512. */
  readonly sectorSize?: SectorSize | undefined;
  /** GPT only: for how many partitions there is room, 4 to 128. Default: 128, the fewest that UEFI itself asks for. */
  readonly entryCount?: number | undefined;
  /**
   * GPT only: where the entries begin. Default: right behind the header, in sector 2. A bootloader that the boot ROM wants
   * there is why they may lie further back, as `sgdisk --move-main-table` puts them.
   */
  readonly entriesAt?: number | undefined;
}

/** Bytes that the table takes. `end` is not among them. */
export interface ReservedRange {
  readonly what: string;
  readonly start: number;
  readonly end: number;
}

/** A partition as far as its place is concerned. */
export interface Placed {
  /** From 1 on: what Linux and U-Boot count by. */
  readonly number: number;
  readonly start: number;
  readonly size: number;
}

export const LEAST_ENTRIES = 4;

/** The bytes of a GPT's entries, in whole sectors. */
export function entriesLength({ sectorSize = 512, entryCount = GPT_ENTRIES }: TableShape): number {
  return alignUp(entryCount * gptEntry.size, sectorSize);
}

/**
 * Where the bytes of a table lie on a disk of `size` bytes; nothing else may be put there. Logical partitions add a record
 * each (`MbrPartition.recordAt`). Of a GPT, what lies at the disk's end comes last. Throws a `layout-conflict` error for a shape that
 * no table has.
 */
export function tableRanges(shape: TableShape, size: number): ReservedRange[] {
  if (shape.kind === "mbr") return [{ what: "the MBR", start: 0, end: 512 }];
  const { sectorSize = 512, entryCount = GPT_ENTRIES, entriesAt = 2 * sectorSize } = shape;
  if (!Number.isInteger(entryCount) || entryCount < LEAST_ENTRIES || entryCount > GPT_ENTRIES) {
    throw conflict(
      `a GPT cannot have room for ${entryCount} partitions`,
      `Give it from ${LEAST_ENTRIES} to ${GPT_ENTRIES}.`,
      { entryCount },
    );
  }
  const entries = entriesLength(shape);
  if (!Number.isSafeInteger(entriesAt) || entriesAt < 2 * sectorSize || entriesAt % sectorSize !== 0) {
    throw conflict(
      `the entries of a GPT cannot begin at byte ${entriesAt}`,
      `Use a multiple of ${sectorSize} from ${2 * sectorSize} on: the header is in front of them.`,
      { entriesAt, sectorSize },
    );
  }
  const backup = { what: "the backup GPT", start: size - sectorSize - entries, end: size };
  if (entriesAt === 2 * sectorSize) return [{ what: "the GPT", start: 0, end: entriesAt + entries }, backup];
  return [
    { what: "the GPT's header", start: 0, end: 2 * sectorSize },
    { what: "the GPT's entries", start: entriesAt, end: entriesAt + entries },
    backup,
  ];
}

const nameOf = ({ number }: Placed) => `partition ${number}`;
export const rangeOf = ({ start, size }: Placed) => `bytes ${start} to ${start + size}`;

/** Throws a `layout-conflict` error for a number that the table does not have, or that two partitions share. */
export function checkNumbers(kind: TableKind, partitions: readonly Placed[], most: number, hint: string): void {
  const numbers = new Set<number>();
  for (const { number } of partitions) {
    if (!Number.isInteger(number) || number < 1 || number > most) {
      throw conflict(
        `${kind === "mbr" ? "an MBR table" : `a GPT with room for ${most}`} has no partition ${number}: it has 1 to ${most}`,
        number > most ? hint : "Number the partitions from 1 on.",
        { number },
      );
    }
    if (numbers.has(number)) {
      throw conflict(`two partitions have the number ${number}`, "Give each a number of its own.", { number });
    }
    numbers.add(number);
  }
}

/**
 * Throws a `layout-conflict` error for partitions that are not whole sectors, leave the disk of `size` bytes, lie over a
 * part of the table, or over each other.
 */
export function checkPlaces(
  partitions: readonly Placed[],
  reserved: readonly ReservedRange[],
  size: number,
  sectorSize: SectorSize,
): void {
  if (!Number.isSafeInteger(size / sectorSize)) {
    throw conflict(
      `a disk of ${size} bytes is not a whole number of sectors of ${sectorSize} bytes`,
      `Round the image's size up to ${alignUp(size, sectorSize)} bytes.`,
      { size, sectorSize },
    );
  }
  for (const partition of partitions) checkPlace(partition, reserved, size, sectorSize);
  const inOrder = [...partitions].sort((a, b) => a.start - b.start);
  for (const [i, next] of inOrder.entries()) {
    const before = inOrder[i - 1];
    if (before === undefined || before.start + before.size <= next.start) continue;
    throw conflict(
      `${nameOf(before)} (${rangeOf(before)}) and ${nameOf(next)} (${rangeOf(next)}) overlap`,
      `Let ${nameOf(next)} start at ${before.start + before.size} or later, or make ${nameOf(before)} ${before.start + before.size - next.start} bytes smaller.`,
      { partitions: [before.number, next.number], overlap: before.start + before.size - next.start },
    );
  }
}

function checkPlace(
  partition: Placed,
  reserved: readonly ReservedRange[],
  available: number,
  sectorSize: SectorSize,
): void {
  const { number, start, size } = partition;
  for (const [what, value] of [
    ["start", start],
    ["size", size],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < 0 || value % sectorSize !== 0) {
      throw conflict(
        `the ${what} of partition ${number}, ${value} bytes, is not a whole number of sectors of ${sectorSize} bytes`,
        `Make it a multiple of ${sectorSize}; 4 MiB suits every flash memory.`,
        { number, [what]: value },
      );
    }
  }
  if (size === 0) throw conflict(`partition ${number} has no size`, "Give it one, or leave it out.", { number });
  if (start + size > available) {
    throw conflict(
      `partition ${number} (${rangeOf(partition)}) leaves the disk of ${available} bytes by ${start + size - available} bytes`,
      `Make it smaller, or the disk at least ${formatSize(start + size)}.`,
      { number, start, size, available },
    );
  }
  for (const range of reserved) {
    if (start >= range.end || start + size <= range.start) continue;
    throw conflict(
      `partition ${number} (${rangeOf(partition)}) lies over ${range.what} (bytes ${range.start} to ${range.end})`,
      range.end === available
        ? `Let it end at ${range.start} or before, or make the disk larger.`
        : `Let it start at ${range.end} or later; 4 MiB is usual.`,
      { number, start, size, reserved: range },
    );
  }
}
