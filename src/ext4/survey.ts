/**
 * The first look at a tree: whether ext4 can hold all of it, how many inodes and blocks it takes, and in which order it is
 * written. Everything that can be wrong with a tree is found here, before a byte is written.
 */
import { type ByteString, display, fromText } from "../bytes/bytestring.js";
import type { ExtentSet } from "../bytes/extent.js";
import { ImgbuildError } from "../errors.js";
import { isDeviceNumber, MAX_MAJOR, MAX_MINOR } from "../tree/device-number.js";
import {
  type Content,
  type Directory,
  type Metadata,
  type Node,
  newDirectory,
  type RegularFile,
} from "../tree/node.js";
import { sortedEntries, type Tree } from "../tree/tree.js";
import { type DirectoryLayout, layoutDirectory } from "./directory.js";
import type { FeatureName } from "./feature-table.js";
import type { Format } from "./format.js";
import type { Run } from "./geometry.js";
import { storedTime } from "./inode.js";
import { INODE, INODE_BLOCK_BYTES, MAX_LINKS, MAX_NAME } from "./layout.js";
import { type Mapping, mappingOf } from "./mapping.js";
import { type XattrPlacement, XattrStore } from "./xattrs.js";

/** One inode of the tree. */
export interface Visit {
  readonly node: Node;
  readonly parent: Directory;
  /** Which of the folders in the root it is or is under, by position in `Survey.folders`; -1 for all else. */
  readonly folder: number;
}

/** A file of which nobody has said where its holes are. */
export interface UnknownHoles {
  readonly node: RegularFile;
  readonly path: ByteString;
  /** As in its `Visit`. */
  readonly folder: number;
}

/** Where a scan of such a file found data. */
export interface ScannedFile {
  readonly path: ByteString;
  /** Bytes of the file, in whole blocks but for its end. */
  readonly data: ExtentSet;
}

export interface Survey {
  readonly root: Directory;
  readonly lostAndFound: Directory;
  /** Each inode once: a directory, what is in it, then each directory in it the same way; all in byte order. */
  readonly visits: readonly Visit[];
  /** The blocks that each folder of the root but lost+found takes, with all that is under it. */
  readonly folders: readonly number[];
  /** Inodes, the reserved ones included. */
  readonly inodes: number;
  /** At most so many blocks, when no file is split by the end of a free run. */
  readonly blocks: number;
  readonly layouts: ReadonlyMap<Directory, DirectoryLayout>;
  readonly xattrs: ReadonlyMap<Node, XattrPlacement>;
  /** Inodes whose mtime is moved to the nearest that can be stored. */
  readonly clampedTimes: number;
  /** Names of each inode that has several and is no directory. */
  readonly links: ReadonlyMap<Node, number>;
  /** The files that count as if they had no holes, though they are large enough for some that matter. */
  readonly unknown: readonly UnknownHoles[];
  /** The files that count with the data that was found in them. */
  readonly scanned: ReadonlyMap<RegularFile, ScannedFile>;
}

export interface SurveyOptions {
  readonly format: Format;
  readonly hashSeed: Int32Array;
  /** Of the folders that the tree lacks, in seconds. */
  readonly time: number;
}

const LOST_AND_FOUND = fromText("lost+found");
/** So that e2fsck has room in it without allocating blocks of a damaged file system. As mke2fs has it. */
const LOST_AND_FOUND_BYTES = 16_384;
/** From that size on a file needs the feature large_file. */
const SMALL_FILE_END = 2 ** 31;
/** The blocks of a file are counted in units of 512 bytes, with 32 bits unless there is the feature huge_file. */
const SMALL_BLOCK_COUNT_END = 2 ** 32 * 512 - 2 ** 34;
/** Of smaller files, a root file system has so many that opening each to look for holes would cost more than the holes do. */
const HOLES_MATTER_FROM = 65_536;

/** The blocks of a file that hold data, as far as that is known beforehand: ascending, neither touching nor overlapping. */
export function dataBlocks({ size, data }: Pick<Content, "size" | "data">, blockSize: number): Run[] {
  if (data === undefined) return size === 0 ? [] : [{ start: 0, end: Math.ceil(size / blockSize) }];
  const runs: Run[] = [];
  for (const extent of data) {
    const start = Math.floor(extent.start / blockSize);
    const end = Math.ceil(Math.min(extent.end, size) / blockSize);
    const last = runs.at(-1);
    if (last && start <= last.end) last.end = Math.max(last.end, end);
    else if (start < end) runs.push({ start, end });
  }
  return runs;
}

/** Whether a symlink's target is in the inode itself. */
export function isFastSymlink(target: ByteString): boolean {
  return target.length < INODE_BLOCK_BYTES;
}

/** Surveys `tree`, or an empty one. Throws `not-representable` and `source-invalid` errors that name the path. */
export function surveyTree(tree: Tree | undefined, options: SurveyOptions): Survey {
  return new Surveyor(options).survey(tree);
}

class Surveyor {
  readonly #options: SurveyOptions;
  readonly #mapping: Mapping;
  readonly #store: XattrStore;
  readonly #visits: Visit[] = [];
  readonly #folders: number[] = [];
  readonly #layouts = new Map<Directory, DirectoryLayout>();
  readonly #xattrs = new Map<Node, XattrPlacement>();
  readonly #links = new Map<Node, number>();
  readonly #unknown: UnknownHoles[] = [];
  #blocks = 0;
  #clampedTimes = 0;

  constructor(options: SurveyOptions) {
    this.#options = options;
    this.#mapping = mappingOf(options.format);
    this.#store = new XattrStore(options.format);
  }

  survey(tree: Tree | undefined): Survey {
    const { root, lostAndFound } = this.#completeRoot(tree);
    const stack: (Visit & { path: ByteString })[] = [{ node: root, parent: root, folder: -1, path: "" as ByteString }];
    for (let visit = stack.pop(); visit !== undefined; visit = stack.pop()) {
      const { node, folder, path } = visit;
      if (node.type !== "directory") continue;
      const entries = sortedEntries(node);
      const minimum = node === lostAndFound ? LOST_AND_FOUND_BYTES / this.#options.format.blockSize : 1;
      this.#layouts.set(node, layoutDirectory(entries, { ...this.#options, path, minimumBlocks: minimum }));
      this.#add(visit, path);
      const folders: typeof stack = [];
      for (const [name, child] of entries) {
        const childPath = (path === "" ? name : `${path}/${name}`) as ByteString;
        checkName(name, childPath);
        if (child.type === "directory") {
          const spread = node === root && child !== lostAndFound;
          const childFolder = spread ? this.#folders.push(0) - 1 : folder;
          folders.push({ node: child, parent: node, folder: childFolder, path: childPath });
        } else {
          const links = (this.#links.get(child) ?? 0) + 1;
          this.#links.set(child, links);
          if (links === 1) this.#add({ node: child, parent: node, folder }, childPath);
          else if (links > MAX_LINKS) throw cannotHold(childPath, `a file with more than ${MAX_LINKS} names`);
        }
      }
      for (const next of folders.reverse()) stack.push(next);
    }
    return {
      root,
      lostAndFound,
      visits: this.#visits,
      folders: this.#folders,
      // The root and lost+found are among the reserved inodes and among the visits.
      inodes: INODE.firstFree + this.#visits.length - 2,
      blocks: this.#blocks + this.#store.blocks,
      layouts: this.#layouts,
      xattrs: this.#xattrs,
      clampedTimes: this.#clampedTimes,
      links: this.#links,
      unknown: this.#unknown,
      scanned: new Map(),
    };
  }

  /** The root with a lost+found in it. The tree itself stays as it is. */
  #completeRoot(tree: Tree | undefined): { root: Directory; lostAndFound: Directory } {
    const mtime = { seconds: this.#options.time, nanoseconds: 0 };
    const root = tree?.root ?? newDirectory({ mtime });
    const present = root.entries.get(LOST_AND_FOUND);
    if (present?.type === "directory") return { root, lostAndFound: present };
    if (present !== undefined) {
      throw new ImgbuildError("source-invalid", `/lost+found is a ${present.type}; ext4 needs a folder there`);
    }
    const lostAndFound = newDirectory({ mode: 0o700, mtime });
    return { root: { ...root, entries: new Map([...root.entries, [LOST_AND_FOUND, lostAndFound]]) }, lostAndFound };
  }

  #add({ node, parent, folder }: Visit, path: ByteString): void {
    checkOwner(node, path);
    if (storedTime(node.mtime, this.#options.format.inodeSize) !== node.mtime) this.#clampedTimes++;
    this.#visits.push({ node, parent, folder });
    if (node.xattrs.size > 0) this.#xattrs.set(node, this.#store.place(node.xattrs, path));
    const blocks = this.#blocksOf(node, path);
    this.#blocks += blocks;
    if (folder >= 0) this.#folders[folder]! += blocks;
    if (node.type === "file" && node.content.data === undefined && node.content.size >= HOLES_MATTER_FROM) {
      this.#unknown.push({ node, path, folder });
    }
  }

  /** Throws unless the file system can hold a file of `size` bytes. */
  #checkFileSize(size: number, path: ByteString): void {
    const { format } = this.#options;
    const needs = (name: FeatureName) => {
      if (!format.features.has(name)) throw needsFeature(path, `a file of ${size} bytes`, name);
    };
    if (size >= SMALL_FILE_END) needs("large_file");
    // As if it had no holes, and with room for what leads to its blocks.
    if (size >= SMALL_BLOCK_COUNT_END) needs("huge_file");
    if (size > this.#mapping.maxFileBlocks * format.blockSize) {
      throw cannotHold(path, `a file of ${size} bytes in blocks of ${format.blockSize}`);
    }
  }

  /** Throws when the names of a folder, which each folder in it is one of, cannot be counted. */
  #checkSubfolders(node: Directory, path: ByteString): void {
    if (this.#options.format.features.has("dir_nlink")) return;
    if (subfolders(node) + 2 > MAX_LINKS)
      throw needsFeature(path, `more than ${MAX_LINKS - 2} folders in it`, "dir_nlink");
  }

  #blocksOf(node: Node, path: ByteString): number {
    const { format } = this.#options;
    const { blockSize } = format;
    switch (node.type) {
      case "directory":
        this.#checkSubfolders(node, path);
        return withTree([{ start: 0, end: this.#layouts.get(node)!.blocks }], this.#mapping);
      case "file":
        this.#checkFileSize(node.content.size, path);
        // Zeros that are found later only make it less: a hole saves a block, and a block of the tree holds many extents.
        return fileBlocks(node.content, blockSize, this.#mapping);
      case "symlink":
        if (node.target.length === 0 || node.target.length >= blockSize) {
          throw cannotHold(path, `a symlink to ${node.target.length} bytes in blocks of ${blockSize}`);
        }
        return isFastSymlink(node.target) ? 0 : 1;
      case "block":
      case "character":
        if (!isDeviceNumber(node.major, node.minor)) {
          throw cannotHold(
            path,
            `the device ${node.major}:${node.minor}, since numbers go to ${MAX_MAJOR} and ${MAX_MINOR}`,
          );
        }
        return 0;
      default:
        return 0;
    }
  }
}

/** The blocks of a node of a surveyed tree, but for those of attributes, which several may share. */
export function nodeBlocks(node: Node, survey: Survey, blockSize: number, mapping: Mapping): number {
  switch (node.type) {
    case "directory":
      // The root has been given a lost+found, and is another one since.
      return survey.layouts.get(node)?.blocks ?? 0;
    case "file": {
      const data = survey.scanned.get(node)?.data;
      const content = data === undefined ? node.content : { size: node.content.size, data: [...data] };
      return fileBlocks(content, blockSize, mapping);
    }
    case "symlink":
      return isFastSymlink(node.target) ? 0 : 1;
    default:
      return 0;
  }
}

/** The blocks of a file, as far as is known beforehand, and those that lead to them, when no end of a free run splits it. */
export function fileBlocks(content: Pick<Content, "size" | "data">, blockSize: number, mapping: Mapping): number {
  return withTree(dataBlocks(content, blockSize), mapping);
}

/** The blocks of runs that lie together, and those that lead to them. */
function withTree(runs: readonly Run[], mapping: Mapping): number {
  return runs.reduce((sum, { start, end }) => sum + end - start, 0) + mapping.blocksFor(runs);
}

/** How many folders are in `node`. */
export function subfolders(node: Directory): number {
  let count = 0;
  for (const entry of node.entries.values()) if (entry.type === "directory") count++;
  return count;
}

function needsFeature(path: ByteString, what: string, name: FeatureName): ImgbuildError {
  return new ImgbuildError("not-representable", `ext4 without ${name} cannot hold /${display(path)}: ${what}`, {
    hint: `Switch the feature ${name} on.`,
  });
}

function cannotHold(path: ByteString, what: string): ImgbuildError {
  return new ImgbuildError("not-representable", `ext4 cannot hold /${display(path)}: ${what}`);
}

function checkName(name: ByteString, path: ByteString): void {
  if (name.length > MAX_NAME) throw cannotHold(path, `a name of ${name.length} bytes, more than ${MAX_NAME}`);
  if (name === "" || name === "." || name === ".." || /[/\0]/.test(name)) {
    throw cannotHold(path, `the name "${display(name)}"`);
  }
}

function checkOwner({ uid, gid }: Metadata, path: ByteString): void {
  if (!isId(uid)) throw cannotHold(path, `the owner ${uid}`);
  if (!isId(gid)) throw cannotHold(path, `the group ${gid}`);
}

function isId(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id < 2 ** 32;
}
