/** Nodes of inodes, and whole trees of them: every inode once, names of one inode as one node, contents read when wanted. */
import { type ByteString, display } from "../../bytes/bytestring.js";
import { pathIn, reportDamage, type TreeReading } from "../../tree/damage.js";
import { type Directory, NO_XATTRS, type Node, newFile, newOtherNode } from "../../tree/node.js";
import type { Tree } from "../../tree/tree.js";
import { INODE, inode as layout, STATE_CLEAN } from "../layout.js";
import { Budget } from "./block-map.js";
import { contentOfFile } from "./content.js";
import { corrupt } from "./corrupt.js";
import { type Ext4Entry, readEntries } from "./directories.js";
import type { Image } from "./image.js";
import type { DirectoryInode } from "./inodes.js";
import { type Ext4Inode, readInode } from "./symlinks.js";
import { XattrReader, type XattrSet } from "./xattrs.js";

/** The node of `inode`; of a directory, without what is in it. `budget` is for its map. */
export async function newNode(image: Image, inode: Ext4Inode, xattrs: XattrSet, budget?: Budget): Promise<Node> {
  const { mode, uid, gid, mtime } = inode;
  const metadata = { mode, uid, gid, mtime, xattrs };
  return inode.type === "file"
    ? newFile(await contentOfFile(image, inode, budget), metadata)
    : newOtherNode(inode, metadata);
}

/** Reads it, "lost+found" included. `root` is inode 2. */
export async function readTree(
  image: Image,
  root: DirectoryInode,
  { from = root, damaged }: TreeReading<DirectoryInode>,
): Promise<Tree> {
  return { root: await new TreeReader(image, damaged).read(from) };
}

/** A node that can have more names, and how many it says are missing. */
interface Linked {
  readonly node: Node;
  readonly at: number;
  missing: number;
}

class TreeReader {
  readonly #image: Image;
  readonly #damaged: TreeReading<unknown>["damaged"];
  readonly #xattrs: XattrReader;
  readonly #budget: Budget;
  /** By inode number. */
  readonly #nodes = new Map<number, Linked>();
  /** Directories that still have to be read. `parent` is undefined where it is not known. */
  readonly #pending: {
    readonly node: Directory;
    readonly inode: DirectoryInode;
    readonly parent: number | undefined;
    readonly path: ByteString;
  }[] = [];
  #isWhole = true;

  constructor(image: Image, damaged: TreeReading<unknown>["damaged"]) {
    this.#image = image;
    this.#damaged = damaged;
    this.#budget = new Budget(image);
    this.#xattrs = new XattrReader(image, this.#budget);
  }

  async read(from: DirectoryInode): Promise<Directory> {
    const isRoot = from.number === INODE.root;
    const root = await this.#add(from, isRoot ? INODE.root : undefined, "" as ByteString);
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      const { node, inode, path } = next;
      const parent = next.parent === undefined ? {} : { parent: next.parent };
      try {
        for await (const entries of readEntries(this.#image, inode, { ...parent, budget: this.#budget })) {
          for (const entry of entries) {
            const inside = pathIn(path, entry.name);
            try {
              if (node.entries.has(entry.name)) {
                throw corrupt(
                  entry.at,
                  `the directory that is inode ${inode.number} has "${display(entry.name)}" twice`,
                );
              }
              node.entries.set(entry.name, await this.#nodeOf(entry, inode.number, inside));
            } catch (error) {
              this.#report(error, inside);
            }
          }
        }
      } catch (error) {
        this.#report(error, path);
      }
    }
    // Names elsewhere, and those that could not be read, count too.
    if (isRoot && this.#isWhole) this.#checkLinks();
    return root as Directory;
  }

  #report(error: unknown, path: ByteString | undefined): void {
    this.#isWhole = false;
    reportDamage(error, this.#damaged, path);
  }

  async #nodeOf(entry: Ext4Entry, parent: number, path: ByteString): Promise<Node> {
    const known = this.#nodes.get(entry.inodeNumber);
    if (known === undefined) {
      const inode = await readInode(this.#image, entry.inodeNumber);
      checkType(entry, inode.type);
      return this.#add(inode, parent, path);
    }
    if (known.node.type === "directory") {
      throw corrupt(entry.at, `the directory "${display(entry.name)}" is in two places, or within itself`);
    }
    checkType(entry, known.node.type);
    known.missing--;
    return known.node;
  }

  async #add(inode: Ext4Inode, parent: number | undefined, path: ByteString): Promise<Node> {
    const node = await newNode(this.#image, inode, await this.#xattrsOf(inode, path), this.#budget);
    const { number, at, links } = inode;
    this.#nodes.set(number, {
      node,
      at: at + layout.offsets.links,
      missing: node.type === "directory" ? 0 : links - 1,
    });
    if (inode.type === "directory") this.#pending.push({ node: node as Directory, inode, parent, path });
    return node;
  }

  /** Where they are damaged, the file itself may still be sound. */
  async #xattrsOf(inode: Ext4Inode, path: ByteString): Promise<XattrSet> {
    try {
      return await this.#xattrs.of(inode);
    } catch (error) {
      this.#report(error, path);
      return NO_XATTRS;
    }
  }

  /** Counts are right where the file system was unmounted, or has a journal. */
  #checkLinks(): void {
    const { state } = this.#image.superblock.fields;
    if ((state & STATE_CLEAN) === 0) return;
    for (const [number, { missing, at }] of this.#nodes) {
      if (missing === 0) continue;
      const names = `${Math.abs(missing)} names ${missing > 0 ? "less" : "more"}`;
      reportDamage(corrupt(at, `inode ${number} has ${names} than it says`), this.#damaged, undefined);
    }
  }
}

function checkType({ name, type, at }: Ext4Entry, found: Node["type"]): void {
  if (type === undefined || type === found) return;
  throw corrupt(at, `the entry "${display(name)}" is said to be a ${type}, and its inode is a ${found}`);
}
