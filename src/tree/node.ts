/**
 * The root file system in memory. A tree is its root directory; a node is an inode, and a hard link is the same node
 * under more than one name. Content stays where it is until a writer asks for it.
 */
import type { ByteString } from "../bytes/bytestring.js";
import type { Extent } from "../bytes/extent.js";

/** A point in time: whole seconds since 1970-01-01 UTC, which may be negative, and 0 to 999,999,999 nanoseconds. */
export interface Timestamp {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** A point in time from nanoseconds since 1970. */
export function timestamp(time: bigint): Timestamp {
  const nanoseconds = ((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return { seconds: Number((time - nanoseconds) / 1_000_000_000n), nanoseconds: Number(nanoseconds) };
}

/** What every inode has. Mutable: ownership rules, device tables and overrides change it after the tree was read. */
export interface Metadata {
  /** The lower twelve bits of st_mode: permissions, setuid, setgid, sticky. The type is the node's own. */
  mode: number;
  /** 0 to 2^32 - 1. */
  uid: number;
  gid: number;
  mtime: Timestamp;
  /**
   * By full name ("security.capability"), values byte for byte. Never changed, but replaced (`setXattr`): the millions of
   * nodes without any share one.
   */
  xattrs: ReadonlyMap<ByteString, Uint8Array>;
}

export interface Directory extends Metadata {
  readonly type: "directory";
  /** By name. Not sorted: `sortedEntries` gives the order of the formats. */
  readonly entries: Map<ByteString, Node>;
}

export interface RegularFile extends Metadata {
  readonly type: "file";
  content: Content;
}

export interface Symlink extends Metadata {
  readonly type: "symlink";
  readonly target: ByteString;
}

export interface DeviceNode extends Metadata {
  readonly type: "block" | "character";
  /** 0 to 4095. */
  readonly major: number;
  /** 0 to 1,048,575. */
  readonly minor: number;
}

export interface SpecialNode extends Metadata {
  readonly type: "fifo" | "socket";
}

export type Node = Directory | RegularFile | Symlink | DeviceNode | SpecialNode;

/** The bytes of a regular file, wherever they are. */
export interface Content {
  /** Length in bytes, holes included. */
  readonly size: number;
  /** Where data may be, ascending; all else is zeros. Absent when nobody knows. */
  readonly data?: readonly Extent[];
  /**
   * Where it is stored, in formats that have equal files once: contents of one file system that have the same place are the
   * same bytes. Absent elsewhere.
   */
  readonly place?: string;
  /** Opens it for reading. The reader has to be closed. */
  open(): Promise<ContentReader>;
  /**
   * Fills `into` with all of it, and throws or rejects as `open` and a reader do; undefined when it is done already. For
   * contents that come by the million: what a reader of a small file takes to set up, promises among it, is more than what
   * reading takes.
   */
  readWhole?(into: Uint8Array): Promise<void> | undefined;
}

export interface ContentReader {
  /**
   * Fills `into` with the bytes from `at` on; the range must lie within the content's size. Rejects with a
   * `source-changed` error when the file behind it has become shorter.
   */
  read(at: number, into: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Content that is in memory already. */
export function contentOf(bytes: Uint8Array): Content {
  return {
    size: bytes.length,
    readWhole(into) {
      into.set(bytes);
      return undefined;
    },
    async open() {
      return {
        async read(at, into) {
          into.set(bytes.subarray(at, at + into.length));
        },
        async close() {},
      };
    },
  };
}

/** All bytes of a small file. For kernels, scripts and tables; writers stream instead. */
export async function readContent(content: Content): Promise<Uint8Array> {
  const bytes = new Uint8Array(content.size);
  const reader = await content.open();
  try {
    await reader.read(0, bytes);
  } finally {
    await reader.close();
  }
  return bytes;
}

/** The time of what nobody described. */
const EPOCH: Timestamp = { seconds: 0, nanoseconds: 0 };

/** Of nodes without extended attributes. */
export const NO_XATTRS: ReadonlyMap<ByteString, Uint8Array> = new Map();

// Of directories and files there may be millions. Their fields are written out: V8 makes objects that are spread out of others
// half as large again.

/** A new directory without entries. */
export function newDirectory(metadata: Partial<Metadata> = {}): Directory {
  const { mode = 0o755, uid = 0, gid = 0, mtime = EPOCH, xattrs = NO_XATTRS } = metadata;
  return { type: "directory", mode, uid, gid, mtime, xattrs, entries: new Map() };
}

/** A new regular file. */
export function newFile(content: Content, metadata: Partial<Metadata> = {}): RegularFile {
  const { mode = 0o644, uid = 0, gid = 0, mtime = EPOCH, xattrs = NO_XATTRS } = metadata;
  return { type: "file", mode, uid, gid, mtime, xattrs, content };
}

/** What tells a node that is no regular file from others of its type. */
type Identity =
  | Pick<Directory, "type">
  | Pick<Symlink, "type" | "target">
  | Pick<DeviceNode, "type" | "major" | "minor">
  | Pick<SpecialNode, "type">;

/** A new node of any type but a regular file, as an inode describes it; a directory has no entries. */
export function newOtherNode(inode: Identity, metadata: Metadata): Exclude<Node, RegularFile> {
  switch (inode.type) {
    case "directory":
      return newDirectory(metadata);
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

/** Metadata of a node that nobody described: owned by root, from 1970, without xattrs. */
export function newMetadata(mode: number): Metadata {
  return { mode, uid: 0, gid: 0, mtime: EPOCH, xattrs: NO_XATTRS };
}

/** Gives `node` an extended attribute, in place of one of that name. */
export function setXattr(node: Metadata, name: ByteString, value: Uint8Array): void {
  node.xattrs = new Map(node.xattrs).set(name, value);
}
