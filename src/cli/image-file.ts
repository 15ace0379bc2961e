/** A single file system as a file: written beside its place, renamed when it is complete. */
import * as fs from "node:fs";
import * as path from "node:path";
import { RecordingDevice } from "../bytes/device.js";
import type { FileDevice } from "../bytes/file-device.js";
import { hostWriteError } from "../bytes/host-error.js";
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { Workspace } from "../output/workspace.js";
import type { Tree } from "../tree/tree.js";
import type { Operands } from "./declare.js";
import { interruptible } from "./interrupt.js";
import { type CommonArguments, reporterFor } from "./options.js";
import type { Reporter } from "./progress.js";
import { type InputOptions, readSources, refuseInside, STANDARD_INPUT, totals } from "./source.js";
import { writeOutput } from "./standard-output.js";

export interface ImageFileJob {
  /** The file to make. */
  readonly image: string;
  /** Folders, tars or "-"; none: an empty tree. */
  readonly sources: readonly string[];
  readonly input: InputOptions;
  readonly filesystem: string;
  /** The file's length in bytes; undefined: what the writer uses. */
  readonly size: number | undefined;
  /** Writes the file system, returns how many bytes it takes. */
  readonly write: (device: RecordingDevice, tree: Tree, reporter: Reporter) => Promise<number>;
}

/** Makes the file. Prints what was made; with --json as a document on standard output. */
export async function writeImageFile(job: ImageFileJob, args: CommonArguments): Promise<void> {
  const reporter = reporterFor(args);
  const target = writableTarget(job.image);
  const name = path.basename(target);
  const workspace = new Workspace(path.dirname(target), { durable: fs.existsSync(target) });
  try {
    await interruptible(
      () => workspace.discard(),
      async () => {
        for (const source of job.sources) refuseInside(path.dirname(target), source);
        const scratch = () => workspace.scratch;
        const tree = await readSources(job.sources, { ...job.input, scratch, reporter });
        reporter.stage(name, totals(tree));
        const file = workspace.create(name, job.size);
        const recorder = new RecordingDevice(file);
        const used = await job.write(recorder, tree, reporter).catch(async (error) => {
          const ratioSetting = job.filesystem === "ext4" ? "--inode-ratio " : undefined;
          const { explainCapacity } = await import("../image/capacity.js");
          throw explainCapacity(error, { name, filesystem: job.filesystem, setting: "--size ", ratioSetting }, tree);
        });
        if (job.size === undefined) file.resize(used);
        reporter.end();
        const { size } = file;
        const digest = args.json ? await digestOf(file, recorder) : undefined;
        workspace.commit();
        if (args.json) {
          const document = { file: job.image, filesystem: job.filesystem, size, used, sha256: digest };
          await writeOutput([`${JSON.stringify(document)}\n`]);
        } else reporter.say(`${job.image}: ${job.filesystem}, ${formatSize(size)}`);
      },
    );
  } finally {
    workspace.discard();
  }
}

async function digestOf({ path, size }: FileDevice, { data }: RecordingDevice): Promise<string> {
  const { sha256 } = await import("../output/sha256.js");
  return sha256({ path, size, data: [...data] });
}

/**
 * The file that is to be replaced or made: symlinks are followed, so that the file that they name is. Throws a `usage` error
 * for what a rename would destroy: device nodes, folders, and standard output, of which there is none here; and for symlinks
 * that lead in a circle.
 */
export function writableTarget(image: string): string {
  if (image === STANDARD_INPUT) {
    throw new ImgbuildError("usage", "an image cannot be written to standard output", { hint: "Name a file." });
  }
  if (image === "") throw new ImgbuildError("usage", "the image has an empty name", { hint: "Name the file to make." });
  const stat = statOf(image);
  if (stat === undefined) {
    const file = namedBy(image);
    const folder = path.dirname(file);
    if (statOf(folder)?.isDirectory()) return path.join(fs.realpathSync.native(folder), path.basename(file));
    throw new ImgbuildError("source-missing", `there is no folder ${folder} for the image`, { hint: "Make it first." });
  }
  if (stat.isFile()) return fs.realpathSync.native(image);
  const kind = stat.isDirectory() ? "a folder" : stat.isFIFO() || stat.isSocket() ? "a pipe" : "a device";
  throw new ImgbuildError("usage", `${image} is ${kind}, not a file`, {
    hint: stat.isDirectory() ? "Name a file in it." : "Write the image to a file, and copy that to the device with dd.",
  });
}

/** What is at `file`, behind all symlinks; undefined for nothing. */
function statOf(file: string): fs.Stats | undefined {
  try {
    return fs.statSync(file, { throwIfNoEntry: false });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ELOOP") throw hostWriteError(file, error);
    throw new ImgbuildError("usage", `the symlinks of ${file} lead in a circle`, {
      hint: "Name another file, or remove the symlink that leads to itself.",
      cause: error,
    });
  }
}

/**
 * The file that `file` names, where nothing is: itself, or what the symlinks there lead to in the end. They do end: the host
 * has followed them, and found nothing. No path is shortened, here and by the native realpath: `..` behind a symlink is not
 * the folder that the symlink is in.
 */
function namedBy(file: string): string {
  let named = file;
  while (fs.lstatSync(named, { throwIfNoEntry: false })?.isSymbolicLink()) {
    const target = fs.readlinkSync(named);
    named = path.isAbsolute(target) ? target : `${path.dirname(named)}/${target}`;
  }
  return named;
}

/** [SOURCE...] IMAGE. */
export const sourcesAndImage = {
  sources: {
    value: "SOURCE",
    many: true,
    optional: true,
    describe: "folders, tars, or - for one on standard input, laid over each other from left to right",
  },
  image: { value: "IMAGE", describe: "the file to make" },
} as const satisfies Operands;
