/** `imgbuild diff A B`: what changed between two images, file by file. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { escapeName, safeText } from "../bytes/bytestring.js";
import { FileReader } from "../bytes/file-device.js";
import { ImgbuildError } from "../errors.js";
import { diffBytes, diffDisks, diffVolumes, type ImageDifference } from "../image/diff.js";
import { openImage, type Volume } from "../image/open-image.js";
import { BOOT0, IMAGE } from "../output/artifacts.js";
import { type Aspect, compareTrees, type Difference } from "../tree/compare.js";
import type { Node } from "../tree/node.js";
import type { Tree } from "../tree/tree.js";
import { defineCommand } from "./declare.js";
import { type ImageArgument, selectVolume, splitArgument, withImage } from "./image-argument.js";
import { interruptible } from "./interrupt.js";
import { nodeJson, timeText } from "./listing.js";
import { commonOptions, reporterFor } from "./options.js";
import type { Reporter } from "./progress.js";
import { readSources, STANDARD_INPUT } from "./source.js";
import { writeOutput } from "./standard-output.js";

const side = "an image, an output folder, IMAGE:PART, or a root file system: a folder or a tar";

export const diff = defineCommand({
  describe: "Tells what changed between two images, file by file. Exits with 0 when nothing did, with 1 otherwise.",
  operands: { before: { value: "A", describe: side }, after: { value: "B", describe: side } },
  options: commonOptions,
  async run(args) {
    const reporter = reporterFor(args);
    const scratch = temporaryFolder();
    try {
      const open = (text: string, use: (side: Side) => Promise<void>) => withSide(text, scratch.path, reporter, use);
      await interruptible(
        scratch.remove,
        () => open(args.before, (a) => open(args.after, (b) => report(differences(a, b), args.json, reporter))),
        () => "not all was compared",
      );
    } finally {
      scratch.remove();
    }
  },
});

/** What a command line compares: an image, or a root file system as build takes it. */
type Side = { readonly argument: ImageArgument } | { readonly tree: Tree };

/** A folder for what a tar holds, made when it is needed. */
function temporaryFolder() {
  let folder: string | undefined;
  return {
    path: () => (folder ??= fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-diff-"))),
    remove: () => folder !== undefined && fs.rmSync(folder, { recursive: true, force: true }),
  };
}

async function withSide(
  text: string,
  scratch: () => string,
  reporter: Reporter,
  use: (side: Side) => Promise<void>,
): Promise<void> {
  if (await isRootFileSystem(text)) await use({ tree: await readSources([text], { scratch, reporter }) });
  else await withImage(text, (argument) => use({ argument }));
}

/** Whether it is a folder that is no output folder, or a file that is no image: a tar, or so the error says. */
async function isRootFileSystem(text: string): Promise<boolean> {
  if (text === STANDARD_INPUT) return true;
  const { file, part } = splitArgument(text);
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  if (stat === undefined || part !== undefined) return false;
  if (stat.isDirectory()) return !fs.existsSync(path.join(file, IMAGE));
  if (!stat.isFile()) return false;
  const device = new FileReader(file);
  try {
    await openImage(device);
    return false;
  } catch (error) {
    return error instanceof ImgbuildError && error.code === "source-unsupported";
  } finally {
    device.close();
  }
}

async function* differences(a: Side, b: Side): AsyncGenerator<ImageDifference> {
  if ("argument" in a && "argument" in b) {
    const [before, after] = [a.argument, b.argument];
    if (isWholeDisk(before) && isWholeDisk(after)) {
      yield* diffDisks(before.image, after.image, new Map([...before.names, ...after.names]));
      yield* diffBoot0(before, after);
    } else yield* diffVolumes(await selectVolume(before), await selectVolume(after), "file system");
    return;
  }
  const [before, after] = [await treeOf(a), await treeOf(b)];
  for await (const file of compareTrees(before, after)) yield { where: "file system", file };
}

const isWholeDisk = ({ image, part }: ImageArgument) => image.table !== undefined && part === undefined;

async function treeOf(side: Side): Promise<Tree> {
  if ("tree" in side) return side.tree;
  const volume: Volume = await selectVolume(side.argument);
  return (await volume.open()).root.tree();
}

/** The content of the eMMC's boot partition, beside the images. */
async function* diffBoot0(a: ImageArgument, b: ImageArgument): AsyncGenerator<ImageDifference> {
  const files = [a, b].map(({ file }) => path.join(path.dirname(file), BOOT0));
  const present = [a, b].map(({ manifest }) => manifest?.artifacts.some(({ file }) => file === BOOT0) ?? false);
  if (!present[0] && !present[1]) return;
  if (present[0] !== present[1]) {
    const [before, after] = present.map((is) => (is ? "there" : undefined));
    yield { where: BOOT0, what: "file", before, after };
    return;
  }
  const devices = files.map((file) => new FileReader(file));
  try {
    yield* diffBytes(BOOT0, devices[0]!, devices[1]!);
  } finally {
    for (const device of devices) device.close();
  }
}

const CHANGES = ["added", "removed", "changed", "other"] as const;
type Counts = Record<(typeof CHANGES)[number], number>;

async function report(found: AsyncIterable<ImageDifference>, json: boolean, reporter: Reporter): Promise<void> {
  const counts: Counts = { added: 0, removed: 0, changed: 0, other: 0 };
  reporter.stage("comparing");
  await writeOutput(json ? jsonOf(found, counts) : linesOf(found, counts));
  reporter.end();
  const { added, removed, changed, other } = counts;
  if (isSame(counts)) reporter.say("no differences");
  else {
    process.exitCode = 1;
    reporter.say(`files: ${added} added, ${removed} removed, ${changed} changed; other differences: ${other}`);
  }
}

const isSame = (counts: Counts) => CHANGES.every((change) => counts[change] === 0);

function count(difference: ImageDifference, counts: Counts): void {
  counts["file" in difference ? difference.file.change : "other"]++;
}

async function* linesOf(found: AsyncIterable<ImageDifference>, counts: Counts): AsyncGenerator<string> {
  for await (const difference of found) {
    count(difference, counts);
    yield `${safeText(differenceText(difference))}\n`;
  }
}

async function* jsonOf(found: AsyncIterable<ImageDifference>, counts: Counts): AsyncGenerator<string> {
  let separator = "";
  yield '{"differences":[';
  for await (const difference of found) {
    count(difference, counts);
    yield `${separator}\n${JSON.stringify(differenceJson(difference))}`;
    separator = ",";
  }
  yield `\n],"same":${isSame(counts)},"counts":${JSON.stringify(counts)}}\n`;
}

/** "changed partition 2 (rootfs, squashfs): /etc/motd: size 12 -> 15, content" */
function differenceText(difference: ImageDifference): string {
  const { where } = difference;
  if (!("file" in difference)) {
    const { what, before = "none", after = "none", offset } = difference;
    return `changed ${where}: ${offset === undefined ? `${what} ${before} -> ${after}` : `${what} from ${offset} on`}`;
  }
  const { change, path: name, aspects, before, after } = difference.file;
  const about =
    change === "changed" ? aspects.map((aspect) => aspectText(aspect, before!, after!)) : [(before ?? after)!.type];
  return `${change.padEnd(7)} ${where}: /${escapeName(name)}: ${about.join(", ")}`;
}

function aspectText(aspect: Aspect, before: Node, after: Node): string {
  const [a, b] = [before, after].map((node) => shownValue(aspect, node));
  return a === undefined || b === undefined || a === b ? aspect : `${aspect} ${a} -> ${b}`;
}

/** An aspect in a few characters, where that can be. */
function shownValue(aspect: Aspect, node: Node): string | undefined {
  if (aspect === "type") return node.type;
  if (aspect === "mode") return node.mode.toString(8).padStart(4, "0");
  if (aspect === "owner") return `${node.uid}:${node.gid}`;
  if (aspect === "mtime") return timeText(node.mtime);
  if (aspect === "size" && node.type === "file") return `${node.content.size}`;
  if (aspect === "target" && node.type === "symlink") return escapeName(node.target);
  if (aspect === "device" && "major" in node) return `${node.major},${node.minor}`;
  return undefined;
}

function differenceJson(difference: ImageDifference): unknown {
  if (!("file" in difference)) return difference;
  const { change, path: name, aspects, before, after } = difference.file satisfies Difference;
  return {
    where: difference.where,
    change,
    path: `/${escapeName(name)}`,
    ...(aspects.length > 0 && { aspects }),
    ...(before && { before: nodeJson(name, before) }),
    ...(after && { after: nodeJson(name, after) }),
  };
}
