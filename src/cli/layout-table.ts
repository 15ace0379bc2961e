/** The layout as a table, for --dry-run. */
import { formatSize } from "../bytes/size.js";
import type { Layout } from "../image/place.js";
import type { Plan } from "../image/plan.js";

/** One line a partition. Sizes that only compressing can tell are shown as "fit", and what comes behind them with "from". */
export function layoutText(plan: Plan, { layout, unknown }: { layout: Layout; unknown: readonly string[] }): string {
  const rows = [["", "partition", "filesystem", "offset", "size", ""]];
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
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        column === 3 || column === 4 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join("  ")
      .trimEnd(),
  );
  const { table } = plan.storage;
  const lines2 = (plan.bootloader?.files ?? []).map(
    ({ file, offset }) => `${plan.bootloader!.area}: ${file} at ${offset}`,
  );
  return `${plan.profile}: ${table.toUpperCase()}, ${layout.size} bytes (${formatSize(layout.size)})\n${[...lines, ...lines2].join("\n")}\n`;
}
