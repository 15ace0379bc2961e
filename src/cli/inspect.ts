/** `imgbuild inspect IMAGE`: what an image holds. */
import { safeText } from "../bytes/bytestring.js";
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import type { FileSystemFacts } from "../image/file-system.js";
import { firstData, gapsOf, typeName, type Volume } from "../image/open-image.js";
import type { Partition, PartitionTable } from "../partition/index.js";
import { defineCommand } from "./declare.js";
import { type ImageArgument, imageOperand, nameOfVolume, withImage } from "./image-argument.js";
import { commonOptions } from "./options.js";
import { writeOutput } from "./standard-output.js";

export const inspect = defineCommand({
  describe: "Tells what an image holds: partition table, partitions, file systems with label, UUID and usage.",
  operands: { image: imageOperand },
  options: commonOptions,
  async run({ image, json }) {
    await withImage(image, async (argument) => {
      const facts = await factsOf(argument);
      await writeOutput([json ? `${JSON.stringify(facts)}\n` : textOf(facts, argument.image.table)]);
    });
  },
});

/** The document of --json. Sizes and positions in bytes. */
interface ImageFacts {
  readonly file: string;
  readonly size: number;
  /** What the manifest beside it says, where there is one. */
  readonly profile?: string | undefined;
  readonly table?: Pick<PartitionTable, "kind" | "id" | "sectorSize" | "gpt" | "hybrid"> | undefined;
  readonly volumes: readonly VolumeFacts[];
  readonly gaps: readonly { readonly start: number; readonly size: number; readonly firstData?: number | undefined }[];
  readonly problems: PartitionTable["problems"];
}

interface VolumeFacts {
  readonly partition?: (Partition & { readonly typeName: string }) | undefined;
  readonly name?: string | undefined;
  readonly fileSystem?: FileSystemFacts | undefined;
  /** Why there is no more to say of a file system that is there. */
  readonly error?: { readonly message: string; readonly data: unknown } | undefined;
}

async function factsOf(argument: ImageArgument): Promise<ImageFacts> {
  const { file, device, image, manifest } = argument;
  const { table } = image;
  const volumes: VolumeFacts[] = [];
  for (const volume of image.volumes) volumes.push(await volumeFacts(argument, volume));
  const gaps: ImageFacts["gaps"][number][] = [];
  for (const gap of gapsOf(image)) {
    gaps.push({ start: gap.start, size: gap.end - gap.start, firstData: await firstData(device, gap) });
  }
  return {
    file,
    size: device.size,
    profile: manifest?.profile.name,
    table: table && {
      ...{ kind: table.kind, id: table.id, sectorSize: table.sectorSize, hybrid: table.hybrid },
      ...(table.gpt && { gpt: table.gpt }),
    },
    volumes,
    gaps,
    problems: table?.problems ?? [],
  };
}

async function volumeFacts(argument: ImageArgument, volume: Volume): Promise<VolumeFacts> {
  const { partition, kind } = volume;
  const { table } = argument.image;
  const shown = {
    partition: partition && { ...partition, typeName: typeName(table!, partition) },
    name: nameOfVolume(argument, volume),
  };
  if (kind === undefined) return shown;
  try {
    return { ...shown, fileSystem: await (await volume.open()).facts() };
  } catch (error) {
    if (!(error instanceof ImgbuildError)) throw error;
    return { ...shown, error: { message: error.message, data: error.data } };
  }
}

function textOf(
  { file, size, profile, volumes, gaps, problems }: ImageFacts,
  table: PartitionTable | undefined,
): string {
  const lines = [`${file}: ${sizeText(size)}${profile === undefined ? "" : `, built from the profile ${profile}`}`];
  if (table !== undefined) {
    const { kind, id, sectorSize, gpt } = table;
    const room = gpt === undefined ? "" : `, room for ${gpt.entryCount} partitions, entries at byte ${gpt.entriesAt}`;
    lines.push(
      `${kind.toUpperCase()}, id ${id}, sectors of ${sectorSize} bytes${room}`,
      "",
      ...partitionLines(volumes),
      ...hybridLines(table, volumes),
    );
  }
  for (const { partition, name, fileSystem, error } of volumes) {
    const title = partition && `partition ${partition.number}${name === undefined ? "" : ` (${name})`}`;
    lines.push("");
    if (fileSystem !== undefined) lines.push(...fileSystemLines(title, fileSystem));
    else {
      const what = error === undefined ? "no file system that is known here" : `damaged: ${error.message}`;
      lines.push(`${title ?? "image"}: ${what}`);
    }
  }
  if (gaps.length > 0) lines.push("", "outside of partitions");
  for (const { start, size, firstData } of gaps) {
    const content = firstData === undefined ? "zeros" : `data from byte ${firstData} on`;
    lines.push(`  bytes ${start} to ${start + size}, ${formatSize(size)}: ${content}`);
  }
  if (problems.length > 0) lines.push("", "problems of the partition table");
  for (const { severity, message, offset } of problems) lines.push(`  ${severity}: ${message} (byte ${offset})`);
  return `${lines.map(safeText).join("\n")}\n`;
}

const sizeText = (size: number) => (size < 1024 ? formatSize(size) : `${size} bytes (${formatSize(size)})`);

const HEADER = ["", "offset", "size", "", "type", "name", "PARTUUID", "flags"];
const RIGHT_ALIGNED = [0, 1, 2, 3];

function partitionLines(volumes: readonly VolumeFacts[]): string[] {
  const rows = volumes.map(({ partition, name }) => {
    const { number, start, size, typeName, partuuid, active, attributes = [] } = partition!;
    const flags = [...(active ? ["active"] : []), ...attributes.filter((attribute) => attribute !== "legacy-boot")];
    return [
      `${number}`,
      `${start}`,
      `${size}`,
      formatSize(size),
      typeName,
      safeText(name ?? ""),
      partuuid,
      flags.join(","),
    ];
  });
  const table = [HEADER, ...rows];
  const widths = HEADER.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const align = (cell: string, column: number) =>
    RIGHT_ALIGNED.includes(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!);
  return table.map((row) => row.map(align).join("  ").trimEnd());
}

/** "  entry 2: partition 1 (bootfs) as esp, active" */
function hybridLines({ hybrid }: PartitionTable, volumes: readonly VolumeFacts[]): string[] {
  if (hybrid.length === 0) return [];
  const lines = hybrid.map((entry) => {
    const { number, start, size, active } = entry;
    const same = volumes.find(({ partition }) => partition!.start === start && partition!.size === size);
    const name = same?.name === undefined ? "" : ` (${same.name})`;
    const what =
      same === undefined ? `bytes ${start} to ${start + size}` : `partition ${same.partition!.number}${name}`;
    return `  entry ${number}: ${what} as ${typeName({ kind: "mbr" }, entry)}${active ? ", active" : ""}`;
  });
  return ["", "hybrid MBR", ...lines];
}

function fileSystemLines(title: string | undefined, facts: FileSystemFacts): string[] {
  const { type, label, uuid, size, used, free, details, notes } = facts;
  const share = size > 0 ? ` (${Math.round((100 * used) / size)} %)` : "";
  const pairs: [string, string][] = [
    ...(label === undefined ? [] : [["label", label] as [string, string]]),
    ...(uuid === undefined ? [] : [["UUID", uuid] as [string, string]]),
    ["size", sizeText(size)],
    // What is read-only has no room to fill.
    ...(free === 0 && used === size
      ? []
      : [["used", `${formatSize(used)}${share}, free ${formatSize(free)}`] as [string, string]]),
    ...Object.entries(details).map(([name, value]): [string, string] => [name, detailText(value)]),
    ...notes.map(({ severity, message }): [string, string] => [severity, message]),
  ];
  const width = Math.max(...pairs.map(([name]) => name.length));
  return [
    title === undefined ? type : `${title}: ${type}`,
    ...pairs.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`),
  ];
}

function detailText(value: FileSystemFacts["details"][string]): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "object" ? value.join(" ") : `${value}`;
}
