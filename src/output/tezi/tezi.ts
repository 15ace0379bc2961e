/**
 * The Toradex Easy Installer: a folder that it finds on a USB stick, a card or a web server, and installs from.
 *
 *     image_list.json            for a web server: where the images are
 *     tezi/image.json            image-json.ts
 *     tezi/bootfs.tar.gz         file systems that the installer makes and fills
 *     tezi/rootfs.squashfs       a partition that it copies
 *     tezi/SPL, u-boot.img ...   the bootloader, for the eMMC's boot partition 0
 */
import * as path from "node:path";
import { ImgbuildError } from "../../errors.js";
import type { WrittenPartition } from "../../image/assemble.js";
import { boot0Size } from "../../image/boot0.js";
import { copyContent } from "../../image/copy-content.js";
import { type PartitionPlan, type Plan, TEZI_FILES, type TeziPlan } from "../../image/plan.js";
import type { Prepared } from "../../image/prepare.js";
import { gptType, mbrType } from "../../partition/index.js";
import { hostFile } from "../../tree/host-files.js";
import { partitionFile } from "../artifact-names.js";
import { copyRange } from "../blocks.js";
import type { ArtifactFolder, BuiltImage, Output } from "../output.js";
import { checkPlaces } from "./check-places.js";
import { configFormat } from "./config-format.js";
import { checkForFat, contentBytes, inTezi, writeArchive } from "./files.js";
import type { TeziBlockDevice, TeziContent, TeziImage, TeziPartition, TeziRawFile } from "./image-json.js";
import { IMAGE_LIST, imageList } from "./image-list.js";

import { checkTezi, MIN_FAT32, plansByProduct, teziBootloader } from "./rules.js";
import { checkSideFiles } from "./side-files.js";

const IMAGE_JSON = "image.json";
const MIB = 2 ** 20;
/** A partition that takes the rest is to have some room on the smallest medium. */
const LEAST_ROOM = 64;

const mib = (bytes: number) => Math.ceil(bytes / MIB);

export const tezi: Output = {
  check: (plan) => void checkTezi(plan),
  checkInputs,

  async write(built, folder) {
    const { plan, options } = built;
    const wanted = checkTezi(plan);
    options.stage?.("Toradex Easy Installer");
    const main = await mainDevice(built, wanted, folder);
    checkPlaces(plan, built.prepared, main.partitions!);
    const boot = await bootDevice(built, wanted, folder);
    const description = imageJson(plan, wanted, await copyFiles(wanted, folder), boot ? [main, boot] : [main]);
    await writeText(folder, inTezi(IMAGE_JSON), `${JSON.stringify(description, undefined, 2)}\n`);
    await writeText(folder, IMAGE_LIST, imageList([inTezi(IMAGE_JSON)]));
  },
};

async function writeText(folder: ArtifactFolder, name: string, text: string): Promise<void> {
  await folder.append(name).write(new TextEncoder().encode(text));
}

function imageJson(
  plan: Plan,
  wanted: TeziPlan,
  names: Partial<Record<(typeof TEZI_FILES)[number], string>>,
  blockdevs: readonly TeziBlockDevice[],
): TeziImage {
  const partitions = blockdevs.flatMap(({ partitions: own = [] }) => own);
  const image = {
    autoinstall: wanted.autoinstall,
    name: wanted.name ?? (plan.description.replace(/\s+/g, " ").trim() || plan.profile),
    description: plan.description,
    version: wanted.version,
    release_date: wanted.releaseDate,
    u_boot_env: names.environment,
    prepare_script: names.prepareScript,
    wrapup_script: names.wrapupScript,
    error_script: names.errorScript,
    icon: names.icon,
    marketing: names.marketing,
    license: names.license,
    license_title: wanted.licenseTitle,
    releasenotes: names.releaseNotes,
    supported_product_ids: wanted.productIds,
    nominal_size: partitions.reduce((sum, { partition_size_nominal }) => sum + partition_size_nominal, 0),
    blockdevs,
  };
  return { config_format: configFormat(image, plan.architecture), ...image };
}

/** The user area: partitions, and the bootloader where it lies in front of them. */
async function mainDevice(built: BuiltImage, wanted: TeziPlan, folder: ArtifactFolder): Promise<TeziBlockDevice> {
  const { plan, assembled } = built;
  const numbered = assembled.partitions.every(({ partition: { number } }, index) => number === index + 1);
  const partitions: TeziPartition[] = [];
  for (const written of assembled.partitions) {
    const { partition, size } = written;
    const rest = partition.size === "rest";
    const nominal = rest ? Math.min(mib(size), leastSize(built, written)) : mib(size);
    partitions.push({
      partition_size_nominal: partition.filesystem === "fat" ? Math.max(nominal, mib(MIN_FAT32)) : nominal,
      want_maximised: rest,
      offset_in_sectors: partition.offset === undefined ? undefined : partition.offset / 512,
      requires_partition_number: numbered ? undefined : partition.number,
      active: partition.active || undefined,
      partition_type: typeOf(plan, partition),
      content: await contentOf(built, written, wanted, folder),
    });
  }
  return {
    name: wanted.device,
    table_type: plan.storage.table === "gpt" ? "gpt" : "dos",
    partitions,
    content: plan.bootloader?.area === "user" ? await bootloaderContent(built, folder) : undefined,
  };
}

/** In MiB, what a partition needs that takes the rest: its content, a quarter of that for what is around it, and some room. */
function leastSize({ prepared }: BuiltImage, { partition, used }: WrittenPartition): number {
  const content = prepared.contents.get(partition.name);
  const bytes = content === undefined ? 0 : "root" in content ? contentBytes(content) : used;
  return mib(bytes * 1.25) + LEAST_ROOM;
}

function typeOf({ storage }: Plan, { type }: PartitionPlan): string {
  return storage.table === "gpt" ? gptType(type).toUpperCase() : mbrType(type).toString(16).padStart(2, "0");
}

/** What the installer puts into a partition; undefined: nothing. */
async function contentOf(
  { prepared, image, options }: BuiltImage,
  { partition, start, used }: WrittenPartition,
  { compression }: TeziPlan,
  folder: ArtifactFolder,
): Promise<TeziContent | undefined> {
  const content = prepared.contents.get(partition.name);
  const tree = content !== undefined && "root" in content ? content : undefined;
  if (partition.filesystem === "raw" || partition.filesystem === "squashfs") {
    if (content === undefined) return undefined;
    const filename = partitionFile(partition);
    await copyRange(image, start, used, folder.create(inTezi(filename), used));
    const rawfile = { filename, dd_options: "bs=1M", size: mib(used) };
    return { filesystem_type: "raw", rawfiles: [rawfile], uncompressed_size: mib(used) };
  }
  if (partition.filesystem === "fat" && tree !== undefined) checkForFat(tree, partition.name);
  const { jobs, observer: { notice } = {} } = options;
  const observer = { ...(notice && { notice }) };
  return {
    filesystem_type: partition.filesystem === "fat" ? "FAT" : "ext4",
    label: partition.label,
    mkfs_options: mkfsOptions(partition),
    filename: tree && (await writeArchive(folder, partition.name, tree, { compression, jobs, observer })),
    uncompressed_size: tree && mib(contentBytes(tree)),
  };
}

/** What mkfs.ext4 is told: what the image's own ext4 is made with, but for its features. */
function mkfsOptions(partition: PartitionPlan): string | undefined {
  if (partition.filesystem !== "ext4") return undefined;
  const { blockSize, inodeRatio, inodeSize, reservedPercent, journalSize } = partition;
  const journal = journalSize === undefined ? "" : ` -J size=${mib(journalSize)}`;
  return `-b ${blockSize} -i ${inodeRatio} -I ${inodeSize} -m ${reservedPercent}${journal}`;
}

/** The eMMC's boot partition 0, where the build has a bootloader for it. The installer puts the configuration block back. */
async function bootDevice(
  built: BuiltImage,
  { device }: TeziPlan,
  folder: ArtifactFolder,
): Promise<TeziBlockDevice | undefined> {
  if (built.plan.bootloader?.area !== "boot0") return undefined;
  const content = await bootloaderContent(built, folder);
  // For the eMMC's other name the installer has one of boot0, too.
  return content && { name: device === "emmc" ? "emmc-boot0" : `${device}boot0`, erase: true, content };
}

async function bootloaderContent(
  { plan, prepared }: BuiltImage,
  folder: ArtifactFolder,
): Promise<TeziContent | undefined> {
  if (prepared.bootloader.size === 0) return undefined;
  const rawfiles: TeziRawFile[] = [];
  for (const { file: filename, offset, productIds } of teziBootloader(plan)) {
    const content = prepared.bootloader.get(filename)!;
    await copyContent(folder.create(inTezi(filename), content.size), 0, content);
    rawfiles.push({ filename, dd_options: `seek=${offset / 512}`, size: mib(content.size), product_ids: productIds });
  }
  return { filesystem_type: "raw", rawfiles };
}

/**
 * Throws `source-invalid` for files that the installer could not use; `bootloader-missing` where the build has a bootloader, but not
 * what some modules need of it; as boot0Size, for each module.
 */
function checkInputs(plan: Plan, prepared: Prepared): void {
  checkSideFiles(checkTezi(plan));
  if (prepared.bootloader.size === 0) return;
  const missing = teziBootloader(plan).filter(({ file }) => !prepared.bootloader.has(file));
  if (missing.length === 0) {
    for (const own of plansByProduct(plan)) boot0Size(own, prepared);
    return;
  }
  const names = missing.map(({ file }) => file);
  throw new ImgbuildError(
    "bootloader-missing",
    `the bootloader is incomplete: some modules need ${names.join(" and ")}`,
    {
      hint: "Put it into the bootloader's folder, or change tezi.bootloader.",
      data: { missing: names },
    },
  );
}

/** Copies the files that the profile names. Returns their names. */
async function copyFiles(wanted: TeziPlan, folder: ArtifactFolder) {
  const names: Partial<Record<(typeof TEZI_FILES)[number], string>> = {};
  for (const key of TEZI_FILES) {
    const file = wanted[key];
    if (file === undefined) continue;
    const name = path.basename(file);
    if (!Object.values(names).includes(name)) {
      const content = hostFile(file);
      await copyContent(folder.create(inTezi(name), content.size), 0, content);
    }
    names[key] = name;
  }
  return names;
}
