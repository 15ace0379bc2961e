/** Each partition as a file: as long as its file system is. */
import { partitionFile } from "./artifact-names.js";
import { copyRange } from "./blocks.js";
import type { Output } from "./output.js";

export const partitions: Output = {
  async write({ image, assembled, options }, folder) {
    options.stage?.("single partitions");
    for (const { partition, start, used } of assembled.partitions) {
      if (partition.role === "rootfs" && used === 0) continue;
      await copyRange(image, start, used, folder.create(partitionFile(partition), used));
    }
  },
};
