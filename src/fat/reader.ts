/** Reads FAT12, FAT16 and FAT32 volumes, whoever made them, and trusts nothing in them. */
import { type ByteString, display, fromText, toBytes } from "../bytes/bytestring.js";
import type { ReadableDevice } from "../bytes/device.js";
import { ExtentSet } from "../bytes/extent.js";
import { ImgbuildError } from "../errors.js";
import { type Content, readContent, type Timestamp } from "../tree/node.js";
import { splitPath } from "../tree/tree.js";
import { readBootSector, type Volume } from "./boot-sector.js";
import { decodeDirectory, type FoundEntry } from "./entries.js";
import { clusterBytes, clusterStart, rootBytes, rootStart } from "./geometry.js";
import { type FatType, FIRST_CLUSTER, MAX_DIRECTORY_BYTES } from "./layout.js";
import { foldName } from "./names.js";
import { TableReader } from "./table.js";

export interface FatEntry {
  /** The long name where there is one. */
  readonly name: ByteString;
  readonly type: "file" | "directory";
  /** Bytes; 0 for a folder. */
  readonly size: number;
  /** Read as UTC. */
  readonly mtime: Timestamp;
}

/**
 * Paths are looked up as FAT does, without regard to case. A path that is not there is a `source-missing` error; damage is
 * an `image-corrupt` error with `data.offset`, the byte on the device.
 */
export interface FatReader {
  readonly type: FatType;
  /** From the root directory, or else from the boot sector. */
  readonly label: string | undefined;
  readonly volumeId: number;
  /** Bytes. */
  readonly clusterSize: number;
  readonly clusters: number;
  /** Sorted by name, in byte order. */
  list(path: ByteString): Promise<FatEntry[]>;
  stat(path: ByteString): Promise<FatEntry>;
  /** A file's content, read as it is asked for. The whole chain is checked first. */
  open(path: ByteString): Promise<Content>;
  /** All bytes of a file. */
  read(path: ByteString): Promise<Uint8Array>;
}

/** Bytes of a chain that lie together: from `at` on, on the device. */
interface Piece {
  readonly at: number;
  readonly length: number;
}

interface FoundDirectory {
  readonly entries: readonly FoundEntry[];
  readonly byName: ReadonlyMap<string, FoundEntry>;
  readonly label: string | undefined;
}

interface Located {
  readonly entry: FatEntry;
  /** What the entry says; undefined for the root. */
  readonly found: FoundEntry | undefined;
  /** First clusters of the folders on the way, to tell when one leads back to them. */
  readonly above: ReadonlySet<number>;
}

/** Opens a volume. Throws an `image-corrupt` error when its boot sector cannot be true. */
export async function openFat(device: ReadableDevice): Promise<FatReader> {
  const volume = await readBootSector(device);
  const reader = new VolumeReader(device, volume);
  const { label } = await reader.directory(undefined, new Set());
  return {
    type: volume.geometry.type,
    label: label ?? volume.label,
    volumeId: volume.volumeId,
    clusterSize: clusterBytes(volume.geometry),
    clusters: volume.geometry.clusters,
    async list(path) {
      const located = await reader.locate(path);
      if (located.entry.type !== "directory") throw notThere(path, "is a file, not a folder");
      const { entries } = await reader.directory(located.found, located.above);
      return entries.map(asEntry).sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    stat: async (path) => (await reader.locate(path)).entry,
    open: (path) => reader.open(path),
    read: async (path) => readContent(await reader.open(path)),
  };
}

function notThere(path: ByteString, what: string): ImgbuildError {
  return new ImgbuildError("source-missing", `${display(path) || "/"} ${what} in this FAT file system`);
}

function asEntry(found: FoundEntry): FatEntry {
  return {
    name: fromText(found.name),
    type: found.directory ? "directory" : "file",
    size: found.directory ? 0 : found.size,
    mtime: { seconds: found.modified, nanoseconds: 0 },
  };
}

const ROOT: FatEntry = {
  name: "" as ByteString,
  type: "directory",
  size: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
};

class VolumeReader {
  readonly #device: ReadableDevice;
  readonly #volume: Volume;
  readonly #table: TableReader;
  /** Folders that were read, by their first cluster. */
  readonly #directories = new Map<number, FoundDirectory>();

  constructor(device: ReadableDevice, volume: Volume) {
    this.#device = device;
    this.#volume = volume;
    this.#table = new TableReader(device, volume.geometry);
  }

  async locate(path: ByteString): Promise<Located> {
    const above = new Set<number>();
    let located: Located = { entry: ROOT, found: undefined, above };
    for (const name of splitPath(path)) {
      if (located.entry.type !== "directory") throw notThere(path, "does not exist");
      const { byName } = await this.directory(located.found, above);
      const found = byName.get(foldName(new TextDecoder().decode(toBytes(name))));
      if (found === undefined) throw notThere(path, "does not exist");
      above.add(located.found?.firstCluster ?? this.#volume.rootCluster);
      located = { entry: asEntry(found), found, above };
    }
    return located;
  }

  /** What is in a folder; `found` is its entry, undefined for the root. */
  async directory(found: FoundEntry | undefined, above: ReadonlySet<number>): Promise<FoundDirectory> {
    const { geometry, rootCluster } = this.#volume;
    if (found !== undefined && above.has(found.firstCluster)) {
      throw corrupt(found.at, `the folder ${found.name} leads back to a folder that it is in`);
    }
    const firstCluster = found?.firstCluster ?? rootCluster;
    const known = this.#directories.get(firstCluster);
    if (known !== undefined) return known;
    const pieces =
      found === undefined && rootCluster === 0
        ? [{ at: rootStart(geometry), length: rootBytes(geometry) }]
        : await this.#chain(firstCluster, found?.at ?? 0, MAX_DIRECTORY_BYTES, "directory");
    const { entries, label } = await decodeDirectory(this.#device, pieces);
    // Of two entries with one name, which is damage, the first counts.
    const byName = new Map([...entries].reverse().map((entry) => [foldName(entry.name), entry]));
    const directory = { entries, byName, label };
    this.#directories.set(firstCluster, directory);
    return directory;
  }

  async open(path: ByteString): Promise<Content> {
    const { found } = await this.locate(path);
    if (found === undefined || found.directory) throw notThere(path, "is a folder, not a file");
    const pieces = found.size === 0 ? [] : await this.#chain(found.firstCluster, found.at, found.size, "file");
    const device = this.#device;
    return {
      size: found.size,
      async open() {
        return {
          async read(at, into) {
            let start = 0; // of the piece, in the file
            for (const piece of pieces) {
              const from = Math.max(at, start);
              const to = Math.min(at + into.length, start + piece.length);
              if (to > from) into.set(await device.read(piece.at + from - start, to - from), from - at);
              start += piece.length;
            }
          },
          async close() {},
        };
      },
    };
  }

  /**
   * Follows a chain. A file's has to be at least `length` bytes long, and is followed no further; a directory's is
   * followed to its end, which has to come within `length` bytes. `at` is the entry that names `first`.
   */
  async #chain(first: number, at: number, length: number, kind: "file" | "directory"): Promise<Piece[]> {
    const { geometry } = this.#volume;
    if (first < FIRST_CLUSTER || first >= FIRST_CLUSTER + geometry.clusters) {
      throw corrupt(at, `a ${kind} begins at cluster ${first}, and there are 2 to ${geometry.clusters + 1}`);
    }
    const size = clusterBytes(geometry);
    const pieces: Piece[] = [];
    const seen = new ExtentSet();
    const most = Math.ceil(length / size);
    let clusters = 0;
    let from = at; // where the number of the next cluster is
    for (let cluster = first; ; ) {
      // Of a directory one more than it may have, to see whether it ends.
      const { count, next } = await this.#table.run(cluster, most - clusters + (kind === "directory" ? 1 : 0));
      const twice = seen.intersect(cluster, cluster + count)[0];
      if (twice !== undefined) {
        const back = twice.start === cluster ? from : this.#table.position(twice.start - 1);
        throw corrupt(back, `a chain runs in a circle at cluster ${twice.start}`);
      }
      pieces.push({ at: clusterStart(geometry, cluster), length: count * size });
      seen.add(cluster, cluster + count);
      clusters += count;
      if (kind === "file" && clusters === most) return pieces;
      from = this.#table.position(cluster + count - 1);
      if (clusters > most) throw corrupt(from, `a directory is longer than ${length} bytes`);
      if (next === undefined) {
        if (kind === "directory") return pieces;
        throw corrupt(from, `a chain ends after ${clusters * size} bytes of a file that has ${length}`);
      }
      cluster = next;
    }
  }
}

function corrupt(offset: number, message: string): ImgbuildError {
  return new ImgbuildError("image-corrupt", `${message} (byte ${offset})`, { data: { offset } });
}
