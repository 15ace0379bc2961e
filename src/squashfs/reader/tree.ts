/** Nodes of inodes, and whole trees of them: every inode once, the names of one inode as one node, contents read when wanted. */
import { type ByteString, display } from "../../bytes/bytestring.js";
import { ImgbuildError } from "../../errors.js";
import { pathIn, reportDamage, type TreeReading } from "../../tree/damage.js";
import { type Content, type Directory, NO_XATTRS, type Node, newFile, newOtherNode } from "../../tree/node.js";
import type { Tree } from "../../tree/tree.js";
import { superblock } from "../layout.js";
import { corrupt } from "./corrupt.js";
import { readRuns, type SquashfsEntry } from "./directories.js";
import type { Image } from "./image.js";
import { type DirectoryInode, type FileInode, readInodeOf, readRoot, type SquashfsInode } from "./inodes.js";
import type { MetadataTable } from "./metadata.js";
import type { XattrSet } from "./xattrs.js";

/** Extended attributes of a tree, beyond 16 for each inode: images share sets of them, and the nodes of a tree do not. */
const MAX_ATTRIBUTES = 2 ** 20;
/** What a table is taken to hold for each of its bytes when its blocks cannot be counted: more than metadata compresses. */
const MAX_EXPANSION = 64;

/** How a tree gets what is not in its inodes. */
export interface TreeParts {
  content(file: FileInode): Promise<Content>;
  xattrs(inode: SquashfsInode): Promise<XattrSet>;
}

/** The node of `inode`; of a directory, without what is in it. */
export async function nodeOf(inode: SquashfsInode, parts: TreeParts): Promise<Node> {
  return newNode(inode, await parts.xattrs(inode), parts);
}

async function newNode(inode: SquashfsInode, xattrs: XattrSet, parts: TreeParts): Promise<Node> {
  const { mode, uid, gid } = inode;
  const metadata = { mode, uid, gid, mtime: { seconds: inode.mtime, nanoseconds: 0 }, xattrs };
  return inode.type === "file" ? newFile(await parts.content(inode), metadata) : newOtherNode(inode, metadata);
}

/**
 * Reads a tree. Sound images use each byte of their tables once. What is read is held against the tables' sizes, so that time
 * and memory stay within a factor of the image's length, whatever the image says.
 */
export async function readTree(
  image: Image,
  parts: TreeParts,
  { from, damaged }: TreeReading<DirectoryInode>,
): Promise<Tree> {
  // Whoever wants a part of a broken image shall have it: the rest is none of his concern.
  const isPart = from !== undefined && from.reference !== image.superblock.rootInode;
  const told = isPart ? () => {} : damaged;
  const room = { inodes: await roomIn(image.inodes, told), listings: await roomIn(image.listings, told) };
  const reader = new TreeReader(image, parts, room, damaged);
  return { root: await reader.read(from ?? (await readRoot(image))) };
}

/** Bytes that `table` can hold at most. */
async function roomIn(table: MetadataTable, damaged: TreeReading<unknown>["damaged"]): Promise<number> {
  try {
    return await table.survey();
  } catch (error) {
    reportDamage(error, damaged, undefined);
    return (table.end - table.start) * MAX_EXPANSION;
  }
}

class TreeReader {
  readonly #image: Image;
  readonly #parts: TreeParts;
  readonly #damaged: TreeReading<unknown>["damaged"];
  /** By the reference of their inode. */
  readonly #nodes = new Map<number, Node>();
  /** Directories that still have to be read. */
  readonly #pending: { readonly node: Directory; readonly inode: DirectoryInode; readonly path: ByteString }[] = [];
  /** What may still come: bytes of both tables, and attributes. */
  readonly #room: { inodes: number; listings: number };
  #attributes: number;

  constructor(
    image: Image,
    parts: TreeParts,
    room: { inodes: number; listings: number },
    damaged: TreeReading<unknown>["damaged"],
  ) {
    this.#image = image;
    this.#parts = parts;
    this.#damaged = damaged;
    this.#room = room;
    this.#attributes = MAX_ATTRIBUTES + 16 * image.superblock.inodes;
  }

  async read(from: DirectoryInode): Promise<Directory> {
    const root = await this.#add(from, "" as ByteString);
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      const { node, inode, path } = next;
      try {
        for await (const run of readRuns(this.#image, inode)) {
          for (const entry of run) {
            const inside = pathIn(path, entry.name);
            try {
              node.entries.set(entry.name, await this.#nodeOf(entry, inside));
            } catch (error) {
              reportDamage(error, this.#damaged, inside);
            }
          }
        }
      } catch (error) {
        reportDamage(error, this.#damaged, path);
      }
    }
    return root as Directory;
  }

  async #nodeOf(entry: SquashfsEntry, path: ByteString): Promise<Node> {
    const known = this.#nodes.get(entry.reference);
    if (known === undefined) return this.#add(await readInodeOf(this.#image, entry), path);
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

  /** A new node. Its inode is counted before anything of a size that it says is read. */
  async #add(inode: SquashfsInode, path: ByteString): Promise<Node> {
    const { inodes, listings, superblock: block } = this.#image;
    if (this.#nodes.size === block.inodes) {
      throw corrupt(
        superblock.offsets.inodes,
        `there are more inodes than the ${block.inodes} that the superblock counts`,
      );
    }
    this.#room.inodes -= inode.storedSize;
    if (this.#room.inodes < 0) {
      throw corrupt(inodes.start, `the inode table is too small for what inode ${inode.number} has in it`);
    }
    if (inode.type === "directory") {
      this.#room.listings -= inode.listingSize;
      if (this.#room.listings < 0) {
        throw corrupt(listings.start, `the directory table is too small for the listing of inode ${inode.number}`);
      }
    }
    const node = await newNode(inode, await this.#xattrs(inode, path), this.#parts);
    if (inode.type === "directory") this.#pending.push({ node: node as Directory, inode, path });
    this.#nodes.set(inode.reference, node);
    return node;
  }

  /** Where they are damaged, the file itself may still be sound. */
  async #xattrs(inode: SquashfsInode, path: ByteString): Promise<XattrSet> {
    try {
      const xattrs = await this.#parts.xattrs(inode);
      this.#attributes -= xattrs.size;
      if (this.#attributes >= 0) return xattrs;
      throw new ImgbuildError(
        "source-unsupported",
        "the files of this SquashFS image have too many extended attributes",
        { hint: "Extract its folders one by one." },
      );
    } catch (error) {
      reportDamage(error, this.#damaged, path);
      return NO_XATTRS;
    }
  }
}
