/**
 * Hands out blocks and inodes of a fresh file system. Nothing is ever given back, so both are taken from the front of what
 * is free: content lies as it is written, and only the end of a free run splits a file. The bitmaps follow from what is
 * left over.
 */
import { ImgbuildError } from "../errors.js";
import { type Geometry, groupEnd, groupOfBlock, type Run } from "./geometry.js";
import { INODE } from "./layout.js";

export class BlockAllocator {
  readonly #geometry: Geometry;
  /** By flex group. */
  readonly #free: Run[][];

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
    this.#free = geometry.free.map((runs) => runs.map((run) => ({ ...run })));
  }

  /** `count` blocks, from flex group `goal` on if there are any, in as few runs as possible without leaving a gap. */
  allocate(goal: number, count: number): Run[] {
    const taken: Run[] = [];
    let left = count;
    for (let i = 0; left > 0 && i < this.#free.length; i++) {
      const runs = this.#free[(goal + i) % this.#free.length]!;
      while (left > 0 && runs.length > 0) {
        taken.push(this.#take(runs, 0, Math.min(left, runs[0]!.end - runs[0]!.start)));
        left -= taken.at(-1)!.end - taken.at(-1)!.start;
      }
    }
    if (left > 0) throw new ImgbuildError("internal", `ext4: ${left} of ${count} blocks were not planned for`);
    return taken;
  }

  /** One block. */
  allocateOne(goal: number): number {
    return this.allocate(goal, 1)[0]!.start;
  }

  /** `count` blocks in one run where there is such a run, else as `allocate`. */
  allocateTogether(count: number): Run[] {
    for (const runs of this.#free) {
      const index = runs.findIndex((run) => run.end - run.start >= count);
      if (index >= 0) return [this.#take(runs, index, count)];
    }
    return this.allocate(0, count);
  }

  #take(runs: Run[], index: number, count: number): Run {
    const run = runs[index]!;
    const taken = { start: run.start, end: run.start + count };
    run.start += count;
    if (run.start === run.end) runs.splice(index, 1);
    return taken;
  }

  /** What is free at the end, by group. */
  freeByGroup(): Run[][] {
    const byGroup: Run[][] = Array.from({ length: this.#geometry.groups }, () => []);
    for (const run of this.#free.flat()) {
      for (let { start } = run; start < run.end; ) {
        const group = groupOfBlock(this.#geometry, start);
        const end = Math.min(run.end, groupEnd(this.#geometry, group));
        byGroup[group]!.push({ start, end });
        start = end;
      }
    }
    return byGroup;
  }
}

/** Inode numbers, which begin at 1. In each group the used ones are the first. */
export class InodeAllocator {
  readonly #perGroup: number;
  /** Used inodes and directories among them, by group. */
  readonly used: number[];
  readonly directories: number[];
  readonly #groupsPerFlex: number;
  readonly #flexGroups: number;

  constructor({ groups, inodesPerGroup, groupsPerFlex }: Geometry) {
    this.#perGroup = inodesPerGroup;
    this.used = new Array<number>(groups).fill(0);
    this.directories = new Array<number>(groups).fill(0);
    this.#groupsPerFlex = groupsPerFlex;
    this.#flexGroups = Math.ceil(groups / groupsPerFlex);
    // The inodes before the first free one have their meanings, lost+found takes that one, and all might not fit into a group.
    for (let left: number = INODE.firstFree, group = 0; left > 0; group++) {
      this.used[group] = Math.min(left, inodesPerGroup);
      left -= this.used[group]!;
    }
    this.countDirectory(INODE.root);
    this.countDirectory(INODE.lostAndFound);
  }

  /** The first free inode of flex group `goal`, or of those behind it. */
  allocate(goal: number): number {
    for (let i = 0; i < this.#flexGroups; i++) {
      const first = ((goal + i) % this.#flexGroups) * this.#groupsPerFlex;
      const last = Math.min(first + this.#groupsPerFlex, this.used.length);
      for (let group = first; group < last; group++) {
        if (this.used[group]! < this.#perGroup) return group * this.#perGroup + ++this.used[group]!;
      }
    }
    throw new ImgbuildError("internal", "ext4: an inode was not planned for");
  }

  countDirectory(number: number): void {
    this.directories[Math.floor((number - 1) / this.#perGroup)]!++;
  }
}
