/** The inode tables, up to the last used inode of each group; what lies behind is not written. */

import { alignUp } from "../bytes/size.js";
import type { InodeAllocator } from "./allocator.js";
import type { BlockWriter } from "./block-writer.js";
import type { ChecksumSeed } from "./checksum.js";
import type { Geometry } from "./geometry.js";
import { encodeInode, type InodeValues } from "./inode.js";

export class InodeTables {
  readonly #geometry: Geometry;
  readonly #tables: Uint8Array[];

  /** `inodes` has handed out every number by now. */
  constructor(geometry: Geometry, inodes: InodeAllocator) {
    this.#geometry = geometry;
    this.#tables = inodes.used.map((used) => new Uint8Array(alignUp(used * geometry.inodeSize, geometry.blockSize)));
  }

  /** `seed` is the inode's own checksum seed. */
  put(number: number, values: InodeValues, seed: ChecksumSeed): void {
    const { inodesPerGroup, inodeSize } = this.#geometry;
    const table = this.#tables[Math.floor((number - 1) / inodesPerGroup)]!;
    const at = ((number - 1) % inodesPerGroup) * inodeSize;
    encodeInode(table.subarray(at, at + inodeSize), values, seed);
  }

  /** What is behind the last used inode of each group, in bytes of the device. */
  *unused(): Generator<{ at: number; length: number }> {
    const { blockSize, inodeTableBlocks, inodeTables } = this.#geometry;
    for (const [group, table] of this.#tables.entries()) {
      const length = inodeTableBlocks * blockSize - table.length;
      if (length > 0) yield { at: inodeTables[group]! * blockSize + table.length, length };
    }
  }

  async write(writer: BlockWriter): Promise<void> {
    for (const [group, table] of this.#tables.entries()) {
      if (writer.behind) await writer.catchUp();
      if (table.length > 0) writer.write(this.#geometry.inodeTables[group]! * this.#geometry.blockSize, table);
    }
  }
}
