/** Inodes with what is read for all of them at once: the targets of symbolic links. "Symbolic Links" in the documentation. */
import { type ByteString, fromBytes } from "../../bytes/bytestring.js";
import { INODE_BLOCK_BYTES, inode as layout } from "../layout.js";
import { blockMapOf } from "./block-map.js";
import { FileReader, inlineBytes } from "./content.js";
import { corrupt } from "./corrupt.js";
import type { Image } from "./image.js";
import { type BareInode, type BareSymlink, type InodeFacts, readBareInode } from "./inodes.js";

export interface SymlinkInode extends InodeFacts {
  readonly type: "symlink";
  readonly target: ByteString;
}

export type Ext4Inode = Exclude<BareInode, BareSymlink> | SymlinkInode;

/** Reads inode `number`, which has to be from 1 to the number of inodes. Errors as `readBareInode` has them. */
export async function readInode(image: Image, number: number): Promise<Ext4Inode> {
  const inode = await readBareInode(image, number);
  return inode.type === "symlink" ? { ...inode, target: await readTarget(image, inode) } : inode;
}

/** Short targets are in place of the block map; of others the first block has all, and a NUL behind it. */
async function readTarget(image: Image, inode: BareSymlink): Promise<ByteString> {
  const { stored, size, number, at } = inode;
  if (size === 0 || size >= image.superblock.blockSize) {
    throw corrupt(
      at + layout.offsets.sizeLow,
      `the symbolic link that is inode ${number} has a target of ${size} bytes`,
    );
  }
  let bytes: Uint8Array;
  if (stored.hasInlineData) {
    bytes = inlineBytes(inode);
  } else if (size < INODE_BLOCK_BYTES && !stored.hasExtents) {
    bytes = stored.block.subarray(0, size);
  } else {
    bytes = new Uint8Array(size);
    await new FileReader(image, inode, blockMapOf(image, inode)).read(0, bytes);
  }
  const target = fromBytes(bytes);
  if (target.length !== size || target.includes("\0")) {
    throw corrupt(
      at + layout.offsets.block,
      `the symbolic link that is inode ${number} has no target of ${size} bytes`,
    );
  }
  return target;
}
