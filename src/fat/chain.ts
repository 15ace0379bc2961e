/** Chains of clusters: what a file or a directory lies in. Every one ends, whatever the table says. */
import type { ReadableDevice } from "../bytes/device.js";
import type { ImgbuildError } from "../errors.js";
import { corrupt } from "./corrupt.js";
import type { FatEntry, Piece } from "./entries.js";
import { clusterBytes, clusterStart, type Geometry } from "./geometry.js";
import { FIRST_CLUSTER, MAX_DIRECTORY_BYTES } from "./layout.js";
import { TableReader } from "./table.js";

/** Runs that are handed on at once. */
const BATCH = 4096;

/** Clusters of a chain that lie side by side. */
export interface Run {
  readonly first: number;
  readonly count: number;
  /** Byte on the device that holds the number of the first: in the entry, or in the table. */
  readonly named: number;
}

/** The clusters of a file or directory, in order. */
export class Chain {
  readonly #geometry: Geometry;
  /** The first cluster of each run, and how many clusters of the chain there are up to its end. */
  readonly #firsts: number[] = [];
  readonly #ends: number[] = [];

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
  }

  add(first: number, count: number): void {
    const last = this.#ends.length - 1;
    const end = this.#ends[last] ?? 0;
    if (last >= 0 && first === this.#firsts[last]! + end - (this.#ends[last - 1] ?? 0)) this.#ends[last] = end + count;
    else {
      this.#firsts.push(first);
      this.#ends.push(end + count);
    }
  }

  /** Puts all of it into `set`. */
  addTo(set: ClusterSet): void {
    for (const [i, first] of this.#firsts.entries()) set.add(first, this.#ends[i]! - (this.#ends[i - 1] ?? 0));
  }

  /** Where `length` bytes from `at` on are on the device; the chain has to be that long. */
  *pieces(at = 0, length = (this.#ends.at(-1) ?? 0) * clusterBytes(this.#geometry) - at): Generator<Piece> {
    const size = clusterBytes(this.#geometry);
    const end = at + length;
    for (let run = this.#runWith(Math.floor(at / size)), from = at; from < end; run++) {
      const runStart = (this.#ends[run - 1] ?? 0) * size;
      const to = Math.min(end, this.#ends[run]! * size);
      yield { at: clusterStart(this.#geometry, this.#firsts[run]!) + from - runStart, length: to - from };
      from = to;
    }
  }

  #runWith(cluster: number): number {
    let low = 0;
    for (let high = this.#ends.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle]! > cluster) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Remembers clusters, a bit for each of the volume. */
export class ClusterSet {
  readonly #bits: Uint8Array;

  constructor({ clusters }: Geometry) {
    this.#bits = new Uint8Array(Math.ceil((FIRST_CLUSTER + clusters) / 8));
  }

  /** Adds `count` clusters from `first` on. Returns the first that was in already; those behind it are not added then. */
  add(first: number, count: number): number | undefined {
    for (let cluster = first; cluster < first + count; cluster++) {
      const bit = 1 << (cluster & 7);
      if (this.#bits[cluster >>> 3]! & bit) return cluster;
      this.#bits[cluster >>> 3]! |= bit;
    }
    return undefined;
  }
}

/** Follows the chains of a volume. */
export class ChainReader {
  readonly #geometry: Geometry;
  readonly table: TableReader;

  constructor(device: ReadableDevice, geometry: Geometry) {
    this.#geometry = geometry;
    this.table = new TableReader(device, geometry);
  }

  /**
   * The runs of an entry's chain, in batches, as far as they count: a file's up to the end of its last byte, a directory's up to its
   * end. There are no more clusters in them than the volume has; one may come twice. Throws an `image-corrupt` error where
   * the chain leaves the volume, ends too early, or does not end.
   */
  async *runs(entry: FatEntry): AsyncGenerator<readonly Run[]> {
    if (entry.type === "file" && entry.size === 0) return;
    const { clusters } = this.#geometry;
    const size = clusterBytes(this.#geometry);
    const bytes = entry.type === "file" ? entry.size : MAX_DIRECTORY_BYTES;
    const most = Math.ceil(bytes / size);
    if (entry.firstCluster < FIRST_CLUSTER || entry.firstCluster >= FIRST_CLUSTER + clusters) {
      throw corrupt(
        entry.at,
        `a ${entry.type} begins at cluster ${entry.firstCluster}, and there are 2 to ${clusters + 1}`,
      );
    }
    if (entry.type === "file" && most > clusters) {
      throw corrupt(entry.at, `a file of ${bytes} bytes, in a volume whose clusters hold ${clusters * size}`);
    }
    let named = entry.at;
    let batch: Run[] = [];
    for (let first = entry.firstCluster, done = 0; ; ) {
      const loading = this.table.load(first);
      if (loading !== undefined || batch.length === BATCH) {
        yield batch;
        batch = [];
        await loading;
      }
      try {
        // Of a directory one more than it may have, to see whether it ends.
        const { count, next } = this.table.run(first, most - done + (entry.type === "directory" ? 1 : 0));
        batch.push({ first, count, named });
        done += count;
        if (entry.type === "file" && done === most) break;
        named = this.table.position(first + count - 1);
        if (done > most) throw corrupt(named, `a directory is longer than ${bytes} bytes`);
        if (next === undefined) {
          if (entry.type === "directory") break;
          throw corrupt(named, `a chain ends after ${done * size} bytes of a file that has ${bytes}`);
        }
        first = next;
      } catch (error) {
        // That one of the clusters up to here comes twice says more, and has to be found first.
        yield batch;
        throw error;
      }
    }
    yield batch;
  }

  /** The whole chain of an entry. Throws an `image-corrupt` error as `runs` does, and where the chain meets itself. */
  async chain(entry: FatEntry): Promise<Chain> {
    const chain = new Chain(this.#geometry);
    let seen: ClusterSet | undefined;
    let end = 0;
    for await (const batch of this.runs(entry)) {
      for (const run of batch) {
        // Runs that go up all the way, as in nearly every chain, cannot meet.
        if (seen === undefined && run.first < end) {
          seen = new ClusterSet(this.#geometry);
          chain.addTo(seen);
        }
        const twice = seen?.add(run.first, run.count);
        if (twice !== undefined) throw this.circle(run, twice);
        chain.add(run.first, run.count);
        end = run.first + run.count;
      }
    }
    return chain;
  }
  /** The error for a run whose cluster `twice` came before in the same chain. */
  circle({ first, named }: Run, twice: number): ImgbuildError {
    const at = twice === first ? named : this.table.position(twice - 1);
    return corrupt(at, `a chain runs in a circle at cluster ${twice}`);
  }
}
