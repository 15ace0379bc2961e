/** What the Toradex Easy Installer cannot do, and a plan may ask for. toradex/qt-tezi: multiimagewritethread.cpp, tezi.schema. */
import * as fs from "node:fs";
import * as path from "node:path";
import { ImgbuildError } from "../../errors.js";
import { type PartitionPlan, type Plan, TEZI_FILES, type TeziPlan } from "../../image/plan.js";
import { compressionSuffix } from "./files.js";
import { ALIGNMENT } from "./placement.js";

/** It makes every FAT a FAT32: mkfs.fat -F 32 has too few clusters below. */
export const MIN_FAT32 = 33 * 2 ** 20;
/** Longer labels are left out. */
const MAX_LABEL = 15;

function refuse(message: string, hint: string): ImgbuildError {
  return new ImgbuildError("profile-invalid", `the Toradex Easy Installer ${message}`, { hint });
}

/** Throws `profile-invalid` for what the installer would refuse or leave out, `source-missing` for a file of `tezi` that is not there. */
export function checkTezi(plan: Plan): TeziPlan {
  const { tezi, storage, partitions } = plan;
  if (tezi === undefined) {
    throw refuse(
      "offers an image only on the modules that it names, and the profile has no tezi.productIds",
      'Set tezi.productIds to the modules\' product numbers, in quotes: ["0014", "0015"].',
    );
  }
  if (storage.sectorSize !== 512) {
    throw refuse(`counts in sectors of 512 bytes, not ${storage.sectorSize}`, "Set storage.sectorSize to 512.");
  }
  if (storage.gpt !== undefined) {
    throw refuse("has sfdisk make the table, with 128 entries in sector 2", "Leave storage.gpt out.");
  }
  const most = storage.table === "gpt" ? 16 : 4;
  const last = Math.max(partitions.length, ...partitions.map(({ number }) => number));
  if (last > most) {
    const table = storage.table === "gpt" ? "a GPT" : "an MBR, without logical ones";
    throw refuse(`makes ${most} partitions at most in ${table}, and there is number ${last}`, gptHint(storage.table));
  }
  for (const [index, partition] of partitions.entries()) {
    const before = partitions[index - 1];
    if (before !== undefined && before.number > partition.number) {
      throw refuse(
        `lays partitions out by their numbers, and ${partition.name}, number ${partition.number}, lies behind ${before.name}, number ${before.number}`,
        `Change partitions.${partition.name}.number.`,
      );
    }
    checkPartition(partition);
  }
  for (const { file, offset } of teziBootloader(plan)) {
    checkFileName(file, "bootloader.files");
    if (offset % 512 !== 0) {
      throw refuse(
        `writes in sectors of 512 bytes, and ${file} goes to byte ${offset}`,
        "Change its offset in bootloader.files.",
      );
    }
  }
  checkBootloader(plan, tezi);
  const taken = new Map(teziBootloader(plan).map(({ file }) => [file, "bootloader.files"]));
  for (const key of TEZI_FILES) checkFile(key, tezi[key], taken);
  return tezi;
}

const gptHint = (table: "mbr" | "gpt") => (table === "mbr" ? "Set storage.table to gpt, or use fewer." : "Use fewer.");

function checkPartition(partition: PartitionPlan): void {
  const { name, offset, size } = partition;
  const key = `partitions.${name}`;
  if (offset !== undefined && (offset < ALIGNMENT * 512 || offset % 512 !== 0)) {
    throw refuse(`lets partitions begin at 4 MiB, and ${name} is to begin at ${offset}`, `Change ${key}.offset.`);
  }
  const lost = [
    partition.attributes.length > 0 && "attributes",
    partition.partlabel !== undefined && "partlabel",
    partition.hybrid !== undefined && "hybrid",
    partition.filesystem === "ext4" && partition.features !== undefined && "features",
    partition.filesystem === "ext4" && partition.mountOptions !== undefined && "mountOptions",
    partition.filesystem === "ext4" && partition.errors !== "continue" && "errors",
  ].find((found) => found !== false);
  if (lost !== undefined) {
    throw refuse(`has no way to give ${name} its ${lost}`, `Leave ${key}.${lost} out, or set it in tezi.wrapupScript.`);
  }
  if (partition.filesystem === "ext4" && Buffer.byteLength(partition.label ?? "") > MAX_LABEL) {
    throw refuse(
      `leaves out labels of more than ${MAX_LABEL} bytes, and ${name} has ${partition.label}`,
      `Choose a shorter ${key}.label.`,
    );
  }
  if (partition.filesystem !== "fat") return;
  if (partition.fatType !== undefined && partition.fatType !== 32) {
    throw refuse(
      `makes every FAT a FAT32, and ${name} is to be a FAT${partition.fatType}`,
      `Leave ${key}.fatType out.`,
    );
  }
  if (typeof size === "number" && size < MIN_FAT32) {
    throw refuse(
      `makes every FAT a FAT32, for which ${name} is too small with ${size} bytes`,
      `Set ${key}.size to 33MiB or more.`,
    );
  }
}

interface BootloaderFile {
  readonly file: string;
  /** In bytes from the area's start. */
  readonly offset: number;
  /** The modules that get it; undefined: all. */
  readonly productIds: readonly string[] | undefined;
}

/** The bootloader's files as the installer gets them: where modules need different ones, each of those. */
export function teziBootloader({ bootloader, tezi }: Plan): BootloaderFile[] {
  return (bootloader?.files ?? []).flatMap(({ file, offset }): BootloaderFile[] => {
    const byProduct = tezi?.bootloader[file];
    if (byProduct === undefined) return [{ file, offset, productIds: undefined }];
    return Object.entries(byProduct).map(([variant, productIds]) => ({ file: variant, offset, productIds }));
  });
}

/** The plan as each module has it whose bootloader files are its own: with these in `bootloader.files`. One plan where all get the same. */
export function plansByProduct(plan: Plan): Plan[] {
  const { bootloader, tezi } = plan;
  if (bootloader === undefined || tezi === undefined || Object.keys(tezi.bootloader).length === 0) return [plan];
  return tezi.productIds.map((id): Plan => {
    const own = (file: string) =>
      Object.entries(tezi.bootloader[file] ?? {}).find(([, ids]) => ids.includes(id))?.[0] ?? file;
    const files = bootloader.files.map(({ file, offset }) => ({ file: own(file), offset }));
    return { ...plan, bootloader: { ...bootloader, files } };
  });
}

/** In the place of a bootloader file each module gets one file. */
function checkBootloader(plan: Plan, tezi: TeziPlan): void {
  const files = teziBootloader(plan).map(({ file }) => file);
  const twice = files.find((file, index) => files.indexOf(file) !== index);
  if (twice !== undefined) {
    throw refuse(`has all files in one folder, and ${twice} is in tezi.bootloader twice`, "Rename one.");
  }
  for (const [file, byProduct] of Object.entries(tezi.bootloader)) {
    const key = `tezi.bootloader.${file}`;
    if (!plan.bootloader?.files.some((known) => known.file === file)) {
      throw refuse(`would get ${key} for a file that bootloader.files does not have`, "Change one of the two.");
    }
    const ids = Object.values(byProduct).flat();
    const unlike = [...tezi.productIds, ...ids].find(
      (id) => !tezi.productIds.includes(id) || ids.filter((other) => other === id).length !== 1,
    );
    if (unlike !== undefined) {
      throw refuse(
        `writes one file for each module in the place of ${file}, and ${key} does not have ${unlike} once, as tezi.productIds`,
        `Name each of tezi.productIds once in ${key}.`,
      );
    }
  }
}

/** `taken` has the files beside image.json: by their names there, where they come from. */
function checkFile(key: string, file: string | undefined, taken: Map<string, string>): void {
  if (file === undefined) return;
  const name = path.basename(file);
  checkFileName(name, `tezi.${key}`);
  if (!fs.statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new ImgbuildError("source-missing", `tezi.${key}: there is no file ${file}`, {
      hint: "Its path counts from the profile's folder.",
    });
  }
  const other = taken.get(name) ?? file;
  if (other !== file)
    throw refuse(`has all files in one folder, and ${file} and ${other} are both ${name}`, "Rename one.");
  taken.set(name, file);
}

/** The installer puts names between quotes in a shell command, looks for images by name, and decompresses by name. */
function checkFileName(name: string, key: string): void {
  if (!/^[A-Za-z0-9._+-]+$/.test(name)) {
    throw refuse(
      `puts file names into shell commands, and "${name}" (${key}) may be something else there`,
      "Rename the file.",
    );
  }
  if (/^image.*\.json$/.test(name)) {
    throw refuse(`would take ${name} (${key}) for the description of an image`, "Rename the file.");
  }
  const suffix = compressionSuffix(name);
  if (suffix !== undefined && key === "bootloader.files") {
    throw refuse(`would decompress ${name} (${key}), because of its ${suffix}`, "Rename the file.");
  }
}
