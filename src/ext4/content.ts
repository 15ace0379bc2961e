/** Copies the content of regular files, and leaves out what is zeros. */
import { display } from "../bytes/bytestring.js";
import { alignUp } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import type { Content, ContentReader } from "../tree/node.js";
import { type BlockWriter, LEAST_ROOM } from "./block-writer.js";
import { ExtentList } from "./extents.js";
import type { Run } from "./geometry.js";
import { nonZeroBlocks } from "./holes.js";
import { dataBlocks, type ScannedFile } from "./survey.js";

export interface ContentTarget {
  readonly blockSize: number;
  readonly writer: BlockWriter;
  /** What the plan counts on, when it was made from a scan of this file. */
  readonly scanned: ScannedFile | undefined;
  allocate(blocks: number): Run[];
  /** So many bytes of the source are done. */
  progress(bytes: number): void;
}

/**
 * Writes all data of `content`, and returns where it is. Throws a `source-changed` error when there is data where the scan
 * found none: no block was planned for it.
 */
export async function writeContent(content: Content, target: ContentTarget): Promise<ExtentList> {
  const extents = new ExtentList();
  if (content.readWhole !== undefined && content.data === undefined && content.size <= LEAST_ROOM) {
    const bytes = target.writer.room().subarray(0, alignUp(content.size, target.blockSize));
    if (content.size > 0) await content.readWhole(bytes.subarray(0, content.size));
    placeBlocks(content, 0, bytes, target, extents);
    return extents;
  }
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
    if (target.writer.behind) await target.writer.catchUp();
    const room = target.writer.room();
    const blocks = Math.min(Math.floor(room.length / blockSize), run.end - block);
    const bytes = room.subarray(0, blocks * blockSize);
    const length = Math.min(bytes.length, content.size - block * blockSize);
    await reader.read(block * blockSize, bytes.subarray(0, length));
    placeBlocks(content, block, bytes, target, extents);
    block += blocks;
  }
}

/** Puts `bytes`, which are those of the file from its block `block` on, into blocks; what lies behind its end becomes zeros. */
function placeBlocks(
  content: Content,
  block: number,
  bytes: Uint8Array,
  target: ContentTarget,
  extents: ExtentList,
): void {
  const { blockSize } = target;
  const length = Math.min(bytes.length, content.size - block * blockSize);
  if (length < bytes.length) bytes.fill(0, length);
  target.progress(length);
  // Where the data is was found out by whoever read the tree, or it is found out here.
  const kept = content.data ? [{ start: 0, end: bytes.length / blockSize }] : nonZeroBlocks(bytes, blockSize);
  for (const { start, end } of kept) {
    if (target.scanned) checkPlanned(target.scanned, block + start, block + end, content.size, blockSize);
    let from = start;
    for (const place of target.allocate(end - start)) {
      const count = place.end - place.start;
      extents.add(block + from, place);
      target.writer.write(place.start * blockSize, bytes.subarray(from * blockSize, (from + count) * blockSize));
      from += count;
    }
  }
}

/**
 * Rejects data outside of what the scan found. Data that has become zeros needs no look: it takes a block less, and no more
 * extents than that block pays for. So whatever passes fits into what was planned.
 */
function checkPlanned({ path, data }: ScannedFile, start: number, end: number, size: number, blockSize: number): void {
  const bytes = { start: start * blockSize, end: Math.min(end * blockSize, size) };
  const planned = data.intersect(bytes.start, bytes.end)[0];
  if (planned?.start === bytes.start && planned.end === bytes.end) return;
  throw new ImgbuildError(
    "source-changed",
    `/${display(path)} changed while it was read: between bytes ${bytes.start} and ${bytes.end} there was a hole, and is data now`,
    {
      hint: "Something still writes to the source. Wait until it is done, or build from a copy or a tar.",
      data: { path: `/${display(path)}` },
    },
  );
}
