/** The layout as a table, for --dry-run. */

import { display, safeText } from "../bytes/bytestring.js";
import { formatSize } from "../bytes/size.js";
import type { layOut } from "../image/assemble.js";
import { slotEnvironment, tableShape } from "../image/claims.js";
import { type Plan, partitionWithRole } from "../image/plan.js";
import type { Prepared } from "../image/prepare.js";
import { tableRanges } from "../partition/index.js";
import { walk } from "../tree/tree.js";

type LaidOut = Awaited<ReturnType<typeof layOut>>;

const HEADER = ["", "user area", "", "offset", "sector", "size", ""];
const RIGHT_ALIGNED = [3, 4, 5];

interface Row {
  /** Bytes from the area's start. */
  readonly offset: number;
  /** A partition's number, "" for everything else. */
  readonly number?: number;
  readonly name: string;
  readonly filesystem?: string;
  /** In bytes; undefined: only compressing can tell. */
  readonly size: number | undefined;
  /** Whether it lies behind such a one: its offset is the least that it can be, its size the most. */
  readonly behind?: boolean;
}

/**
 * One line for everything that lies in the user area, then for what lies in boot0. What only compressing can tell is shown
 * as "fit", and what lies behind it with "from" and "up to".
 */
export function layoutText(plan: Plan, prepared: Prepared, laidOut: LaidOut): string {
  const { layout } = laidOut;
  const { bootloader } = plan;
  const files: Row[] = (bootloader?.files ?? [])
    .filter(({ file }) => prepared.bootloader.has(file))
    .map(({ file, offset }) => ({ offset, name: file, size: prepared.bootloader.get(file)!.size }));
  const inBoot0 = bootloader?.area === "boot0" ? files : [];
  const user = [...userRows(plan, laidOut), ...files.filter((file) => !inBoot0.includes(file))];
  const table = [HEADER, ...inOrder(user).map((row) => cells(plan, row))];
  if (inBoot0.length > 0)
    table.push(["", "boot0", ...HEADER.slice(2)], ...inOrder(inBoot0).map((row) => cells(plan, row)));
  return [
    `${plan.profile}: ${plan.storage.table.toUpperCase()}, ${layout.size} bytes (${formatSize(layout.size)})`,
    ...aligned(table),
    ...(bootloader?.area === "boot0" ? [`boot0: nothing is written to its last ${bootloader.reservedEnd} bytes`] : []),
    ...bootFiles(plan, prepared).map(({ name, size }) => `bootfs: ${name}, ${formatSize(size)}`),
    `kernel arguments: ${prepared.kernelArguments.join(" ")}`,
    "",
  ]
    .map(safeText)
    .join("\n");
}

const inOrder = (rows: readonly Row[]) => [...rows].sort((a, b) => a.offset - b.offset);

/** Partitions with their records, the table, and what is reserved. */
function userRows(plan: Plan, { layout, unknown }: LaidOut): Row[] {
  const { storage } = plan;
  const rows: Row[] = tableRanges(tableShape(storage), layout.size).map(({ what, start, end }) => ({
    offset: start,
    name: what.replace(/^the /, ""),
    size: end - start,
  }));
  for (const { name, start, size } of storage.reserved) rows.push({ offset: start, name: `reserved: ${name}`, size });
  const environment = slotEnvironment(plan);
  if (environment !== undefined) {
    const { start, end } = environment;
    rows.push({ offset: start, name: "slots' environment", size: end - start });
  }
  let behind = false;
  for (const { partition, start, size, recordAt } of layout.placements) {
    const { name, number, filesystem } = partition;
    const open = unknown.includes(name);
    if (recordAt !== undefined)
      rows.push({ offset: recordAt, name: `record of ${name}`, size: storage.sectorSize, behind });
    rows.push({ offset: start, number, name, filesystem, size: open ? undefined : size, behind });
    behind ||= open;
  }
  return rows;
}

function cells({ storage }: Plan, { offset, number, name, filesystem, size, behind = false }: Row): string[] {
  return [
    `${number ?? ""}`,
    name,
    filesystem ?? "",
    `${behind ? "from " : ""}${offset}`,
    offset % storage.sectorSize === 0 ? `${offset / storage.sectorSize}` : "",
    size === undefined ? "fit" : `${size}`,
    size === undefined ? "known when it is compressed" : `${behind ? "up to " : ""}${formatSize(size)}`,
  ];
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = HEADER.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const align = (cell: string, column: number) =>
    RIGHT_ALIGNED.includes(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!);
  return rows.map((row) => row.map(align).join("  ").trimEnd());
}

/** What is on BootFS. */
export function bootFiles(plan: Plan, { contents }: Prepared): { name: string; size: number }[] {
  const bootfs = contents.get(partitionWithRole(plan, "bootfs")?.name ?? "");
  if (bootfs === undefined || !("root" in bootfs)) return [];
  return [...walk(bootfs)].flatMap(({ path, node }) =>
    node.type === "file" ? [{ name: display(path), size: node.content.size }] : [],
  );
}
