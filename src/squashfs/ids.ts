/** The table of user and group ids: inodes have 16-bit indexes into it. */
import { ImgbuildError } from "../errors.js";

/** The superblock counts them in 16 bits. */
const MAX_IDS = 0xffff;

export class IdTable {
  readonly #indexes = new Map<number, number>();

  get count(): number {
    return this.#indexes.size;
  }

  /** The index of a user or group id; the first use gives it one. Throws `not-representable` for one too many. */
  indexOf(id: number): number {
    let index = this.#indexes.get(id);
    if (index === undefined) {
      index = this.#indexes.size;
      if (index === MAX_IDS) {
        throw new ImgbuildError("not-representable", `the tree has more than ${MAX_IDS} different user and group ids`, {
          hint: "SquashFS cannot hold more. Give the tree fewer owners, for example with --owner.",
        });
      }
      this.#indexes.set(id, index);
    }
    return index;
  }

  /** The table, 32 bits an id. */
  encode(): Uint8Array {
    const bytes = new Uint8Array(4 * this.#indexes.size);
    const view = new DataView(bytes.buffer);
    for (const [id, index] of this.#indexes) view.setUint32(4 * index, id, true);
    return bytes;
  }
}
