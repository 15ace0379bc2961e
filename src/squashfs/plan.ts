/**
 * Decides, before anything is written, which inodes there are, their numbers and their order.
 *
 * A directory's listing needs the positions of its entries' inodes, and an inode of a directory needs the position of its
 * listing. So directories come deepest first, and each writes the inodes of all its entries, in the order of their names,
 * right before its listing. Entries of one directory are thus neighbours in the inode table, with consecutive numbers: few
 * directory headers, and `ls -l` touches few metadata blocks.
 */
import { type ByteString, display } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { Content, Directory, Node, RegularFile } from "../tree/node.js";
import { sortedEntries, type Tree } from "../tree/tree.js";
import type { Listing } from "./directories.js";

/**
 * The index of a name in a plan. Names are in the order in which directories are, the entries of each in byte order; the
 * root comes first, with an empty one.
 */
export type Name = number;

/** An inode: the first of the names that lead to it. The root is 0. */
export type Inode = Name;

export const ROOT: Inode = 0;

export interface PlannedDirectory {
  readonly inode: Inode;
  /** Of the root, undefined. */
  readonly parent: PlannedDirectory | undefined;
  /** Its entries are the names from the first up to, but not including, the end. */
  readonly first: Name;
  readonly end: Name;
  /** Once it is written. */
  listing: Listing | undefined;
}

/** What is to be written. There may be millions of names: what is known of each is in columns, not in objects. */
export class Plan {
  /** By inode. Each before the directories in it, otherwise in byte order of their paths. */
  readonly directories: ReadonlyMap<Inode, PlannedDirectory>;
  readonly names: readonly ByteString[];
  /** What each name leads to. */
  readonly nodes: readonly Node[];
  /** The inode that each name leads to. */
  readonly inodes: Uint32Array;
  /** By inode, its number: from 1, without gaps. The root has the highest, so that is how many there are. */
  readonly numbers: Uint32Array;
  /** By inode: names that lead to it; for a directory: 2, and one for each directory in it. */
  readonly links: Uint32Array;
  /** By inode, its place in the inode table, once it is written. */
  readonly references: Float64Array;

  constructor(
    directories: ReadonlyMap<Inode, PlannedDirectory>,
    names: readonly ByteString[],
    nodes: readonly Node[],
    inodes: Uint32Array,
  ) {
    this.directories = directories;
    this.names = names;
    this.nodes = nodes;
    this.inodes = inodes;
    this.numbers = numbersOf(inodes, directories);
    this.links = linksOf(inodes, directories);
    this.references = new Float64Array(names.length);
  }

  /** Number of inodes. */
  get count(): number {
    return this.numbers[ROOT]!;
  }

  /** Every inode once, the root first, then in the order of the paths that lead to them first. */
  *all(): Generator<Inode> {
    for (let name = 0; name < this.inodes.length; name++) if (this.inodes[name] === name) yield name;
  }

  /** The content of a regular file. */
  contentOf(file: Inode): Content {
    return (this.nodes[file] as RegularFile).content;
  }

  /** The first path that leads to an inode, for messages. Empty for the root. */
  pathOf(inode: Inode): string {
    return pathOf(inode, this.names, this.directories);
  }
}

/** Throws `not-representable` for directories with two names. What else the tree has wrong, check-tree.ts finds. */
export function plan(tree: Tree): Plan {
  const directories = new Map<Inode, PlannedDirectory>();
  const count = countNames(tree.root);
  const names = new Array<ByteString>(count);
  const nodes = new Array<Node>(count);
  const inodes = new Uint32Array(count);
  names[ROOT] = "" as ByteString;
  nodes[ROOT] = tree.root;
  let end: Name = ROOT + 1;
  const known = new Map<Node, Inode>([[tree.root, ROOT]]);
  const stack: [Inode, parent: PlannedDirectory | undefined][] = [[ROOT, undefined]];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const [inode, parent] = next;
    const node = nodes[inode]!;
    if (node.type !== "directory") continue;
    const first = end;
    end += node.entries.size;
    const directory = { inode, parent, first, end, listing: undefined };
    directories.set(inode, directory);
    let at = first;
    for (const [name, child] of sortedEntries(node)) {
      names[at] = name;
      nodes[at] = child;
      const before = known.get(child);
      if (before === undefined) known.set(child, at);
      inodes[at] = before ?? at;
      if (before !== undefined && child.type === "directory") {
        const [path, other] = [at, before].map((folder) => pathOf(folder, names, directories));
        throw new ImgbuildError("not-representable", `the folder ${path} is also ${other || "the root"}`, {
          hint: "Only files can have two names: copy the folder, or make one of them a symbolic link.",
        });
      }
      at++;
    }
    while (--at >= first) if (nodes[at]!.type === "directory") stack.push([at, directory]);
  }
  return new Plan(directories, names, nodes, inodes);
}

/** Counted first, because arrays that grow leave several times their size behind them. */
function countNames(root: Directory): number {
  let count = 1;
  const directories = new Set([root]);
  // It goes on with what is added. A directory in itself, which will be refused, is added once.
  for (const { entries } of directories) {
    count += entries.size;
    for (const node of entries.values()) if (node.type === "directory") directories.add(node);
  }
  return count;
}

type Directories = Plan["directories"];

function numbersOf(inodes: Uint32Array, directories: Directories): Uint32Array {
  const numbers = new Uint32Array(inodes.length);
  let count = 0;
  for (const { first, end } of [...directories.values()].reverse()) {
    for (const inode of inodes.subarray(first, end)) if (numbers[inode] === 0) numbers[inode] = ++count;
  }
  numbers[ROOT] = ++count;
  return numbers;
}

function linksOf(inodes: Uint32Array, directories: Directories): Uint32Array {
  const links = new Uint32Array(inodes.length);
  for (const inode of inodes) links[inode]!++;
  for (const { inode, parent } of directories.values()) {
    links[inode]!++;
    if (parent !== undefined) links[parent.inode]!++;
  }
  return links;
}

function pathOf(inode: Inode, names: readonly ByteString[], directories: Directories): string {
  const path: ByteString[] = [];
  for (let at = inode; at !== ROOT; ) {
    path.push(names[at]!);
    // Looked for, since only messages need it.
    for (const { inode: parent, first, end } of directories.values()) if (first <= at && at < end) at = parent;
  }
  return display(path.reverse().join("/") as ByteString);
}
