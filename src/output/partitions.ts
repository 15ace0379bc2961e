/** Each partition as a file: as long as its file system is. */
import type { Device, RecordingDevice } from "../bytes/device.js";
import { partitionFile } from "./artifact-names.js";
import type { Output } from "./output.js";

export const partitions: Output = {
  async write({ image, assembled, options }, folder) {
    options.stage?.("single partitions");
    for (const { partition, start, used } of assembled.partitions) {
      if (partition.role === "rootfs" && used === 0) continue;
      await copyData(image, start, used, folder.create(partitionFile(partition), used));
    }
  },
};

const CHUNK = 2 ** 20;

/** Copies what was written of [start, start + length) to the beginning of `to`; holes stay holes. */
async function copyData(from: RecordingDevice, start: number, length: number, to: Device): Promise<void> {
  for (const extent of from.data.intersect(start, start + length)) {
    for (let at = extent.start; at < extent.end; at += CHUNK) {
      await to.write(at - start, await from.read(at, Math.min(CHUNK, extent.end - at)));
    }
  }
}
