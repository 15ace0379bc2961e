/** The argument IMAGE[:PART]: a disk image, a file system in a file, or an output folder; PART is a number or a name. */
import * as fs from "node:fs";
import * as path from "node:path";
import type { ReadableDevice } from "../bytes/device.js";
import { FileReader } from "../bytes/file-device.js";
import { type CompressionFormat, detectCompression } from "../codecs/decompress.js";
import { ImgbuildError } from "../errors.js";
import { blockDevice } from "../flash/block-device.js";
import { deviceNumberOf } from "../flash/device-uses.js";
import { detectForeignFormat } from "../flash/foreign-formats.js";
import { Medium } from "../flash/medium.js";
import type { FileSystem } from "../image/file-system.js";
import { type OpenedImage, openImage, type Volume } from "../image/open-image.js";
import { volumeName } from "../image/verify.js";
import { IMAGE } from "../output/artifacts.js";
import { type Manifest, readManifest, singlePartitions } from "../output/manifest.js";

/** An image of the command line that is open. */
export interface ImageArgument {
  /** The file: in an output folder, the whole image. */
  readonly file: string;
  readonly device: ReadableDevice;
  readonly image: OpenedImage;
  /** What was built, where the manifest beside the file says so of it. */
  readonly manifest: Manifest | undefined;
  /** The names that the manifest has for partitions, by number; of single file systems none. */
  readonly names: ReadonlyMap<number, string>;
  /** What follows the colon. */
  readonly part: string | undefined;
}

export const imageOperand = {
  value: "IMAGE",
  describe: "a disk image, a file system in a file, a block device, or an output folder",
} as const;
export const partOperand = {
  value: "IMAGE[:PART]",
  describe: "a disk image, a file system in a file, or an output folder; PART is a partition's number or name",
} as const;

/** File and part of an argument. A file whose name has a colon is taken as it is. */
export function splitArgument(text: string): { file: string; part: string | undefined } {
  const colon = text.lastIndexOf(":");
  if (fs.existsSync(text) || colon < 1 || !fs.existsSync(text.slice(0, colon))) return { file: text, part: undefined };
  return { file: text.slice(0, colon), part: text.slice(colon + 1) };
}

/** The whole image in an output folder. Throws `source-missing`: not every build makes one. */
export function imageInFolder(folder: string): string {
  const file = path.join(folder, IMAGE);
  if (fs.existsSync(file)) return file;
  throw noImageIn(folder);
}

/** The error for a folder without the whole image. */
export function noImageIn(folder: string): ImgbuildError {
  const missing = (hint: string) =>
    new ImgbuildError("source-missing", `there is no ${IMAGE} in the folder ${folder}`, { hint });
  const manifest = readManifest(folder);
  if (manifest === undefined) return missing("Give the output folder of a build, or the file of an image.");
  for (const [name, unpack] of Object.entries(PACKED_IMAGES)) {
    const file = path.join(folder, name);
    if (fs.existsSync(file)) return missing(`${name} has it: ${unpack(file)}`);
  }
  const parts = singlePartitions(manifest).map(({ partition }) => `${folder}:${partition.name}`);
  const there = parts.length === 0 ? "" : ` Its partitions can be looked into one by one: ${parts.join(", ")}.`;
  return missing(`Its outputs were others: build it again with img among them, as with \`--format img\`.${there}`);
}

const DECOMPRESS: Readonly<Record<CompressionFormat, string>> = { gzip: "gunzip -k", xz: "xz -dk", zstd: "zstd -d" };

/** Outputs that are the whole image in another form, and what makes the image of one. */
const PACKED_IMAGES: Readonly<Record<string, (file: string) => string>> = {
  [`${IMAGE}.zst`]: (file) => `${DECOMPRESS.zstd} ${file}`,
  [`${IMAGE}.gz`]: (file) => `${DECOMPRESS.gzip} ${file}`,
  [`${IMAGE}.xz`]: (file) => `${DECOMPRESS.xz} ${file}`,
  "emmc.simg": (file) => `simg2img ${file} ${path.join(path.dirname(file), IMAGE)}`,
};

/** The error for a file that has to be unpacked before it can be looked into; undefined for others. */
async function packedError(device: ReadableDevice, file: string): Promise<ImgbuildError | undefined> {
  const head = await device.read(0, Math.min(512, device.size));
  const compression = detectCompression(head);
  if (compression !== undefined) {
    return new ImgbuildError(
      "source-unsupported",
      `${file} is compressed with ${compression}, and nothing in it can be looked into`,
      {
        hint: `Decompress it first: ${DECOMPRESS[compression]} ${file}`,
      },
    );
  }
  const foreign = detectForeignFormat(head);
  if (foreign === undefined) return undefined;
  const message = `${file} is ${foreign.name}, and no image of a disk or a file system`;
  return new ImgbuildError("source-unsupported", message, { hint: foreign.hint });
}

/** What an argument that names an output folder stands for: the whole image; without one, the file of the partition PART. */
function inFolder(folder: string, part: string | undefined): { file: string; part: string | undefined } {
  if (part !== undefined && !fs.existsSync(path.join(folder, IMAGE))) {
    const manifest = readManifest(folder);
    const found =
      manifest &&
      singlePartitions(manifest).find(({ partition: { number, name, label } }) =>
        [`${number}`, name, label].includes(part),
      );
    if (found !== undefined) return { file: path.join(folder, found.file), part: undefined };
  }
  return { file: imageInFolder(folder), part };
}

/** Opens it for the time of `use`. Throws `source-missing`, and what `openImage` throws. */
export async function withImage<T>(text: string, use: (argument: ImageArgument) => Promise<T>): Promise<T> {
  const { file: named, part: wanted } = splitArgument(text);
  const stat = fs.statSync(named, { throwIfNoEntry: false });
  const { file, part } = stat?.isDirectory() ? inFolder(named, wanted) : { file: named, part: wanted };
  if (stat !== undefined && !stat.isDirectory() && !stat.isFile() && !stat.isBlockDevice()) {
    throw new ImgbuildError(
      "usage",
      `${named} is neither a file nor a block device, and nothing else can be looked into`,
      {
        hint: "Copy it into a file first, with dd or cat.",
      },
    );
  }
  const device = stat?.isBlockDevice() ? openBlockDevice(file) : new FileReader(file);
  try {
    const found = readManifest(path.dirname(file));
    const manifest = found?.artifacts.some((artifact) => artifact.file === path.basename(file)) ? found : undefined;
    const image = await openImage(device).catch(async (error) => {
      throw (await packedError(device, file)) ?? error;
    });
    const named = image.table === undefined ? [] : (manifest?.partitions ?? []);
    const names = new Map(named.map(({ number, name }) => [number, name]));
    return await use({ file, device, image, manifest, names, part });
  } finally {
    device.close();
  }
}

/** To be read past the host's memory, as what is on it: a card, an eMMC. */
function openBlockDevice(file: string): Medium {
  const number = deviceNumberOf(file);
  const known = number === undefined ? undefined : blockDevice(number);
  return new Medium(file, known?.logicalBlockSize ?? 512, { readOnly: true });
}

/** The name of a partition: the manifest's, or the table's own. */
export function nameOfVolume({ names }: ImageArgument, { partition }: Volume): string | undefined {
  return partition && (names.get(partition.number) ?? partition.name);
}

/**
 * The volume that PART names: by number, by the manifest's or the table's name, or by the file system's label. Without PART,
 * the only one there is. Throws a `usage` error that lists them.
 */
export async function selectVolume(argument: ImageArgument): Promise<Volume> {
  const { image, part, file } = argument;
  const { volumes } = image;
  const known = volumes.filter(({ kind }) => kind !== undefined);
  if (part === undefined) {
    if (volumes.length === 1) return volumes[0]!;
    if (known.length === 1) return known[0]!;
    throw unclear(argument, `${file} has ${volumes.length} partitions`);
  }
  const named = volumes.filter(
    (volume) => `${volume.partition?.number}` === part || nameOfVolume(argument, volume) === part,
  );
  const found = named.length > 0 ? named : await labelled(known, part);
  if (found.length === 1) return found[0]!;
  throw unclear(argument, `${file} has ${found.length === 0 ? "no partition" : "several partitions"} ${part}`);
}

async function labelled(volumes: readonly Volume[], label: string): Promise<Volume[]> {
  const found: Volume[] = [];
  for (const volume of volumes) {
    try {
      if ((await (await volume.open()).facts()).label === label) found.push(volume);
    } catch (error) {
      // A broken partition does not keep another from being found.
      if (!(error instanceof ImgbuildError)) throw error;
    }
  }
  return found;
}

function unclear(argument: ImageArgument, message: string): ImgbuildError {
  const list = argument.image.volumes.map((volume) => volumeName(volume, nameOfVolume(argument, volume)));
  return new ImgbuildError("usage", message, {
    hint: list.length === 0 ? "It has none at all." : `Write IMAGE:NUMBER or IMAGE:NAME: ${list.join(", ")}.`,
  });
}

/** An error of a file system with the image and the partition named, and where that begins. */
function inVolume(error: unknown, { file }: ImageArgument, { partition }: Volume): unknown {
  if (!(error instanceof ImgbuildError) || partition === undefined) return error;
  const { code, message, hint, data, cause } = error;
  const where = `${file}, partition ${partition.number} (from byte ${partition.start} on)`;
  return new ImgbuildError(code, `${where}: ${message}`, {
    ...(hint !== undefined && { hint }),
    data: { ...data, partition: partition.number, partitionStart: partition.start },
    cause,
  });
}

/** Runs `use` with the file system that the argument names; errors of its partition say which it is. */
export async function withFileSystem<T>(
  text: string,
  use: (fileSystem: FileSystem, argument: ImageArgument) => Promise<T>,
): Promise<T> {
  return withImage(text, async (argument) => {
    const volume = await selectVolume(argument);
    try {
      return await use(await volume.open(), argument);
    } catch (error) {
      throw inVolume(error, argument, volume);
    }
  });
}
