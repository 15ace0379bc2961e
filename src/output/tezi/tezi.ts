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
import { slotEnvironment } from "../../image/claims.js";
import { type PartitionPlan, type Plan, TEZI_FILES, type TeziPlan } from "../../image/plan.js";
import { gptType, mbrType } from "../../partition/index.js";
import { hostFile } from "../../tree/host-files.js";
import { partitionFile } from "../artifact-names.js";
import type { ArtifactFolder, BuiltImage, Output } from "../output.js";
import { checkForFat, contentBytes, copyFile, copyImage, writeArchive } from "./files.js";
import type { TeziBlockDevice, TeziContent, TeziImage, TeziPartition } from "./image-json.js";
import { teziNeeds, teziPlacements } from "./placement.js";
import { checkTezi, MIN_FAT32 } from "./rules.js";

export const TEZI_FOLDER = "tezi";
const MIB = 2 ** 20;
/** A partition that takes the rest is to have some room on the smallest medium. */
const LEAST_ROOM = 64;

const mib = (bytes: number) => Math.ceil(bytes / MIB);

export const tezi: Output = {
  check: (plan) => void checkTezi(plan),

  async write(built, folder) {
    const { plan, options } = built;
    const wanted = checkTezi(plan);
    options.stage?.("Toradex Easy Installer");
    const main = await mainDevice(built, wanted, folder);
    checkPlaces(plan, built, main);
    const boot = await bootDevice(built, wanted, folder);
    const description = imageJson(plan, wanted, await copyFiles(wanted, folder), boot ? [main, boot] : [main]);
    await writeJson(folder, `${TEZI_FOLDER}/image.json`, description);
    await writeJson(folder, "image_list.json", { config_format: 1, images: [`${TEZI_FOLDER}/image.json`] });
  },
};

async function writeJson(folder: ArtifactFolder, name: string, value: object): Promise<void> {
  await folder.append(name).write(new TextEncoder().encode(`${JSON.stringify(value, undefined, 2)}\n`));
}

function imageJson(
  plan: Plan,
  wanted: TeziPlan,
  names: Partial<Record<(typeof TEZI_FILES)[number], string>>,
  blockdevs: readonly TeziBlockDevice[],
): TeziImage {
  const partitions = blockdevs.flatMap(({ partitions: own = [] }) => own);
  return {
    config_format: plan.architecture === "arm64" ? 4 : 2,
    autoinstall: wanted.autoinstall,
    name: wanted.name ?? (plan.description || plan.profile),
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
    await copyImage(image, start, used, folder.append(`${TEZI_FOLDER}/${filename}`));
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
  const rawfiles = [];
  for (const { file, offset } of plan.bootloader!.files) {
    const content = prepared.bootloader.get(file)!;
    await copyFile(content, folder.append(`${TEZI_FOLDER}/${file}`));
    rawfiles.push({ filename: file, dd_options: `seek=${offset / 512}`, size: mib(content.size) });
  }
  return { filesystem_type: "raw", rawfiles };
}

/** Copies the files that the profile names. Returns their names. */
async function copyFiles(wanted: TeziPlan, folder: ArtifactFolder) {
  const names: Partial<Record<(typeof TEZI_FILES)[number], string>> = {};
  for (const key of TEZI_FILES) {
    const file = wanted[key];
    if (file === undefined) continue;
    const name = path.basename(file);
    if (!Object.values(names).includes(name)) await copyFile(hostFile(file), folder.append(`${TEZI_FOLDER}/${name}`));
    names[key] = name;
  }
  return names;
}

/** Throws where the image fits on its medium, but not as the installer places partitions. */
function checkPlaces(plan: Plan, { prepared }: BuiltImage, device: TeziBlockDevice): void {
  const { storage, bootloader } = plan;
  const partitions = device.partitions!;
  if (storage.size === undefined) return;
  const sectors = storage.size / 512;
  const available = Math.floor((storage.table === "gpt" ? sectors - 34 : sectors) / 2048);
  const needed = teziNeeds(partitions);
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
  const claims = storage.reserved.map(({ name, start, size }) => ({ name, start, end: start + size }));
  const environment = slotEnvironment(plan);
  if (environment !== undefined) claims.push({ name: "the slots' environment", ...environment });
  if (bootloader?.area === "user") {
    for (const { file, offset } of bootloader.files) {
      claims.push({ name: file, start: offset, end: offset + (prepared.bootloader.get(file)?.size ?? 0) });
    }
  }
  const places = teziPlacements(partitions, device.table_type!, sectors);
  for (const [index, place] of places.entries()) {
    const [start, end] = [place.start * 512, (place.start + place.sectors) * 512];
    const next = places[index + 1];
    if (next !== undefined && next.start * 512 < end)
      claims.push({ name: `partition ${index + 2}`, start: next.start * 512, end });
    const claim = claims.find((other) => other.start < end && start < other.end);
    if (claim === undefined) continue;
    throw new ImgbuildError(
      "layout-conflict",
      `the Toradex Easy Installer puts partition ${index + 1} at ${start} to ${end}, where ${claim.name} begins at ${claim.start}`,
      {
        hint: "It rounds sizes to MiB and begins at multiples of 4 MiB: give the partition an offset, or another size.",
      },
    );
  }
}
