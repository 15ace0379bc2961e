/** `imgbuild [build] --profile NAME ROOTFS`: the whole image. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { layOut } from "../image/assemble.js";
import { type FileSource, filesInTree } from "../image/boot-files.js";
import { type Plan, partitionWithRole } from "../image/plan.js";
import { type BuildInputs, type Prepared, prepare } from "../image/prepare.js";
import { writeArtifacts } from "../output/artifacts.js";
import type { Manifest } from "../output/manifest.js";
import { OUTPUT_NAMES, outputsOf } from "../output/outputs.js";
import { Workspace } from "../output/workspace.js";
import { shippedProfiles } from "../profile/document.js";
import { loadProfile } from "../profile/load.js";
import { filesInFolder, hostFile } from "../tree/host-files.js";
import type { Content } from "../tree/node.js";
import type { Tree } from "../tree/tree.js";
import { type Arguments, defineCommand, type Operands, type Options } from "./declare.js";
import { interruptible } from "./interrupt.js";
import { bootFiles, layoutText } from "./layout-table.js";
import { commonOptions, reporterFor, sourceOptions } from "./options.js";
import type { Reporter } from "./progress.js";
import { madeTime, readSources, readUserdata, refuseInside, STANDARD_INPUT, totals } from "./source.js";
import { writeOutput } from "./standard-output.js";

const group = "The image";

const options = {
  profile: {
    type: "text",
    short: "p",
    value: "NAME",
    describe: "a shipped profile, or a YAML or JSON file; `imgbuild profiles` lists them",
    known: shippedProfiles,
    required: true,
    group,
  },
  output: {
    type: "text",
    short: "o",
    value: "DIR",
    describe: "folder for the artifacts",
    shownDefault: "out/PROFILE",
    group,
  },
  "boot-files": {
    type: "text",
    value: "DIR",
    describe: "folder of kernel, device trees and boot firmware",
    shownDefault: "ROOTFS/boot, then beside ROOTFS",
    group,
  },
  bootloader: {
    type: "text",
    value: "DIR",
    describe: "folder of SPL, u-boot.img, imx-boot ...",
    shownDefault: "as --boot-files",
    group,
  },
  userdata: {
    type: "text",
    value: "SOURCE",
    describe: "initial content of the overlays: home/root/... in it goes over /home/root",
    group,
  },
  set: {
    type: "repeatable",
    value: "PATH=VALUE",
    describe: "change a key of the profile: partitions.rootfs.size=256MiB",
    group,
  },
  format: {
    type: "list",
    value: "LIST",
    choices: OUTPUT_NAMES,
    describe: "what is made of the image",
    shownDefault: "the profile's outputs",
    group,
  },
  ...sourceOptions,
  "dry-run": { type: "flag", describe: "print the layout, write nothing", default: false, group },
  ...commonOptions,
} as const satisfies Options;

const operands = {
  rootfs: {
    value: "ROOTFS",
    many: true,
    describe: "folders, tars, or - for one on standard input, laid over each other from left to right",
  },
} as const satisfies Operands;

type BuildArguments = Arguments<typeof options, typeof operands>;

export const build = defineCommand({ describe: "Builds an image for a board.", operands, options, run });

async function run(args: BuildArguments): Promise<void> {
  const formats = args.format === undefined ? [] : [`outputs=[${args.format}]`];
  const profile = loadProfile(args.profile, { set: [...args.set, ...formats], folder: process.cwd() });
  const { plan } = profile;
  const outputs = await outputsOf(plan);
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
          stage: (name: string) =>
            reporter.stage(name, name === partitionWithRole(plan, "rootfs")?.name ? totals(root) : undefined),
        };
        if (args.dryRun) {
          for (const output of outputs.values()) output.checkInputs?.(plan, prepared);
          const laidOut = await layOut(plan, prepared, assembling);
          reporter.end();
          await writeOutput([
            args.json
              ? `${JSON.stringify(layoutJson(plan, prepared, laidOut))}\n`
              : layoutText(plan, prepared, laidOut),
          ]);
          return;
        }
        const manifest = await writeArtifacts(workspace, profile, prepared, assembling);
        reporter.end();
        if (args.json) await writeOutput([`${JSON.stringify(manifest)}\n`]);
        else summary(manifest, folder, reporter);
      },
    );
  } finally {
    workspace.discard();
  }
}

/** Reads everything that the command line names. */
async function collect(
  plan: Plan,
  args: BuildArguments,
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
  const userdata = args.userdata === undefined ? undefined : await readUserdata(args.userdata, other);
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
  return { root, inputs: { root, bootFiles, bootloaderFiles, userdata, sources, time, notice, verbose: args.verbose } };
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

function layoutJson(plan: Plan, prepared: Prepared, { layout, unknown }: Awaited<ReturnType<typeof layOut>>): object {
  const open = layout.placements.findIndex(({ partition }) => unknown.includes(partition.name));
  return {
    size: layout.size,
    partitions: layout.placements.map(({ partition, start, size }, index) => ({
      name: partition.name,
      role: partition.role,
      number: partition.number,
      filesystem: partition.filesystem,
      // What lies behind a partition whose size only compressing can tell has no place yet.
      offset: open >= 0 && index > open ? null : start,
      size: unknown.includes(partition.name) ? null : size,
    })),
    bootFiles: bootFiles(plan, prepared),
    kernelArguments: prepared.kernelArguments,
  };
}

function summary(manifest: Manifest, folder: string, reporter: Reporter): void {
  for (const { name, filesystem, used, size } of manifest.partitions) {
    reporter.say(`${name}: ${filesystem}, ${formatSize(used)} of ${formatSize(size)}`);
  }
  for (const { file, size } of manifest.artifacts) reporter.say(`${path.join(folder, file)} (${formatSize(size)})`);
}
