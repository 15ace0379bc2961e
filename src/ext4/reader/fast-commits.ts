/**
 * What the fast commits of a journal (the feature fast_commit) have to add to the file system: records of what was done to
 * inodes, names and extents since the last transaction, without the blocks that this changed. "Fast Commits" in Linux
 * Documentation/filesystems/ext4/journal.rst; taken as fs/ext4/fast_commit.c takes them. They are not turned into blocks: the
 * reader asks here what has changed of what it reads.
 */
import { type ByteString, fromBytes } from "../../bytes/bytestring.js";
import { crc32c } from "../../bytes/checksum.js";
import { EXTENT_MAGIC, extentHeader, extentLeaf, FILE_TYPES, INODE_FLAG, inode, MAX_EXTENT_BLOCKS } from "../layout.js";
import type { BlockMap, Run } from "./block-map.js";
import { corrupt, unsupported } from "./corrupt.js";
import type { Image } from "./image.js";
import type { Journal } from "./journal.js";

const TAG = {
  addRange: 1,
  deleteRange: 2,
  create: 3,
  link: 4,
  unlink: 5,
  inode: 6,
  pad: 7,
  tail: 8,
  head: 9,
} as const;
/** Of a record: its tag, and how many bytes follow. */
const HEADER_SIZE = 4;
/** The least that follows, by tag: all that has a fixed place. */
const LEAST: Readonly<Record<number, number>> = {
  [TAG.addRange]: 16,
  [TAG.deleteRange]: 12,
  [TAG.create]: 9,
  [TAG.link]: 9,
  [TAG.unlink]: 9,
  [TAG.inode]: 4 + 128,
  [TAG.pad]: 0,
  [TAG.tail]: 8,
  [TAG.head]: 8,
};

interface FastCommitRecord {
  readonly tag: number;
  readonly value: Uint8Array;
  /** Of its block, in bytes of the image. */
  readonly at: number;
}

/** What has changed in a directory. */
interface Names {
  readonly added: Map<ByteString, number>;
  /** "NUMBER NAME" of entries that are gone. */
  readonly removed: Set<string>;
}

/** What the fast commits after the last transaction say. Made of complete ones only. */
export class FastCommits {
  /** By number: the fields as they are now. */
  readonly #inodes = new Map<number, Uint8Array>();
  /** By inode: what has become of ranges of its blocks, ascending once all records are applied. */
  readonly #ranges = new Map<number, Run[]>();
  readonly #names = new Map<number, Names>();
  /** Directories that have no blocks yet. */
  readonly #newDirectories = new Set<number>();
  readonly #image: Image;

  constructor(image: Image, records: readonly FastCommitRecord[]) {
    this.#image = image;
    for (const record of records) this.#apply(record);
    for (const [number, changes] of this.#ranges) this.#ranges.set(number, settleRanges(changes));
  }

  /** The bytes of inode `number`, of which the image has `stored`. The place of its blocks stays, as in the kernel. */
  inode(number: number, stored: Uint8Array): Uint8Array | undefined {
    const fields = this.#inodes.get(number);
    if (fields === undefined) return undefined;
    const bytes = stored.slice();
    const { block, generation, flags } = inode.offsets;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    bytes.set(fields.subarray(0, block));
    bytes.set(fields.subarray(generation, bytes.length), generation);
    const has = view.getUint32(flags, true);
    if ((has & INODE_FLAG.extents) !== 0) {
      if (view.getUint16(block, true) !== EXTENT_MAGIC)
        extentHeader.write(bytes, block, { magic: EXTENT_MAGIC, max: 4 });
    } else if ((has & INLINE_DATA) !== 0) {
      bytes.set(fields.subarray(block, generation), block);
    }
    return bytes;
  }

  /** The map of inode `number`, of which the image has `stored`. */
  map(number: number, stored: BlockMap): BlockMap {
    const ranges = this.#ranges.get(number);
    if (ranges === undefined) return stored;
    return {
      async run(at) {
        const next = ranges[firstBehind(ranges, at)];
        if (next !== undefined && next.start <= at) return from(next, at);
        const run = await stored.run(at);
        return next === undefined ? run : { ...run, end: Math.min(run.end, next.start) };
      },
    };
  }

  /** Whether the directory was made since, so that none of its entries are in the image. */
  isNewDirectory(number: number): boolean {
    return this.#newDirectories.has(number);
  }

  /** Whether an entry that the image has is gone. */
  isRemoved(directory: number, name: ByteString, number: number): boolean {
    return this.#names.get(directory)?.removed.has(`${number} ${name}`) ?? false;
  }

  /** The entries that a directory has got since; it may have had them before. */
  addedTo(directory: number): ReadonlyMap<ByteString, number> {
    return this.#names.get(directory)?.added ?? NO_NAMES;
  }

  #apply({ tag, value, at }: FastCommitRecord): void {
    // What only pads may have no bytes at all.
    if (tag === TAG.pad || tag === TAG.tail || tag === TAG.head) return;
    const view = new DataView(value.buffer, value.byteOffset, value.length);
    const number = view.getUint32(0, true);
    const { superblock } = this.#image;
    if (number === 0 || number > superblock.inodes) throw corrupt(at, `a fast commit changes inode ${number}`);
    switch (tag) {
      case TAG.inode:
        this.#inodes.set(number, value.slice(4));
        return;
      case TAG.addRange: {
        const { block: start, length, startLow, startHigh } = extentLeaf.read(value, 4);
        const block = startLow + startHigh * 2 ** 32;
        const blocks = length > MAX_EXTENT_BLOCKS ? length - MAX_EXTENT_BLOCKS : length;
        if (!this.#image.has(block, blocks)) {
          throw corrupt(at, `a fast commit gives inode ${number} ${blocks} blocks from ${block} on`);
        }
        this.#setRange(number, { start, end: start + blocks, block: length > MAX_EXTENT_BLOCKS ? undefined : block });
        return;
      }
      case TAG.deleteRange: {
        const start = view.getUint32(4, true);
        this.#setRange(number, { start, end: start + view.getUint32(8, true), block: undefined });
        return;
      }
      default:
        this.#rename(tag, number, view.getUint32(4, true), fromBytes(value.subarray(8)));
    }
  }

  #setRange(number: number, range: Run): void {
    const changes = this.#ranges.get(number);
    if (changes === undefined) this.#ranges.set(number, [range]);
    else changes.push(range);
  }

  #rename(tag: number, directory: number, number: number, name: ByteString): void {
    const names: Names = this.#names.get(directory) ?? { added: new Map(), removed: new Set() };
    this.#names.set(directory, names);
    if (tag === TAG.unlink) {
      if (names.added.get(name) === number) names.added.delete(name);
      names.removed.add(`${number} ${name}`);
      return;
    }
    names.added.set(name, number);
    const fields = this.#inodes.get(number);
    if (tag !== TAG.create || fields === undefined) return;
    const mode = new DataView(fields.buffer).getUint16(inode.offsets.mode, true);
    if ((mode & 0o170000) === FILE_TYPES.directory.mode) this.#newDirectories.add(number);
    else this.#newDirectories.delete(number);
  }
}

/**
 * What ranges have become, ascending, after `changes` one after the other: of those that overlap, the last one holds. The
 * changes' ends part the blocks into pieces, each of which goes to the last change that has it: from the last change on,
 * every piece is given away once, and is then left out by a link to the next that is free.
 */
function settleRanges(changes: readonly Run[]): Run[] {
  const ends = Float64Array.from(changes.flatMap(({ start, end }) => [start, end])).sort();
  const owners = new Int32Array(ends.length).fill(-1);
  const links = Int32Array.from(ends, (_, piece) => piece);
  const nextFree = (piece: number) => {
    let free = piece;
    while (links[free] !== free) {
      // Halves the way for whoever comes next.
      links[free] = links[links[free]!]!;
      free = links[free]!;
    }
    return free;
  };
  for (let i = changes.length - 1; i >= 0; i--) {
    const { start, end } = changes[i]!;
    for (let at = nextFree(firstAtLeast(ends, start)); ends[at]! < end; at = nextFree(at)) {
      owners[at] = i;
      links[at] = at + 1;
    }
  }
  const settled: Run[] = [];
  for (let first = 0; first < ends.length; ) {
    const owner = owners[first]!;
    let behind = first + 1;
    while (behind < ends.length && owners[behind] === owner) behind++;
    // The last of the ends begins no piece.
    const end = ends[Math.min(behind, ends.length - 1)]!;
    if (owner >= 0 && ends[first]! < end) settled.push({ ...from(changes[owner]!, ends[first]!), end });
    first = behind;
  }
  return settled;
}

/** The index of the first of ascending numbers that is `value` or more. */
function firstAtLeast(numbers: Float64Array, value: number): number {
  let low = 0;
  for (let high = numbers.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (numbers[middle]! >= value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The index of the first of ascending runs that ends behind block `at`. */
function firstBehind(runs: readonly Run[], at: number): number {
  let low = 0;
  for (let high = runs.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (runs[middle]!.end > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** A run without its blocks in front of `start`. */
function from({ start: first, end, block }: Run, start: number): Run {
  return { start, end, block: block === undefined ? undefined : block + start - first };
}

const INLINE_DATA = 0x10000000;
const NO_NAMES: ReadonlyMap<ByteString, number> = new Map();

/** What follows the transactions of a journal. */
export interface FastCommitArea {
  /** Of those that are complete; undefined when there are none. */
  readonly fastCommits: FastCommits | undefined;
  /** Whether the first one is broken: Linux takes that for damage, and only later ones for the end of what was written. */
  readonly isBroken: boolean;
}

/** The fast commits that follow transaction `sequence` - 1, the last complete one. */
export async function readFastCommits(image: Image, journal: Journal, sequence: number): Promise<FastCommitArea> {
  let isBroken = false;
  const complete: FastCommitRecord[] = [];
  let pending: FastCommitRecord[] = [];
  let sum = 0;
  for await (const record of recordsOf(journal)) {
    if (record === undefined) {
      isBroken = true;
      break;
    }
    const { tag, value, at } = record;
    const view = new DataView(value.buffer, value.byteOffset, value.length);
    if (tag === TAG.head) {
      const features = view.getUint32(0, true);
      if (view.getUint32(4, true) !== sequence) break;
      if (features !== 0) {
        throw unsupported(
          `the fast commits of the journal, at byte ${at}, have the unknown features 0x${features.toString(16)}`,
          "Let e2fsck replay them, or the kernel that wrote them.",
        );
      }
    }
    pending.push(record);
    // The checksum covers all since the one before, up to itself.
    const header = value.byteOffset - HEADER_SIZE;
    const length = HEADER_SIZE + (tag === TAG.tail ? 4 : value.length);
    sum = crc32c(new Uint8Array(value.buffer, header, length), sum);
    if (tag !== TAG.tail) continue;
    if (view.getUint32(0, true) !== sequence || view.getUint32(4, true) !== sum) {
      isBroken = true;
      break;
    }
    for (const done of pending) complete.push(done);
    pending = [];
    sum = 0;
  }
  if (complete.length === 0) return { fastCommits: undefined, isBroken };
  return { fastCommits: new FastCommits(image, complete), isBroken: false };
}

/** The records of the journal's last blocks; undefined for one that is none, and the last then. The first of all is a head. */
async function* recordsOf(journal: Journal): AsyncGenerator<FastCommitRecord | undefined> {
  const { fastCommits, blockSize } = journal.facts;
  if (fastCommits === undefined) return;
  for (let number = fastCommits.first; number < fastCommits.end; number++) {
    const { bytes, at } = await journal.block(number);
    const view = new DataView(bytes.buffer, bytes.byteOffset, blockSize);
    for (let from = 0; from + HEADER_SIZE <= blockSize; ) {
      const tag = view.getUint16(from, true);
      const end = from + HEADER_SIZE + view.getUint16(from + 2, true);
      if (number === fastCommits.first && from === 0 && tag !== TAG.head) return;
      const least = LEAST[tag];
      if (least === undefined || end > blockSize || end < from + HEADER_SIZE + least) {
        yield undefined;
        return;
      }
      yield { tag, value: bytes.subarray(from + HEADER_SIZE, end), at };
      from = end;
    }
  }
}
