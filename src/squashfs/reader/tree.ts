/** The whole image as a tree: every inode once, the names of one inode as one node, contents read when they are asked for. */
import { display } from "../../bytes/bytestring.js";
import { ImgbuildError } from "../../errors.js";
import { type Content, type Directory, type Node, newDirectory, newFile } from "../../tree/node.js";
import type { Tree } from "../../tree/tree.js";
import { superblock } from "../layout.js";
import { corrupt } from "./corrupt.js";
import { readRuns, type SquashfsEntry } from "./directories.js";
import type { Image } from "./image.js";
import { type DirectoryInode, type FileInode, readInodeOf, readRoot, type SquashfsInode } from "./inodes.js";
import type { XattrSet } from "./xattrs.js";

/** Extended attributes of a tree, beyond 16 for each inode: images share sets of them, and the nodes of a tree do not. */
const MAX_ATTRIBUTES = 2 ** 20;

/** How a tree gets what is not in its inodes. */
export interface TreeParts {
  content(file: FileInode): Promise<Content>;
  xattrs(inode: SquashfsInode): Promise<XattrSet>;
}

/**
 * Reads it. Sound images use each byte of their tables once. What is read is held against the tables' sizes, so that time
 * and memory stay within a factor of the image's length, whatever the image says.
 */
export async function readTree(image: Image, parts: TreeParts): Promise<Tree> {
  const reader = new TreeReader(image, parts, await image.inodes.survey(), await image.listings.survey());
  return { root: await reader.read() };
}

class TreeReader {
  readonly #image: Image;
  readonly #parts: TreeParts;
  /** By the reference of their inode. */
  readonly #nodes = new Map<number, Node>();
  /** Directories that still have to be read. */
  readonly #pending: { readonly node: Directory; readonly inode: DirectoryInode }[] = [];
  /** What may still come. */
  #inodeBytes: number;
  #listingBytes: number;
  #attributes: number;

  constructor(image: Image, parts: TreeParts, inodeBytes: number, listingBytes: number) {
    this.#image = image;
    this.#parts = parts;
    this.#inodeBytes = inodeBytes;
    this.#listingBytes = listingBytes;
    this.#attributes = MAX_ATTRIBUTES + 16 * image.superblock.inodes;
  }

  async read(): Promise<Directory> {
    const root = await this.#addDirectory(await readRoot(this.#image));
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      for await (const run of readRuns(this.#image, next.inode)) {
        for (const entry of run) next.node.entries.set(entry.name, await this.#nodeOf(entry));
      }
    }
    return root;
  }

  async #nodeOf(entry: SquashfsEntry): Promise<Node> {
    const known = this.#nodes.get(entry.reference);
    if (known === undefined) {
      const inode = await readInodeOf(this.#image, entry);
      return inode.type === "directory" ? this.#addDirectory(inode) : this.#add(inode, await this.#leaf(inode));
    }
    if (known.type === "directory" || known.type !== entry.type) {
      throw corrupt(
        this.#image.inodes.start + Math.floor(entry.reference / 0x10000),
        known.type === "directory"
          ? `the directory "${display(entry.name)}" is in two places, or within itself`
          : `the entry "${display(entry.name)}" is said to be a ${entry.type}, and its inode is a ${known.type}`,
      );
    }
    return known;
  }

  async #addDirectory(inode: DirectoryInode): Promise<Directory> {
    this.#listingBytes -= inode.listingSize;
    if (this.#listingBytes < 0) {
      throw corrupt(
        this.#image.listings.start,
        `the directory table is too small for the listing of inode ${inode.number}`,
      );
    }
    const node = newDirectory(await this.#metadata(inode));
    this.#pending.push({ node, inode });
    return this.#add(inode, node);
  }

  async #leaf(inode: Exclude<SquashfsInode, DirectoryInode>): Promise<Node> {
    const metadata = await this.#metadata(inode);
    switch (inode.type) {
      case "file":
        return newFile(await this.#parts.content(inode), metadata);
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

  /** What all nodes have. Counts the inode: comes before anything of a size that the inode says is read. */
  async #metadata(inode: SquashfsInode) {
    this.#inodeBytes -= inode.storedSize;
    if (this.#inodeBytes < 0) {
      throw corrupt(this.#image.inodes.start, `the inode table is too small for what inode ${inode.number} has in it`);
    }
    const xattrs = await this.#parts.xattrs(inode);
    this.#attributes -= xattrs.size;
    if (this.#attributes < 0) {
      throw new ImgbuildError(
        "source-unsupported",
        "the files of this SquashFS image have too many extended attributes",
        {
          hint: "Extract its folders one by one.",
        },
      );
    }
    const { mode, uid, gid, mtime } = inode;
    return {
      mode,
      uid,
      gid,
      mtime: { seconds: mtime, nanoseconds: 0 },
      xattrs: xattrs.size === 0 ? new Map() : new Map(xattrs),
    };
  }

  #add<N extends Node>(inode: SquashfsInode, node: N): N {
    const { inodes } = this.#image.superblock;
    if (this.#nodes.size === inodes) {
      throw corrupt(superblock.offsets.inodes, `there are more inodes than the ${inodes} that the superblock counts`);
    }
    this.#nodes.set(inode.reference, node);
    return node;
  }
}
