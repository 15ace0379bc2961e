/** What reading all files does not come by: the second table, the copy of the boot sector, FSInfo, clusters of nobody. */
import type { Finding } from "../bytes/finding.js";
import { sameBytes } from "../bytes/same-bytes.js";
import { ImgbuildError } from "../errors.js";
import type { BootFacts } from "./boot-sector.js";
import type { Run } from "./chain.js";
import type { FatEntry } from "./entries.js";
import { bootSector32, FSINFO_SIGNATURES, fsInfo } from "./layout.js";
import type { FatFacts } from "./reader.js";
import { type OpenVolume, readDirectory } from "./volume.js";

type CheckedFacts = Pick<FatFacts, "type" | "clusters" | "freeClusters">;

/** Holds the copies against what they are copies of, and counts clusters. "FAT Data Structure", "FAT32 FSInfo Sector Structure". */
export async function* checkVolume(volume: OpenVolume, boot: BootFacts, facts: CheckedFacts): AsyncGenerator<Finding> {
  const { geometry, chains } = volume;
  for (let index = 1; index < geometry.fatCount; index++) {
    const at = await chains.table.firstDifference(index);
    if (at === undefined) continue;
    yield {
      severity: "error",
      message: `table ${index + 1} differs from the first: which of them is right cannot be told (byte ${at})`,
      offset: at,
    };
  }
  yield* checkBackup(volume, boot);
  yield* checkInfo(volume, boot);
  const free = await chains.table.countFree();
  if (facts.freeClusters !== undefined && facts.freeClusters !== free) {
    const offset = boot.fsInfo! + fsInfo.offsets.freeClusters;
    yield {
      severity: "warning",
      message: `FSInfo counts ${facts.freeClusters} free clusters, and the table ${free} (byte ${offset})`,
      offset,
    };
  }
  const reachable = await countReachable(volume);
  const used = facts.clusters - free - (await chains.table.countBad());
  if (reachable === undefined || reachable >= used) return;
  yield {
    severity: "warning",
    message:
      used - reachable === 1
        ? "1 cluster is taken and belongs to no file, or to a file that ends before it"
        : `${used - reachable} clusters are taken and belong to no file, or to files that end before them`,
    offset: chains.table.position(0),
  };
}

async function* checkBackup({ device }: OpenVolume, { backup }: BootFacts): AsyncGenerator<Finding> {
  if (backup === undefined) return;
  const [own, copy] = [await device.read(0, bootSector32.size), await device.read(backup, bootSector32.size)];
  // Linux marks a mounted volume in the boot sector alone.
  own[bootSector32.offsets.state] = copy[bootSector32.offsets.state]!;
  if (sameBytes(own, copy)) return;
  const offset = backup + own.findIndex((byte, i) => byte !== copy[i]);
  yield { severity: "error", message: `the copy of the boot sector differs from it (byte ${offset})`, offset };
}

async function* checkInfo({ device }: OpenVolume, { fsInfo: at }: BootFacts): AsyncGenerator<Finding> {
  if (at === undefined) return;
  const info = fsInfo.read(await device.read(at, fsInfo.size));
  for (const field of ["leadSignature", "structSignature", "trailSignature"] as const) {
    if (info[field] === FSINFO_SIGNATURES[field]) continue;
    const offset = at + fsInfo.offsets[field];
    yield { severity: "error", message: `FSInfo lacks its ${field} (byte ${offset})`, offset };
  }
}

/** How many clusters belong to files and directories; undefined where a chain is damaged, which `tree` reports. */
async function countReachable(volume: OpenVolume): Promise<number | undefined> {
  const { chains, root, fixedRoot, geometry } = volume;
  let count = 0;
  const add = async (entry: FatEntry) => {
    for await (const batch of chains.runs(entry)) count += batch.reduce((sum, run: Run) => sum + run.count, 0);
  };
  const pending: FatEntry[] = [root];
  try {
    for (let entry = pending.pop(); entry !== undefined; entry = pending.pop()) {
      if (entry !== root || fixedRoot === undefined) await add(entry);
      // Where clusters belong to several, directories may lead in a circle.
      if (count > geometry.clusters) return undefined;
      if (entry.type === "directory")
        for (const inside of (await readDirectory(volume, entry)).entries) pending.push(inside);
    }
  } catch (error) {
    if (error instanceof ImgbuildError && error.code === "image-corrupt") return undefined;
    throw error;
  }
  return count;
}
