/** Whether everything has its place as the Toradex Easy Installer lays it out, which is not quite as the image does. */
import { ImgbuildError } from "../../errors.js";
import { rawClaims, tableBytes } from "../../image/claims.js";
import type { Plan } from "../../image/plan.js";
import type { Prepared } from "../../image/prepare.js";
import type { TeziPartition } from "./image-json.js";
import { teziAvailable, teziNeeds, teziPlacements } from "./placement.js";
import { plansByProduct } from "./rules.js";

interface Stretch {
  readonly owner: string;
  /** In bytes. */
  readonly start: number;
  readonly end: number;
}

/**
 * Throws where the image fits on its medium, but not as the installer places partitions: `does-not-fit`; `layout-conflict`
 * where it puts something onto something else, on any of the modules. Without storage.size there is no medium to fit on.
 */
export function checkPlaces(plan: Plan, prepared: Prepared, partitions: readonly TeziPartition[]): void {
  const { table, size } = plan.storage;
  const needed = teziNeeds(partitions);
  const available = size === undefined ? Number.POSITIVE_INFINITY : teziAvailable(table, size / 512);
  if (needed > available) {
    throw new ImgbuildError(
      "does-not-fit",
      `the Toradex Easy Installer, which begins partitions at multiples of 4 MiB, needs ${needed} MiB, and the medium has ${available}`,
      {
        hint: "Make a partition smaller, or set storage.size to what the smallest medium has.",
        data: { needed, available },
      },
    );
  }
  // Only a partition that takes the rest depends on how long the medium is, and there is none where nobody says.
  const placed = teziPlacements(partitions, table, (size ?? 0) / 512).map(
    ({ start, sectors }, index): Stretch => ({
      owner: `partition ${index + 1}`,
      start: start * 512,
      end: (start + sectors) * 512,
    }),
  );
  const lengths = new Map([...prepared.bootloader].map(([file, content]) => [file, content.size]));
  const head = { owner: "the partition table", start: 0, end: tableBytes(plan.storage).head };
  for (const own of plansByProduct(plan)) checkStretches([head, ...rawClaims(own, lengths), ...placed]);
}

function checkStretches(stretches: readonly Stretch[]): void {
  const ordered = [...stretches].sort((a, b) => a.start - b.start);
  for (const [index, one] of ordered.entries()) {
    const other = ordered.slice(index + 1).find(({ start }) => start < one.end);
    if (other === undefined) continue;
    throw new ImgbuildError(
      "layout-conflict",
      `the Toradex Easy Installer puts ${one.owner} at ${one.start} to ${one.end}, where ${other.owner} begins at ${other.start}`,
      {
        hint: one.owner.startsWith("partition")
          ? "It rounds sizes to MiB and begins at multiples of 4 MiB: give the partition an offset, or another size."
          : `Is ${one.owner} as large as it should be? Otherwise let ${other.owner} begin behind it.`,
      },
    );
  }
}
