/** The layout as a table, for --dry-run. */
import { formatSize } from "../bytes/size.js";
import type { layOut } from "../image/assemble.js";
import type { Plan } from "../image/plan.js";

const HEADER = ["", "partition", "filesystem", "offset", "size", ""];
const RIGHT_ALIGNED = [3, 4];

/** One line a partition. What only compressing can tell is shown as "fit", and what lies behind it with "from" and "up to". */
export function layoutText(plan: Plan, { layout, unknown }: Awaited<ReturnType<typeof layOut>>): string {
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
  const { bootloader } = plan;
  return [
    `${plan.profile}: ${plan.storage.table.toUpperCase()}, ${layout.size} bytes (${formatSize(layout.size)})`,
    ...rows.map((row) => row.map(align).join("  ").trimEnd()),
    ...(bootloader?.files ?? []).map(({ file, offset }) => `${bootloader!.area}: ${file} at ${offset}`),
    "",
  ].join("\n");
}
