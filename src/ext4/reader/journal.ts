/**
 * The journal as it is found: its superblock, its blocks by their number in the journal. "Journal (jbd2)" in Linux
 * Documentation/filesystems/ext4.
 */
import { crc32c } from "../../bytes/checksum.js";
import type { StructValues } from "../../bytes/struct.js";
import * as layout from "../layout.js";
import { Budget, blockMapOf, type Run } from "./block-map.js";
import { corrupt, unsupported } from "./corrupt.js";
import type { Image } from "./image.js";
import { type BareInode, readBareInode } from "./inodes.js";

/** Blocks that are read at once, where they are adjacent. */
const READ_BLOCKS = 64;
/** Of journals that do not say how many blocks are kept for fast commits. */
const FAST_COMMIT_BLOCKS = 256;
const KNOWN_INCOMPATIBLE = Object.values(layout.JOURNAL_INCOMPATIBLE).reduce((all, bit) => all | bit, 0);

export interface JournalBlock {
  readonly bytes: Uint8Array;
  /** Where it is in the image, in bytes. */
  readonly at: number;
}

/** What the superblock says. Blocks are numbered within the journal. */
export interface JournalFacts {
  readonly blockSize: number;
  /** The ring of blocks that transactions are in: [first, end). What is behind is for fast commits. */
  readonly first: number;
  readonly end: number;
  /** Where the oldest transaction begins that has to be replayed; 0 when there is none. */
  readonly start: number;
  /** Its number. */
  readonly sequence: number;
  /** Block numbers have 64 bits. */
  readonly wide: boolean;
  /** Which checksums there are: none, those of the commit blocks alone, or of all blocks, in one of two forms. */
  readonly checksums: "none" | "commit" | "v2" | "v3";
  /** Where checksums start. */
  readonly seed: number;
  /** The blocks of fast commits, [first, end), if the journal may have some. Linux leaves one out behind the ring. */
  readonly fastCommits: { readonly first: number; readonly end: number } | undefined;
}

export class Journal {
  readonly facts: JournalFacts;
  readonly #image: Image;
  readonly #runs: readonly Run[];
  #window: { first: number; count: number; at: number; bytes: Uint8Array } | undefined;

  private constructor(image: Image, runs: readonly Run[], facts: JournalFacts) {
    this.#image = image;
    this.#runs = runs;
    this.facts = facts;
  }

  /** Opens the journal of the file system, which has to be within it. */
  static async open(image: Image): Promise<Journal> {
    const number = image.superblock.fields.journalInode;
    const at = 1024 + layout.superblock.offsets.journalInode;
    if (number === 0) {
      throw unsupported(
        "the file system was not unmounted, and its journal is on another device",
        "Let e2fsck replay it, with the journal's device given.",
      );
    }
    if (number > image.superblock.inodes) throw corrupt(at, `the journal is said to be inode ${number}`);
    const inode = await readBareInode(image, number);
    if (inode.type !== "file" || inode.stored.hasInlineData) throw corrupt(inode.at, `the journal is a ${inode.type}`);
    const runs = await runsOf(image, inode);
    const offset = runs[0]!.block! * image.superblock.blockSize;
    const bytes = await image.read(offset, image.superblock.blockSize);
    return new Journal(image, runs, readFacts(bytes, offset, image.superblock.blockSize, runs.at(-1)!.end));
  }

  /** Block `number` of the journal. */
  async block(number: number): Promise<JournalBlock> {
    const { blockSize } = this.facts;
    let window = this.#window;
    if (window === undefined || number < window.first || number >= window.first + window.count) {
      const run = this.#runs.find(({ end }) => number < end)!;
      const count = Math.min(READ_BLOCKS, run.end - number);
      const at = (run.block! + number - run.start) * blockSize;
      window = { first: number, count, at, bytes: await this.#image.read(at, count * blockSize) };
      this.#window = window;
    }
    const from = (number - window.first) * blockSize;
    return { bytes: window.bytes.subarray(from, from + blockSize), at: window.at + from };
  }
}

async function runsOf(image: Image, inode: BareInode): Promise<Run[]> {
  const blocks = Math.floor(inode.size / image.superblock.blockSize);
  const map = blockMapOf(image, inode, new Budget(image));
  const runs: Run[] = [];
  for (let at = 0; at < blocks; at = runs.at(-1)!.end) {
    const { start, end, block } = await map.run(at);
    if (block === undefined) {
      throw corrupt(inode.at + layout.inode.offsets.block, `the journal, inode ${inode.number}, lacks its block ${at}`);
    }
    runs.push({ start, end: Math.min(end, blocks), block });
  }
  if (runs.length === 0) throw corrupt(inode.at + layout.inode.offsets.sizeLow, "the journal is empty");
  return runs;
}

function readFacts(bytes: Uint8Array, at: number, blockSize: number, blocks: number): JournalFacts {
  const { offsets } = layout.journalSuperblock;
  const fields = layout.journalSuperblock.read(bytes);
  const demand = (holds: boolean, field: keyof typeof offsets, message: string) => {
    if (!holds) throw corrupt(at + offsets[field], `the journal's superblock ${message}`);
  };
  demand(fields.magic === layout.JOURNAL_MAGIC, "magic", "lacks its magic number");
  const { superblockV1, superblockV2 } = layout.JOURNAL_BLOCK;
  demand(fields.type === superblockV1 || fields.type === superblockV2, "type", `is of type ${fields.type}`);
  if (fields.type === superblockV1) Object.assign(fields, { compatible: 0, incompatible: 0 });
  const unknown = fields.incompatible & ~KNOWN_INCOMPATIBLE;
  if (unknown !== 0) {
    throw unsupported(
      `the journal has the unknown features 0x${(unknown >>> 0).toString(16)}`,
      "Let e2fsck replay it, or the kernel that wrote it.",
    );
  }
  const has = (feature: number) => (fields.incompatible & feature) !== 0;
  const { checksumV2, checksumV3, fastCommit, is64bit } = layout.JOURNAL_INCOMPATIBLE;
  const checksums = has(checksumV3) ? "v3" : has(checksumV2) ? "v2" : hasCommitChecksums(fields) ? "commit" : "none";
  if (checksums === "v2" || checksums === "v3") {
    const checked = bytes.slice(0, layout.journalSuperblock.size).fill(0, offsets.checksum, offsets.checksum + 4);
    demand(crc32c(checked, 0xffffffff) === fields.checksum, "checksum", "has a wrong checksum");
  }
  demand(fields.blockSize === blockSize, "blockSize", `says that blocks have ${fields.blockSize} bytes`);
  demand(fields.blocks <= blocks, "blocks", `says that it has ${fields.blocks} blocks, and there are ${blocks}`);
  const kept = has(fastCommit) ? fields.fastCommitBlocks || FAST_COMMIT_BLOCKS : 0;
  const end = fields.blocks - kept;
  demand(fields.first > 0 && fields.first < end, "first", `says that its blocks are from ${fields.first} to ${end}`);
  const within = fields.start === 0 || (fields.start >= fields.first && fields.start < end);
  demand(within, "start", `says that its transactions begin at block ${fields.start}`);
  return {
    blockSize,
    first: fields.first,
    end,
    start: fields.start,
    sequence: fields.sequence,
    wide: has(is64bit),
    checksums,
    seed: crc32c(fields.uuid, 0xffffffff),
    fastCommits: kept > 1 ? { first: end + 1, end: fields.blocks } : undefined,
  };
}

function hasCommitChecksums({ compatible }: StructValues<typeof layout.journalSuperblock>): boolean {
  return (compatible & layout.JOURNAL_COMPATIBLE.checksum) !== 0;
}
