/** `imgbuild flash IMAGE DEVICE`: an image onto a card, an eMMC or a disk, and read back from there. */
import * as fs from "node:fs";
import * as path from "node:path";
import { safeText } from "../bytes/bytestring.js";
import { hostReadError } from "../bytes/host-error.js";
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { blockDevice } from "../flash/block-device.js";
import { type BlockMap, readBlockMap } from "../flash/bmap.js";

import { BootLock } from "../flash/boot-lock.js";
import { artifactOf, checkArtifact, checkPartitionsInside } from "../flash/check-source.js";

import { deviceNumberOf, usesOfFile } from "../flash/device-uses.js";
import { readImageContent } from "../flash/image-content.js";
import { type ImageSource, measureSource, openImageSource } from "../flash/image-source.js";
import { Medium } from "../flash/medium.js";
import { recipesText } from "../flash/recipes.js";
import { checkContent, checkKind, checkLength, checkSuits, checkUnused } from "../flash/refusals.js";
import { type Flashed, type FlashProgress, incompleteText, wholeImage, writeImage } from "../flash/write-image.js";
import { IMAGE, MANIFEST } from "../output/artifacts.js";
import { readManifest } from "../output/manifest.js";
import { planOfResolved } from "../profile/load.js";
import { type Arguments, defineCommand, type Operands, type Options } from "./declare.js";
import { consent, tellLimits } from "./flash-consent.js";
import { noImageIn } from "./image-argument.js";
import { interruptible } from "./interrupt.js";
import { commonOptions, reporterFor } from "./options.js";
import type { Reporter } from "./progress.js";
import { writeOutput } from "./standard-output.js";

const group = "How it is written";

const options = {
  yes: { type: "flag", short: "y", describe: "do not ask before the device is overwritten", default: false, group },
  verify: { type: "flag", describe: "read everything back from the device", default: true, group },
  bmap: {
    type: "text",
    value: "FILE",
    describe: "the block map, as bmaptool makes one",
    shownDefault: "IMAGE.bmap, if there is one",
    group,
  },
  whole: { type: "flag", describe: "write every block, whatever a block map says", default: false, group },
  force: {
    type: "flag",
    short: "f",
    describe: "also what is no image, is cut short or changed, or does not suit the device; never a device in use",
    default: false,
    group,
  },
  how: {
    type: "flag",
    describe: "print how this image gets onto its board: dd, bmaptool, U-Boot, fastboot, uuu ...",
    default: false,
    group: "Recipes",
  },
  ...commonOptions,
} as const satisfies Options;

const operands = {
  image: { value: "IMAGE", describe: "an output folder, or an image, which may be compressed (.zst, .gz, .xz)" },
  device: { value: "DEVICE", describe: "a block device, or a file of the device's length", optional: true },
} as const satisfies Operands;

type FlashArguments = Arguments<typeof options, typeof operands>;

export const flash = defineCommand({
  describe: "Writes an image onto a card, an eMMC or a disk, and reads it back from there.",
  operands,
  options,
  run,
});

async function run(args: FlashArguments): Promise<void> {
  if (args.how) return printRecipes(args.image);
  const { device: target } = args;
  if (target === undefined) {
    throw new ImgbuildError("usage", "there is no device to write to", {
      hint: "imgbuild flash IMAGE DEVICE; `lsblk` lists the devices. `imgbuild flash --how IMAGE` shows other ways.",
    });
  }
  const reporter = reporterFor(args);
  const source = await openImageSource(imageFile(args.image));
  checkKind(target);
  const number = deviceNumberOf(target);
  const device = number === undefined ? undefined : blockDevice(number);
  checkUnused(target, device?.uses ?? usesOfFile(target));
  const content = await readImageContent(source);
  if (!args.force) checkContent(content);
  const { map, named } = await mapOf(source, args, reporter);
  const image = { ...content, size: map.imageSize };
  if (image.hasTable && !args.force) await checkPartitionsInside(image);
  if (device !== undefined && !args.force) checkSuits(target, device, image);
  refuseItself(source.path, target);

  const lock = new BootLock(device);
  const progress: FlashProgress = { begun: false, done: false };
  const work = async () => {
    lock.open();
    const medium = new Medium(target, device?.logicalBlockSize ?? 512);
    try {
      checkLength(target, medium.size, device, image);
      await consent(args, { medium, device, image });
      tellLimits(medium, device, args, reporter);
      const stage = (name: string, bytes: number) => reporter.stage(name, { files: 0, bytes });
      return await writeImage(
        { source, map, medium, verify: args.verify, observer: reporter.observer, stage },
        progress,
      );
    } finally {
      medium.close();
    }
  };
  const state = () => {
    if (progress.done) return `${target} is written`;
    return progress.begun ? incompleteText(target) : `${target} is as it was`;
  };
  let flashed: Flashed;
  try {
    // From before the lock is open: the question may stand for long, and a signal end it.
    flashed = await interruptible(() => lock.close(), work, state);
  } finally {
    lock.close();
  }
  reporter.end();
  if (args.json) {
    const document = { device: target, image: source.path, bmap: named ?? null, ...flashed };
    await writeOutput([`${JSON.stringify(document)}\n`]);
    return;
  }
  reporter.say(summaryOf(target, map, flashed.written, args.verify, flashed.backupMoved));
  if (image.isBoot0 && device?.isBootPartition) {
    reporter.say(`the boot ROM has to be told once: mmc bootpart enable 1 1 ${target.replace(/boot\d$/, "")}`);
  }
}

/** In an output folder, the whole image; where that is there only compressed, that. */
function imageFile(named: string): string {
  if (!fs.statSync(named, { throwIfNoEntry: false })?.isDirectory()) return named;
  const found = ["", ".zst", ".gz", ".xz"]
    .map((suffix) => path.join(named, IMAGE + suffix))
    .find((file) => fs.existsSync(file));
  if (found !== undefined) return found;
  throw noImageIn(named);
}

/**
 * What has to be written: by the block map, or everything. Holes of a sparse file do not count: they may have to be zeros. Damage
 * that a checksum shows is an error already here, before the device is touched, unless the block map has the checksums of what
 * is read as it is.
 */
async function mapOf(
  source: ImageSource,
  { bmap, whole, force }: FlashArguments,
  reporter: Reporter,
): Promise<{ map: BlockMap; named: string | undefined }> {
  if (bmap !== undefined && whole) {
    throw new ImgbuildError("usage", "--bmap says what to write, and --whole says everything", {
      hint: "Leave one out.",
    });
  }
  const named = whole ? undefined : (bmap ?? mapBeside(source));
  const map = named === undefined ? undefined : readBlockMap(readMap(named), named);
  const checkedByMap = source.compression === undefined && map?.ranges.every(({ checksum }) => checksum !== undefined);
  const artifact = force || checkedByMap ? undefined : artifactOf(source);
  if (artifact !== undefined) {
    reporter.stage(`checking ${source.path}`);
    await checkArtifact(source, artifact);
  }
  let size = source.size;
  if (map !== undefined && (artifact !== undefined || force)) size ??= map.imageSize;
  if (size === undefined) {
    reporter.stage(`reading ${source.path}`);
    size = await measureSource(source, (bytes) => reporter.observer.progress?.(bytes, 0));
  }
  if (size === 0) {
    throw new ImgbuildError("source-invalid", `${source.path} is empty`, { hint: "Build the image again." });
  }
  if (map === undefined) return { map: wholeImage(size), named: undefined };
  if (map.imageSize !== size) {
    throw new ImgbuildError(
      "source-invalid",
      `${named} is the block map of an image of ${map.imageSize} bytes, and ${source.path} has ${size}`,
      { hint: "Copy both again, or write all of the image: --whole." },
    );
  }
  return { map, named };
}

function readMap(file: string): string {
  try {
    return fs.readFileSync(file, "utf8");
  } catch (error) {
    throw hostReadError(file, error);
  }
}

/** emmc.img.zst: emmc.img.zst.bmap, emmc.img.bmap, emmc.bmap. As bmaptool looks for it. */
function mapBeside({ path: file }: ImageSource): string | undefined {
  const names = [file];
  while (path.extname(names.at(-1)!) !== "") names.push(names.at(-1)!.slice(0, -path.extname(names.at(-1)!).length));
  return names.map((name) => `${name}.bmap`).find((name) => fs.existsSync(name));
}

function refuseItself(image: string, target: string): void {
  const [a, b] = [image, target].map((file) => fs.statSync(file, { throwIfNoEntry: false }));
  if (a === undefined || b === undefined || a.ino !== b.ino || a.dev !== b.dev) return;
  throw new ImgbuildError("usage", `${target} is the image itself`, { hint: "Name the device to write to." });
}

function summaryOf(
  target: string,
  { imageSize }: BlockMap,
  written: number,
  verified: boolean,
  moved: boolean,
): string {
  const mapped = written < imageSize ? ` of ${formatSize(imageSize)}, what the block map names` : "";
  const table = moved ? "; the GPT's backup is at the device's end" : "";
  return `${target}: ${formatSize(written)} written${mapped}, ${verified ? "and read back" : "not read back"}${table}`;
}

async function printRecipes(named: string): Promise<void> {
  const stat = fs.statSync(named, { throwIfNoEntry: false });
  if (stat === undefined) {
    throw new ImgbuildError("source-missing", `${named} does not exist`, {
      hint: "Name the output folder of a build, or an image in one.",
    });
  }
  const isFolder = stat.isDirectory();
  const folder = isFolder ? named : path.dirname(named);
  const manifest = readManifest(folder);
  if (manifest === undefined) {
    throw new ImgbuildError("source-missing", `there is no ${MANIFEST} in ${folder}`, {
      hint: "It says which board the image is for: name the output folder of a build.",
    });
  }
  const plan = planOfResolved(manifest.profile.name, manifest.profile.resolved);
  const files = new Set(fs.readdirSync(folder));
  const text = recipesText({ manifest, plan, folder: folder.replace(/\/$/, ""), files });
  await writeOutput([text.split("\n").map(safeText).join("\n")]);
}
