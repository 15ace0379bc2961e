/** Whether a tree fits into a size, and the smallest size that it fits into. Pure: nothing is read or written. */
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { listLargest, type SizeOf } from "../tree/largest.js";
import type { Tree } from "../tree/tree.js";
import type { Format } from "./format.js";
import { computeGeometry, type Geometry } from "./geometry.js";
import { defaultJournalSize, journalSizeSteps, SMALLEST_JOURNAL_BLOCKS } from "./journal.js";
import { mappingOf } from "./mapping.js";
import { nodeBlocks, type Survey } from "./survey.js";

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

/** A file system of at most `size` bytes that takes everything, or undefined. */
export function planWithin(size: number, survey: Survey, options: PlanOptions): Plan | undefined {
  // A sixteenth of the inodes is kept for new files, however small the files of the tree are.
  const inodes = survey.inodes + Math.ceil(survey.inodes / 16);
  const geometry = computeGeometry({ ...options, size, inodes });
  if (geometry === undefined) return undefined;
  const { blockSize } = options.format;
  const journalSize = options.journalSize ?? defaultJournalSize(size, options.growTo ?? size, blockSize);
  const journalBlocks = Math.floor(journalSize / blockSize);
  const runs = geometry.free.flat();
  const free = runs.reduce((sum, { start, end }) => sum + end - start, 0);
  const mapping = mappingOf(options.format);
  const journal = journalBlocks + mapping.blocksFor([{ start: 0, end: journalBlocks }]);
  // One block is the resize inode's. The end of each free run may split a file or the journal.
  const needed = survey.blocks + journal + 1 + mapping.blocksPerSplit * runs.length;
  return needed <= free ? { geometry, journalBlocks } : undefined;
}

/**
 * The smallest size, in bytes, from which on every size takes the tree. Where the default journal becomes larger, a tree
 * may fit below and not above: then it is a size above.
 */
export function smallestSize(survey: Survey, options: PlanOptions): number {
  const { blockSize } = options.format;
  const fits = (blocks: number) => planWithin(blocks * blockSize, survey, options) !== undefined;
  let low = 0;
  if (options.journalSize === undefined) {
    for (const step of journalSizeSteps(blockSize)) {
      if (!fits(step / blockSize)) low = step / blockSize;
    }
  }
  let high = Math.max(low, survey.blocks) + 64;
  while (!fits(high)) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) high = middle;
    else low = middle;
  }
  return high * blockSize;
}

/** The `does-not-fit` error for a tree that no file system of `size` bytes takes: it has the size that would do, and what is large. */
export function doesNotFit(size: number, tree: Tree | undefined, survey: Survey, options: PlanOptions): ImgbuildError {
  const needed = smallestSize(survey, options);
  const largest = tree === undefined ? [] : listLargest(tree, sizesIn(survey, options.format));
  return new ImgbuildError(
    "does-not-fit",
    `the ext4 file system needs ${formatSize(needed)} (${needed} bytes) and has ${formatSize(size)} (${size} bytes)`,
    {
      hint: `Make it at least ${Math.max(needed - size, 1)} bytes larger, or put less into it.`,
      data: { needed, available: size, largest },
    },
  );
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
