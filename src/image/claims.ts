/** Who claims which bytes of the medium, and the refusal of a layout in which two claim the same. */
import type { Extent } from "../bytes/extent.js";
import { alignUp } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { LEAST_ENTRIES, mbrReach, type TableShape, tableRanges } from "../partition/index.js";
import { SLOT_ENVIRONMENT_SIZE } from "../uboot/index.js";
import type { Layout } from "./place.js";
import { type Plan, type StoragePlan, secondSlot } from "./plan.js";

/** Bytes in one of a GPT's entries. UEFI Specification 2.10, section 5.3.3. */
const ENTRY_SIZE = 128;
/** To what an offset for the entries is rounded that a hint proposes, so that it reads well. */
const ENTRIES_ROUNDING = 64 * 1024;

/** A stretch of the medium and whose it is. */
export interface Claim {
  readonly kind: "table" | "backup" | "partition" | "record" | "raw";
  /** For messages: "partition rootfs", "bootloader file SPL". */
  readonly owner: string;
  readonly start: number;
  readonly end: number;
  /** The profile's key that says where it begins; none for the table. */
  readonly key?: string;
  /** Of a partition, its name. */
  readonly name?: string;
}

/** What decides where the bytes of the table lie. */
export function tableShape({ table, sectorSize, gpt }: StoragePlan): TableShape {
  return table === "mbr"
    ? { kind: "mbr", sectorSize }
    : { kind: "gpt", sectorSize, entryCount: gpt?.entries, entriesAt: gpt?.entriesAt };
}

/** How much a table takes at the medium's start and at its end. */
export function tableBytes(storage: StoragePlan): { head: number; tail: number } {
  const ranges = tableRanges(tableShape(storage), 0);
  if (storage.table === "mbr") return { head: ranges[0]!.end, tail: 0 };
  const [entries, backup] = [ranges.at(-2)!, ranges.at(-1)!];
  return { head: entries.end, tail: backup.end - backup.start };
}

/**
 * Where the slots' environment is, in bytes from the medium's start: what the profile says, or right in front of the first
 * partition, furthest away from any bootloader. undefined for a plan without two slots.
 */
export function slotEnvironment(plan: Plan): Extent | undefined {
  if (secondSlot(plan) === undefined) return undefined;
  const { storage, partitions, slots } = plan;
  const first = partitions[0]!.offset ?? alignUp(tableBytes(storage).head, storage.alignment);
  const length = 2 * SLOT_ENVIRONMENT_SIZE;
  const behind = Math.floor(first / SLOT_ENVIRONMENT_SIZE) * SLOT_ENVIRONMENT_SIZE;
  const start = slots.environmentAt ?? Math.max(0, behind - length);
  return { start, end: start + length };
}

/** A size as a profile takes it, exactly: 4MiB, 33KiB, 1234. */
export function sizeText(bytes: number): string {
  for (const [unit, factor] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}`;
}

/** That a hint's sizes leave out partitions whose sizes are not known yet, as a sentence that follows it; nothing without any. */
export function uncountedText(uncounted: readonly string[]): string {
  if (uncounted.length === 0) return "";
  const whose = uncounted.length === 1 ? "its size is" : "their sizes are";
  return ` That is without the content of ${uncounted.join(" and ")}, and more is needed for it: ${whose} known when it is compressed.`;
}

/**
 * Throws `layout-conflict` when two claim the same bytes, or a partition begins where none can. `uncounted`: the names of
 * partitions whose sizes are not known yet.
 */
export function checkClaims(
  plan: Plan,
  layout: Layout,
  head: number,
  bootloader: ReadonlyMap<string, number>,
  uncounted: readonly string[],
): void {
  const { storage } = plan;
  const claims = claimsOf(plan, layout, bootloader).sort((a, b) => a.start - b.start || a.end - b.end);
  let furthest: Claim | undefined;
  for (const claim of claims) {
    if (furthest !== undefined && claim.start < furthest.end) {
      throw new ImgbuildError(
        "layout-conflict",
        `${describe(furthest, uncounted)} overlaps ${describe(claim, uncounted)}`,
        {
          hint: remedy(plan, furthest, claim, claims) + uncountedText(uncounted),
          data: {
            first: furthest.owner,
            second: claim.owner,
            overlap: furthest.end - claim.start,
            ...(uncounted.length > 0 && { uncounted }),
          },
        },
      );
    }
    if (furthest === undefined || claim.end > furthest.end) furthest = claim;
  }
  if (storage.table === "mbr") checkReach(layout, storage);
  for (const { partition, start } of layout.placements) {
    if (start % storage.sectorSize !== 0) {
      throw new ImgbuildError("layout-conflict", `partition ${partition.name} begins inside a sector, at ${start}`, {
        hint: `Set partitions.${partition.name}.offset to ${sizeText(alignUp(start, storage.sectorSize))}: a multiple of ${storage.sectorSize}.`,
      });
    }
    if (start < head) {
      throw new ImgbuildError(
        "layout-conflict",
        `partition ${partition.name} begins at ${start}, in front of the end of the GPT's entries at ${head}`,
        { hint: `Set partitions.${partition.name}.offset to ${sizeText(alignUp(head, storage.alignment))} or more.` },
      );
    }
  }
  const beyond = storage.reserved.find(({ start, size }) => start + size > layout.size);
  if (beyond !== undefined && storage.size !== undefined) {
    throw new ImgbuildError(
      "layout-conflict",
      `the reserved area ${beyond.name} ends at ${beyond.start + beyond.size}, and the medium at ${layout.size}`,
      { hint: "Set storage.size to what the board really has, or change the area in storage.reserved." },
    );
  }
}

/** A claim and where it lies, as far as that is known. */
function describe({ kind, owner, name, start, end }: Claim, uncounted: readonly string[]): string {
  const open = kind === "partition" && uncounted.includes(name!);
  return `${owner} (${open ? `from byte ${start} on` : `bytes ${start} to ${end}`})`;
}

function checkReach({ placements }: Layout, { sectorSize }: StoragePlan): void {
  const reach = mbrReach(sectorSize);
  const beyond = placements.find(({ start, size }) => start + size > reach);
  if (beyond === undefined) return;
  const { partition, start, size } = beyond;
  const smaller = start < reach ? `, or partitions.${partition.name}.size=${sizeText(reach - start)} or less` : "";
  throw new ImgbuildError(
    "layout-conflict",
    `partition ${partition.name} ends at byte ${start + size}, and an MBR reaches to ${reach}`,
    { hint: `Set storage.table=gpt${smaller}.`, data: { partition: partition.name, start, size } },
  );
}

function claimsOf(plan: Plan, layout: Layout, bootloader: ReadonlyMap<string, number>): Claim[] {
  const { storage } = plan;
  const claims: Claim[] = tableRanges(tableShape(storage), layout.size).map(({ what, start, end }) => ({
    kind: end === layout.size ? "backup" : "table",
    owner: what,
    start,
    end,
  }));
  for (const { partition, start, size, recordAt } of layout.placements) {
    const key = `partitions.${partition.name}.offset`;
    const { name } = partition;
    claims.push({ kind: "partition", owner: `partition ${name}`, start, end: start + size, key, name });
    if (recordAt === undefined) continue;
    const owner = `the extended boot record of partition ${name}`;
    claims.push({ kind: "record", owner, start: recordAt, end: recordAt + storage.sectorSize, key, name });
  }
  return [...claims, ...rawClaims(plan, bootloader)];
}

/**
 * What lies outside of partitions and tables: the slots' environment, reserved areas, bootloader files in the user area.
 * `bootloader`: the length of each of those files by name; one that it lacks counts as a byte.
 */
export function rawClaims(plan: Plan, bootloader: ReadonlyMap<string, number>): Claim[] {
  const claims: Claim[] = [];
  const add = (owner: string, start: number, end: number, key: string) =>
    claims.push({ kind: "raw", owner, start, end, key });
  const environment = slotEnvironment(plan);
  if (environment !== undefined) {
    add("the slots' environment", environment.start, environment.end, "slots.environmentAt");
  }
  for (const { name, start, size } of plan.storage.reserved) {
    add(`reserved area ${name}`, start, start + size, "storage.reserved");
  }
  if (plan.bootloader?.area === "user") {
    for (const { file, offset } of plan.bootloader.files) {
      add(`bootloader file ${file}`, offset, offset + (bootloader.get(file) ?? 1), "bootloader.files");
    }
  }
  return claims;
}

/** In bytes: a hint does not propose to make a partition smaller than that. Nobody has a use for it. */
const LEAST_PARTITION = 2 ** 20;

/** What to change so that `a` and `b`, which begins later, no longer overlap. */
function remedy(plan: Plan, a: Claim, b: Claim, claims: readonly Claim[]): string {
  const { storage } = plan;
  const raw = [a, b].find(({ kind }) => kind === "raw");
  const table = [a, b].find(({ kind }) => kind === "table");
  if (raw !== undefined && table !== undefined) return tableRemedy(plan, raw, claims);
  if (a.kind === "raw" && b.kind === "backup") return `Let ${a.owner} end at ${b.start} or before, in ${a.key}.`;
  const behind = (claim: Claim) => sizeText(alignUp(claim.end, storage.alignment));
  // A larger offset takes the partition away from whatever is in front of it, and its record with it.
  const record = b.kind === "record" ? storage.alignment : 0;
  const later = `${b.key} to ${sizeText(alignUp(a.end, storage.alignment) + record)} or more`;
  if (a.kind === "partition") {
    const room = b.start - a.start;
    const smaller = room >= LEAST_PARTITION ? `, or partitions.${a.name}.size to ${sizeText(room)} or less` : "";
    if (b.kind === "partition" || b.kind === "record") return `Set ${later}${smaller}.`;
    return `Set ${a.key} to ${behind(b)} or more${smaller}.`;
  }
  if (b.kind === "partition" || b.kind === "record")
    return `Set ${later}${a.kind === "raw" ? `: ${a.owner} ends at ${a.end}` : ""}.`;
  if (a.kind === "record")
    return `Set ${a.key} to ${sizeText(alignUp(b.end, storage.alignment) + storage.alignment)} or more.`;
  return `Is ${a.owner} as large as it should be? Otherwise let ${b.owner} begin at ${a.end} or later, in ${b.key}.`;
}

/** What to change when a bootloader, or another raw area, and the table claim the same bytes. */
function tableRemedy({ storage, partitions }: Plan, raw: Claim, claims: readonly Claim[]): string {
  const { sectorSize } = storage;
  if (storage.table === "mbr")
    return `The MBR is in the first 512 bytes: let ${raw.owner} begin at 512 or later, in ${raw.key}.`;
  const entriesFrom = 2 * sectorSize;
  if (raw.start < entriesFrom) {
    return `A GPT has its header in sector 1, up to byte ${entriesFrom}: use storage.table mbr where the boot ROM reads from ${raw.start}.`;
  }
  const needed = Math.max(LEAST_ENTRIES, ...partitions.map(({ number }) => number));
  const before = Math.floor((raw.start - entriesFrom) / sectorSize) * (sectorSize / ENTRY_SIZE);
  const firstPartition = Math.min(...claims.filter(({ kind }) => kind === "partition").map(({ start }) => start));
  const lastRaw = Math.max(
    ...claims.filter(({ kind, start }) => kind === "raw" && start < firstPartition).map(({ end }) => end),
  );
  const fewer = storage.gpt?.entriesAt === undefined && before >= needed;
  const ways = [
    ...(fewer ? [`storage.gpt.entries to ${before} or less`] : []),
    `storage.gpt.entriesAt to ${sizeText(alignUp(Math.max(lastRaw, raw.end), ENTRIES_ROUNDING))} or more, which is behind it`,
    "storage.table to mbr",
  ];
  return `Set ${ways.join(", or ")}.`;
}
