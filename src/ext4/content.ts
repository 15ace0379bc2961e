/** Copies the content of regular files, and leaves out what is zeros. */
import { display } from "../bytes/bytestring.js";
import { alignUp } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import type { Content, ContentReader, RegularFile } from "../tree/node.js";
import type { Observer } from "../tree/observer.js";
import type { BlockAllocator } from "./allocator.js";
import { type BlockWriter, LEAST_ROOM } from "./block-writer.js";
import { ExtentList } from "./extents.js";
import type { BlockSize } from "./format.js";
import type { Run } from "./geometry.js";
import { nonZeroBlocks } from "./holes.js";
import { dataBlocks, type ScannedFile } from "./survey.js";

export interface ContentOptions {
  readonly blockSize: BlockSize;
  readonly writer: BlockWriter;
  readonly allocator: BlockAllocator;
  /** What the plan counts on, of the files that it was made from a scan of. */
  readonly scanned: ReadonlyMap<RegularFile, ScannedFile>;
  readonly observer: Observer;
}

/** A file that is being written. */
interface Job {
  readonly content: Content;
  readonly scanned: ScannedFile | undefined;
  /** The flex group in which its blocks are looked for first. */
  readonly goal: number;
  readonly extents: ExtentList;
}

export class ContentWriter {
  readonly #blockSize: BlockSize;
  readonly #writer: BlockWriter;
  readonly #allocator: BlockAllocator;
  readonly #scanned: ReadonlyMap<RegularFile, ScannedFile>;
  readonly #observer: Observer;

  constructor({ blockSize, writer, allocator, scanned, observer }: ContentOptions) {
    this.#blockSize = blockSize;
    this.#writer = writer;
    this.#allocator = allocator;
    this.#scanned = scanned;
    this.#observer = observer;
  }

  /**
   * Writes all data of a file, from flex group `goal` on, and returns where it is: without a promise for the small files
   * that most are, unless their content takes one. Throws or rejects with a `source-changed` error when there is data where
   * the scan found none: no block was planned for it.
   */
  write(node: RegularFile, goal: number): ExtentList | Promise<ExtentList> {
    const { content } = node;
    const job = { content, scanned: this.#scanned.get(node), goal, extents: new ExtentList() };
    if (content.readWhole === undefined || content.data !== undefined || content.size > LEAST_ROOM) {
      return this.#copy(job);
    }
    const bytes = this.#writer.room().subarray(0, alignUp(content.size, this.#blockSize));
    const reading = content.size > 0 ? content.readWhole(bytes.subarray(0, content.size)) : undefined;
    return reading === undefined ? this.#place(job, 0, bytes) : reading.then(() => this.#place(job, 0, bytes));
  }

  async #copy(job: Job): Promise<ExtentList> {
    const { content, extents } = job;
    const runs = dataBlocks(content, this.#blockSize);
    if (runs.length === 0) return extents;
    const reader = await content.open();
    try {
      for (const run of runs) await this.#copyRun(job, reader, run);
    } finally {
      await reader.close();
    }
    return extents;
  }

  async #copyRun(job: Job, reader: ContentReader, run: Run): Promise<void> {
    const blockSize = this.#blockSize;
    for (let block = run.start; block < run.end; ) {
      if (this.#writer.behind) await this.#writer.catchUp();
      const room = this.#writer.room();
      const blocks = Math.min(Math.floor(room.length / blockSize), run.end - block);
      const bytes = room.subarray(0, blocks * blockSize);
      const length = Math.min(bytes.length, job.content.size - block * blockSize);
      await reader.read(block * blockSize, bytes.subarray(0, length));
      this.#place(job, block, bytes);
      block += blocks;
    }
  }

  /** Puts `bytes`, which are those of the file from its block `block` on, into blocks; what lies behind its end becomes zeros. */
  #place({ content, scanned, goal, extents }: Job, block: number, bytes: Uint8Array): ExtentList {
    const blockSize = this.#blockSize;
    const length = Math.min(bytes.length, content.size - block * blockSize);
    if (length < bytes.length) bytes.fill(0, length);
    this.#observer.progress?.(length, 0);
    // Where the data is was found out by whoever read the tree, or it is found out here.
    const kept = content.data ? [{ start: 0, end: bytes.length / blockSize }] : nonZeroBlocks(bytes, blockSize);
    for (const { start, end } of kept) {
      if (scanned) checkPlanned(scanned, block + start, block + end, content.size, blockSize);
      let from = start;
      for (const place of this.#allocator.allocate(goal, end - start)) {
        const count = place.end - place.start;
        extents.add(block + from, place);
        this.#writer.write(place.start * blockSize, bytes.subarray(from * blockSize, (from + count) * blockSize));
        from += count;
      }
    }
    return extents;
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
