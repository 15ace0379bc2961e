/** Copies the content of regular files, and leaves out what is zeros. */
import { isZero } from "../bytes/zeros.js";
import type { Content, ContentReader } from "../tree/node.js";
import type { BlockWriter } from "./block-writer.js";
import { ExtentList } from "./extents.js";
import type { Run } from "./geometry.js";
import { dataBlocks } from "./survey.js";

export interface ContentTarget {
  readonly blockSize: number;
  readonly writer: BlockWriter;
  allocate(blocks: number): Run[];
  /** So many bytes of the source are done. */
  progress(bytes: number): void;
}

/** Writes all data of `content`, and returns where it is. */
export async function writeContent(content: Content, target: ContentTarget): Promise<ExtentList> {
  const extents = new ExtentList();
  const runs = dataBlocks(content, target.blockSize);
  if (runs.length === 0) return extents;
  const reader = await content.open();
  try {
    for (const run of runs) await copyRun(content, reader, run, target, extents);
  } finally {
    await reader.close();
  }
  return extents;
}

async function copyRun(
  content: Content,
  reader: ContentReader,
  run: Run,
  target: ContentTarget,
  extents: ExtentList,
): Promise<void> {
  const { blockSize } = target;
  for (let block = run.start; block < run.end; ) {
    const room = await target.writer.room();
    const blocks = Math.min(Math.floor(room.length / blockSize), run.end - block);
    const bytes = room.subarray(0, blocks * blockSize);
    const length = Math.min(bytes.length, content.size - block * blockSize);
    await reader.read(block * blockSize, bytes.subarray(0, length));
    bytes.fill(0, length);
    target.progress(length);
    // Where the data is was found out by whoever read the tree, or it is found out here.
    const kept = content.data ? [{ start: 0, end: blocks }] : nonZeroBlocks(bytes, blockSize);
    for (const { start, end } of kept) {
      let from = start;
      for (const place of target.allocate(end - start)) {
        const count = place.end - place.start;
        extents.add(block + from, place);
        await target.writer.write(
          place.start * blockSize,
          bytes.subarray(from * blockSize, (from + count) * blockSize),
        );
        from += count;
      }
    }
    block += blocks;
  }
}

/** The blocks of `bytes` that are not all zeros. */
function nonZeroBlocks(bytes: Uint8Array, blockSize: number): Run[] {
  const runs: Run[] = [];
  for (let block = 0; block * blockSize < bytes.length; block++) {
    if (isZero(bytes, block * blockSize, (block + 1) * blockSize)) continue;
    const last = runs.at(-1);
    if (last?.end === block) last.end++;
    else runs.push({ start: block, end: block + 1 });
  }
  return runs;
}
