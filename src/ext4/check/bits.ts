/** Sets of blocks and of inodes, and counts of them: stored for the groups alone that have any, so that space costs nothing. */

/** Numbers from 0 on, `perGroup` of them to a group, as a bitmap of the file system has them. */
export class GroupBits {
  readonly #perGroup: number;
  readonly #groups = new Map<number, Uint8Array>();

  constructor(perGroup: number) {
    this.#perGroup = perGroup;
  }

  /** Adds `count` numbers from `first` on. Returns the first that was there before; undefined when none was. */
  add(first: number, count = 1): number | undefined {
    let known: number | undefined;
    for (let number = first; number < first + count; number++) {
      const group = Math.floor(number / this.#perGroup);
      const bit = number % this.#perGroup;
      let bits = this.#groups.get(group);
      if (bits === undefined) {
        bits = new Uint8Array(Math.ceil(this.#perGroup / 8));
        this.#groups.set(group, bits);
      }
      const mask = 1 << (bit & 7);
      if ((bits[bit >> 3]! & mask) !== 0) known ??= number;
      bits[bit >> 3]! |= mask;
    }
    return known;
  }

  has(number: number): boolean {
    const bits = this.#groups.get(Math.floor(number / this.#perGroup));
    const bit = number % this.#perGroup;
    return bits !== undefined && ((bits[bit >> 3]! >> (bit & 7)) & 1) === 1;
  }

  /** The bitmap of a group; undefined where nothing is set. */
  ofGroup(group: number): Uint8Array | undefined {
    return this.#groups.get(group);
  }
}

/** A count for each number from 0 on. */
export class GroupCounts {
  readonly #perGroup: number;
  readonly #groups = new Map<number, Uint32Array>();

  constructor(perGroup: number) {
    this.#perGroup = perGroup;
  }

  add(number: number, count = 1): void {
    const group = Math.floor(number / this.#perGroup);
    let counts = this.#groups.get(group);
    if (counts === undefined) {
      counts = new Uint32Array(this.#perGroup);
      this.#groups.set(group, counts);
    }
    counts[number % this.#perGroup]! += count;
  }

  get(number: number): number {
    return this.#groups.get(Math.floor(number / this.#perGroup))?.[number % this.#perGroup] ?? 0;
  }
}
