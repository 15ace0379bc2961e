/**
 * Inodes that were to be deleted or shortened when the file system was left: "Orphan file" in Documentation/filesystems/ext4,
 * and s_last_orphan, where a list of them begins that goes on in place of their times of deletion.
 */
import { hasFeature } from "../feature-table.js";
import { inode as layout } from "../layout.js";
import { storedMapOf } from "../reader/block-map.js";
import type { Image } from "../reader/image.js";
import { readBareInode } from "../reader/inodes.js";

/** Behind the inode numbers in each block of the orphan file: magic number and checksum. */
const TAIL_SIZE = 8;

/** The numbers of all such inodes. Rejects where the list of them is damaged. */
export async function readOrphans(image: Image): Promise<Set<number>> {
  const { fields, inodes, blockSize } = image.superblock;
  const orphans = new Set<number>();
  const isInode = (number: number) => number >= image.superblock.firstInode && number <= inodes;
  for (let number = fields.lastOrphan; isInode(number) && !orphans.has(number); ) {
    orphans.add(number);
    const { bytes } = (await readBareInode(image, number, { any: true })).stored;
    number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(layout.offsets.dtime, true);
  }
  if (!hasFeature(fields, "orphan_present") || !isInode(fields.orphanFileInode)) return orphans;
  const file = await readBareInode(image, fields.orphanFileInode, { any: true });
  let left = image.superblock.blocks;
  for await (const { kind, block, count } of storedMapOf(image, file).blocks()) {
    // Where blocks lead in a circle, the claims of blocks say so.
    left -= count;
    if (left < 0) break;
    for (let i = 0; kind === "data" && i < count; i++) {
      const bytes = await image.block(block + i);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let at = 0; at + TAIL_SIZE < blockSize; at += 4) {
        const number = view.getUint32(at, true);
        if (isInode(number)) orphans.add(number);
      }
    }
  }
  return orphans;
}
