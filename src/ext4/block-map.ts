/**
 * The block map of an inode, as ext2 and ext3 have it: twelve blocks by number, then one block of numbers, one of such
 * blocks, one of those. Linux Documentation/filesystems/ext4, "Direct/Indirect Block Addressing".
 */
import type { FileExtent } from "./extents.js";
import type { BlockSize } from "./format.js";
import type { Run } from "./geometry.js";
import { DIRECT_POINTERS, INDIRECT_LEVELS, INODE_BLOCK_BYTES, POINTER_SIZE } from "./layout.js";

/** Below the pointer in i_block after the direct ones: the blocks that it leads to are [start, end) of the file. */
interface Branch {
  readonly levels: number;
  readonly start: number;
  readonly end: number;
}

function branches(blockSize: BlockSize): Branch[] {
  const pointers = blockSize / POINTER_SIZE;
  let start = DIRECT_POINTERS;
  return Array.from({ length: INDIRECT_LEVELS }, (_, i) => {
    const branch = { levels: i + 1, start, end: start + pointers ** (i + 1) };
    start = branch.end;
    return branch;
  });
}

/** How many blocks of a file can be mapped. */
export function mappableBlocks(blockSize: BlockSize): number {
  return branches(blockSize).at(-1)!.end;
}

/** How many blocks of pointers lead to `runs` of a file, which ascend and do not touch. */
export function blockMapBlocks(runs: readonly Run[], blockSize: BlockSize): number {
  const pointers = blockSize / POINTER_SIZE;
  let blocks = 0;
  for (const { levels, start, end } of branches(blockSize)) {
    for (let level = 1; level <= levels; level++) {
      const reach = pointers ** level;
      let counted = 0;
      for (const run of runs) {
        const from = Math.max(run.start, start);
        const to = Math.min(run.end, end);
        if (from >= to) continue;
        const first = Math.max(Math.floor((from - start) / reach), counted);
        counted = Math.max(Math.ceil((to - start) / reach), counted);
        blocks += Math.max(counted - first, 0);
      }
    }
  }
  return blocks;
}

/** i_block, and the blocks of pointers that it leads to, each at a block that `allocate` gives. */
export function encodeBlockMap(
  extents: readonly FileExtent[],
  blockSize: BlockSize,
  allocate: () => number,
): { root: Uint8Array; blocks: { at: number; bytes: Uint8Array }[] } {
  const pointers = blockSize / POINTER_SIZE;
  const limits = branches(blockSize);
  const root = new DataView(new ArrayBuffer(INODE_BLOCK_BYTES));
  const blocks: { at: number; bytes: Uint8Array }[] = [];
  /** The blocks of pointers on the way to the last block that was mapped, from the root down, each with where it begins. */
  let path: { start: number; view: DataView }[] = [];

  const descend = (from: DataView, slot: number): DataView => {
    const at = allocate();
    from.setUint32(slot * POINTER_SIZE, at, true);
    const bytes = new Uint8Array(blockSize);
    blocks.push({ at, bytes });
    return new DataView(bytes.buffer);
  };
  const map = (logical: number, physical: number) => {
    if (logical < DIRECT_POINTERS) {
      root.setUint32(logical * POINTER_SIZE, physical, true);
      return;
    }
    const branch = limits.find(({ end }) => logical < end)!;
    let view: DataView = root;
    let slot = DIRECT_POINTERS + branch.levels - 1;
    for (let level = 0; level < branch.levels; level++) {
      const reach = pointers ** (branch.levels - level);
      const start = branch.start + Math.floor((logical - branch.start) / reach) * reach;
      if (path[level]?.start !== start) path = [...path.slice(0, level), { start, view: descend(view, slot) }];
      view = path[level]!.view;
      slot = Math.floor((logical - start) / (reach / pointers));
    }
    view.setUint32(slot * POINTER_SIZE, physical, true);
  };
  for (const { logical, physical, length } of extents) {
    for (let i = 0; i < length; i++) map(logical + i, physical + i);
  }
  return { root: new Uint8Array(root.buffer), blocks };
}
