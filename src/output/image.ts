/** The whole user area as a file: what was assembled, as it is. */
import type { Output } from "./output.js";

export const image: Output = {
  async write(_, folder) {
    folder.keepImage();
  },
};
