/** Where everything goes: pure arithmetic over a plan. `--dry-run` prints what comes out. */
import { alignUp, formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { tableRanges } from "../partition/index.js";
import type { PartitionPlan, Plan } from "./plan.js";

/** A partition's place: [start, start + size) of the user area, in bytes. */
export interface Placement {
  readonly partition: PartitionPlan;
  readonly start: number;
  readonly size: number;
}

export interface Layout {
  /** Length of the user area's image, in bytes. */
  readonly size: number;
  readonly placements: readonly Placement[];
}

const SECTOR_SIZE = 512;

/** A stretch of the medium and whose it is, for messages. */
interface Claim {
  readonly owner: string;
  readonly start: number;
  readonly end: number;
  /** What to change when it collides with a partition. */
  readonly hint?: string;
}

/** How much a table takes at the medium's start and at its end. */
function tableBytes(table: "mbr" | "gpt"): { head: number; tail: number } {
  const [first, last] = tableRanges(table, 0);
  return { head: first!.end, tail: last === undefined ? 0 : last.end - last.start };
}

/** The length of a "fit" partition for content of `bytes`: with its headroom, at least its minimum, in whole alignments. */
function fittedSize(partition: PartitionPlan, bytes: number, alignment: number): number {
  const { headroom, minimum } = partition;
  const extra = "bytes" in headroom ? headroom.bytes : Math.ceil(bytes * headroom.share);
  return alignUp(Math.max(bytes + extra, minimum), alignment);
}

/**
 * Places every partition of `plan`. `fitted` holds, by name, the content's length in bytes of each "fit" partition.
 * `bootloader` holds the length of each bootloader file, by name; those in the user area are kept free of partitions.
 *
 * Throws `does-not-fit` when the medium is too short, `layout-conflict` when two things claim the same bytes.
 */
export function place(
  plan: Plan,
  fitted: ReadonlyMap<string, number>,
  bootloader: ReadonlyMap<string, number> = new Map(),
): Layout {
  const { alignment, table, size: medium } = plan.storage;
  const { head, tail } = tableBytes(table);
  const sizeOf = (partition: PartitionPlan): number | undefined => {
    if (partition.size === "rest") return undefined;
    if (partition.size !== "fit") return alignUp(partition.size, SECTOR_SIZE);
    return fittedSize(partition, fitted.get(partition.name) ?? 0, alignment);
  };

  const placements: Placement[] = [];
  let free = alignUp(head, alignment);
  for (const [index, partition] of plan.partitions.entries()) {
    const start = partition.offset ?? alignUp(free, alignment);
    const size = sizeOf(partition) ?? restSize(plan, index, start, sizeOf);
    placements.push({ partition, start, size });
    free = start + size;
  }
  const end = Math.max(head, ...placements.map(({ start, size }) => start + size));
  const layout = { size: medium ?? alignUp(end + tail, alignment), placements };
  checkFits(layout, tail);
  checkClaims(plan, layout, head, bootloader);
  return layout;
}

/** What the partitions behind number `index` leave of the medium for it. */
function restSize(
  plan: Plan,
  index: number,
  start: number,
  sizeOf: (partition: PartitionPlan) => number | undefined,
): number {
  const { alignment, table, size: medium } = plan.storage;
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
  const taken = behind.reduce((sum, partition) => sum + alignUp(sizeOf(partition)!, alignment), 0);
  const limit = Math.floor((medium - tableBytes(table).tail) / alignment) * alignment;
  const size = limit - taken - start;
  if (size <= 0) {
    throw new ImgbuildError(
      "does-not-fit",
      `nothing is left for ${name}: the other partitions need ${formatSize(start + taken)} of ${formatSize(medium)}`,
      {
        hint: "Make the other partitions smaller, or set storage.size to what the board really has.",
        data: { needed: start + taken + alignment, available: medium, partition: name },
      },
    );
  }
  return size;
}

function checkFits(layout: Layout, tail: number): void {
  const last = layout.placements.reduce<Placement | undefined>(
    (latest, next) => (latest === undefined || next.start + next.size > latest.start + latest.size ? next : latest),
    undefined,
  );
  if (last === undefined) return;
  const needed = last.start + last.size + tail;
  if (needed > layout.size) {
    throw new ImgbuildError(
      "does-not-fit",
      `the partitions need ${needed} bytes, ${needed - layout.size} more than the medium has: ${last.partition.name} ends at ${last.start + last.size}`,
      {
        hint: `Set storage.size to ${needed} or more if the board has it, or make a partition smaller.`,
        data: { needed, available: layout.size, partition: last.partition.name },
      },
    );
  }
}

function checkClaims(plan: Plan, layout: Layout, head: number, bootloader: ReadonlyMap<string, number>): void {
  const claims: Claim[] = layout.placements.map(({ partition, start, size }) => ({
    owner: `partition ${partition.name}`,
    start,
    end: start + size,
  }));
  claims.push({
    owner: `the ${plan.storage.table === "gpt" ? "GPT" : "MBR"}`,
    start: 0,
    end: head,
  });
  if (plan.bootloader?.area === "user") {
    for (const { file, offset } of plan.bootloader.files) {
      const hint =
        plan.storage.table === "gpt" && offset < head
          ? "A GPT reaches to sector 33: use storage.table mbr where the boot ROM reads from there."
          : "Give the first partition a larger offset.";
      claims.push({ owner: `bootloader file ${file}`, start: offset, end: offset + (bootloader.get(file) ?? 1), hint });
    }
  }
  claims.sort((a, b) => a.start - b.start || a.end - b.end);
  for (let i = 1; i < claims.length; i++) {
    const [a, b] = [claims[i - 1]!, claims[i]!];
    if (b.start >= a.end) continue;
    throw new ImgbuildError(
      "layout-conflict",
      `${a.owner} (bytes ${a.start} to ${a.end}) overlaps ${b.owner} (bytes ${b.start} to ${b.end})`,
      {
        hint: a.hint ?? b.hint ?? "Change the offset of one of them, or the size of the first.",
        data: { first: a.owner, second: b.owner },
      },
    );
  }
  const unaligned = layout.placements.find(({ start }) => start % SECTOR_SIZE !== 0);
  if (unaligned !== undefined) {
    throw new ImgbuildError(
      "layout-conflict",
      `partition ${unaligned.partition.name} begins inside a sector, at ${unaligned.start}`,
      {
        hint: `Set partitions.${unaligned.partition.name}.offset to a multiple of ${SECTOR_SIZE}.`,
      },
    );
  }
}
