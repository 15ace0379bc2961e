/** From a tree to what will be in the volume: every name checked, every directory measured, clusters handed out in order. */
import { type ByteString, display } from "../bytes/bytestring.js";
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import type { DeviceNode, Directory, Node, RegularFile, SpecialNode, Symlink } from "../tree/node.js";
import { follow } from "../tree/real-path.js";
import { sortedEntries, type Tree } from "../tree/tree.js";
import { ENTRY_SIZE, type FatType, FIRST_CLUSTER, MAX_DIRECTORY_BYTES, MAX_FILE_BYTES } from "./layout.js";
import { type FatName, nameEntries, slotsOf } from "./names.js";

export interface PlannedFile {
  readonly node: RegularFile;
  readonly path: ByteString;
  readonly bytes: number;
  /** 0 until clusters are handed out, and for good when the file is empty. */
  firstCluster: number;
}

export interface PlannedDirectory {
  readonly node: Directory;
  readonly path: ByteString;
  /** Undefined for the root. */
  readonly parent: PlannedDirectory | undefined;
  readonly entries: { readonly name: FatName; readonly target: PlannedFile | PlannedDirectory }[];
  /** Length of its entries, those for itself and its parent included. */
  readonly bytes: number;
  /** 0 until clusters are handed out, and for good in a root of FAT12 or FAT16, which lies outside of the data region. */
  firstCluster: number;
}

export interface FatPlan {
  /** The root first, each before what is in it. */
  readonly directories: readonly PlannedDirectory[];
  readonly files: readonly PlannedFile[];
  /** Names that are links in the tree: symbolic ones, and all but the first of a file's names. Here each is a file. */
  readonly copies: readonly ByteString[];
}

/** Something of the tree that is still to be planned, and its name in `parent`, which the root has not. */
type Pending = { node: Node; path: ByteString; parent: PlannedDirectory | undefined; name: FatName | undefined };

/**
 * Plans the content of a volume. Throws `not-representable` errors that name the path of what FAT cannot hold, and
 * `source-invalid` for symbolic links that lead in a circle.
 */
export function planTree(tree: Tree, label: string | undefined): FatPlan {
  const directories: PlannedDirectory[] = [];
  const files: PlannedFile[] = [];
  const copies: ByteString[] = [];
  const seen = new Set<RegularFile>();
  // A tree may be deeper than the stack of calls: what is still to be done is kept here, the next one last.
  const pending: Pending[] = [{ node: tree.root, path: "" as ByteString, parent: undefined, name: undefined }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { node, path, parent, name } = next;
    let target: PlannedFile | PlannedDirectory;
    if (node.type === "directory") {
      const { directory, children } = planDirectory(node, path, parent, label);
      directories.push(directory);
      for (const child of children.reverse()) pending.push(child);
      target = directory;
    } else {
      target = planFile(tree, node, path);
      files.push(target);
      if (node.type === "symlink" || seen.has(target.node)) copies.push(path);
      else seen.add(target.node);
    }
    if (name !== undefined) parent!.entries.push({ name, target });
  }
  return { directories, files, copies };
}

/** A directory whose entries are still to come, and what is to become of them, in byte order. */
function planDirectory(
  node: Directory,
  path: ByteString,
  parent: PlannedDirectory | undefined,
  label: string | undefined,
): { directory: PlannedDirectory; children: Pending[] } {
  const pathOf = (name: ByteString) => (path === "" ? name : (`${path}/${name}` as ByteString));
  const found = sortedEntries(node);
  const names = nameEntries(
    found.map(([name]) => name),
    pathOf,
  );
  const own = parent === undefined ? (label === undefined ? 0 : 1) : 2;
  const bytes = ENTRY_SIZE * (own + names.reduce((sum, name) => sum + slotsOf(name), 0));
  if (bytes > MAX_DIRECTORY_BYTES) {
    throw new ImgbuildError(
      "not-representable",
      `FAT cannot store the folder ${display(path) || "/"}: its ${names.length} names take ${bytes / ENTRY_SIZE} entries, and 65536 is the most`,
      { hint: "Spread its files over several folders, or shorten their names.", data: { path: display(path) } },
    );
  }
  const directory: PlannedDirectory = { node, path, parent, entries: [], bytes, firstCluster: 0 };
  const children = found.map(([name, child], i) => ({
    node: child,
    path: pathOf(name),
    parent: directory,
    name: names[i]!,
  }));
  return { directory, children };
}

/** A file, or what a symbolic link leads to. */
function planFile(tree: Tree, found: Exclude<Node, Directory>, path: ByteString): PlannedFile {
  const node = found.type === "symlink" ? fileBehind(tree, found, path) : found;
  if (node.type !== "file") throw unsupported(node, path);
  const { size } = node.content;
  if (size > MAX_FILE_BYTES) {
    throw new ImgbuildError(
      "not-representable",
      `FAT cannot store ${display(path)}: it has ${size} bytes (${formatSize(size)}), and ${MAX_FILE_BYTES} is the most`,
      { hint: "Leave it out, or put it on an ext4 partition.", data: { path: display(path), size } },
    );
  }
  return { node, path, bytes: size, firstCluster: 0 };
}

const KINDS = {
  directory: "folder",
  symlink: "symbolic link",
  block: "block device",
  character: "character device",
  fifo: "fifo",
  socket: "socket",
};

function unsupported(node: DeviceNode | SpecialNode, path: ByteString): ImgbuildError {
  return new ImgbuildError("not-representable", `FAT cannot store ${display(path)}: it is a ${KINDS[node.type]}`, {
    hint: "Leave it out of this partition: FAT knows only files and folders.",
    data: { path: display(path), type: node.type },
  });
}

/** The file that the symbolic link at `path` leads to, inside of the tree. */
function fileBehind(tree: Tree, link: Symlink, path: ByteString): RegularFile {
  const target = follow(tree, path);
  if (target?.type === "file") return target;
  const where = target === undefined ? "which is not there" : `which is a ${KINDS[target.type]}`;
  throw new ImgbuildError(
    "not-representable",
    `FAT cannot store ${display(path)}: it is a symbolic link to ${display(link.target)}, ${where}`,
    {
      hint: "FAT has no links. One to a file in the source becomes a copy of it; leave this one out, or put what it should lead to in its place.",
      data: { path: display(path), type: link.type, target: display(link.target) },
    },
  );
}

/** What takes clusters in the data region, in the order in which it lies there: directories together, then files. */
function* inDataRegion(plan: FatPlan, type: FatType): Generator<PlannedDirectory | PlannedFile> {
  for (const directory of plan.directories) if (type === 32 || directory.parent !== undefined) yield directory;
  yield* plan.files;
}

/** Clusters of `clusterBytes` that something takes. Even an empty directory has one; an empty file has none. */
export function clustersOf(item: PlannedDirectory | PlannedFile, clusterBytes: number): number {
  return Math.max(Math.ceil(item.bytes / clusterBytes), "entries" in item ? 1 : 0);
}

export function countClusters(plan: FatPlan, type: FatType, clusterBytes: number): number {
  let clusters = 0;
  for (const item of inDataRegion(plan, type)) clusters += clustersOf(item, clusterBytes);
  return clusters;
}

/** Gives everything its clusters, one after the other from 2 on. Returns the length of each chain, in that order. */
export function assignClusters(plan: FatPlan, type: FatType, clusterBytes: number): number[] {
  const chains: number[] = [];
  let next = FIRST_CLUSTER;
  for (const item of inDataRegion(plan, type)) {
    const clusters = clustersOf(item, clusterBytes);
    item.firstCluster = clusters === 0 ? 0 : next;
    if (clusters > 0) chains.push(clusters);
    next += clusters;
  }
  return chains;
}
