/**
 * The memory that the pool and its workers share: slots with an input and an output each, and a queue of submitted slots.
 *
 *     control   submitted | taken | lengths, one a slot | results, one a slot | queue, one entry a slot
 *     blocks    input of slot 0 | output of slot 0 | input of slot 1 | ...
 *
 * One thread submits; any worker takes. The counters only grow, so entry n of the queue is at n modulo its length. It is
 * written again only for the submission n + length, and that needs a slot that was given back, so n was taken by then.
 */
import type { Compressor } from "./codec.js";

const SUBMITTED = 0;
const TAKEN = 1;
const COUNTERS = 2;

/** The result for a block that does not shrink: its input is what will be stored. */
const STORED = 0;

/** What is sent to a worker to let it see the same slots. */
export interface SharedMemory {
  readonly slots: number;
  readonly slotSize: number;
  /** Room for a result: where it is more than a slot, blocks may grow. */
  readonly resultSize: number;
  readonly control: ArrayBufferLike;
  readonly blocks: ArrayBufferLike;
}

export class SharedSlots {
  readonly memory: SharedMemory;
  /** By slot: what to compress, and where the result goes. */
  readonly inputs: readonly Uint8Array[];
  readonly outputs: readonly Uint8Array[];
  readonly #counters: Int32Array;
  readonly #lengths: Int32Array;
  readonly #results: Int32Array;
  readonly #queue: Int32Array;

  /** Over memory that another thread made. */
  constructor(memory: SharedMemory) {
    const { slots, slotSize, resultSize, control, blocks } = memory;
    this.memory = memory;
    const both = slotSize + resultSize;
    this.inputs = Array.from({ length: slots }, (_, i) => new Uint8Array(blocks, i * both, slotSize));
    this.outputs = Array.from({ length: slots }, (_, i) => new Uint8Array(blocks, i * both + slotSize, resultSize));
    const part = (index: number) => new Int32Array(control, 4 * (COUNTERS + index * slots), slots);
    this.#counters = new Int32Array(control, 0, COUNTERS);
    this.#lengths = part(0);
    this.#results = part(1);
    this.#queue = part(2);
  }

  /**
   * New memory for `slots` slots of `slotSize` bytes. It is not `shared` where there is just one thread: most web pages may
   * not share any.
   */
  static allocate(slots: number, slotSize: number, shared: boolean, resultSize = slotSize): SharedSlots {
    const Memory = shared ? SharedArrayBuffer : ArrayBuffer;
    return new SharedSlots({
      slots,
      slotSize,
      resultSize,
      control: new Memory(4 * (COUNTERS + 3 * slots)),
      blocks: new Memory(slots * (slotSize + resultSize)),
    });
  }

  /** Queues the first `length` bytes of a slot's input for any worker. */
  submit(slot: number, length: number): void {
    const submitted = Atomics.load(this.#counters, SUBMITTED);
    this.#lengths[slot] = length;
    this.#queue[(submitted >>> 0) % this.#queue.length] = slot;
    Atomics.store(this.#counters, SUBMITTED, submitted + 1);
    Atomics.notify(this.#counters, SUBMITTED, 1);
  }

  /** The next queued slot. Blocks the thread until there is one, so it is for workers only. */
  take(): number {
    for (;;) {
      const taken = Atomics.load(this.#counters, TAKEN);
      const submitted = Atomics.load(this.#counters, SUBMITTED);
      if (taken === submitted) Atomics.wait(this.#counters, SUBMITTED, submitted);
      else if (Atomics.compareExchange(this.#counters, TAKEN, taken, taken + 1) === taken) {
        return this.#queue[(taken >>> 0) % this.#queue.length]!;
      }
    }
  }

  /** Compresses a slot that was taken. What does not shrink leaves no result. */
  process(slot: number, compressor: Compressor): void {
    this.processNow(slot, this.#lengths[slot]!, compressor);
  }

  /** Compresses the first `length` bytes of a slot's input in this thread, past the queue. */
  processNow(slot: number, length: number, compressor: Compressor): void {
    this.#lengths[slot] = length;
    const input = this.inputs[slot]!.subarray(0, length);
    const output = this.outputs[slot]!;
    const room = output.length > this.memory.slotSize ? output.length : Math.max(length - 1, 0);
    this.#results[slot] = room === 0 ? STORED : compressor.compress(input, output.subarray(0, room));
  }

  /** Lets the first `length` bytes of a slot's input be its result. */
  keep(slot: number, length: number): void {
    this.#lengths[slot] = length;
    this.#results[slot] = STORED;
  }

  /** The result of a processed slot: its compressed bytes, or the input itself when that did not shrink. */
  result(slot: number): { readonly bytes: Uint8Array; readonly compressed: boolean } {
    const size = this.#results[slot]!;
    return size === STORED
      ? { bytes: this.inputs[slot]!.subarray(0, this.#lengths[slot]!), compressed: false }
      : { bytes: this.outputs[slot]!.subarray(0, size), compressed: true };
  }
}
