/** Inodes as they are read: every form of them, with what they refer to checked as far as the inode alone can tell. */
import { type ByteString, display, fromBytes } from "../../bytes/bytestring.js";
import type { StructValues } from "../../bytes/struct.js";
import { decodeDeviceNumber } from "../../tree/device-number.js";
import * as layout from "../layout.js";
import type { Position } from "../metadata.js";
import { corrupt, corruptMetadata, readStruct } from "./corrupt.js";
import type { SquashfsEntry } from "./directories.js";
import type { Image } from "./image.js";
import { type MetadataCursor, positionOf } from "./metadata.js";

/** Linux takes an inode for damaged whose target is longer than a page of memory. */
const MAX_TARGET = 4096;

/** What every inode has. */
export interface InodeFacts {
  /** Where it is in the inode table, as the format refers to it: two names with one reference are hard links. */
  readonly reference: number;
  /** From 1. */
  readonly number: number;
  /** The lower twelve bits of st_mode. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** As the image says it; nobody checks it. */
  readonly links: number;
  /** The number of its set of extended attributes; undefined without. */
  readonly xattrSet: number | undefined;
  /** Bytes that it takes in the inode table, with all that follows it there. */
  readonly storedSize: number;
}

export interface DirectoryInode extends InodeFacts {
  readonly type: "directory";
  /** Bytes of its listing, which begins at `listing` in the directory table. */
  readonly listingSize: number;
  readonly listing: Position;
  /** Entries of its index, which begins at `index` in the inode table. */
  readonly indexCount: number;
  readonly index: Position;
}

export interface FileInode extends InodeFacts {
  readonly type: "file";
  /** Bytes. */
  readonly size: number;
  /** Bytes in holes, as the image says it. */
  readonly sparse: number;
  /** Where its first block is in the image, of those that are stored. */
  readonly start: number;
  /** Blocks of its own. Their sizes are in the inode table, from `blockList` on. */
  readonly blocks: number;
  readonly blockList: Position;
  /** Where its end is when that is in a fragment block. */
  readonly fragment: { readonly number: number; readonly offset: number } | undefined;
}

export interface SymlinkInode extends InodeFacts {
  readonly type: "symlink";
  readonly target: ByteString;
}

export interface DeviceInode extends InodeFacts {
  readonly type: "block" | "character";
  readonly major: number;
  readonly minor: number;
}

export interface SpecialInode extends InodeFacts {
  readonly type: "fifo" | "socket";
}

export type SquashfsInode = DirectoryInode | FileInode | SymlinkInode | DeviceInode | SpecialInode;
export type InodeType = SquashfsInode["type"];

/** By the number in directory entries, and in inodes of the basic form. */
export const TYPE_NAMES = new Map(
  Object.entries(layout.INODE_TYPES).map(([name, type]) => [type as number, name as InodeType]),
);

/** The file type in st_mode (inode(7)). Inodes need not have it, and what they have must not make another type of them. */
const TYPE_BITS: Readonly<Record<InodeType, number>> = {
  directory: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
  block: 0o060000,
  character: 0o020000,
  fifo: 0o010000,
  socket: 0o140000,
};

/** Reads the inode at `reference`. */
export async function readInode(image: Image, reference: number): Promise<SquashfsInode> {
  const cursor = image.inodes.cursor(positionOf(reference));
  const head = await cursor.read(2);
  cursor.rewind();
  const stored = head[0]! | (head[1]! << 8);
  const extended = stored > layout.EXTENDED;
  const type = TYPE_NAMES.get(extended ? stored - layout.EXTENDED : stored);
  switch (type) {
    case "directory":
      return readDirectory(image, reference, cursor, extended);
    case "file":
      return readFile(image, reference, cursor, extended);
    case "symlink":
      return readSymlink(image, reference, cursor, extended);
    case "block":
    case "character": {
      const { values, facts } = extended
        ? await begin(image, reference, cursor, type, layout.extendedDeviceInode)
        : await begin(image, reference, cursor, type, layout.deviceInode);
      return { type, ...facts, ...decodeDeviceNumber(values.device) };
    }
    case "fifo":
    case "socket": {
      const { facts } = extended
        ? await begin(image, reference, cursor, type, layout.extendedIpcInode)
        : await begin(image, reference, cursor, type, layout.ipcInode);
      return { type, ...facts };
    }
    default:
      throw cursor.corrupt(`an inode has the type ${stored}, and there are 1 to ${2 * layout.EXTENDED}`);
  }
}

/** What the structures of all inodes have in common. */
interface InodeForm<Values> {
  readonly size: number;
  read(from: Uint8Array): Values;
}

interface InodeValues {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly number: number;
  readonly links?: number;
  readonly xattrs?: number;
}

interface Begun<Values> {
  readonly values: Values;
  readonly facts: InodeFacts;
}

/** Reads the fixed part of an inode. The cursor is behind it afterwards. */
async function begin<Values extends InodeValues>(
  image: Image,
  reference: number,
  cursor: MetadataCursor,
  type: InodeType,
  form: InodeForm<Values>,
): Promise<Begun<Values>> {
  const bytes = cursor.take(form.size) ?? (await cursor.read(form.size));
  const values = readStruct(form, bytes, (message) => cursor.corrupt(message));
  const { mode, number, mtime, links = 1 } = values;
  if ((mode & ~0o7777 & ~TYPE_BITS[type]) !== 0) {
    throw cursor.corrupt(`inode ${number} is a ${type}, and its mode 0${mode.toString(8)} says otherwise`);
  }
  if (number === 0) throw cursor.corrupt("an inode has the number 0, and they count from 1");
  const id = (index: number) => {
    if (index < image.ids.length) return image.ids[index]!;
    throw cursor.corrupt(`inode ${number} refers to id ${index}, and there are ${image.ids.length}`);
  };
  const facts = {
    reference,
    number,
    mode: mode & 0o7777,
    uid: id(values.uid),
    gid: id(values.gid),
    mtime,
    links,
    xattrSet: xattrSet(image, cursor, values.xattrs ?? layout.NO_XATTRS),
    storedSize: form.size,
  };
  return { values, facts };
}

/** Where an image has no table of them, Linux and unsquashfs take its inodes for ones without extended attributes. */
function xattrSet(image: Image, cursor: MetadataCursor, set: number): number | undefined {
  if (set === layout.NO_XATTRS || image.xattrs === undefined) return undefined;
  const { records } = image.xattrs.sets;
  if (set >= records) {
    throw cursor.corrupt(`an inode refers to set ${set} of extended attributes, and there are ${records}`);
  }
  return set;
}

async function readDirectory(
  image: Image,
  reference: number,
  cursor: MetadataCursor,
  extended: boolean,
): Promise<DirectoryInode> {
  const { values, facts }: Begun<StructValues<typeof layout.directoryInode> & { indexes?: number }> = extended
    ? await begin(image, reference, cursor, "directory", layout.extendedDirectoryInode)
    : await begin(image, reference, cursor, "directory", layout.directoryInode);
  const { indexes: indexCount = 0 } = values;
  return {
    type: "directory",
    ...facts,
    storedSize: facts.storedSize + indexCount * (layout.directoryIndex.size + 1),
    // Some writers give directories without entries a size of 0.
    listingSize: Math.max(0, values.size - layout.DIRECTORY_SIZE_EXTRA),
    listing: { block: values.startBlock, offset: values.offset },
    indexCount,
    index: cursor.position,
  };
}

async function readFile(
  image: Image,
  reference: number,
  cursor: MetadataCursor,
  extended: boolean,
): Promise<FileInode> {
  const { values, facts }: Begun<StructValues<typeof layout.fileInode> & { sparse?: number }> = extended
    ? await begin(image, reference, cursor, "file", layout.extendedFileInode)
    : await begin(image, reference, cursor, "file", layout.fileInode);
  const { blockSize, fragments } = image.superblock;
  const { size } = values;
  const tail = size % blockSize;
  const inFragment = values.fragment !== layout.NO_FRAGMENT && tail > 0;
  if (inFragment && (values.fragment >= fragments || values.offset + tail > blockSize)) {
    throw cursor.corrupt(
      `inode ${facts.number} has its last ${tail} bytes at ${values.offset} of fragment ${values.fragment}: ` +
        `there are ${fragments}, of at most ${blockSize} bytes`,
    );
  }
  const blocks = (size - tail) / blockSize + (tail > 0 && !inFragment ? 1 : 0);
  return {
    type: "file",
    ...facts,
    storedSize: facts.storedSize + 4 * blocks,
    size,
    sparse: values.sparse ?? 0,
    start: values.startBlock,
    blocks,
    blockList: cursor.position,
    fragment: inFragment ? { number: values.fragment, offset: values.offset } : undefined,
  };
}

async function readSymlink(
  image: Image,
  reference: number,
  cursor: MetadataCursor,
  extended: boolean,
): Promise<SymlinkInode> {
  const { values, facts } = await begin(image, reference, cursor, "symlink", layout.symlinkInode);
  const { targetLength } = values;
  if (targetLength === 0 || targetLength > MAX_TARGET) {
    throw cursor.corrupt(
      `symbolic link ${facts.number} has a target of ${targetLength} bytes: 1 to ${MAX_TARGET} are possible`,
    );
  }
  const target = fromBytes(await cursor.read(targetLength));
  if (target.includes("\0")) throw cursor.corrupt(`symbolic link ${facts.number} has a NUL in its target`);
  const symlink = { type: "symlink", ...facts, storedSize: facts.storedSize + targetLength, target } as const;
  if (!extended) return symlink;
  const set = await cursor.read(4);
  const number = new DataView(set.buffer, set.byteOffset, 4).getUint32(0, true);
  return { ...symlink, storedSize: symlink.storedSize + 4, xattrSet: xattrSet(image, cursor, number) };
}

/** Reads the inode of a directory entry. What the entry says about it has to be true. */
export async function readInodeOf(image: Image, entry: SquashfsEntry): Promise<SquashfsInode> {
  const inode = await readInode(image, entry.reference);
  if (inode.type !== entry.type || inode.number !== entry.inodeNumber) {
    const { block, offset } = positionOf(entry.reference);
    throw corruptMetadata(
      image.inodes.start + block,
      offset,
      `the entry "${display(entry.name)}" is said to be ${entry.type} ${entry.inodeNumber}, ` +
        `and its inode is ${inode.type} ${inode.number}`,
    );
  }
  return inode;
}

/** Reads the root's inode. */
export async function readRoot(image: Image): Promise<DirectoryInode> {
  const inode = await readInode(image, image.superblock.rootInode);
  if (inode.type === "directory") return inode;
  throw corrupt(
    layout.superblock.offsets.rootInode,
    `the root is inode ${inode.number}, a ${inode.type} and not a directory`,
  );
}
