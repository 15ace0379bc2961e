/** Whether a tree fits into a size, and the smallest size that it fits into. Pure: nothing is read or written. */
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { listLargest, type SizeOf } from "../tree/largest.js";
import type { Tree } from "../tree/tree.js";
import type { Format } from "./format.js";
import { blocksBelowStep, computeGeometry, type Geometry, type MetadataOptions } from "./geometry.js";
import { defaultJournalSize, journalSizeSteps, SMALLEST_JOURNAL_BLOCKS } from "./journal.js";
import { mappingOf } from "./mapping.js";
import { nodeBlocks, type Survey } from "./survey.js";

/** In bytes: one inode for so many of them. */
export const MIN_INODE_RATIO = 1024;
export const MAX_INODE_RATIO = 2 ** 26;

export interface PlanOptions {
  readonly format: Format;
  readonly inodeRatio: number;
  /** In bytes: to that size it can be grown while it is mounted. Undefined: to 1024 times its own. */
  readonly growTo: number | undefined;
  /** In bytes; undefined for the size that suits the file system, 0 for none. */
  readonly journalSize: number | undefined;
}

export interface Plan {
  readonly geometry: Geometry;
  /** 0 for no journal. */
  readonly journalBlocks: number;
}

/**
 * A file system of at most `size` bytes that takes everything, or undefined. Where the last blocks would bring more metadata
 * than they are, and the tree does not fit with that, they are left out: so a larger size always takes what a smaller one
 * takes, but where the default journal becomes larger.
 */
export function planWithin(size: number, survey: Survey, options: PlanOptions): Plan | undefined {
  const { blockSize } = options.format;
  const blocks = Math.floor(size / blockSize);
  const step = journalSteps(options).findLast((at) => at <= blocks) ?? 0;
  for (const fewer of sizesBelow(blocks, step, survey, options)) {
    const plan = planExactly(fewer, survey, options);
    if (plan !== undefined) return plan;
  }
  return undefined;
}

/** A plan for a file system of `blocks`, with all the metadata that so many bring. Only a last group may be left out. */
function planExactly(blocks: number, survey: Survey, options: PlanOptions): Plan | undefined {
  const geometry = computeGeometry({ ...metadataOptions(survey, options), size: blocks * options.format.blockSize });
  if (geometry === undefined) return undefined;
  const journalBlocks = journalBlocksAt(blocks, options);
  const runs = geometry.free.flat();
  const free = runs.reduce((sum, { start, end }) => sum + end - start, 0);
  const mapping = mappingOf(options.format);
  const journal = journalBlocks + mapping.blocksFor([{ start: 0, end: journalBlocks }]);
  // One block is the resize inode's. The end of each free run may split a file or the journal.
  const needed = survey.blocks + journal + 1 + mapping.blocksPerSplit * runs.length;
  return needed <= free ? { geometry, journalBlocks } : undefined;
}

function metadataOptions(survey: Survey, { format, inodeRatio, growTo }: PlanOptions): MetadataOptions {
  return { format, inodeRatio, growTo, inodes: withSpare(survey.inodes) };
}

/** A sixteenth of the inodes is kept for new files, however small the files of the tree are. */
const withSpare = (inodes: number): number => inodes + Math.ceil(inodes / 16);

function journalBlocksAt(blocks: number, { format: { blockSize }, journalSize, growTo }: PlanOptions): number {
  const size = blocks * blockSize;
  return Math.floor((journalSize ?? defaultJournalSize(size, growTo ?? size, blockSize)) / blockSize);
}

/** In blocks, ascending: the sizes at which a larger journal comes in. */
function journalSteps({ format: { blockSize }, journalSize }: PlanOptions): number[] {
  return journalSize === undefined ? journalSizeSteps(blockSize).map((size) => size / blockSize) : [];
}

/**
 * `blocks`, and the sizes below, down to `least`, at which less metadata comes, as long as content, journal and inodes alone
 * are not too much. Between them, a size takes no more than the next larger one of them.
 */
function* sizesBelow(blocks: number, least: number, survey: Survey, options: PlanOptions): Generator<number> {
  const metadata = metadataOptions(survey, options);
  for (let at = blocks; at >= least && at >= leastBlocks(at, survey, options); at = blocksBelowStep(metadata, at))
    yield at;
}

/** What a file system of `blocks` has to hold at least. It grows by less than a block for each that `blocks` does. */
function leastBlocks(blocks: number, survey: Survey, options: PlanOptions): number {
  const { blockSize, inodeSize } = options.format;
  // A group has an inode for each of its blocks at most, and a file system 2^32 - 1.
  const inodes = Math.min((blocks * blockSize) / Math.max(options.inodeRatio, blockSize), 2 ** 31);
  return survey.blocks + journalBlocksAt(blocks, options) + Math.floor((inodes * inodeSize) / blockSize) - 1;
}

/**
 * The smallest size, in bytes, from which on every size takes the tree. Where the default journal becomes larger, a tree
 * may fit below and not above: then it is a size above.
 */
export function smallestSize(survey: Survey, options: PlanOptions): number {
  const fits = (blocks: number) => planExactly(blocks, survey, options) !== undefined;
  const firstFit = (from: number, to: number) => {
    let [low, high] = [from, to];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (fits(middle)) high = middle;
      else low = middle;
    }
    return high;
  };
  const least = journalSteps(options).findLast((step) => !fits(step)) ?? 0;
  let high = Math.max(least, survey.blocks) + 64;
  while (!fits(high)) high *= 2;
  // That one does not fit below a step of the metadata does not mean that none does.
  let smallest = firstFit(least, high);
  for (const blocks of sizesBelow(smallest - 1, least + 1, survey, options)) {
    if (fits(blocks)) {
      smallest = firstFit(Math.max(blocksBelowStep(metadataOptions(survey, options), blocks), least), blocks);
    }
  }
  return smallest * options.format.blockSize;
}

/** More inodes than there is room for, beside contents that there would be room for. */
export interface InodeShortage {
  readonly needed: number;
  readonly available: number;
}

/** As the end of a sentence that says that something does not fit; nothing where it is not for want of inodes. */
export function shortageText(inodes: InodeShortage | undefined): string {
  return inodes === undefined ? "" : `: it needs ${inodes.needed} inodes, and has room for ${inodes.available}`;
}

/** The `does-not-fit` error for a tree that `size` bytes do not take: it has the size that would do, and what is large. */
export function doesNotFit(size: number, tree: Tree | undefined, survey: Survey, options: PlanOptions): ImgbuildError {
  const needed = smallestSize(survey, options);
  const largest = tree === undefined ? [] : listLargest(tree, sizesIn(survey, options.format));
  const inodes = inodeShortage(size, survey, options);
  const inodeRatio = inodes === undefined ? sufficientRatio(size, survey, options) : undefined;
  const or = inodeRatio === undefined ? "" : `, make inodes for ${inodeRatio} bytes each`;
  return new ImgbuildError(
    "does-not-fit",
    `the ext4 file system needs ${formatSize(needed)} (${needed} bytes) and has ${formatSize(size)} (${size} bytes)${shortageText(inodes)}`,
    {
      hint: `Make it at least ${needed - size} bytes larger${or}, or put less into it.`,
      data: { needed, available: size, largest, ...(inodes && { inodes }), ...(inodeRatio && { inodeRatio }) },
    },
  );
}

/**
 * The inodes that the tree needs, and those that there could be beside its contents, with the spare ones; undefined when it
 * is not the inodes that are too many.
 */
function inodeShortage(size: number, survey: Survey, options: PlanOptions): InodeShortage | undefined {
  const few = { ...options, inodeRatio: MAX_INODE_RATIO };
  const fits = (inodes: number) => planWithin(size, { ...survey, inodes }, few) !== undefined;
  if (!fits(0) || fits(survey.inodes)) return undefined;
  let [low, high] = [0, survey.inodes];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return { needed: withSpare(survey.inodes), available: withSpare(low) };
}

/** A ratio that leaves room enough, by making fewer inodes than are made now; undefined where none does. */
function sufficientRatio(size: number, survey: Survey, options: PlanOptions): number | undefined {
  for (let inodeRatio = 2 * options.inodeRatio; inodeRatio <= MAX_INODE_RATIO; inodeRatio *= 2) {
    if (planWithin(size, survey, { ...options, inodeRatio }) !== undefined) return inodeRatio;
  }
  return undefined;
}

/** What a node takes: its blocks and its inode, of which empty files have nothing else. */
function sizesIn(survey: Survey, format: Format): SizeOf {
  const mapping = mappingOf(format);
  return (node) => nodeBlocks(node, survey, format.blockSize, mapping) * format.blockSize + format.inodeSize;
}

/** Throws a `usage` error for a journal that cannot be. */
export function checkJournalSize({ journalSize, format: { blockSize } }: PlanOptions): void {
  if (journalSize === undefined || journalSize === 0) return;
  const smallest = SMALLEST_JOURNAL_BLOCKS * blockSize;
  if (journalSize >= smallest && journalSize <= 2 ** 31) return;
  throw new ImgbuildError("usage", `a journal of ${journalSize} bytes is not possible`, {
    hint: `Give 0 for none, or ${smallest} to ${2 ** 31} bytes.`,
  });
}
