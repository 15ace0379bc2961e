/**
 * ROOTFS and SOURCE arguments, each a folder, a tar, or "-" for a tar on standard input, and what is done to them. What few
 * command lines ask for is loaded when they do: loading takes longer than packing a small tree.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { type ByteString, display, fromBytes, fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { UserdataSource } from "../image/userdata.js";
import { readDirectory, readHostNode } from "../tree/directory.js";
import type { Excludes } from "../tree/excludes.js";
import { keepsOwners } from "../tree/host-owner.js";
import { type Layer, layOver } from "../tree/layers.js";
import { type Node, newDirectory } from "../tree/node.js";
import { applyOwner, type Owner, parseOwner } from "../tree/owner.js";
import type { TarTree } from "../tree/tar/read-tar.js";
import { clampTimes, newestTime } from "../tree/times.js";
import { lookup, nodesOf, type Tree } from "../tree/tree.js";
import { MAX_TIME, sourceDateEpoch } from "./options.js";
import { type Place, pathsInTree } from "./places.js";
import type { Reporter } from "./progress.js";

/** In place of a source. A file of that name is "./-". */
export const STANDARD_INPUT = "-";

/** What the command line says about sources. */
export interface InputOptions {
  readonly owner?: string | undefined;
  readonly devices?: string | undefined;
  /** Seconds since 1970, for every node. */
  readonly mtime?: number | undefined;
  readonly exclude?: readonly string[] | undefined;
  readonly excludeFrom?: readonly string[] | undefined;
  readonly pseudo?: readonly string[] | undefined;
  readonly keepAsDirectory?: boolean | undefined;
  /** False: those of files of the host are not read. */
  readonly xattrs?: boolean | undefined;
  readonly strictXattrs?: boolean | undefined;
}

export interface SourceOptions extends InputOptions {
  /** Makes a folder for temporary files, for tars that cannot be read at random. */
  readonly scratch: () => string;
  readonly reporter: Reporter;
}

/**
 * Reads the sources, lays them over each other from left to right, and applies what the command line says: what is left
 * out and --owner to each, then pseudo files, the device table and times to the whole. Without a source it begins empty.
 */
export async function readSources(sources: readonly string[], options: SourceOptions): Promise<Tree> {
  const { reporter, scratch } = options;
  if (sources.filter((source) => source === STANDARD_INPUT).length > 1) {
    throw new ImgbuildError("usage", "standard input can be one source only", { hint: "Give - once." });
  }
  const excludes = await excludesOf(options);
  const tree: Tree = { root: newDirectory() };
  for (const source of sources) {
    const layer = await readSource(source, excludes, options);
    const at = options.keepAsDirectory ? nameInTree(source) : ("" as ByteString);
    layOver(tree, { ...layer, name: nameOf(source) }, at);
  }
  if (options.keepAsDirectory) tree.root.mtime = { seconds: madeTime(tree), nanoseconds: 0 };
  for (const pattern of excludes?.unused ?? [])
    reporter.notice(`the pattern ${display(pattern)} of what to leave out matches nothing`);
  const places = placesOf(sources, options.keepAsDirectory);
  for (const file of options.pseudo ?? []) {
    const { readPseudoFile } = await import("../tree/pseudo-file.js");
    const { applyPseudo } = await import("../tree/apply-pseudo.js");
    await applyPseudo(tree, readPseudoFile(readOptionFile("pseudo", file), file), {
      time: madeTime(tree),
      spool: scratch(),
      hostNode: hostNodes(tree, places, options),
      notice: (text) => reporter.notice(text),
    });
  }
  if (options.devices !== undefined) {
    const { applyDeviceTable, readDeviceTable } = await import("../tree/device-table.js");
    const text = Buffer.from(readOptionFile("devices", options.devices), "latin1").toString("utf8");
    await applyDeviceTable(tree, readDeviceTable(text, options.devices));
  }
  applyTimes(tree, options);
  return tree;
}

/** Reads what is on UserData from the start. What a folder of the host has for owner and mode nobody has described. */
export async function readUserdata(source: string, options: SourceOptions): Promise<UserdataSource> {
  const tree = await readSource(source, undefined, options);
  applyTimes(tree, options);
  return { root: tree.root, isDescribed: (folder) => tree.implied !== undefined && !tree.implied.has(folder) };
}

/** A single source, with what is left out of it and the rule for owners applied. */
async function readSource(
  source: string,
  excludes: Excludes | undefined,
  options: SourceOptions,
): Promise<Omit<Layer, "name">> {
  const { reporter } = options;
  reporter.stage(`reading ${nameOf(source)}`);
  const isFolder = isSourceFolder(source);
  const tree = isFolder
    ? await readDirectory(source, {
        observer: reporter.observer,
        excludes,
        xattrs: options.xattrs,
        strictXattrs: options.strictXattrs,
      })
    : await readArchive(source, excludes, options);
  // A tar says who owns its members; a folder shows whoever unpacked it, which means something only to root.
  const rule = ownerRule(options, isFolder);
  if (rule !== undefined) applyOwner(tree, rule);
  return tree;
}

function ownerRule({ owner }: InputOptions, ofHost: boolean): Owner | undefined {
  if (owner !== undefined) return parseOwner(owner);
  return ofHost && !keepsOwners() ? { uid: 0, gid: 0 } : undefined;
}

async function excludesOf({ exclude = [], excludeFrom = [] }: InputOptions): Promise<Excludes | undefined> {
  if (exclude.length === 0 && excludeFrom.length === 0) return undefined;
  const { Excludes, readExcludeFile } = await import("../tree/excludes.js");
  const patterns = [
    ...exclude.map(fromText),
    ...excludeFrom.flatMap((file) => readExcludeFile(readOptionFile("exclude-from", file))),
  ];
  return patterns.length === 0 ? undefined : new Excludes(patterns);
}

/** The nodes of files of the host that pseudo files name: those of the tree where they come from a source of it. */
function hostNodes(tree: Tree, places: readonly Place[], options: SourceOptions): (file: string) => Promise<Node> {
  const known = new Map<string, Node>();
  return async (file) => {
    for (const name of pathsInTree(places, file)) {
      const node = lookup(tree, name);
      if (node !== undefined) return node;
    }
    const inode = inodeOf(file);
    const node = known.get(inode) ?? (await readHostNode(file, options.reporter.observer));
    if (!known.has(inode)) Object.assign(node, ownerRule(options, true));
    known.set(inode, node);
    return node;
  };
}

/** A key that names of one file have in common. What cannot be looked at has its path: reading it says what is wrong. */
function inodeOf(file: string): string {
  try {
    const { dev, ino } = fs.lstatSync(file, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return file;
  }
}

/** Where the sources that are folders are. */
export function placesOf(sources: readonly string[], keepAsDirectory: boolean | undefined): Place[] {
  return sources.filter(isSourceFolder).map((source) => ({
    folder: fs.realpathSync(source),
    at: keepAsDirectory ? nameInTree(source) : ("" as ByteString),
  }));
}

/** The folder of the tree for a source that keeps its name. Tars have none: what they hold is at the root. */
function nameInTree(source: string): ByteString {
  return isSourceFolder(source) ? fromText(path.basename(path.resolve(source))) : ("" as ByteString);
}

/** Gives every node the time of --mtime, where there is one, and none a later one than SOURCE_DATE_EPOCH. */
function applyTimes(tree: Tree, { mtime }: InputOptions): void {
  const time = mtime === undefined ? undefined : { seconds: mtime, nanoseconds: 0 };
  if (time !== undefined) for (const node of nodesOf(tree)) node.mtime = time;
  const epoch = sourceDateEpoch();
  if (epoch !== undefined) clampTimes(tree, epoch);
}

/** Refuses to write to a folder that is part of the source: the next build would take this one's result for input. */
export function refuseInside(folder: string, source: string): void {
  if (!isSourceFolder(source)) return;
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

/** The time of everything that has none of its own, in seconds since 1970: SOURCE_DATE_EPOCH, or the newest in the tree. */
export function madeTime(tree: Tree): number {
  return sourceDateEpoch() ?? Math.min(Math.max(newestTime(tree), 0), MAX_TIME);
}

/** A source as messages call it. */
function nameOf(source: string): string {
  return source === STANDARD_INPUT ? "standard input" : source;
}

async function readArchive(
  source: string,
  excludes: Excludes | undefined,
  { scratch, strictXattrs, reporter: { observer } }: SourceOptions,
): Promise<TarTree> {
  const { readTar } = await import("../tree/tar/read-tar.js");
  try {
    const input = source === STANDARD_INPUT ? process.stdin : source;
    return await readTar(input, { spool: scratch(), excludes, strictXattrs, observer });
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

function isSourceFolder(source: string): boolean {
  return source !== STANDARD_INPUT && isDirectory(source);
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

/** The bytes of a file that an option names. */
export function readOptionFile(option: string, file: string): ByteString {
  try {
    return fromBytes(fs.readFileSync(file));
  } catch (error) {
    throw new ImgbuildError("source-missing", `cannot read ${file}: ${(error as NodeJS.ErrnoException).code}`, {
      hint: `Check the path given with --${option}.`,
      cause: error,
    });
  }
}

/** How many files and bytes there are to write, for progress. */
export function totals(tree: Tree): { files: number; bytes: number } {
  const seen = new Set<object>();
  let bytes = 0;
  for (const node of nodesOf(tree)) {
    if (node.type !== "file" || seen.has(node)) continue;
    seen.add(node);
    bytes += node.content.size;
  }
  return { files: seen.size, bytes };
}
