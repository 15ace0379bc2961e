/** Where partitions may lie, and the refusal of those that lie elsewhere. All positions and sizes are in bytes. */
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { GPT_ENTRIES, gptEntry } from "./layout.js";

export type TableKind = "mbr" | "gpt";
/** Bytes in a sector: what the disk counts in. eMMC, SD cards and virtio have 512. */
export type SectorSize = 512 | 4096;

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

/** Where the bytes of a table lie on a disk of `size` bytes; nothing else may be put there. */
export function tableRanges(kind: TableKind, size: number, sectorSize: SectorSize = 512): ReservedRange[] {
  if (kind === "mbr") return [{ what: "the MBR", start: 0, end: 512 }];
  const entries = Math.ceil((GPT_ENTRIES * gptEntry.size) / sectorSize) * sectorSize;
  return [
    { what: "the GPT", start: 0, end: 2 * sectorSize + entries },
    { what: "the backup GPT", start: size - sectorSize - entries, end: size },
  ];
}

export function conflict(message: string, hint: string, data: Record<string, unknown>): ImgbuildError {
  return new ImgbuildError("layout-conflict", message, { hint, data });
}

const nameOf = ({ number }: Placed) => `partition ${number}`;
const rangeOf = ({ start, size }: Placed) => `bytes ${start} to ${start + size}`;

/** Throws a `layout-conflict` error for partitions that break a rule which both tables have. */
export function checkPlaces(
  kind: TableKind,
  partitions: readonly Placed[],
  size: number,
  sectorSize: SectorSize,
  most: number,
): void {
  if (!Number.isSafeInteger(size / sectorSize)) {
    throw conflict(
      `a disk of ${size} bytes is not a whole number of sectors of ${sectorSize} bytes`,
      `Round the image's size up to ${Math.ceil(size / sectorSize) * sectorSize} bytes.`,
      { size, sectorSize },
    );
  }
  const numbers = new Set<number>();
  for (const partition of partitions) {
    const { number, start, size: length } = partition;
    if (!Number.isInteger(number) || number < 1 || number > most) {
      throw conflict(
        `an ${kind.toUpperCase()} table has no partition ${number}: it has 1 to ${most}`,
        kind === "mbr" ? "Use fewer partitions, or a GPT." : "Number the partitions from 1 on.",
        { number },
      );
    }
    if (numbers.has(number)) {
      throw conflict(`two partitions have the number ${number}`, "Give each a number of its own.", { number });
    }
    numbers.add(number);
    for (const [what, value] of [
      ["start", start],
      ["size", length],
    ] as const) {
      if (!Number.isSafeInteger(value) || value < 0 || value % sectorSize !== 0) {
        throw conflict(
          `the ${what} of partition ${number}, ${value} bytes, is not a whole number of sectors of ${sectorSize} bytes`,
          `Make it a multiple of ${sectorSize}; 4 MiB suits every flash memory.`,
          { number, [what]: value },
        );
      }
    }
    if (length === 0) throw conflict(`partition ${number} has no size`, "Give it one, or leave it out.", { number });
    if (start + length > size) {
      throw conflict(
        `partition ${number} (${rangeOf(partition)}) leaves the disk of ${size} bytes by ${start + length - size} bytes`,
        `Make it smaller, or the disk at least ${formatSize(start + length)}.`,
        { number, start, size: length, available: size },
      );
    }
    for (const range of tableRanges(kind, size, sectorSize)) {
      if (start < range.end && start + length > range.start) {
        throw conflict(
          `partition ${number} (${rangeOf(partition)}) lies over ${range.what} (bytes ${range.start} to ${range.end})`,
          range.start === 0
            ? `Let it start at ${range.end} or later; 4 MiB is usual.`
            : `Let it end at ${range.start} or before, or make the disk larger.`,
          { number, start, size: length, reserved: range },
        );
      }
    }
  }
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
