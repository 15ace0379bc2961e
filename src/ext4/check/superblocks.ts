/** The superblock's counts, and its copies, which e2fsck falls back to. "The Super Block" in Documentation/filesystems/ext4. */
import { crc32c } from "../../bytes/checksum.js";
import { hasFeature } from "../feature-table.js";
import { superblock as layout, STATE_CLEAN, SUPERBLOCK_MAGIC, SUPERBLOCK_OFFSET } from "../layout.js";
import type { Image } from "../reader/image.js";
import { blocksOfCluster } from "./group-layout.js";
import type { Report } from "./report.js";

/** The counts of the superblock, which the kernel brings up to date when it unmounts; `freeBlocks` is of clusters. */
export function checkTotals({ superblock }: Image, freeBlocks: number, freeInodes: number, report: Report): void {
  const { fields } = superblock;
  if ((fields.state & STATE_CLEAN) === 0 || hasFeature(fields, "needs_recovery")) return;
  const high = hasFeature(fields, "64bit") ? 2 ** 32 : 0;
  const counts = [
    ["blocks", fields.freeBlocksLow + fields.freeBlocksHigh * high, freeBlocks * blocksOfCluster(superblock)],
    ["inodes", fields.freeInodes, freeInodes],
  ] as const;
  for (const [what, stored, counted] of counts) {
    if (stored === counted) continue;
    const at = SUPERBLOCK_OFFSET + layout.offsets[what === "blocks" ? "freeBlocksLow" : "freeInodes"];
    // e2fsck finds such a file system clean, and the kernel counts anew when it mounts.
    report.warning(`the superblock counts ${stored} free ${what}, and the groups ${counted}`, at);
  }
}

/** The copy of the superblock in `group`: for the same file system, and as long. Other fields are as of when it was made. */
export async function checkCopy(image: Image, group: number, report: Report): Promise<void> {
  const { superblock } = image;
  const { blockSize, firstDataBlock, blocksPerGroup, checksums, fields } = superblock;
  const at = (firstDataBlock + group * blocksPerGroup) * blockSize;
  const wrong = (message: string) => report.error(`the copy of the superblock in group ${group} ${message}`, at);
  const bytes = await image.read(at, layout.size);
  const copy = layout.read(bytes);
  if (copy.magic !== SUPERBLOCK_MAGIC) wrong("is missing");
  else if (checksums && crc32c(bytes.subarray(0, layout.offsets.checksum), 0xffffffff) !== copy.checksum) {
    wrong("has a wrong checksum");
  } else if (copy.uuid.some((byte, i) => byte !== fields.uuid[i])) wrong("is of another file system");
  else if (copy.blocksCountLow !== fields.blocksCountLow || copy.inodesPerGroup !== fields.inodesPerGroup) {
    wrong("has another length of the file system");
  }
}
