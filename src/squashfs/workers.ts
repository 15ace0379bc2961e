/** How many workers compress. */
import { nodeModule } from "../codecs/node.js";

/** For the blocks that are in work: a host with many cores need not have memory to match. */
const BLOCK_MEMORY = 256 * 2 ** 20;
/** The pool has three blocks for each worker, and each with as much room for its result. */
const BLOCKS_PER_WORKER = 6;

/**
 * The number of workers for blocks of `blockSize` bytes: `jobs`, or one for each core, but no more than fit with their
 * blocks into 256 MiB. Undefined where there are no cores to count: without Node there are no workers either.
 */
export function workersFor(jobs: number | undefined, blockSize: number): number | undefined {
  const wanted = jobs ?? nodeModule("node:os")?.availableParallelism();
  return wanted && Math.min(wanted, Math.floor(BLOCK_MEMORY / (BLOCKS_PER_WORKER * blockSize)));
}
