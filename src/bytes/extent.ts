/** Ranges of bytes. All ranges in this project are half-open: `start` belongs to them, `end` does not. */
export interface Extent {
  readonly start: number;
  readonly end: number;
}

/** A set of bytes, kept as sorted extents that neither touch nor overlap. */
export class ExtentSet {
  readonly #extents: { start: number; end: number }[] = [];

  /** Adds [start, end). Adding in ascending order takes constant time. */
  add(start: number, end: number): void {
    if (end <= start) return;
    const first = this.#firstEndingAtOrAfter(start);
    let last = first;
    let from = start;
    let to = end;
    for (; last < this.#extents.length; last++) {
      const extent = this.#extents[last]!;
      if (extent.start > end) break;
      from = Math.min(from, extent.start);
      to = Math.max(to, extent.end);
    }
    if (last === first + 1) {
      const only = this.#extents[first]!;
      only.start = from;
      only.end = to;
    } else {
      this.#extents.splice(first, last - first, { start: from, end: to });
    }
  }

  /** The parts of [start, end) that are in the set. */
  intersect(start: number, end: number): Extent[] {
    const found: Extent[] = [];
    for (let i = this.#firstEndingAtOrAfter(start); i < this.#extents.length; i++) {
      const extent = this.#extents[i]!;
      if (extent.start >= end) break;
      const from = Math.max(extent.start, start);
      const to = Math.min(extent.end, end);
      if (to > from) found.push({ start: from, end: to });
    }
    return found;
  }

  /** Every extent, in ascending order. */
  [Symbol.iterator](): Iterator<Extent> {
    return this.#extents.values();
  }

  /** The number of bytes in the set. */
  get bytes(): number {
    return this.#extents.reduce((sum, extent) => sum + extent.end - extent.start, 0);
  }

  #firstEndingAtOrAfter(position: number): number {
    let low = 0;
    let high = this.#extents.length;
    const last = this.#extents[high - 1];
    if (last !== undefined && last.end < position) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#extents[middle]!.end < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
