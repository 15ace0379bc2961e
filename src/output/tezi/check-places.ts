/** Whether everything has its place as the Toradex Easy Installer lays it out, which is not quite as the image does. */
import { ImgbuildError } from "../../errors.js";
import { rawClaims } from "../../image/claims.js";
import type { Plan } from "../../image/plan.js";
import type { Prepared } from "../../image/prepare.js";
import type { TeziPartition } from "./image-json.js";
import { teziAvailable, teziNeeds, teziPlacements } from "./placement.js";

interface Stretch {
  readonly owner: string;
  /** In bytes. */
  readonly start: number;
  readonly end: number;
}

/**
 * Throws where the image fits on its medium, but not as the installer places partitions: `does-not-fit`; `layout-conflict`
 * where it puts one onto another, or onto something that lies outside of them.
 */
export function checkPlaces(plan: Plan, prepared: Prepared, partitions: readonly TeziPartition[]): void {
  const { table, size } = plan.storage;
  if (size === undefined) return;
  const sectors = size / 512;
  const [needed, available] = [teziNeeds(partitions), teziAvailable(table, sectors)];
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
  const placed = teziPlacements(partitions, table, sectors).map(
    ({ start, sectors }, index): Stretch => ({
      owner: `partition ${index + 1}`,
      start: start * 512,
      end: (start + sectors) * 512,
    }),
  );
  const lengths = new Map([...prepared.bootloader].map(([file, content]) => [file, content.size]));
  const outside = rawClaims(plan, lengths);
  for (const [index, partition] of placed.entries()) {
    const others: readonly Stretch[] = [...outside, ...placed.slice(index + 1)];
    const other = others.find(({ start, end }) => start < partition.end && partition.start < end);
    if (other === undefined) continue;
    throw new ImgbuildError(
      "layout-conflict",
      `the Toradex Easy Installer puts ${partition.owner} at ${partition.start} to ${partition.end}, where ${other.owner} begins at ${other.start}`,
      {
        hint: "It rounds sizes to MiB and begins at multiples of 4 MiB: give the partition an offset, or another size.",
      },
    );
  }
}
