/**
 * Compresses blocks on all cores. The caller fills a slot, submits it, and gets the results back in the order in which it
 * submitted them, so what it writes does not depend on the number of workers. Slots are allocated once; a caller that is
 * faster than the workers waits for a slot, so memory does not grow either.
 *
 * The workers are Node's. Where there are none, in browsers, everything is compressed in the calling thread: run that in a
 * Worker.
 */
import type { Worker } from "node:worker_threads";
import { ImgbuildError } from "../errors.js";
import { type CodecSpec, type Compressor, createCompressor } from "./codec.js";
import { nodeModule } from "./node.js";
import { SharedSlots } from "./shared-slots.js";
import type { WorkerStart } from "./worker.js";

/** One in work, one waiting for the worker, one more so that a slow block at the head of the line idles nobody. */
const SLOTS_PER_WORKER = 3;
/** The slot that the caller is filling, and one that it keeps open for longer. */
const SLOTS_OF_CALLER = 2;
/** Starting a worker costs as much as some blocks: the first few are compressed in the calling thread. */
const BLOCKS_BEFORE_WORKERS = 4;

/** A worker makes next to no garbage: megabytes for what it has just allocated, where V8 would take 48. */
const WORKER_NURSERY = 2;

/** Room for one block. */
export interface Slot {
  /** As long as the pool's slot size. In shared memory: some Web APIs refuse that. */
  readonly input: Uint8Array;
}

/** Gets a result: valid only until it returns, or until the promise that it returns is settled. */
export type Consumer = (bytes: Uint8Array, compressed: boolean) => Promise<void> | void;

interface PoolSlot extends Slot {
  readonly index: number;
  consume: Consumer | undefined;
  done: boolean;
}

export interface PoolOptions {
  readonly spec: CodecSpec;
  /** The largest block, in bytes. */
  readonly slotSize: number;
  /** The longest result, in bytes. Default: shorter than its block, or else the block is passed on as it is. */
  readonly resultSize?: number | undefined;
  /** Number of workers. Default: one for each core. Elsewhere than in Node there are none. */
  readonly jobs?: number | undefined;
}

export class CompressorPool {
  readonly #spec: CodecSpec;
  readonly #jobs: number;
  readonly #slots: SharedSlots;
  readonly #all: readonly PoolSlot[];
  readonly #free: PoolSlot[];
  /** Submitted and not yet consumed, oldest first. */
  readonly #pending: PoolSlot[] = [];
  readonly #workers: Worker[] = [];
  readonly #own: Compressor;
  #submitted = 0;
  /** While the oldest result is waited for or consumed. */
  #consuming: Promise<void> | undefined;
  #failure: ImgbuildError | undefined;
  /** Resolves the wait for a worker to finish something. */
  #wake: (() => void) | undefined;

  private constructor(options: PoolOptions, own: Compressor) {
    this.#spec = options.spec;
    const os = nodeModule("node:os");
    this.#jobs = os === undefined ? 0 : (options.jobs ?? os.availableParallelism());
    this.#own = own;
    const slots = SLOTS_PER_WORKER * this.#jobs + SLOTS_OF_CALLER;
    this.#slots = SharedSlots.allocate(slots, options.slotSize, this.#jobs > 0, options.resultSize);
    this.#all = this.#slots.inputs.map((input, index) => ({ input, index, consume: undefined, done: false }));
    this.#free = [...this.#all];
  }

  /** A pool without workers: they start when there is enough to do. Close it, also after a failure. */
  static async create(options: PoolOptions): Promise<CompressorPool> {
    return new CompressorPool(options, await createCompressor(options.spec));
  }

  /**
   * A free slot; waits for one, and hands results to their consumers meanwhile. A caller may hold two at once. Rejects with
   * the error of a consumer, or an `internal` one when a worker failed. Several may wait at the same time, here and in `drain`,
   * but not a consumer: it would wait for its own end.
   */
  async acquire(): Promise<Slot> {
    while (this.#free.length === 0) await this.#consumeOldest();
    return this.#free.pop()!;
  }

  /** Gives back a slot that was acquired and not submitted. */
  release(slot: Slot): void {
    this.#free.push(slot as PoolSlot);
  }

  /**
   * Has the first `length` bytes of a slot compressed, or passed on as they are without `compress`. `consume` gets the result, or
   * the bytes themselves when they do not shrink, after the consumers of everything submitted before.
   */
  submit(slot: Slot, length: number, compress: boolean, consume: Consumer): void {
    const job = slot as PoolSlot;
    job.consume = consume;
    this.#pending.push(job);
    if (!compress) {
      this.#slots.keep(job.index, length);
      job.done = true;
      return;
    }
    job.done = this.#jobs === 0 || this.#submitted++ < BLOCKS_BEFORE_WORKERS;
    if (job.done) {
      this.#slots.processNow(job.index, length, this.#own);
    } else {
      this.#slots.submit(job.index, length);
      if (this.#workers.length < this.#jobs) this.#startWorker();
    }
  }

  /** Waits until everything that was submitted is consumed. Rejects as `acquire` does. */
  async drain(): Promise<void> {
    while (this.#pending.length > 0) await this.#consumeOldest();
  }

  /** Ends the workers, whatever they are doing. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map((worker) => worker.terminate()));
  }

  /** Has the oldest result consumed. Who calls it while that goes on waits for the same one: consumers run one at a time. */
  #consumeOldest(): Promise<void> {
    this.#consuming ??= this.#consume().finally(() => {
      this.#consuming = undefined;
    });
    return this.#consuming;
  }

  async #consume(): Promise<void> {
    const job = this.#pending[0];
    if (job === undefined) throw new Error("every slot is held by the caller");
    while (!job.done) {
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#pending.shift();
    const { bytes, compressed } = this.#slots.result(job.index);
    await job.consume!(bytes, compressed);
    job.consume = undefined;
    this.#free.push(job);
  }

  #startWorker(): void {
    const workerData: WorkerStart = { spec: this.#spec, memory: this.#slots.memory };
    const { Worker } = nodeModule("node:worker_threads")!;
    const worker = new Worker(new URL("./worker.js", import.meta.url), {
      workerData,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: WORKER_NURSERY },
    });
    this.#workers.push(worker);
    worker.on("message", (index: number) => {
      this.#all[index]!.done = true;
      this.#wake?.();
    });
    worker.on("error", (cause) => this.#fail(cause));
    worker.on("exit", (code) => {
      if (this.#workers.includes(worker)) this.#fail(new Error(`the worker ended with ${code}`));
    });
  }

  #fail(cause: unknown): void {
    this.#failure ??= new ImgbuildError("internal", `a compression worker failed: ${(cause as Error).message}`, {
      cause,
    });
    this.#wake?.();
  }
}
