/** What the readers of the formats have in common, and a file system made of one. */
import type { ByteString } from "../bytes/bytestring.js";
import type { Finding } from "../bytes/finding.js";
import type { TreeReading } from "../tree/damage.js";
import type { Node } from "../tree/node.js";
import type { Tree } from "../tree/tree.js";
import type { FileSystem, FileSystemFacts, Inode } from "./file-system.js";

/** What a reader has for an inode. */
type FormatInode = { readonly type: Node["type"]; readonly target?: ByteString };
type DirectoryOf<I> = Extract<I, { readonly type: "directory" }>;

/** A reader: `I` is its inode, `E` an entry of its directories. */
export interface FormatReader<I extends FormatInode, E extends { readonly name: ByteString }> {
  readonly root: DirectoryOf<I>;
  lookup(path: ByteString, from: DirectoryOf<I>): Promise<I | undefined>;
  entries(directory: DirectoryOf<I>): AsyncIterable<E>;
  inode(entry: E): Promise<I>;
  node(inode: I): Promise<Node>;
  tree(reading: TreeReading<DirectoryOf<I>>): Promise<Tree>;
  check(): AsyncGenerator<Finding>;
}

/** The file system that `reader` reads. */
export function fileSystemOf<I extends FormatInode, E extends { readonly name: ByteString }>(
  reader: FormatReader<I, E>,
  facts: () => Promise<FileSystemFacts>,
): FileSystem {
  const inodeOf = (inode: I): Inode => ({
    type: inode.type,
    target: inode.target,
    node: () => reader.node(inode),
    async lookup(name) {
      const found = isDirectory(inode) ? await reader.lookup(name, inode) : undefined;
      return found && inodeOf(found);
    },
    async *entries() {
      for await (const entry of reader.entries(directory(inode))) {
        yield { name: entry.name, inode: async () => inodeOf(await reader.inode(entry)) };
      }
    },
    tree: (damaged) => reader.tree({ from: directory(inode), damaged }),
  });
  return {
    facts,
    root: inodeOf(reader.root),
    check: () => reader.check(),
  };
}

const isDirectory = <I extends FormatInode>(inode: I): inode is DirectoryOf<I> => inode.type === "directory";

function directory<I extends FormatInode>(inode: I): DirectoryOf<I> {
  if (!isDirectory(inode)) throw new TypeError(`a ${inode.type} has no entries`);
  return inode;
}

/** A time in seconds since 1970, in UTC. */
export function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(".000", "");
}
