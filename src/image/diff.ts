/** What differs between two images: the table, what file systems say of themselves, what lies in gaps, and every file. */
import type { ReadableDevice } from "../bytes/device.js";
import { sameBytes } from "../bytes/same-bytes.js";
import type { Partition, PartitionTable } from "../partition/index.js";
import { compareTrees, type Difference } from "../tree/compare.js";
import type { FileSystemFacts } from "./file-system.js";
import { type Gap, gapsOf, type OpenedImage, type Volume } from "./open-image.js";
import { volumeName } from "./verify.js";

/** Something that is not a file: a field of the table, a label, bytes outside of file systems. */
export interface FactDifference {
  readonly where: string;
  readonly what: string;
  /** In the first and the second image; undefined for what one of them does not have. */
  readonly before?: string | undefined;
  readonly after?: string | undefined;
  /** Of bytes that differ: the first of them, counted from the start of what `where` names; in gaps, of the image. */
  readonly offset?: number | undefined;
}

export interface FileDifference {
  readonly where: string;
  readonly file: Difference;
}

export type ImageDifference = FactDifference | FileDifference;

type Names = ReadonlyMap<number, string>;

/** Differences of two disks, partition by partition. `names` are what partitions are called elsewhere, by number. */
export async function* diffDisks(a: OpenedImage, b: OpenedImage, names: Names): AsyncGenerator<ImageDifference> {
  yield* fields("image", { size: a.device.size }, { size: b.device.size });
  yield* fields("the partition table", tableFields(a.table!), tableFields(b.table!));
  yield* diffGaps(a, b);
  const numbers = [...a.volumes, ...b.volumes].map(({ partition }) => partition!.number);
  for (const number of [...new Set(numbers)].sort((left, right) => left - right)) {
    const [before, after] = [a, b].map(({ volumes }) => volumes.find(({ partition }) => partition!.number === number));
    const where = volumeName((before ?? after)!, names.get(number) ?? (before ?? after)!.partition!.name);
    yield* fields(where, partitionFields(before?.partition), partitionFields(after?.partition));
    if (before !== undefined && after !== undefined) yield* diffVolumes(before, after, where);
  }
}

/** Differences of two file systems, or of the bytes of two stretches that hold none. */
export async function* diffVolumes(a: Volume, b: Volume, where: string): AsyncGenerator<ImageDifference> {
  if (a.kind === undefined || b.kind === undefined) {
    yield* fields(where, { "file system": a.kind }, { "file system": b.kind });
    if (a.kind === b.kind) yield* diffBytes(where, a.device, b.device);
    return;
  }
  const [before, after] = [await a.open(), await b.open()];
  yield* fields(where, factFields(await before.facts()), factFields(await after.facts()));
  for await (const file of compareTrees(await before.root.tree(), await after.root.tree())) yield { where, file };
}

/** The first byte that differs; of different lengths, also that. */
export async function* diffBytes(where: string, a: ReadableDevice, b: ReadableDevice): AsyncGenerator<FactDifference> {
  yield* fields(where, { length: a.size }, { length: b.size });
  const at = await firstDifference(a, 0, b, 0, Math.min(a.size, b.size));
  if (at !== undefined) yield { where, what: "bytes", offset: at };
}

async function* diffGaps(a: OpenedImage, b: OpenedImage): AsyncGenerator<FactDifference> {
  for (const { start, end } of commonGaps(gapsOf(a), gapsOf(b))) {
    const at = await firstDifference(a.device, start, b.device, start, end - start);
    if (at === undefined) continue;
    yield { where: `outside of partitions, bytes ${start} to ${end}`, what: "bytes", offset: start + at };
  }
}

/** What both leave free, in order: a partition that is moved or grows shifts where gaps begin and end. */
function* commonGaps(a: readonly Gap[], b: readonly Gap[]): Generator<Gap> {
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [left, right] = [a[i]!, b[j]!];
    const [start, end] = [Math.max(left.start, right.start), Math.min(left.end, right.end)];
    if (start < end) yield { start, end };
    if (left.end <= right.end) i++;
    else j++;
  }
}

const CHUNK = 2 ** 20;

/** The first of `length` bytes, counted from 0, that is another. */
async function firstDifference(
  a: ReadableDevice,
  aStart: number,
  b: ReadableDevice,
  bStart: number,
  length: number,
): Promise<number | undefined> {
  for (let done = 0; done < length; done += CHUNK) {
    const size = Math.min(CHUNK, length - done);
    const [left, right] = [await a.read(aStart + done, size), await b.read(bStart + done, size)];
    if (!sameBytes(left, right)) return done + left.findIndex((byte, i) => byte !== right[i]);
  }
  return undefined;
}

type Fields = Readonly<Record<string, unknown>>;

function* fields(where: string, a: Fields, b: Fields): Generator<FactDifference> {
  for (const what of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const [before, after] = [a[what], b[what]].map((value) => (value === undefined ? undefined : `${value}`));
    if (before !== after) yield { where, what, before, after };
  }
}

const tableFields = ({ kind, id, sectorSize, gpt }: PartitionTable): Fields => ({
  ...{ kind, id, "sector size": sectorSize },
  ...(gpt && { "room for partitions": gpt.entryCount, "entries at": gpt.entriesAt }),
});

function partitionFields(partition: Partition | undefined): Fields {
  if (partition === undefined) return {};
  const { start, size, type, partuuid, name, active, attributes = [] } = partition;
  return { start, size, type, PARTUUID: partuuid, name, active, attributes: attributes.join(",") };
}

/** What follows from the files is left out: room, and numbers of things. */
function factFields({ type, label, uuid, size, details }: FileSystemFacts): Fields {
  const { inodes, "free inodes": free, fragments, "attribute sets": sets, clusters, ...own } = details;
  return { "file system": type, label, UUID: uuid, size, ...own };
}
