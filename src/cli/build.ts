/** `imgbuild [build] --profile NAME ROOTFS`: the whole image. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type { ArgumentsCamelCase, CommandModule, InferredOptionTypes, Options } from "yargs";
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { layOut } from "../image/assemble.js";
import { type FileSource, filesInTree } from "../image/boot-files.js";
import type { Plan } from "../image/plan.js";
import { type BuildInputs, type Prepared, prepare } from "../image/prepare.js";
import { writeArtifacts } from "../output/artifacts.js";
import type { Manifest } from "../output/manifest.js";
import { Workspace } from "../output/workspace.js";
import { loadProfile } from "../profile/load.js";
import { filesInFolder, hostFile } from "../tree/host-files.js";
import type { Content } from "../tree/node.js";
import type { Tree } from "../tree/tree.js";
import { interruptible } from "./interrupt.js";
import { bootFiles, layoutText } from "./layout-table.js";
import { type CommonOptions, reporterFor, sourceOptions } from "./options.js";
import type { Reporter } from "./progress.js";
import { madeTime, readSources, refuseInside, STANDARD_INPUT, totals } from "./source.js";

const group = "The image:";

const options = {
  profile: {
    alias: "p",
    type: "string",
    describe: "a shipped profile, or a YAML or JSON file",
    requiresArg: true,
    group,
  },
  output: {
    alias: "o",
    type: "string",
    describe: "folder for the artifacts",
    defaultDescription: "out/PROFILE",
    requiresArg: true,
    group,
  },
  "boot-files": {
    type: "string",
    describe: "folder of kernel, device trees and boot firmware",
    defaultDescription: "ROOTFS/boot, then beside ROOTFS",
    requiresArg: true,
    group,
  },
  bootloader: {
    type: "string",
    describe: "folder of SPL, u-boot.img, imx-boot ...",
    defaultDescription: "as --boot-files",
    requiresArg: true,
    group,
  },
  userdata: {
    type: "string",
    describe: "initial content of the overlays: home/root/... in it goes over /home/root",
    requiresArg: true,
    group,
  },
  set: {
    type: "string",
    array: true,
    nargs: 1,
    describe: "change a key of the profile: partitions.rootfs.size=256MiB",
    default: [] as string[],
    group,
  },
  format: { type: "string", describe: "outputs, separated by commas", default: "img", requiresArg: true, group },
  ...sourceOptions,
  "dry-run": { type: "boolean", describe: "print the layout, write nothing", default: false, group },
} as const satisfies Record<string, Options>;

type Arguments = InferredOptionTypes<typeof options> & CommonOptions & { rootfs: string[] };

export const buildCommand: CommandModule<CommonOptions, Arguments> = {
  command: ["build <rootfs..>", "$0 <rootfs..>"],
  describe: "build an image for a board",
  builder: (yargs) =>
    yargs
      .positional("rootfs", {
        type: "string",
        array: true,
        demandOption: true,
        describe: "folders, tars, or - for one on standard input, laid over each other from left to right",
      })
      .options(options) as never,
  handler: run,
};

async function run(args: ArgumentsCamelCase<Arguments>): Promise<void> {
  checkFormats(args.format);
  const profile = loadProfile(requireProfile(args), { set: args.set, folder: process.cwd() });
  const { plan } = profile;
  const reporter = reporterFor(args);
  const folder = args.output ?? path.join("out", plan.profile);
  const workspace = new Workspace(folder);
  const scratch = args.dryRun ? () => os.tmpdir() : () => workspace.scratch;
  try {
    await interruptible(
      () => workspace.discard(),
      async () => {
        for (const rootfs of args.rootfs) refuseInside(folder, rootfs);
        const { inputs, root } = await collect(plan, args, scratch, reporter);
        const prepared = await prepare(plan, inputs);
        const assembling = {
          time: inputs.time,
          jobs: args.jobs,
          observer: reporter.observer,
          stage: (name: string) => reporter.stage(name, name === "rootfs" ? totals(root) : undefined),
        };
        if (args.dryRun) {
          const laidOut = await layOut(plan, prepared, assembling);
          reporter.end();
          process.stdout.write(
            args.json ? `${JSON.stringify(layoutJson(prepared, laidOut))}\n` : layoutText(plan, prepared, laidOut),
          );
          return;
        }
        const manifest = await writeArtifacts(workspace, profile, prepared, assembling);
        reporter.end();
        if (args.json) process.stdout.write(`${JSON.stringify(manifest)}\n`);
        else summary(manifest, folder, reporter);
      },
    );
  } finally {
    workspace.discard();
  }
}

function requireProfile({ profile, rootfs }: { profile: string | undefined; rootfs: readonly string[] }): string {
  if (profile !== undefined) return profile;
  // Without a command's name this one is meant, and so a misspelt command comes here as a root file system.
  const [first = ""] = rootfs;
  const isCommand = /^[a-z]+$/.test(first) && !fs.existsSync(first);
  throw new ImgbuildError("usage", isCommand ? `there is no command ${first}` : "--profile is missing", {
    hint: isCommand
      ? "`imgbuild --help` lists the commands."
      : `Name the board: --profile NAME; \`imgbuild profiles\` lists them.`,
  });
}

function checkFormats(list: string): void {
  const unknown = list.split(",").filter((format) => format !== "img");
  if (unknown.length === 0) return;
  throw new ImgbuildError("usage", `--format ${unknown.join(",")} is not known`, { hint: "The formats are: img." });
}

/** Reads everything that the command line names. */
async function collect(
  plan: Plan,
  args: ArgumentsCamelCase<Arguments>,
  scratch: () => string,
  reporter: Reporter,
): Promise<{ inputs: BuildInputs; root: Tree }> {
  const root = await readSources(args.rootfs, { ...args, scratch, reporter });
  // What the options say of the root's files does not concern other file systems.
  const other = { owner: args.owner, mtime: args.mtime, scratch, reporter };
  const bootFiles =
    args.bootFiles === undefined
      ? defaultBootFiles(args.rootfs, root)
      : [folderSource(args.bootFiles, true, "--boot-files")];
  const bootloaderFiles =
    args.bootloader === undefined ? bootFiles : [folderSource(args.bootloader, true, "--bootloader")];
  const userdata = args.userdata === undefined ? undefined : await readSources([args.userdata], other);
  const sources = new Map<string, Tree | Content>();
  for (const partition of plan.partitions) {
    if (partition.source === undefined) continue;
    sources.set(
      partition.name,
      partition.filesystem === "raw" ? hostFile(partition.source) : await readSources([partition.source], other),
    );
  }
  const time = madeTime(root);
  const notice = (text: string) => reporter.notice(text);
  return { root, inputs: { root, bootFiles, bootloaderFiles, userdata, sources, time, notice } };
}

function folderSource(folder: string, recursive: boolean, option: string): FileSource {
  if (!fs.existsSync(folder) || !fs.statSync(folder).isDirectory()) {
    throw new ImgbuildError("source-missing", `${option} ${folder} is not a folder`, {
      hint: "Name an existing folder.",
    });
  }
  return { where: folder, files: filesInFolder(folder, { recursive }) };
}

/** The root's own /boot, then the folder that its first source lies in, as Yocto and Buildroot leave their outputs. */
function defaultBootFiles([first]: readonly string[], root: Tree): FileSource[] {
  if (first === undefined || first === STANDARD_INPUT) return [filesInTree(root, "boot", "/boot of the tar")];
  const inRoot = filesInTree(root, "boot", path.join(first, "boot"));
  return [inRoot, folderSource(path.dirname(path.resolve(first)), false, "ROOTFS")];
}

function layoutJson(prepared: Prepared, { layout, unknown }: Awaited<ReturnType<typeof layOut>>): object {
  const open = layout.placements.findIndex(({ partition }) => unknown.includes(partition.name));
  return {
    size: layout.size,
    partitions: layout.placements.map(({ partition, start, size }, index) => ({
      name: partition.name,
      number: partition.number,
      filesystem: partition.filesystem,
      // What lies behind a partition whose size only compressing can tell has no place yet.
      offset: open >= 0 && index > open ? null : start,
      size: unknown.includes(partition.name) ? null : size,
    })),
    bootFiles: bootFiles(prepared),
    kernelArguments: prepared.kernelArguments,
  };
}

function summary(manifest: Manifest, folder: string, reporter: Reporter): void {
  for (const { name, filesystem, used, size } of manifest.partitions) {
    reporter.say(`${name}: ${filesystem}, ${formatSize(used)} of ${formatSize(size)}`);
  }
  for (const { file, size } of manifest.artifacts) reporter.say(`${path.join(folder, file)} (${formatSize(size)})`);
}
