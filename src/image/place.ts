/** Where everything goes: pure arithmetic over a plan. `--dry-run` prints what comes out. */
import { alignUp } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { type Largest, largestText, remedyText } from "./capacity.js";
import { checkClaims, sizeText, tableBytes, uncountedText } from "./claims.js";
import { isLogical, type PartitionPlan, type Plan, type StoragePlan } from "./plan.js";

/** A partition's place: [start, start + size) of the user area, in bytes. */
export interface Placement {
  readonly partition: PartitionPlan;
  readonly start: number;
  readonly size: number;
  /** Of a logical partition: where its extended boot record lies, in front of it. */
  readonly recordAt?: number;
}

export interface Layout {
  /** Length of the user area's image, in bytes. */
  readonly size: number;
  readonly placements: readonly Placement[];
}

/** The length of a "fit" partition for content of `bytes`: with its headroom, at least its minimum, in whole alignments. */
function fittedSize(partition: PartitionPlan, bytes: number, alignment: number): number {
  const { headroom, minimum } = partition;
  const extra = "bytes" in headroom ? headroom.bytes : Math.ceil(bytes * headroom.share);
  return alignUp(Math.max(bytes + extra, minimum), alignment);
}

/**
 * Places every partition of `plan`. `fitted` holds, by name, the content's length in bytes of each "fit" partition; one that
 * it lacks is placed as if it were empty. `bootloader` holds the length of each bootloader file, by name; those in the user
 * area are kept free of partitions.
 *
 * Throws `does-not-fit` when the medium is too short, `layout-conflict` when two things claim the same bytes. Where `fitted`
 * lacks a partition, what it says is a bound, names those that are not counted, and has them in `data.uncounted`.
 */
export function place(
  plan: Plan,
  fitted: ReadonlyMap<string, number>,
  bootloader: ReadonlyMap<string, number> = new Map(),
): Layout {
  const { alignment, sectorSize, size: medium } = plan.storage;
  const { head, tail } = tableBytes(plan.storage);
  const uncounted = plan.partitions
    .filter(({ name, size }) => size === "fit" && !fitted.has(name))
    .map(({ name }) => name);
  const sizeOf = (partition: PartitionPlan): number | undefined => {
    if (partition.size === "rest") return undefined;
    if (partition.size !== "fit") return alignUp(partition.size, sectorSize);
    return fittedSize(partition, fitted.get(partition.name) ?? 0, alignment);
  };

  const placements: Placement[] = [];
  let free = alignUp(head, sectorSize);
  for (const [index, partition] of plan.partitions.entries()) {
    const start = partition.offset ?? alignUp(free, alignment) + recordRoom(plan.storage, partition);
    const record = isLogical(plan.storage, partition) ? { recordAt: recordPlace(plan, index, free, start) } : {};
    const size = sizeOf(partition) ?? restSize(plan, index, start, sizeOf, uncounted);
    placements.push({ partition, start, size, ...record });
    free = Math.max(alignUp(head, sectorSize), start + size);
  }
  const end = Math.max(head, ...placements.map(({ start, size }) => start + size));
  const layout = { size: medium ?? alignUp(end + tail, alignment), placements };
  checkFits(layout, plan.storage, tail, uncounted);
  checkClaims(plan, layout, head, bootloader, uncounted);
  return layout;
}

/**
 * What a logical partition's extended boot record takes in front of it: a whole alignment, as fdisk and sfdisk give it, so
 * that no partition shares an erase block with the record of another.
 */
function recordRoom(storage: StoragePlan, partition: PartitionPlan): number {
  return isLogical(storage, partition) ? storage.alignment : 0;
}

/** Where the record of logical partition number `index` goes, between what is `free` from and the partition's `start`. */
function recordPlace(plan: Plan, index: number, free: number, start: number): number {
  const { alignment, sectorSize } = plan.storage;
  const recordAt = Math.max(free, start - alignment);
  if (recordAt + sectorSize <= start) return recordAt;
  const { name } = plan.partitions[index]!;
  const before = plan.partitions[index - 1]?.name;
  throw new ImgbuildError(
    "layout-conflict",
    `partition ${name} begins at ${start}, and ${before === undefined ? "the MBR" : `partition ${before}`} ends at ${free}: no sector is left between them for the record that every logical partition has in front of it`,
    {
      hint: `Set partitions.${name}.offset to ${sizeText(alignUp(free, alignment) + alignment)} or more, or leave it out.`,
      data: { partition: name, start, free },
    },
  );
}

/** What the partitions behind number `index` leave of the medium for it. */
function restSize(
  plan: Plan,
  index: number,
  start: number,
  sizeOf: (partition: PartitionPlan) => number | undefined,
  uncounted: readonly string[],
): number {
  const { alignment, size: medium } = plan.storage;
  const { name } = plan.partitions[index]!;
  if (medium === undefined) {
    throw new ImgbuildError("profile-invalid", `${name} is to take the rest, but the medium has no size`, {
      hint: "Set storage.size, or give the partition a size of its own.",
    });
  }
  const behind = plan.partitions.slice(index + 1);
  const fixed = behind.find((partition) => partition.offset !== undefined || partition.size === "rest");
  if (fixed !== undefined) {
    throw new ImgbuildError(
      "layout-conflict",
      `${name} is to take the rest, but so or by its own offset does ${fixed.name}`,
      {
        hint: `Give ${name} or ${fixed.name} a size and no offset; only one partition can take the rest.`,
      },
    );
  }
  const taken = behind.reduce(
    (sum, partition) => sum + alignUp(sizeOf(partition)!, alignment) + recordRoom(plan.storage, partition),
    0,
  );
  const limit = Math.floor((medium - tableBytes(plan.storage).tail) / alignment) * alignment;
  const size = limit - taken - start;
  if (size <= 0) {
    const others = plan.partitions.filter((partition) => partition.name !== name);
    const sizes = others.map((partition) => ({ path: partition.name, bytes: sizeOf(partition)! }));
    const problem = `nothing is left for ${name}: the other partitions`;
    throw mediumTooSmall(problem, plan.storage, medium + alignment - size, medium, name, sizes, uncounted);
  }
  return size;
}

function checkFits(layout: Layout, storage: StoragePlan, tail: number, uncounted: readonly string[]): void {
  const last = layout.placements.reduce<Placement | undefined>(
    (latest, next) => (latest === undefined || next.start + next.size > latest.start + latest.size ? next : latest),
    undefined,
  );
  if (last === undefined) return;
  const needed = last.start + last.size + tail;
  if (needed > layout.size) {
    const sizes = layout.placements.map(({ partition, size }) => ({ path: partition.name, bytes: size }));
    const problem = `${last.partition.name} ends at ${last.start + last.size}: the partitions`;
    throw mediumTooSmall(problem, storage, needed, layout.size, last.partition.name, sizes, uncounted);
  }
}

/** The error for partitions that need `needed` bytes of a medium of `available`, and more for those that are not counted. */
function mediumTooSmall(
  problem: string,
  { alignment }: StoragePlan,
  needed: number,
  available: number,
  partition: string,
  sizes: Largest,
  uncounted: readonly string[],
): ImgbuildError {
  const over = needed - available;
  const remedy = remedyText("storage.size=", needed);
  const largest = sizes
    .filter(({ path }) => !uncounted.includes(path))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 10);
  const [first] = largest;
  const less = first === undefined ? 0 : Math.floor((first.bytes - over) / alignment) * alignment;
  const smaller = less > 0 ? `partitions.${first!.path}.size=${sizeText(less)} or less` : "make the partitions smaller";
  return new ImgbuildError(
    "does-not-fit",
    `${problem} need a medium of ${uncounted.length > 0 ? "at least " : ""}${needed} bytes, ${over} more than its ${available}`,
    {
      hint: `Set ${remedy} or more if the board has it, or ${smaller}.${uncountedText(uncounted)}${largestText(largest)}`,
      data: { needed, available, over, partition, remedy, largest, ...(uncounted.length > 0 && { uncounted }) },
    },
  );
}
