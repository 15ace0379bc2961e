/** The inode tables, up to the last used inode of each group; what lies behind is not written. */

import { alignUp } from "../bytes/size.js";
import type { InodeAllocator } from "./allocator.js";
import type { BlockWriter } from "./block-writer.js";
import { inodeSeed } from "./checksum.js";
import type { Geometry } from "./geometry.js";
import { encodeInode, type InodeValues } from "./inode.js";
import { INODE_SIZE } from "./layout.js";

export class InodeTables {
  readonly #geometry: Geometry;
  readonly #seed: number;
  readonly #tables: Uint8Array[];

  /** `inodes` has handed out every number by now. `seed` is that of the file system. */
  constructor(geometry: Geometry, inodes: InodeAllocator, seed: number) {
    this.#geometry = geometry;
    this.#seed = seed;
    this.#tables = inodes.used.map((used) => new Uint8Array(alignUp(used * INODE_SIZE, geometry.blockSize)));
  }

  put(number: number, values: InodeValues): void {
    const { inodesPerGroup } = this.#geometry;
    const table = this.#tables[Math.floor((number - 1) / inodesPerGroup)]!;
    encodeInode(table, ((number - 1) % inodesPerGroup) * INODE_SIZE, values, inodeSeed(this.#seed, number));
  }

  async write(writer: BlockWriter): Promise<void> {
    for (const [group, table] of this.#tables.entries()) {
      if (table.length > 0) await writer.write(this.#geometry.inodeTables[group]! * this.#geometry.blockSize, table);
    }
  }
}
