/**
 * Where the installer puts partitions (toradex/qt-tezi, multiimagewritethread.cpp, processPartitions): its arithmetic is in
 * whole MiB and 4 MiB, so what it does is not what the image has.
 */
import { alignUp } from "../../bytes/size.js";
import type { TeziPartition } from "./image-json.js";

const MIB = 2048;
/** PARTITION_ALIGNMENT, in sectors: the first partition begins here, and the others at multiples of it. */
export const ALIGNMENT = 8192;
/** Behind the last partition, for the copy of a GPT. */
const GPT_TAIL = 34;

export interface TeziPlacement {
  /** In sectors of 512 bytes. */
  readonly start: number;
  readonly sectors: number;
}

/** In sectors: a medium without what a GPT has at its end. */
const usable = (table: "mbr" | "gpt", sectors: number) => (table === "gpt" ? sectors - GPT_TAIL : sectors);

/** How many MiB a medium of `sectors` sectors has. */
export function teziAvailable(table: "mbr" | "gpt", sectors: number): number {
  return Math.floor(usable(table, sectors) / MIB);
}

/** How many MiB a medium has to have at least, with the 4 in front of the first partition. */
export function teziNeeds(partitions: readonly TeziPartition[]): number {
  const rounding = partitions.filter(
    ({ want_maximised, partition_size_nominal }) => want_maximised || (partition_size_nominal * MIB) % ALIGNMENT !== 0,
  );
  const nominal = partitions.reduce((sum, { partition_size_nominal }) => sum + partition_size_nominal, 0);
  return nominal + (rounding.length + 1) * (ALIGNMENT / MIB);
}

/** The place of each partition on a medium of `sectors` sectors that they fit on, in their order. */
export function teziPlacements(
  partitions: readonly TeziPartition[],
  table: "mbr" | "gpt",
  sectors: number,
): TeziPlacement[] {
  const total = usable(table, sectors);
  const available = Math.floor((total - ALIGNMENT) / MIB);
  const expanding = partitions.filter(({ want_maximised }) => want_maximised).length;
  const spare = Math.trunc((available - (teziNeeds(partitions) - ALIGNMENT / MIB)) / Math.max(expanding, 1));
  let free = ALIGNMENT;
  return partitions.map(({ partition_size_nominal, want_maximised, offset_in_sectors }, index) => {
    const start = offset_in_sectors ?? alignUp(free, ALIGNMENT);
    let size = (partition_size_nominal + (want_maximised ? spare : 0)) * MIB;
    if (want_maximised) size = index === partitions.length - 1 ? total - start : alignUp(size, ALIGNMENT);
    free = start + size;
    return { start, sectors: size };
  });
}
