/** Options that commands share, each described once. */
import { availableParallelism } from "node:os";
import type { Argv, InferredOptionTypes, Options } from "yargs";
import { parseSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { PROGRESS_MODES, Reporter } from "./progress.js";

/** Headings of --help. */
const CONTENT_GROUP = "What goes in:";
export const FORMAT_GROUP = "How it is stored:";
const COMMON_GROUP = "Every command:";

const common = {
  jobs: {
    alias: "j",
    type: "number",
    describe: "number of workers",
    default: availableParallelism(),
    defaultDescription: "one a core",
    group: COMMON_GROUP,
  },
  quiet: { alias: "q", type: "boolean", describe: "say nothing but errors", default: false, group: COMMON_GROUP },
  verbose: {
    alias: "v",
    type: "boolean",
    describe: "show stack traces of errors",
    default: false,
    group: COMMON_GROUP,
  },
  json: { type: "boolean", describe: "one JSON document on standard output", default: false, group: COMMON_GROUP },
  progress: {
    choices: PROGRESS_MODES,
    describe: "how progress is shown on standard error",
    default: "auto" as const,
    group: COMMON_GROUP,
  },
} as const satisfies Record<string, Options>;

export type CommonOptions = InferredOptionTypes<typeof common>;

/** Adds the options that every command has. */
export function withCommonOptions<T>(yargs: Argv<T>): Argv<T & CommonOptions> {
  return yargs
    .options(common)
    .group(["help", "version"], COMMON_GROUP)
    .check(({ jobs }) => {
      checkNumber("jobs", jobs as number, 1, 256);
      return true;
    }) as unknown as Argv<T & CommonOptions>;
}

export function reporterFor({ progress, quiet }: Pick<CommonOptions, "progress" | "quiet">): Reporter {
  return new Reporter(progress, quiet);
}

const repeatable = { type: "string", array: true, nargs: 1, requiresArg: true, group: CONTENT_GROUP } as const;

/** What goes into a file system, for formats that have no owners too. docs/command-line.md has the rules of each. */
export const contentOptions = {
  exclude: {
    ...repeatable,
    describe: "leave out what matches: NAME at any depth, /PATH from the root, DIR/ folders only; * ? [] ** {}",
  },
  "exclude-from": { ...repeatable, describe: "a file of such patterns, one a line" },
  pseudo: { ...repeatable, describe: "pseudo-file definitions, as mksquashfs -pf reads them" },
  mtime: {
    type: "number",
    describe: "time of every node, in seconds since 1970",
    requiresArg: true,
    group: CONTENT_GROUP,
  },
} as const satisfies Record<string, Options>;

/** Options of every command that reads a root file system. */
export const sourceOptions = {
  ...contentOptions,
  owner: { type: "string", describe: "owner of every node, UID:GID", requiresArg: true, group: CONTENT_GROUP },
  devices: {
    type: "string",
    describe: "device and ownership table, as makedevs reads it",
    requiresArg: true,
    normalize: true,
    group: CONTENT_GROUP,
  },
} as const satisfies Record<string, Options>;

/** Of commands that take several sources. */
export const severalSourcesOptions = {
  "keep-as-directory": {
    type: "boolean",
    describe: "each source folder under its own name, not laid over each other",
    default: false,
    group: CONTENT_GROUP,
  },
} as const satisfies Record<string, Options>;

/** The items of a comma-separated list, each of which has to be one of `allowed`. Undefined where there is no list. */
export function listOption<T extends string>(
  option: string,
  text: string | undefined,
  allowed: readonly T[],
): readonly T[] | undefined {
  if (text === undefined) return undefined;
  return text.split(",").map((item) => {
    const found = allowed.find((value) => value === item);
    if (found !== undefined) return found;
    throw new ImgbuildError("usage", `--${option} ${text}: "${item}" is not known`, {
      hint: `Separate with commas what is wanted of: ${allowed.join(", ")}.`,
    });
  });
}

/** A size such as 64MiB, in bytes. */
export function sizeOption(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseSize(text);
}

/** A whole number from `from` to `to`, or a usage error that names the option. */
export function checkNumber(option: string, value: number | undefined, from: number, to: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= from && value <= to)) return;
  throw new ImgbuildError("usage", `--${option} ${value} is out of range`, {
    hint: `Give a whole number from ${from} to ${to}.`,
  });
}

/** The last second that all formats can hold: 2106-02-07. */
export const MAX_TIME = 2 ** 32 - 1;

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
