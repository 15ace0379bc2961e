/** ROOTFS and SOURCE arguments: a folder, a tar, or "-" for a tar on standard input. */
import * as fs from "node:fs";
import * as path from "node:path";
import { ImgbuildError } from "../errors.js";
import { readDirectory } from "../tree/directory.js";
import { keepsOwners } from "../tree/host-owner.js";
import {
  applyDeviceTable,
  applyOwner,
  clampTimes,
  newDirectory,
  newestTime,
  parseOwner,
  readDeviceTable,
} from "../tree/index.js";
import { readTar } from "../tree/tar/read-tar.js";
import type { Tree } from "../tree/tree.js";
import { walk } from "../tree/tree.js";
import { checkNumber, MAX_TIME, sourceDateEpoch } from "./options.js";
import type { Reporter } from "./progress.js";

/** What "-" on the command line stands for; no path looks like it. */
export const STANDARD_INPUT = "standard input\0";

export interface SourceOptions {
  readonly owner?: string | undefined;
  readonly devices?: string | undefined;
  /** Seconds since 1970, for every node. */
  readonly mtime?: number | undefined;
  /** Makes a folder for temporary files, for tars that cannot be read at random. */
  readonly scratch: () => string;
  readonly reporter: Reporter;
}

/** Reads a source, and applies what the command line says about owners, devices and times. */
export async function readSource(source: string, options: SourceOptions): Promise<Tree> {
  const owner = options.owner === undefined ? undefined : parseOwner(options.owner);
  const { observer } = options.reporter;
  options.reporter.stage(`reading ${nameOf(source)}`);
  const isFolder = source !== STANDARD_INPUT && isDirectory(source);
  const tree = isFolder ? await readDirectory(source, { observer }) : await readArchive(source, options);
  // A tar says who owns its members; a folder shows whoever unpacked it, which means something only to root.
  const rule = owner ?? (isFolder && !keepsOwners() ? { uid: 0, gid: 0 } : undefined);
  if (rule !== undefined) applyOwner(tree, rule);
  if (options.devices !== undefined) {
    await applyDeviceTable(tree, readDeviceTable(readText(options.devices), options.devices));
  }
  setTimes(tree, options.mtime);
  const epoch = sourceDateEpoch();
  if (epoch !== undefined) clampTimes(tree, epoch);
  return tree;
}

/** Gives every node the time of --mtime, where there is one. */
function setTimes(tree: Tree, mtime: number | undefined): void {
  if (mtime === undefined) return;
  checkNumber("mtime", mtime, 0, MAX_TIME);
  for (const { node } of walk(tree)) node.mtime = { seconds: mtime, nanoseconds: 0 };
}

/** Refuses to write to a folder that is part of the source: the next build would take this one's result for input. */
export function refuseInside(folder: string, source: string): void {
  if (source === STANDARD_INPUT || !isDirectory(source)) return;
  const inside = path.relative(fs.realpathSync(source), existingPath(path.resolve(folder)));
  if (inside === ".." || inside.startsWith(`..${path.sep}`) || path.isAbsolute(inside)) return;
  throw new ImgbuildError("usage", `the output would be inside of ${source}`, {
    hint: "Name a folder elsewhere: what is made must not become a part of what it is made of.",
  });
}

/** A path without symlinks, as far as it exists. */
function existingPath(file: string): string {
  if (fs.existsSync(file)) return fs.realpathSync(file);
  const parent = path.dirname(file);
  return parent === file ? file : path.join(existingPath(parent), path.basename(file));
}

/** A tree with nothing in it. */
export function emptyTree(mtime: number | undefined): Tree {
  const tree = { root: newDirectory() };
  setTimes(tree, mtime);
  return tree;
}

/** The time of everything that has none of its own, in seconds since 1970: SOURCE_DATE_EPOCH, or the newest in the tree. */
export function madeTime(tree: Tree): number {
  return sourceDateEpoch() ?? Math.min(Math.max(newestTime(tree), 0), MAX_TIME);
}

/** A source as messages call it. */
function nameOf(source: string): string {
  return source === STANDARD_INPUT ? "standard input" : source;
}

async function readArchive(source: string, { scratch, reporter: { observer } }: SourceOptions): Promise<Tree> {
  try {
    return await readTar(source === STANDARD_INPUT ? process.stdin : source, { spool: scratch(), observer });
  } catch (error) {
    if (!(error instanceof ImgbuildError) || error.code !== "source-invalid") throw error;
    const { code, hint, data } = error;
    const named = error.message.includes(source) ? error.message : `${nameOf(source)}: ${error.message}`;
    throw new ImgbuildError(code, named, {
      hint: hint ?? "Is it a tar?",
      data,
      cause: error,
    });
  }
}

function isDirectory(file: string): boolean {
  try {
    return fs.statSync(file).isDirectory();
  } catch (error) {
    throw new ImgbuildError("source-missing", `${file} does not exist`, {
      hint: "Give a folder, a tar (.tar, .tar.gz, .tar.xz, .tar.zst), or - for a tar on standard input.",
      cause: error,
    });
  }
}

function readText(file: string): string {
  try {
    return fs.readFileSync(file, "utf8");
  } catch (error) {
    throw new ImgbuildError("source-missing", `cannot read ${file}: ${(error as NodeJS.ErrnoException).code}`, {
      hint: "Check the path given with --devices.",
      cause: error,
    });
  }
}

/** How many files and bytes there are to write, for progress. */
export function totals(tree: Tree): { files: number; bytes: number } {
  const seen = new Set<object>();
  let bytes = 0;
  for (const { node } of walk(tree)) {
    if (node.type !== "file" || seen.has(node)) continue;
    seen.add(node);
    bytes += node.content.size;
  }
  return { files: seen.size, bytes };
}
