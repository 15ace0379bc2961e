/**
 * The resize inode keeps the blocks behind the descriptors for those of groups yet to come. It is block-mapped: its double
 * indirect block lists the reserved blocks of the first group, and each of these, as an indirect block, its counterparts in
 * the groups that hold copies of the superblock. Linux fs/ext4/resize.c (verify_reserved_gdb).
 */
import { backupGroups, type Geometry } from "./geometry.js";
import { DIRECT_POINTERS, DOUBLE_INDIRECT, INODE_BLOCK_BYTES, POINTER_SIZE } from "./layout.js";

export interface ResizeInode {
  /** i_block. */
  readonly block: Uint8Array;
  /** In bytes: the end of what a double indirect block can map. */
  readonly size: number;
  readonly sectors: number;
  readonly blocks: readonly { readonly at: number; readonly bytes: Uint8Array }[];
}

/** `doubleIndirect` is a free block that it takes. */
export function encodeResizeInode(geometry: Geometry, doubleIndirect: number): ResizeInode {
  const { blockSize, descriptorBlocks, reservedDescriptorBlocks: count } = geometry;
  const pointers = blockSize / POINTER_SIZE;
  const backups = backupGroups(geometry);
  const listed = new Uint8Array(blockSize);
  const listView = new DataView(listed.buffer);
  const reserved = Array.from({ length: count }, (_, i) => {
    const at = geometry.firstDataBlock + 1 + descriptorBlocks + i;
    // Its place in the list is that of its descriptors among all.
    listView.setUint32(((descriptorBlocks + i) % pointers) * POINTER_SIZE, at, true);
    const bytes = new Uint8Array(blockSize);
    const view = new DataView(bytes.buffer);
    backups.forEach((group, k) => {
      view.setUint32(k * POINTER_SIZE, at + group * geometry.blocksPerGroup, true);
    });
    return { at, bytes };
  });
  const block = new Uint8Array(INODE_BLOCK_BYTES);
  new DataView(block.buffer).setUint32(DOUBLE_INDIRECT * POINTER_SIZE, doubleIndirect, true);
  return {
    block,
    size: (pointers * pointers + pointers + DIRECT_POINTERS) * blockSize,
    sectors: ((1 + count * (1 + backups.length)) * blockSize) / 512,
    blocks: [...reserved, { at: doubleIndirect, bytes: listed }],
  };
}
