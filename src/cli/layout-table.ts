/** The layout as a table, for --dry-run. */

import { display, safeText } from "../bytes/bytestring.js";
import { formatSize } from "../bytes/size.js";
import type { layOut } from "../image/assemble.js";
import { type Plan, partitionWithRole } from "../image/plan.js";
import type { Prepared } from "../image/prepare.js";
import { sortedEntries } from "../tree/index.js";

type LaidOut = Awaited<ReturnType<typeof layOut>>;

const HEADER = ["", "partition", "filesystem", "offset", "size", ""];
const RIGHT_ALIGNED = [3, 4];

/** One line a partition. What only compressing can tell is shown as "fit", and what lies behind it with "from" and "up to". */
export function layoutText(plan: Plan, prepared: Prepared, { layout, unknown }: LaidOut): string {
  const rows = [HEADER];
  let uncertain = false;
  for (const { partition, start, size } of layout.placements) {
    const open = unknown.includes(partition.name);
    rows.push([
      String(partition.number),
      partition.name,
      partition.filesystem,
      `${uncertain ? "from " : ""}${start}`,
      open ? "fit" : `${size}`,
      open ? "known when it is compressed" : `${uncertain ? "up to " : ""}${formatSize(size)}`,
    ]);
    uncertain ||= open;
  }
  const widths = HEADER.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const align = (cell: string, column: number) =>
    RIGHT_ALIGNED.includes(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!);
  return [
    `${plan.profile}: ${plan.storage.table.toUpperCase()}, ${layout.size} bytes (${formatSize(layout.size)})`,
    ...rows.map((row) => row.map(align).join("  ").trimEnd()),
    ...(plan.bootloader?.files ?? [])
      .filter(({ file }) => prepared.bootloader.has(file))
      .map(({ file, offset }) => `${plan.bootloader!.area}: ${file} at ${offset}`),
    ...bootFiles(plan, prepared).map(({ name, size }) => `bootfs: ${name}, ${formatSize(size)}`),
    `kernel arguments: ${prepared.kernelArguments.join(" ")}`,
    "",
  ]
    .map(safeText)
    .join("\n");
}

/** What is on BootFS. */
export function bootFiles(plan: Plan, { contents }: Prepared): { name: string; size: number }[] {
  const bootfs = contents.get(partitionWithRole(plan, "bootfs")?.name ?? "");
  if (bootfs === undefined || !("root" in bootfs)) return [];
  return sortedEntries(bootfs.root).map(([name, node]) => ({
    name: display(name),
    size: node.type === "file" ? node.content.size : 0,
  }));
}
