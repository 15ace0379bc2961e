/** Options that commands share, each described once. */
import { availableParallelism } from "node:os";
import { ImgbuildError } from "../errors.js";
import type { Arguments, Options } from "./declare.js";
import { PROGRESS_MODES, Reporter } from "./progress.js";

/** Headings of --help. */
const CONTENT_GROUP = "What goes in";
export const FORMAT_GROUP = "How it is stored";
const COMMON_GROUP = "Every command";

const MAX_JOBS = 256;

/** Of every command. */
export const commonOptions = {
  jobs: {
    type: "number",
    short: "j",
    value: "N",
    describe: "number of workers",
    range: [1, MAX_JOBS],
    default: availableParallelism(),
    shownDefault: "one a core",
    group: COMMON_GROUP,
  },
  quiet: { type: "flag", short: "q", describe: "say nothing but errors", default: false, group: COMMON_GROUP },
  verbose: {
    type: "flag",
    short: "v",
    describe: "show stack traces of errors, and lists that are otherwise counted",
    default: false,
    group: COMMON_GROUP,
  },
  json: { type: "flag", describe: "one JSON document on standard output", default: false, group: COMMON_GROUP },
  progress: {
    type: "choice",
    value: "MODE",
    choices: PROGRESS_MODES,
    describe: "how progress is shown on standard error",
    default: "auto",
    group: COMMON_GROUP,
  },
  help: { type: "flag", short: "h", describe: "what the command takes", default: false, group: COMMON_GROUP },
  version: { type: "flag", describe: "imgbuild's version", default: false, group: COMMON_GROUP },
} as const satisfies Options;

export type CommonArguments = Arguments<typeof commonOptions>;

export function reporterFor({ progress, quiet }: Pick<CommonArguments, "progress" | "quiet">): Reporter {
  return new Reporter(progress, quiet);
}

/** The last second that all formats can hold: 2106-02-07. */
export const MAX_TIME = 2 ** 32 - 1;

/** What goes into a file system, for formats that have no owners too. docs/command-line.md has the rules of each. */
export const contentOptions = {
  exclude: {
    type: "repeatable",
    value: "GLOB",
    describe: "leave out what matches: NAME at any depth, /PATH from the root, DIR/ folders only; * ? [] ** {}",
    group: CONTENT_GROUP,
  },
  "exclude-from": {
    type: "repeatable",
    value: "FILE",
    describe: "a file of such patterns, one a line",
    group: CONTENT_GROUP,
  },
  pseudo: {
    type: "repeatable",
    value: "FILE",
    describe: "pseudo-file definitions, as mksquashfs -pf reads them",
    group: CONTENT_GROUP,
  },
  mtime: {
    type: "number",
    value: "N",
    describe: "time of every node, in seconds since 1970",
    range: [0, MAX_TIME],
    group: CONTENT_GROUP,
  },
} as const satisfies Options;

/** Options of every command that reads a root file system. */
export const sourceOptions = {
  ...contentOptions,
  owner: { type: "text", value: "UID:GID", describe: "owner of every node", group: CONTENT_GROUP },
  devices: {
    type: "text",
    value: "FILE",
    describe: "device and ownership table, as makedevs reads it",
    group: CONTENT_GROUP,
  },
} as const satisfies Options;

/** Of commands that take several sources. */
export const severalSourcesOptions = {
  "keep-as-directory": {
    type: "flag",
    describe: "each source folder under its own name, not laid over each other",
    default: false,
    group: CONTENT_GROUP,
  },
} as const satisfies Options;

/**
 * SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch), in seconds; undefined where it is not set.
 */
export function sourceDateEpoch(): number | undefined {
  const text = process.env.SOURCE_DATE_EPOCH;
  if (text === undefined || text === "") return undefined;
  if (!/^\d+$/.test(text) || Number(text) > MAX_TIME) {
    throw new ImgbuildError("usage", `SOURCE_DATE_EPOCH is "${text}", not a number of seconds up to ${MAX_TIME}`, {
      hint: "Set it to whole seconds since 1970, as `date +%s` or `git log -1 --format=%ct` print them, or unset it.",
    });
  }
  return Number(text);
}
