/** The reader's face: opening a volume of FAT12, FAT16 or FAT32, whoever made it; finding, listing, contents, the whole tree. */
import { type ByteString, compareBytes } from "../bytes/bytestring.js";
import type { ReadableDevice } from "../bytes/device.js";
import type { Finding } from "../bytes/finding.js";
import { ImgbuildError } from "../errors.js";
import type { TreeReading } from "../tree/damage.js";
import type { Content, ContentReader, Node } from "../tree/node.js";
import { splitPath, type Tree } from "../tree/tree.js";
import { type BootFacts, readBootSector } from "./boot-sector.js";
import type { Chain } from "./chain.js";
import { checkVolume } from "./check.js";
import type { FatDirectory, FatEntry, FatFile } from "./entries.js";
import { clusterBytes } from "./geometry.js";
import { type FatType, FSINFO_SIGNATURES, fsInfo } from "./layout.js";
import { foldName, nameText } from "./names.js";
import { nodeOf, readTree } from "./read-tree.js";
import { type OpenVolume, openVolume, readDirectory } from "./volume.js";

/** What the boot sector, FSInfo, the root directory and entry 1 of the table say. */
export interface FatFacts {
  readonly type: FatType;
  /** The root directory's, or else the boot sector's. */
  readonly label: string | undefined;
  readonly volumeId: number;
  /** Bytes in a sector. */
  readonly sectorSize: number;
  /** Sectors of the whole volume; what follows on the device does not belong to it. */
  readonly sectors: number;
  /** Bytes in a cluster. */
  readonly clusterSize: number;
  readonly clusters: number;
  /** As FSInfo has it, which may be out of date; `countFree` counts. Undefined on FAT12 and FAT16, and where it is unknown. */
  readonly freeClusters: number | undefined;
  /** False when the volume was not unmounted before it was copied, or had errors. */
  readonly clean: boolean;
}

/**
 * A volume that is open. Directories and contents are not read before they are asked for, and nothing that is said in the
 * volume is trusted: every method rejects with an `image-corrupt` error, with `data.offset` in bytes of the device, when it
 * comes upon damage. What is not damaged stays readable. There is nothing to close: the device is the caller's.
 */
export interface FatReader {
  readonly facts: FatFacts;
  /** Its name is empty, and its time 1970: FAT has no entry for it. */
  readonly root: FatDirectory;
  /** What is at `path` in `from`, the root by default, or undefined. Names are found as FAT does it, without regard to case. */
  lookup(path: ByteString, from?: FatDirectory): Promise<FatEntry | undefined>;
  /** What is in a directory, in byte order of the names. */
  entries(directory: FatDirectory): AsyncGenerator<FatEntry>;
  /** A file's content. Its chain is followed when it is opened. */
  content(file: FatFile): Content;
  /** How many clusters are free by the table, all of which is read. */
  countFree(): Promise<number>;
  /** An entry as a node, its content read when it is asked for; of a directory, without what is in it. */
  node(entry: FatEntry): Node;
  /**
   * All of it, or of a directory: directories and chains are read, contents when they are asked for. Modes are those that Linux shows: 0755 and
   * 0644, 0444 with the attribute "read-only"; owners are 0. Rejects also when two files or directories share a cluster, when
   * a directory is in two places or within itself, and when it has two entries of one name.
   */
  tree(reading?: TreeReading<FatDirectory>): Promise<Tree>;
  /** What is damaged, beyond what `tree` and its contents come by: the copies, FSInfo, clusters that belong to nothing. */
  check(): AsyncGenerator<Finding>;
}

/**
 * Opens the volume that begins at byte 0 of `device`. Reads the boot sector, FSInfo and the root directory.
 *
 * Rejects with `image-corrupt` when it is no FAT volume, when it was cut short or is damaged, and with what the device rejects
 * with.
 */
export async function openFat(device: ReadableDevice): Promise<FatReader> {
  const boot = await readBootSector(device);
  const volume = openVolume(device, boot);
  const { label } = await readDirectory(volume, volume.root);
  const { geometry } = boot;
  return new VolumeReader(volume, boot, {
    type: geometry.type,
    label: label ?? boot.label,
    volumeId: boot.volumeId,
    sectorSize: geometry.sectorSize,
    sectors: geometry.sectors,
    clusterSize: clusterBytes(geometry),
    clusters: geometry.clusters,
    freeClusters: await readFreeClusters(device, boot),
    clean: !boot.dirty && (await volume.chains.table.leftClean()),
  });
}

/** As FSInfo has it. That is a hint: where it cannot be true it counts as missing. */
async function readFreeClusters(device: ReadableDevice, boot: BootFacts): Promise<number | undefined> {
  if (boot.fsInfo === undefined) return undefined;
  const { leadSignature, structSignature, freeClusters } = fsInfo.read(await device.read(boot.fsInfo, fsInfo.size));
  const sound =
    leadSignature === FSINFO_SIGNATURES.leadSignature && structSignature === FSINFO_SIGNATURES.structSignature;
  return sound && freeClusters <= boot.geometry.clusters ? freeClusters : undefined;
}

class VolumeReader implements FatReader {
  readonly facts: FatFacts;
  readonly root: FatDirectory;
  readonly #volume: OpenVolume;
  readonly #boot: BootFacts;

  constructor(volume: OpenVolume, boot: BootFacts, facts: FatFacts) {
    this.facts = facts;
    this.root = volume.root;
    this.#volume = volume;
    this.#boot = boot;
  }

  async lookup(path: ByteString, from = this.root): Promise<FatEntry | undefined> {
    let found: FatEntry | undefined = from;
    for (const name of splitPath(path)) {
      if (found?.type !== "directory") return undefined;
      const wanted = foldName(nameText(name));
      const { entries } = await readDirectory(this.#volume, found);
      // Of two entries with one name, which is damage, the first counts.
      found = entries.find((entry) => foldName(nameText(entry.name)) === wanted);
    }
    return found;
  }

  async *entries(directory: FatDirectory): AsyncGenerator<FatEntry> {
    const { entries } = await readDirectory(this.#volume, directory);
    yield* entries.sort((a, b) => compareBytes(a.name, b.name));
  }

  content(file: FatFile): Content {
    const { device, chains } = this.#volume;
    return { size: file.size, open: async () => new FileReader(device, file, await chains.chain(file)) };
  }

  countFree(): Promise<number> {
    return this.#volume.chains.table.countFree();
  }

  node(entry: FatEntry): Node {
    return nodeOf(entry, (file) => this.content(file));
  }

  tree(reading: TreeReading<FatDirectory> = {}): Promise<Tree> {
    return readTree(this.#volume, (file) => this.content(file), reading);
  }

  check(): AsyncGenerator<Finding> {
    return checkVolume(this.#volume, this.#boot, this.facts);
  }
}

class FileReader implements ContentReader {
  readonly #device: ReadableDevice;
  readonly #file: FatFile;
  readonly #chain: Chain;

  constructor(device: ReadableDevice, file: FatFile, chain: Chain) {
    this.#device = device;
    this.#file = file;
    this.#chain = chain;
  }

  async read(at: number, into: Uint8Array): Promise<void> {
    const end = at + into.length;
    if (!(at >= 0 && end <= this.#file.size)) {
      throw new ImgbuildError("internal", `bytes ${at} to ${end} are wanted of a file of ${this.#file.size} bytes`);
    }
    let done = 0;
    for (const piece of this.#chain.pieces(at, into.length)) {
      into.set(await this.#device.read(piece.at, piece.length), done);
      done += piece.length;
    }
  }

  async close(): Promise<void> {}
}
