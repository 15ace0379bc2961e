/** The reader's face: opening a file system, finding and listing, contents, attributes, the whole tree. */
import { type ByteString, fromBytes } from "../../bytes/bytestring.js";
import type { ReadableDevice } from "../../bytes/device.js";
import type { Finding } from "../../bytes/finding.js";
import { formatUuid } from "../../bytes/uuid.js";
import type { TreeReading } from "../../tree/damage.js";
import type { Content, Node } from "../../tree/node.js";
import { splitPath, type Tree } from "../../tree/tree.js";
import { checkImage } from "../check/check.js";
import { featureNames, hasFeature } from "../feature-table.js";
import { INODE, STATE_CLEAN } from "../layout.js";
import { contentOfFile } from "./content.js";
import { corrupt } from "./corrupt.js";
import { type Ext4Entry, readEntries } from "./directories.js";
import { readFastCommits } from "./fast-commits.js";
import { Image } from "./image.js";
import type { DirectoryInode, FileInode } from "./inodes.js";
import { Journal } from "./journal.js";
import { ReplayedDevice } from "./replayed-device.js";
import { readSuperblock } from "./superblock.js";
import { type Ext4Inode, readInode } from "./symlinks.js";
import { readTransactions } from "./transactions.js";
import { newNode, readTree } from "./tree.js";
import { XattrReader } from "./xattrs.js";

/** s_state: the kernel met damage, and went on. */
const STATE_ERRORS = 2;

/** What the superblock says, once the journal was replayed. */
export interface Ext4Facts {
  /** The volume's name; empty for none. */
  readonly label: ByteString;
  readonly uuid: string;
  /** By the names that mke2fs and dumpe2fs have for them. */
  readonly features: readonly string[];
  /** Length of the file system in bytes; what follows on the device is something else. */
  readonly size: number;
  /** In bytes. */
  readonly blockSize: number;
  readonly blocks: number;
  /** As of when it was last unmounted: the kernel keeps the count elsewhere meanwhile. */
  readonly freeBlocks: number;
  /** Kept for root. */
  readonly reservedBlocks: number;
  readonly inodes: number;
  /** As of when it was last unmounted. */
  readonly freeInodes: number;
  /** In bytes. */
  readonly inodeSize: number;
  /** Where it was last mounted, as the kernel wrote it down; empty for nowhere. */
  readonly lastMounted: string;
  /** When it was made and last written to, in seconds since 1970. */
  readonly makeTime: number;
  readonly writeTime: number;
  /**
   * "clean": it was unmounted, or never mounted. "recovered": it was not, and its journal was replayed in memory.
   * "dirty": it was not, and has no journal: what was being written may be wrong. "errors": the kernel met damage in it.
   */
  readonly state: "clean" | "recovered" | "dirty" | "errors";
  /** What was replayed. */
  readonly recovery: Ext4Recovery | undefined;
}

export interface Ext4Recovery {
  /** Complete ones in the journal. */
  readonly transactions: number;
  /** Blocks of the file system that were found in the journal. */
  readonly blocks: number;
  /** Whether fast commits (the fast_commit feature) followed, which were replayed too. */
  readonly fastCommits: boolean;
  /** Whether the first of them is broken, and none was replayed: Linux refuses to mount it then, until e2fsck has run. */
  readonly brokenFastCommits: boolean;
}

/**
 * A file system that is open. Nothing is read before it is asked for, and nothing that is said in the image is trusted: every
 * method rejects with an `image-corrupt` error, with `data.offset` in bytes of the device, when it comes upon damage. What is
 * not damaged stays readable. There is nothing to close: the device is the caller's, and is never written to.
 */
export interface Ext4Reader {
  readonly facts: Ext4Facts;
  readonly root: DirectoryInode;
  /** The inode at `path` in `from`, the root by default, or undefined. Symbolic links are not followed. Reads only the directories on the way. */
  lookup(path: ByteString, from?: DirectoryInode): Promise<Ext4Inode | undefined>;
  /** A directory's entries but "." and "..", in the order of the disk. */
  entries(directory: DirectoryInode): AsyncGenerator<Ext4Entry>;
  /** The inode of an entry. */
  inode(entry: Ext4Entry): Promise<Ext4Inode>;
  /** The inode of this number; undefined for numbers that none has. Rejects when it is not in use. */
  inodeByNumber(number: number): Promise<Ext4Inode | undefined>;
  /** A file's content, read as it is asked for; where it has data is known. */
  content(file: FileInode): Promise<Content>;
  /** An inode's extended attributes, by full name, those that mean something elsewhere. ACLs are as getxattr(2) has them. */
  xattrs(inode: Ext4Inode): Promise<Map<ByteString, Uint8Array>>;
  /** An inode as a node, its content read when it is asked for; of a directory, without what is in it. */
  node(inode: Ext4Inode): Promise<Node>;
  /**
   * All of it, or of a directory: inodes are read, contents when they are asked for. Names of one inode lead to one node. What
   * is damaged outside of a directory does not disturb.
   */
  tree(reading?: TreeReading<DirectoryInode>): Promise<Tree>;
  /** What is damaged, beyond what `tree` and its contents come by: descriptors, bitmaps, counts, copies of the superblock. */
  check(): AsyncGenerator<Finding>;
}

/** `openExt4`, with the code that it takes. */
export async function openReader(device: ReadableDevice): Promise<Ext4Reader> {
  const stored = await readSuperblock(device);
  if (!hasFeature(stored.fields, "needs_recovery")) return openImage(new Image(device, stored), undefined);
  const before = new Image(device, stored);
  const journal = await Journal.open(before);
  if (journal.facts.start === 0) return openImage(before, NOTHING);
  const replay = await readTransactions(journal, Math.floor(device.size / stored.blockSize));
  const replayed = new ReplayedDevice(device, stored.blockSize, replay.redirects);
  const superblock = await readSuperblock(replayed);
  const { fastCommits, isBroken } = await readFastCommits(before, journal, replay.sequence);
  const recovery = {
    transactions: replay.transactions,
    blocks: replay.redirects.size,
    fastCommits: fastCommits !== undefined,
    brokenFastCommits: isBroken,
  };
  return openImage(new Image(replayed, superblock, fastCommits), recovery);
}

/** What a journal that is empty has to replay. */
const NOTHING: Ext4Recovery = { transactions: 0, blocks: 0, fastCommits: false, brokenFastCommits: false };

async function openImage(image: Image, recovery: Ext4Recovery | undefined): Promise<Ext4Reader> {
  const root = await readInode(image, INODE.root);
  if (root.type !== "directory") throw corrupt(root.at, `the root is a ${root.type}`);
  return new FileSystemReader(image, root, recovery);
}

function factsOf({ superblock }: Image, recovery: Ext4Recovery | undefined): Ext4Facts {
  const { fields, blockSize, blocks, inodes, inodeSize } = superblock;
  const high = hasFeature(superblock.fields, "64bit") ? 2 ** 32 : 0;
  const clean = (fields.state & STATE_CLEAN) !== 0;
  const label = fromBytes(fields.label);
  return {
    label: label.slice(0, label.includes("\0") ? label.indexOf("\0") : undefined) as ByteString,
    uuid: formatUuid(fields.uuid),
    features: featureNames(fields),
    size: blocks * blockSize,
    blockSize,
    blocks,
    freeBlocks: fields.freeBlocksLow + fields.freeBlocksHigh * high,
    reservedBlocks: fields.reservedBlocksLow + fields.reservedBlocksHigh * high,
    inodes,
    freeInodes: fields.freeInodes,
    inodeSize,
    lastMounted: fields.lastMounted,
    makeTime: fields.makeTime + fields.makeTimeHigh * 2 ** 32,
    writeTime: fields.writeTime + fields.writeTimeHigh * 2 ** 32,
    state: (fields.state & STATE_ERRORS) !== 0 ? "errors" : recovery ? "recovered" : clean ? "clean" : "dirty",
    recovery,
  };
}

class FileSystemReader implements Ext4Reader {
  readonly facts: Ext4Facts;
  readonly root: DirectoryInode;
  readonly #image: Image;
  readonly #xattrs: XattrReader;

  constructor(image: Image, root: DirectoryInode, recovery: Ext4Recovery | undefined) {
    this.#image = image;
    this.#xattrs = new XattrReader(image);
    this.root = root;
    this.facts = factsOf(image, recovery);
  }

  async lookup(path: ByteString, from = this.root): Promise<Ext4Inode | undefined> {
    let inode: Ext4Inode = from;
    for (const name of splitPath(path)) {
      const entry = inode.type === "directory" ? await this.#find(inode, name) : undefined;
      if (entry === undefined) return undefined;
      inode = await this.inode(entry);
    }
    return inode;
  }

  async *entries(directory: DirectoryInode): AsyncGenerator<Ext4Entry> {
    for await (const entries of readEntries(this.#image, directory)) yield* entries;
  }

  inode(entry: Ext4Entry): Promise<Ext4Inode> {
    return readInode(this.#image, entry.inodeNumber);
  }

  async inodeByNumber(number: number): Promise<Ext4Inode | undefined> {
    const { inodes } = this.#image.superblock;
    return Number.isInteger(number) && number >= 1 && number <= inodes ? readInode(this.#image, number) : undefined;
  }

  content(file: FileInode): Promise<Content> {
    return contentOfFile(this.#image, file);
  }

  async xattrs(inode: Ext4Inode): Promise<Map<ByteString, Uint8Array>> {
    return new Map(await this.#xattrs.of(inode));
  }

  async node(inode: Ext4Inode): Promise<Node> {
    return newNode(this.#image, inode, await this.xattrs(inode));
  }

  tree(reading: TreeReading<DirectoryInode> = {}): Promise<Tree> {
    return readTree(this.#image, this.root, reading);
  }

  check(): AsyncGenerator<Finding> {
    return checkImage(this.#image);
  }

  async #find(directory: DirectoryInode, name: ByteString): Promise<Ext4Entry | undefined> {
    for await (const entries of readEntries(this.#image, directory)) {
      const found = entries.find((entry) => entry.name === name);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
