/**
 * What was written to a disk, in order, as QEMU's driver blklogwrites records it; and what a power cut may have left of that.
 * The format is that of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst, and
 * drivers/md/dm-log-writes.c). All numbers are little-endian, lengths in sectors of the log's own size:
 *
 *     sector 0     magic (8 bytes), version (8), number of entries (8), sector size (4)
 *     then, for each entry
 *     1 sector     sector on the disk (8), number of sectors (8), flags (8), length of the entry's own data (8)
 *     n sectors    what was written; nothing where it was discarded
 */
import * as fs from "node:fs";

const MAGIC = 0x6a736677736872n;
const FLAG = { flush: 1, fua: 2, discard: 4, mark: 8 } as const;

/** A function that changes the emulator's arguments so that the disk's writes are recorded in a file, which has to be there. */
export const recorded = (log: string) => (args: readonly string[]) =>
  args.flatMap((arg, i) => {
    if (arg === "-drive") return [];
    if (args[i - 1] !== "-drive") return [arg];
    const image = /file=(.*)$/.exec(arg)![1];
    const nodes = [
      { driver: "file", "node-name": "file", filename: image!.replaceAll(",,", ",") },
      { driver: "raw", "node-name": "image", file: "file" },
      { driver: "file", "node-name": "log", filename: log },
      { driver: "blklogwrites", "node-name": "disk", file: "image", log: "log" },
    ];
    return nodes.flatMap((node) => ["-blockdev", JSON.stringify(node)]);
  });

export interface LoggedWrite {
  /** In bytes on the disk. */
  readonly at: number;
  /** What was written; empty for a flush alone. Zeros for what was discarded, which reads as zeros or as before. */
  readonly bytes: Uint8Array;
  /** Whether all that is before it is on the disk when it is done. */
  readonly flush: boolean;
  /** Whether it is itself on the disk when it is done. */
  readonly fua: boolean;
  readonly discard: boolean;
}

/** Reads a log to its end: the number of entries in sector 0 is that of the last flush. */
export function readLog(file: string): LoggedWrite[] {
  const log = fs.readFileSync(file);
  if (log.readBigUInt64LE(0) !== MAGIC || log.readBigUInt64LE(8) !== 1n) throw new Error(`${file} is no log of writes`);
  const sector = log.readUInt32LE(24);
  const writes: LoggedWrite[] = [];
  for (let at = sector; at + sector <= log.length; ) {
    const [first, sectors, flags] = [0, 8, 16].map((offset) => Number(log.readBigUInt64LE(at + offset))) as [
      number,
      number,
      number,
    ];
    if (sectors === 0 && flags === 0) break;
    const discard = (flags & FLAG.discard) !== 0;
    const length = sectors * sector;
    at += sector;
    writes.push({
      ...{ at: first * sector, discard, flush: (flags & FLAG.flush) !== 0, fua: (flags & FLAG.fua) !== 0 },
      bytes: discard ? new Uint8Array(length) : log.subarray(at, at + length),
    });
    if (!discard) at += length;
  }
  return writes;
}

/**
 * What is on the disk, of which `before` is the window that begins at byte `offset`, when the power is cut after the first
 * `count` writes: all that a flush has followed, and of the others those for which `survives` is true of the sector at that byte of the
 * window.
 */
export function afterCut(
  before: Uint8Array,
  offset: number,
  writes: readonly LoggedWrite[],
  count: number,
  survives: (at: number) => boolean,
): Buffer {
  const disk = Buffer.from(before);
  const flushed = writes.slice(0, count).findLastIndex(({ flush }) => flush);
  writes.slice(0, count).forEach(({ at, bytes, fua, discard }, i) => {
    for (let done = 0; done < bytes.length; done += SECTOR) {
      const to = at - offset + done;
      if (to < 0 || to >= disk.length) continue;
      const certain = !discard && (i <= flushed || fua);
      if (certain || survives(to)) disk.set(bytes.subarray(done, done + SECTOR), to);
    }
  });
  return disk;
}

/** What a disk writes whole or not at all, in bytes. */
const SECTOR = 512;
