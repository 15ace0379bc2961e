/** The reader's face: opening an image, finding and listing, contents, attributes, the whole tree. */
import type { ByteString } from "../../bytes/bytestring.js";
import type { ReadableDevice } from "../../bytes/device.js";
import type { Finding } from "../../bytes/finding.js";
import type { TreeReading } from "../../tree/damage.js";
import { type Content, NO_XATTRS, type Node } from "../../tree/node.js";
import { splitPath, type Tree } from "../../tree/tree.js";
import { FLAGS } from "../layout.js";
import { checkImage } from "./check.js";
import { contentOfFile } from "./content.js";
import { DataReader } from "./data.js";
import { findEntry, readRuns, type SquashfsEntry } from "./directories.js";
import { type Image, openImage } from "./image.js";
import { type DirectoryInode, type FileInode, readInode, readInodeOf, readRoot, type SquashfsInode } from "./inodes.js";
import { nodeOf, readTree, type TreeParts } from "./tree.js";
import { XattrReader } from "./xattrs.js";

/** What the superblock says. */
export interface SquashfsFacts {
  /** "gzip", "lzo", "lz4", "xz" or "zstd". */
  readonly compressor: string;
  /** As stored behind the superblock: its layout is the compressor's. Undefined where the defaults are in use. */
  readonly compressorOptions: Uint8Array | undefined;
  /** Bytes of a data block. */
  readonly blockSize: number;
  /** When the image was made, in seconds since 1970. */
  readonly time: number;
  /** Length of the file system in bytes; what follows on the device is padding, or something else. */
  readonly bytesUsed: number;
  readonly inodes: number;
  /** Fragment blocks. */
  readonly fragments: number;
  /** Different user and group ids. */
  readonly ids: number;
  /** Different sets of extended attributes. */
  readonly xattrSets: number;
  /** Whether inodes can be found by their number. */
  readonly exportable: boolean;
  /** What the writer was told: files share no fragment blocks, or all ends of files do; files are stored once. */
  readonly noFragments: boolean;
  readonly alwaysFragments: boolean;
  readonly duplicatesRemoved: boolean;
}

/**
 * An image that is open. Nothing is read before it is asked for, and nothing that is said in the image is trusted: every
 * method rejects with an `image-corrupt` error, with `data.offset` in bytes of the device, when it comes upon damage. What
 * is not damaged stays readable. Methods, and reads of contents, may be called at the same time: they share what is being
 * read, and answer as they would one after the other. There is nothing to close: the device is the caller's.
 */
export interface SquashfsReader {
  readonly facts: SquashfsFacts;
  readonly root: DirectoryInode;
  /** The inode at `path` in `from`, the root by default, or undefined. Symbolic links are not followed. Reads only the listings on the way. */
  lookup(path: ByteString, from?: DirectoryInode): Promise<SquashfsInode | undefined>;
  /** A directory's entries in byte order of their names. */
  entries(directory: DirectoryInode): AsyncGenerator<SquashfsEntry>;
  /** The inode of an entry. */
  inode(entry: SquashfsEntry): Promise<SquashfsInode>;
  /** The inode of this number, or undefined: for images with an export table. */
  inodeByNumber(number: number): Promise<SquashfsInode | undefined>;
  /** A file's content, read as it is asked for. */
  content(file: FileInode): Promise<Content>;
  /** An inode's extended attributes, by full name. */
  xattrs(inode: SquashfsInode): Promise<Map<ByteString, Uint8Array>>;
  /** An inode as a node, its content read when it is asked for; of a directory, without what is in it. */
  node(inode: SquashfsInode): Promise<Node>;
  /**
   * All of it, or of a directory: inodes are read, contents when they are asked for. Names of one inode lead to one node. What
   * is damaged outside of a directory does not disturb.
   */
  tree(reading?: TreeReading<DirectoryInode>): Promise<Tree>;
  /** What is damaged, beyond what `tree` and its contents come by: reads all metadata, the fragments, the export table. */
  check(): AsyncGenerator<Finding>;
}

/** What `openSquashfs` does (../open.ts). */
export async function openReader(device: ReadableDevice): Promise<SquashfsReader> {
  const image = await openImage(device);
  return new ImageReader(image, await readRoot(image));
}

class ImageReader implements SquashfsReader {
  readonly facts: SquashfsFacts;
  readonly root: DirectoryInode;
  readonly #image: Image;
  readonly #data: DataReader;
  readonly #xattrs: XattrReader | undefined;
  readonly #parts: TreeParts = {
    content: (file) => this.content(file),
    xattrs: async ({ xattrSet }) => (xattrSet === undefined ? NO_XATTRS : this.#xattrs!.set(xattrSet)),
  };

  constructor(image: Image, root: DirectoryInode) {
    const { superblock: block, xattrs } = image;
    this.#image = image;
    this.#data = new DataReader(image);
    this.#xattrs = xattrs && new XattrReader(xattrs);
    this.root = root;
    this.facts = {
      compressor: image.decoder.compressor,
      compressorOptions: image.compressorOptions,
      blockSize: block.blockSize,
      time: block.time,
      bytesUsed: block.bytesUsed,
      inodes: block.inodes,
      fragments: block.fragments,
      ids: block.ids,
      xattrSets: xattrs?.sets.records ?? 0,
      exportable: image.exports !== undefined,
      noFragments: (block.flags & FLAGS.noFragments) !== 0,
      alwaysFragments: (block.flags & FLAGS.alwaysFragments) !== 0,
      duplicatesRemoved: (block.flags & FLAGS.duplicatesRemoved) !== 0,
    };
  }

  async lookup(path: ByteString, from = this.root): Promise<SquashfsInode | undefined> {
    let inode: SquashfsInode = from;
    for (const name of splitPath(path)) {
      const entry = inode.type === "directory" ? await findEntry(this.#image, inode, name) : undefined;
      if (entry === undefined) return undefined;
      inode = await readInodeOf(this.#image, entry);
    }
    return inode;
  }

  async *entries(directory: DirectoryInode): AsyncGenerator<SquashfsEntry> {
    for await (const run of readRuns(this.#image, directory)) yield* run;
  }

  inode(entry: SquashfsEntry): Promise<SquashfsInode> {
    return readInodeOf(this.#image, entry);
  }

  async inodeByNumber(number: number): Promise<SquashfsInode | undefined> {
    const { exports } = this.#image;
    if (exports === undefined || !Number.isInteger(number) || number < 1 || number > exports.records) return undefined;
    const cursor = exports.cursor(number - 1);
    const bytes = await cursor.read(8);
    const reference = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
    const inode = await readInode(this.#image, Number(reference));
    if (inode.number !== number) {
      throw cursor.corrupt(`inode ${number} should be at ${reference}, and inode ${inode.number} is there`);
    }
    return inode;
  }

  content(file: FileInode): Promise<Content> {
    return contentOfFile(this.#image, this.#data, file);
  }

  async xattrs({ xattrSet }: SquashfsInode): Promise<Map<ByteString, Uint8Array>> {
    return new Map(xattrSet === undefined ? NO_XATTRS : await this.#xattrs!.set(xattrSet));
  }

  node(inode: SquashfsInode): Promise<Node> {
    return nodeOf(inode, this.#parts);
  }

  tree(reading: TreeReading<DirectoryInode> = {}): Promise<Tree> {
    return readTree(this.#image, this.#parts, reading);
  }

  check(): AsyncGenerator<Finding> {
    return checkImage(this.#image, this.#data, (number) => this.inodeByNumber(number));
  }
}
