/** One worker of the pool: takes slots, compresses them, and tells the pool which are done. It ends by being terminated. */
import { parentPort, workerData } from "node:worker_threads";
import { type CodecSpec, createCompressor } from "./codec.js";
import { type SharedMemory, SharedSlots } from "./shared-slots.js";

/** What the pool starts a worker with. */
export interface WorkerStart {
  readonly spec: CodecSpec;
  readonly memory: SharedMemory;
}

const { spec, memory } = workerData as WorkerStart;
const slots = new SharedSlots(memory);
const compressor = await createCompressor(spec);
for (;;) {
  const slot = slots.take();
  slots.process(slot, compressor);
  parentPort!.postMessage(slot);
}
