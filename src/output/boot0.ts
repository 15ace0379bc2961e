/** The eMMC's boot partition 0 as a file, where the profile's bootloader goes there and is in the build. */
import { boot0Size, writeBoot0 } from "../image/boot0.js";
import { BOOT0 } from "./artifact-names.js";
import type { Output } from "./output.js";

export const boot0: Output = {
  async write({ plan, prepared }, folder) {
    const size = boot0Size(plan, prepared);
    if (size !== undefined) await writeBoot0(folder.create(BOOT0, size), plan, prepared);
  },
};
