/** What reading a partition table gives: the partitions, and what is wrong. */
import { ImgbuildError } from "../errors.js";
import type { Placed, SectorSize, TableKind } from "./ranges.js";

export interface Partition extends Placed {
  /** "0x0c" in an MBR, a GUID in lower case in a GPT. */
  readonly type: string;
  /** As Linux, blkid and U-Boot print it. */
  readonly partuuid: string;
  /** GPT only, where there is one. */
  readonly name?: string;
  /** Bootable: the MBR's active flag, or the GPT's legacy boot attribute. */
  readonly active: boolean;
  /** GPT only: the attributes that are set, as `gptAttributes` takes them. */
  readonly attributes?: readonly string[];
}

/** Something that is not as it should be, in a table that could be read all the same. */
export interface Problem {
  /** "error": some program reads another table than this, or none. "warning": all of them read this one. */
  readonly severity: "error" | "warning";
  readonly message: string;
  /** Where it shows, in bytes from the disk's start. */
  readonly offset: number;
}

/** An entry of the MBR beside a GPT's protective one. */
export interface HybridEntry extends Placed {
  readonly type: string;
  readonly active: boolean;
}

/** Where a GPT's parts are, in bytes. */
export interface GptFacts {
  /** Which copy was read: the backup, where the primary is broken. */
  readonly copy: "primary" | "backup";
  readonly entryCount: number;
  readonly entriesAt: number;
  /** Partitions lie between these two. */
  readonly firstUsable: number;
  readonly usableEnd: number;
}

export interface PartitionTable {
  readonly kind: TableKind;
  /** The disk's signature in eight digits, or its GUID. */
  readonly id: string;
  /** Bytes. An MBR does not say. */
  readonly sectorSize: SectorSize;
  /** By number, as Linux counts; an MBR's extended partition is not among them. A broken table's may leave the disk. */
  readonly partitions: readonly Partition[];
  /** The partition of an MBR that holds the logical ones. Linux knows several, other programs one. */
  readonly extended: readonly Partition[];
  readonly gpt?: GptFacts;
  /** What a hybrid MBR lists. */
  readonly hybrid: readonly HybridEntry[];
  readonly problems: readonly Problem[];
}

/** The error for a disk that has no table to read. */
export function corrupt(message: string, offset: number): ImgbuildError {
  return new ImgbuildError("image-corrupt", `${message} (byte ${offset})`, { data: { offset } });
}

/** A table of 32,768 broken entries need not be told entry by entry. */
const MOST_PROBLEMS = 50;

/** Collects problems. */
export class Problems {
  readonly #list: Problem[] = [];
  #more = 0;
  #last = 0;

  error(message: string, offset: number): void {
    this.#add({ severity: "error", message, offset });
  }

  warning(message: string, offset: number): void {
    this.#add({ severity: "warning", message, offset });
  }

  #add(problem: Problem): void {
    if (this.#list.length < MOST_PROBLEMS) {
      this.#list.push(problem);
    } else {
      this.#more++;
      this.#last = problem.offset;
    }
  }

  get list(): readonly Problem[] {
    if (this.#more === 0) return this.#list;
    return [...this.#list, { severity: "error", message: `${this.#more} more problems`, offset: this.#last }];
  }
}

/** A partition and the byte where its entry is, for what is said about its place. */
export interface Located {
  readonly what: string;
  readonly partition: Placed;
  readonly offset: number;
}

/** Reports partitions that leave the disk of `size` bytes, and those that overlap. */
export function checkPartitions(located: readonly Located[], size: number, problems: Problems): void {
  for (const { what, partition, offset } of located) {
    const end = partition.start + partition.size;
    if (end > size) problems.error(`${what} ends at ${end}, ${end - size} bytes behind the end of the disk`, offset);
  }
  const inOrder = [...located].sort((a, b) => a.partition.start - b.partition.start);
  let furthest: Located | undefined;
  for (const next of inOrder) {
    const end = furthest === undefined ? 0 : furthest.partition.start + furthest.partition.size;
    const { start } = next.partition;
    if (furthest !== undefined && start < end) {
      problems.error(`${furthest.what} ends at ${end}, and ${next.what} begins at ${start}: they overlap`, next.offset);
    }
    if (start + next.partition.size > end) furthest = next;
  }
}
