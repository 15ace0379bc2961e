/** The journal of a file system that was never mounted. Linux Documentation/filesystems/ext4, "Journal (jbd2)". */
import { JOURNAL_MAGIC, JOURNAL_SUPERBLOCK_V2, journalSuperblock } from "./layout.js";

const MiB = 2 ** 20;
/** The kernel refuses a shorter journal (JBD2_MIN_JOURNAL_BLOCKS). */
export const SMALLEST_JOURNAL_BLOCKS = 1024;
/** A file system of fewer blocks has no room for one. */
const SMALLEST_WITH_JOURNAL_BLOCKS = 2048;

/**
 * The journal of a file system of `size` bytes that will grow to `growTo`, in bytes; 0 for none. Up to 2 GiB as mke2fs has
 * it with blocks of 4 KiB, but 16 MiB from 64 MiB on, because that is the size of a seed that grows on the device. Never
 * more than 64 MiB: what gathers between two checkpoints on the devices that this is for stays far below that, and every
 * byte of it is flashed. It cannot grow with the file system, so one that will has that of its later size, as far as that is
 * a quarter of it now.
 */
export function defaultJournalSize(size: number, growTo: number, blockSize: number): number {
  if (size < SMALLEST_WITH_JOURNAL_BLOCKS * blockSize) return 0;
  if (size < 64 * MiB) return SMALLEST_JOURNAL_BLOCKS * blockSize;
  const later = Math.max(size, growTo);
  const wanted = later < 1024 * MiB ? 16 * MiB : later < 2048 * MiB ? 32 * MiB : 64 * MiB;
  const most = size < 128 * MiB ? 16 * MiB : size < 256 * MiB ? 32 * MiB : 64 * MiB;
  return Math.min(wanted, most);
}

/** The sizes at which a larger journal comes in, ascending: content may fit below one and not above it. */
export function journalSizeSteps(blockSize: number): number[] {
  return [SMALLEST_WITH_JOURNAL_BLOCKS * blockSize, ...[64, 128, 256, 1024, 2048].map((size) => size * MiB)];
}

/** The first block of an empty journal: nothing to recover, the first transaction is number 1. */
export function encodeJournalSuperblock(blocks: number, blockSize: number): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  journalSuperblock.write(bytes, 0, {
    magic: JOURNAL_MAGIC,
    type: JOURNAL_SUPERBLOCK_V2,
    blockSize,
    blocks,
    first: 1,
    sequence: 1,
    users: 1,
  });
  return bytes;
}
