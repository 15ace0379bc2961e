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
import type { Directory, Node } from "../tree/node.js";
import { sortedEntries, type Tree } from "../tree/tree.js";
import type { StoredFile } from "./data.js";
import type { Listing } from "./directories.js";

export interface Inode {
  readonly node: Node;
  /** The first name that leads to it, and the directory that has this name. The root has neither. */
  readonly name: ByteString;
  readonly parent: Inode | undefined;
  /** From 1, without gaps. */
  number: number;
  /** Names that lead to it; of a directory: 2, and one for each directory in it. */
  links: number;
  /** Where it is in the inode table, once it is written. */
  reference: number;
  /** A file's data, once stored. */
  stored: StoredFile | undefined;
  /** A directory's listing, once written. */
  listing: Listing | undefined;
}

export interface PlannedDirectory {
  readonly inode: Inode;
  /** In byte order of their names. */
  readonly entries: readonly { readonly name: ByteString; readonly inode: Inode }[];
}

export interface Plan {
  /** Each before the directories in it, otherwise in byte order of their paths. */
  readonly directories: readonly PlannedDirectory[];
  readonly root: Inode;
  /** Number of inodes. */
  readonly inodes: number;
}

/** Throws `not-representable` for directories with two names. What else the tree has wrong, check-tree.ts finds. */
export function plan(tree: Tree): Plan {
  const inodes = new Map<Node, Inode>();
  const inodeOf = (node: Node, name: ByteString, parent: Inode | undefined): Inode => {
    const known = inodes.get(node);
    if (known !== undefined && node.type !== "directory") return known;
    const links = node.type === "directory" ? 2 : 0;
    const inode = { node, name, parent, number: 0, links, reference: 0, stored: undefined, listing: undefined };
    if (known !== undefined) {
      throw new ImgbuildError(
        "not-representable",
        `the folder ${pathOf(inode)} is also ${pathOf(known) || "the root"}`,
        {
          hint: "Only files can have two names: copy the folder, or make one of them a symbolic link.",
        },
      );
    }
    inodes.set(node, inode);
    return inode;
  };

  const root = inodeOf(tree.root, "" as ByteString, undefined);
  const directories: PlannedDirectory[] = [];
  const stack = [root];
  for (let inode = stack.pop(); inode !== undefined; inode = stack.pop()) {
    const parent = inode;
    const entries = sortedEntries(inode.node as Directory).map(([name, node]) => ({
      name,
      inode: inodeOf(node, name, parent),
    }));
    for (const entry of entries) {
      if (entry.inode.node.type === "directory") inode.links++;
      else entry.inode.links++;
    }
    directories.push({ inode, entries });
    for (const entry of entries.toReversed()) {
      if (entry.inode.node.type === "directory") stack.push(entry.inode);
    }
  }

  let count = 0;
  for (const { entries } of directories.toReversed()) {
    for (const { inode } of entries) if (inode.number === 0) inode.number = ++count;
  }
  root.number = ++count;
  return { directories, root, inodes: count };
}

/** Every inode once, the root first, then in the order of the paths that lead to them first. */
export function* inodesOf({ directories, root }: Plan): Generator<Inode> {
  yield root;
  for (const { inode: parent, entries } of directories) {
    for (const { name, inode } of entries) if (inode.parent === parent && inode.name === name) yield inode;
  }
}

/** The first path that leads to an inode, for messages. */
export function pathOf(inode: Inode): string {
  const names: ByteString[] = [];
  for (let at = inode; at.parent !== undefined; at = at.parent) names.push(at.name);
  return display(names.reverse().join("/") as ByteString);
}
