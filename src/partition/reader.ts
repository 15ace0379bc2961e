/** Reads the table of a disk, whoever made it, and tells which of two tables is the one that counts. */
import type { ReadableDevice } from "../bytes/device.js";
import { ACTIVE, MBR_SIGNATURE, mbr, PROTECTIVE_TYPE } from "./layout.js";
import type { SectorSize } from "./ranges.js";
import {
  checkBackup,
  type GptCopy,
  gptFacts,
  isSound,
  lastSectorOf,
  type NoCopy,
  readCopy,
  readEntries,
} from "./read-gpt.js";
import { checkStatus, entryAt, type MbrEntryValues, mbrEntries, readMbr, typeText } from "./read-mbr.js";
import { corrupt, type HybridEntry, type Partition, type PartitionTable, Problems } from "./table.js";

export interface ReadTableOptions {
  /** Bytes in a sector. Default: what a GPT shows; for an MBR, which does not, 512. */
  readonly sectorSize?: SectorSize;
}

/**
 * The partition table of `device`, the whole disk, as Linux and U-Boot read it: a GPT counts only when the MBR has a
 * protective entry that begins at sector 1. Without, it is what is left of an earlier life of the disk, and the MBR counts.
 *
 * What is wrong with a table that can be read all the same is in `problems`. Throws an `image-corrupt` error, with the
 * position, when there is no table or none of its copies is sound. Reads a few sectors, and entries up to 4 MiB.
 */
export async function readPartitionTable(
  device: ReadableDevice,
  options: ReadTableOptions = {},
): Promise<PartitionTable> {
  if (device.size < mbr.size) throw corrupt(`a disk of ${device.size} bytes has no partition table`, 0);
  const sector = mbr.read(await device.read(0, mbr.size));
  if (sector.signature !== MBR_SIGNATURE) {
    const { copy } = await findGpt(device, sizes(device, options));
    const left =
      copy === undefined
        ? ""
        : ", and without a protective MBR in front of it the GPT, which is sound, is read by nobody";
    throw corrupt(`there is no partition table: 55 AA is missing at the end of sector 0${left}`, mbr.offsets.signature);
  }
  const entries = mbrEntries(sector);
  checkStatus(device, entries);
  const problems = new Problems();
  const protective = entries.find(({ type, firstSector }) => type === PROTECTIVE_TYPE && firstSector === 1);
  if (protective === undefined) {
    const table = await readMbr(device, sector, options.sectorSize ?? 512, problems);
    await reportStale(device, table, sizes(device, options), problems);
    return { ...table, problems: problems.list };
  }
  const { copy, reason } = await findGpt(device, sizes(device, options, protective));
  if (copy === undefined) throw corrupt(reason.message, reason.offset);
  if (copy.header.ownSector === 1) {
    await checkBackup(device, copy, problems);
  } else {
    problems.error(
      `the primary GPT is broken, and its backup is used, which Linux does only with "gpt" on its command line: ${reason.message}`,
      reason.offset,
    );
  }
  const partitions = readEntries(device, copy, problems);
  const hybrid = checkHybrid(device, entries, copy, partitions, problems);
  return {
    kind: "gpt",
    id: copy.header.diskGuid,
    sectorSize: copy.sectorSize,
    partitions,
    extended: [],
    gpt: gptFacts(copy),
    hybrid,
    problems: problems.list,
  };
}

/** The sizes that a sector may have, the likeliest first: the protective entry covers the disk, in sectors. */
function sizes(device: ReadableDevice, { sectorSize }: ReadTableOptions, protective?: MbrEntryValues): SectorSize[] {
  if (sectorSize !== undefined) return [sectorSize];
  return protective?.sectors === lastSectorOf(device, 4096) ? [4096, 512] : [512, 4096];
}

/** The first sound copy, primaries before backups; and why the primary is not it. */
async function findGpt(
  device: ReadableDevice,
  candidates: readonly SectorSize[],
): Promise<{ copy?: GptCopy; reason: NoCopy }> {
  let reason: NoCopy | undefined;
  const backups: [SectorSize, number][] = [];
  for (const sectorSize of candidates) {
    const primary = await readCopy(device, sectorSize, 1);
    if (isSound(primary)) return { copy: primary, reason: { message: "", offset: sectorSize, signature: true } };
    if (reason === undefined || (!reason.signature && primary.signature)) reason = primary;
    if (primary.header !== undefined) backups.push([sectorSize, primary.header.otherSector]);
    backups.push([sectorSize, lastSectorOf(device, sectorSize)]);
  }
  for (const [sectorSize, sector] of backups) {
    const backup = await readCopy(device, sectorSize, sector);
    if (isSound(backup)) return { copy: backup, reason: reason! };
  }
  return { reason: reason! };
}

/** Reports a GPT that does not count, beside an MBR that does. */
async function reportStale(
  device: ReadableDevice,
  { partitions, extended }: PartitionTable,
  candidates: readonly SectorSize[],
  problems: Problems,
): Promise<void> {
  const { copy, reason } = await findGpt(device, candidates);
  if (copy === undefined) {
    if (reason.signature) problems.warning(`the remains of a GPT do not count: ${reason.message}`, reason.offset);
    return;
  }
  const at = copy.header.ownSector * copy.sectorSize;
  if (partitions.length + extended.length === 0) {
    problems.error("the MBR is empty, and the GPT does not count without its protective entry in the MBR", at);
    return;
  }
  problems.warning(
    "a GPT without its protective MBR is left from before; it does not count (sgdisk --zap removes it)",
    at,
  );
}

/** What the MBR lists beside its protective entry. Each should be a partition of the GPT too. */
function checkHybrid(
  device: ReadableDevice,
  entries: readonly MbrEntryValues[],
  { sectorSize }: GptCopy,
  partitions: readonly Partition[],
  problems: Problems,
): HybridEntry[] {
  const hybrid: HybridEntry[] = [];
  for (const [i, entry] of entries.entries()) {
    if (entry.type === PROTECTIVE_TYPE || entry.sectors === 0) continue;
    const [start, size] = [entry.firstSector * sectorSize, entry.sectors * sectorSize];
    hybrid.push({ number: i + 1, start, size, type: typeText(entry.type), active: entry.status === ACTIVE });
    if (partitions.some((partition) => partition.start === start && partition.size === size)) continue;
    problems.error(
      `entry ${i + 1} of the hybrid MBR has the bytes ${start} to ${start + size}, which no partition of the GPT has`,
      entryAt(i),
    );
  }
  const first = entries.findIndex(({ type, firstSector }) => type === PROTECTIVE_TYPE && firstSector === 1);
  const covered = entries[first]!.sectors;
  const whole = Math.min(lastSectorOf(device, sectorSize), 2 ** 32 - 1);
  if (hybrid.length === 0 && covered !== whole && covered !== 2 ** 32 - 1) {
    problems.warning(
      `the protective MBR covers ${covered} sectors, and the disk has ${whole} behind it`,
      entryAt(first),
    );
  }
  return hybrid;
}
