/** The whole file system as a tree: every inode once, names of one inode as one node, contents read when they are asked for. */
import { display } from "../../bytes/bytestring.js";
import { type Directory, type Metadata, type Node, newDirectory } from "../../tree/node.js";
import type { Tree } from "../../tree/tree.js";
import { INODE, inode as layout, STATE_CLEAN } from "../layout.js";
import { Budget } from "./block-map.js";
import { contentOfFile } from "./content.js";
import { corrupt } from "./corrupt.js";
import { type Ext4Entry, readEntries } from "./directories.js";
import type { Image } from "./image.js";
import type { DirectoryInode } from "./inodes.js";
import { type Ext4Inode, readInode } from "./symlinks.js";
import { XattrReader } from "./xattrs.js";

/** Reads it, "lost+found" included. `root` is inode 2. */
export async function readTree(image: Image, root: DirectoryInode): Promise<Tree> {
  return { root: await new TreeReader(image).read(root) };
}

/** A node that can have more names, and how many it says are missing. */
interface Linked {
  readonly node: Node;
  readonly at: number;
  missing: number;
}

class TreeReader {
  readonly #image: Image;
  readonly #xattrs: XattrReader;
  readonly #budget: Budget;
  /** By inode number. */
  readonly #nodes = new Map<number, Linked>();
  /** Directories that still have to be read. */
  readonly #pending: { node: Directory; inode: DirectoryInode; parent: number }[] = [];

  constructor(image: Image) {
    this.#image = image;
    this.#budget = new Budget(image);
    this.#xattrs = new XattrReader(image, this.#budget);
  }

  async read(root: DirectoryInode): Promise<Directory> {
    const node = await this.#addDirectory(root, INODE.root);
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      const { parent } = next;
      for await (const entries of readEntries(this.#image, next.inode, { parent, budget: this.#budget })) {
        for (const entry of entries) {
          if (next.node.entries.has(entry.name)) {
            throw corrupt(
              entry.at,
              `the directory that is inode ${next.inode.number} has "${display(entry.name)}" twice`,
            );
          }
          next.node.entries.set(entry.name, await this.#nodeOf(entry, next.inode.number));
        }
      }
    }
    this.#checkLinks();
    return node;
  }

  async #nodeOf(entry: Ext4Entry, parent: number): Promise<Node> {
    const known = this.#nodes.get(entry.inodeNumber);
    if (known === undefined) {
      const inode = await readInode(this.#image, entry.inodeNumber);
      checkType(entry, inode.type);
      return inode.type === "directory" ? this.#addDirectory(inode, parent) : this.#add(inode, await this.#leaf(inode));
    }
    if (known.node.type === "directory") {
      throw corrupt(entry.at, `the directory "${display(entry.name)}" is in two places, or within itself`);
    }
    checkType(entry, known.node.type);
    known.missing--;
    return known.node;
  }

  async #addDirectory(inode: DirectoryInode, parent: number): Promise<Directory> {
    const node = newDirectory(await this.#metadata(inode));
    this.#pending.push({ node, inode, parent });
    return this.#add(inode, node);
  }

  async #leaf(inode: Exclude<Ext4Inode, DirectoryInode>): Promise<Node> {
    const metadata = await this.#metadata(inode);
    switch (inode.type) {
      case "file":
        return { type: inode.type, ...metadata, content: await contentOfFile(this.#image, inode, this.#budget) };
      case "symlink":
        return { type: inode.type, ...metadata, target: inode.target };
      case "block":
      case "character":
        return { type: inode.type, ...metadata, major: inode.major, minor: inode.minor };
      case "fifo":
      case "socket":
        return { type: inode.type, ...metadata };
    }
  }

  async #metadata(inode: Ext4Inode): Promise<Metadata> {
    const { mode, uid, gid, mtime } = inode;
    return { mode, uid, gid, mtime, xattrs: await this.#xattrs.of(inode) };
  }

  #add<N extends Node>({ number, at, links }: Ext4Inode, node: N): N {
    this.#nodes.set(number, {
      node,
      at: at + layout.offsets.links,
      missing: node.type === "directory" ? 0 : links - 1,
    });
    return node;
  }

  /** Counts are right where the file system was unmounted, or has a journal. */
  #checkLinks(): void {
    const { state } = this.#image.superblock.fields;
    if ((state & STATE_CLEAN) === 0) return;
    for (const [number, { missing, at }] of this.#nodes) {
      if (missing === 0) continue;
      throw corrupt(at, `inode ${number} has ${Math.abs(missing)} names ${missing > 0 ? "less" : "more"} than it says`);
    }
  }
}

function checkType({ name, type, at }: Ext4Entry, found: Node["type"]): void {
  if (type === undefined || type === found) return;
  throw corrupt(at, `the entry "${display(name)}" is said to be a ${type}, and its inode is a ${found}`);
}
