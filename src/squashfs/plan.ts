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
import { MAX_NAME } from "./layout.js";

export interface Inode {
  readonly node: Node;
  /** The first path that leads to it, for messages. */
  readonly path: ByteString;
  /** From 1, without gaps. */
  number: number;
  /** Names that lead to it; of a directory: 2, and one for each directory in it. */
  links: number;
  /** Number of the directory that a directory is in. Only directories have one. */
  parent: number;
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

/** Throws `not-representable` for names that no directory can hold, and for directories with two names. */
export function plan(tree: Tree): Plan {
  const inodes = new Map<Node, Inode>();
  const inodeOf = (node: Node, path: ByteString): Inode => {
    let inode = inodes.get(node);
    if (inode === undefined) {
      const links = node.type === "directory" ? 2 : 0;
      inode = { node, path, number: 0, links, parent: 0, reference: 0, stored: undefined, listing: undefined };
      inodes.set(node, inode);
    } else if (node.type === "directory") {
      throw new ImgbuildError("not-representable", `the folder ${display(path)} is also ${display(inode.path)}`, {
        hint: "Only files can have two names: copy the folder, or make one of them a symbolic link.",
      });
    }
    return inode;
  };

  const root = inodeOf(tree.root, "" as ByteString);
  const directories: PlannedDirectory[] = [];
  const stack = [root];
  for (let inode = stack.pop(); inode !== undefined; inode = stack.pop()) {
    const prefix = inode === root ? "" : `${inode.path}/`;
    const entries = sortedEntries(inode.node as Directory).map(([name, node]) => {
      checkName(name, prefix);
      return { name, inode: inodeOf(node, `${prefix}${name}` as ByteString) };
    });
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
  for (const { inode, entries } of directories) {
    for (const entry of entries) if (entry.inode.node.type === "directory") entry.inode.parent = inode.number;
  }
  // The root has no parent: the number is one that no inode has, as mksquashfs does it.
  root.parent = count + 1;
  return { directories, root, inodes: count };
}

function checkName(name: ByteString, prefix: string): void {
  if (name.length > 0 && name.length <= MAX_NAME && name !== "." && name !== ".." && !/[/\0]/.test(name)) return;
  const path = display(`${prefix}${name}` as ByteString);
  throw new ImgbuildError("not-representable", `${path} cannot be in a directory: its name has ${name.length} bytes`, {
    hint: `Names have 1 to ${MAX_NAME} bytes, are not "." or "..", and contain neither "/" nor NUL.`,
  });
}
