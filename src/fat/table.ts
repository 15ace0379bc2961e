/** The file allocation table: each entry holds the number of the cluster that comes after its own. "FAT Data Structure". */
import type { ReadableDevice } from "../bytes/device.js";
import { sameBytes } from "../bytes/same-bytes.js";
import { corrupt } from "./corrupt.js";
import { fatStart, type Geometry } from "./geometry.js";
import { BAD_CLUSTER, END_OF_CHAIN, type FatType, FIRST_CLUSTER, MEDIA_FIXED } from "./layout.js";

/** The table of chains that lie one after the other from cluster 2 on, each without a gap: `chains` are their lengths. */
export function encodeTable(type: FatType, chains: readonly number[]): Uint8Array {
  const used = FIRST_CLUSTER + chains.reduce((sum, length) => sum + length, 0);
  const table = new Uint8Array(Math.ceil((used * type) / 8));
  const view = new DataView(table.buffer);
  const end = type === 32 ? END_OF_CHAIN : END_OF_CHAIN & (2 ** type - 1);
  const set = (cluster: number, value: number) => {
    if (type === 32) view.setUint32(cluster * 4, value, true);
    else if (type === 16) view.setUint16(cluster * 2, value, true);
    else {
      // Three bytes hold two entries; the one with the odd number begins in the middle.
      const at = Math.floor(cluster * 1.5);
      if (cluster % 2 === 0) {
        table[at] = value & 0xff;
        table[at + 1]! |= value >> 8;
      } else {
        table[at]! |= (value & 0x0f) << 4;
        table[at + 1] = value >> 4;
      }
    }
  };
  // Entry 0 repeats the media byte; entry 1 says, in its highest bits, that the volume was left clean and without errors.
  set(0, (end & ~0xff) | MEDIA_FIXED);
  set(1, end);
  let cluster = FIRST_CLUSTER;
  for (const length of chains) {
    for (const last = cluster + length - 1; cluster < last; cluster++) set(cluster, cluster + 1);
    set(cluster++, end);
  }
  return table;
}

/** A multiple of 3 and of 4, so that no entry of any type lies across the border of two pages. */
const PAGE = 96 * 1024;
/** Pages that are kept: 48 MiB, which is the whole table of most volumes. */
const PAGES_KEPT = 512;

/** The first table of a volume, read as it is needed. */
export class TableReader {
  readonly #device: ReadableDevice;
  readonly #geometry: Geometry;
  /** By their number, in the order in which they were read. */
  readonly #pages = new Map<number, Uint8Array>();

  constructor(device: ReadableDevice, geometry: Geometry) {
    this.#device = device;
    this.#geometry = geometry;
  }

  /** Byte on the device at which the entry of `cluster` begins. */
  position(cluster: number): number {
    return fatStart(this.#geometry) + Math.floor((cluster * this.#geometry.type) / 8);
  }

  /** Reads what `run` needs for a run that begins at `cluster`; undefined when it is there already. */
  load(cluster: number): Promise<unknown> | undefined {
    const index = this.#pageOf(cluster);
    return this.#pages.has(index) ? undefined : this.#page(index);
  }

  /**
   * Clusters that follow each other from `first` on, at most `most` of them, and the cluster that the last of them goes on
   * to: undefined at the chain's end, and when `most` was reached. It ends with a page of the table at the latest. Throws an
   * `image-corrupt` error with the position of an entry that holds neither a cluster nor an end.
   */
  run(first: number, most: number): { count: number; next: number | undefined } {
    const index = this.#pageOf(first);
    const page = this.#pages.get(index)!;
    for (let cluster = first, count = 1; ; cluster++, count++) {
      if (count === most) return { count, next: undefined };
      const next = this.#next(cluster, page);
      if (next !== cluster + 1 || this.#pageOf(next) !== index) return { count, next };
    }
  }

  /** How many clusters belong to nothing. Reads the whole table. */
  countFree(): Promise<number> {
    return this.#count(0);
  }

  /** How many clusters are marked as damaged, for nobody to use. Reads the whole table. */
  countBad(): Promise<number> {
    return this.#count(BAD_CLUSTER & (2 ** this.#geometry.type - 1));
  }

  async #count(wanted: number): Promise<number> {
    let count = 0;
    for (let cluster = FIRST_CLUSTER, end = cluster + this.#geometry.clusters; cluster < end; ) {
      const index = this.#pageOf(cluster);
      const bytes = await this.#page(index);
      for (; cluster < end && this.#pageOf(cluster) === index; cluster++) {
        if (this.#value(cluster, bytes) === wanted) count++;
      }
    }
    return count;
  }

  /** Whether the volume was left as it should be: entry 1 says so, on FAT16 and FAT32. "FAT Data Structure". */
  async leftClean(): Promise<boolean> {
    const { type } = this.#geometry;
    return type === 12 || (this.#value(1, await this.#page(0)) & (type === 16 ? 0x8000 : 0x0800_0000)) !== 0;
  }

  /** The byte on the device from which on table `index` differs from the first; undefined where it does not. Reads both. */
  async firstDifference(index: number): Promise<number | undefined> {
    const length = this.#geometry.fatSectors * this.#geometry.sectorSize;
    const [first, other] = [fatStart(this.#geometry), fatStart(this.#geometry, index)];
    for (let at = 0; at < length; at += PAGE) {
      const size = Math.min(PAGE, length - at);
      const [a, b] = [await this.#device.read(first + at, size), await this.#device.read(other + at, size)];
      if (!sameBytes(a, b)) return other + at + a.findIndex((byte, i) => byte !== b[i]);
    }
    return undefined;
  }

  #pageOf(cluster: number): number {
    return Math.floor(Math.floor((cluster * this.#geometry.type) / 8) / PAGE);
  }

  async #page(index: number): Promise<Uint8Array> {
    const known = this.#pages.get(index);
    if (known !== undefined) return known;
    const length = this.#geometry.fatSectors * this.#geometry.sectorSize;
    const from = index * PAGE;
    const page = await this.#device.read(fatStart(this.#geometry) + from, Math.min(PAGE, length - from));
    if (this.#pages.size === PAGES_KEPT) this.#pages.delete(this.#pages.keys().next().value!);
    this.#pages.set(index, page);
    return page;
  }

  /** What the entry of `cluster`, which is in `page`, holds. */
  #value(cluster: number, page: Uint8Array): number {
    const { type } = this.#geometry;
    const at = Math.floor((cluster * type) / 8) % PAGE;
    const value = page[at]! | (page[at + 1]! << 8);
    if (type === 12) return cluster % 2 === 0 ? value & 0xfff : value >> 4;
    return type === 16 ? value : value | (page[at + 2]! << 16) | ((page[at + 3]! & 0x0f) << 24);
  }

  /** The cluster after `cluster`, or undefined at the end. */
  #next(cluster: number, page: Uint8Array): number | undefined {
    const { type, clusters } = this.#geometry;
    const value = this.#value(cluster, page);
    if (value >= FIRST_CLUSTER && value < FIRST_CLUSTER + clusters) return value;
    if (value >= (0x0fff_fff8 & (2 ** type - 1))) return undefined;
    throw corrupt(
      this.position(cluster),
      `the FAT entry of cluster ${cluster} is ${value}: neither one of the clusters 2 to ${clusters + 1} nor an end of chain`,
      { cluster, value },
    );
  }
}
