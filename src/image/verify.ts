/** Checks all of an image: the table, and in each partition every structure and every file. */
import type { ByteString } from "../bytes/bytestring.js";
import type { Finding } from "../bytes/finding.js";
import { formatSize } from "../bytes/size.js";
import type { Observer } from "../tree/observer.js";
import { type CheckedFiles, checkContents, type FileFinding, findingOf } from "./check-contents.js";
import { checkHashTree } from "./hash-tree.js";
import type { OpenedImage, Volume } from "./open-image.js";

/** A finding in an image. */
export interface PlacedFinding extends Finding {
  /** "the partition table", "partition 2 (rootfs, squashfs)", "squashfs". */
  readonly where: string;
  /** The first path that it was met at, and how many there are. */
  readonly path?: ByteString | undefined;
  readonly paths?: number | undefined;
}

export interface Verification {
  /** What was checked, a line each. */
  readonly checked: readonly string[];
  readonly findings: readonly PlacedFinding[];
}

/** Findings of one volume that are told: where all is broken, more say nothing more. */
const MOST_FINDINGS = 100;
/** What ends a check that has found so many. */
const ENOUGH = new Error("there are enough findings");

/** How a volume is called: "partition 2 (squashfs)", or "squashfs" where it is all of the image. */
export function volumeName({ partition, kind }: Volume, name = partition?.name): string {
  if (partition === undefined) return kind ?? "image";
  const words = [name, kind].filter((word) => word !== undefined);
  return `partition ${partition.number}${words.length > 0 ? ` (${words.join(", ")})` : ""}`;
}

/**
 * Checks the image. Offsets of findings are bytes of the image; those in messages are of the file system, as its own tools count. `names` are what partitions are
 * called elsewhere, by number. Rejects only with what the device rejects with: damage is a finding.
 */
export async function verifyImage(
  image: OpenedImage,
  names: ReadonlyMap<number, string> = new Map(),
  observer: Observer & { stage?(name: string): void } = {},
): Promise<Verification> {
  const checked: string[] = [];
  const findings: PlacedFinding[] = [];
  const { table } = image;
  if (table !== undefined) {
    const where = "the partition table";
    findings.push(...table.problems.map((problem) => ({ ...problem, where })));
    const copies = table.kind === "gpt" ? "both copies of the GPT" : "the MBR";
    checked.push(`${copies}: ${table.partitions.length} partition${table.partitions.length === 1 ? "" : "s"}`);
  }
  for (const volume of image.volumes) {
    const where = volumeName(volume, names.get(volume.partition?.number ?? 0) ?? volume.partition?.name);
    if (volume.kind === undefined) {
      checked.push(`${where}: not checked, there is no file system in it that is known here`);
      continue;
    }
    observer.stage?.(where);
    const result = await verifyVolume(volume, observer);
    findings.push(...result.findings.map((finding) => ({ ...finding, where })));
    checked.push(`${where}: ${result.checked}`);
  }
  return { checked, findings };
}

async function verifyVolume(
  volume: Volume,
  observer: Observer,
): Promise<{ checked: string; findings: VolumeFinding[] }> {
  const { device, partition } = volume;
  const found = new FindingList(partition?.start ?? 0);
  const counts: CheckedFiles = { names: 0, files: 0, bytes: 0 };
  try {
    const fileSystem = await volume.open();
    for (const note of (await fileSystem.facts()).notes) found.add(note);
    for await (const finding of fileSystem.check()) found.addOrStop(finding);
    if (volume.kind === "squashfs") {
      const { size } = await fileSystem.facts();
      for await (const finding of checkHashTree(device, size, observer)) found.addOrStop(finding);
    }
    const tree = await fileSystem.root.tree((error, path) => found.addOrStop(findingOf(error, path)));
    for await (const finding of checkContents(tree, device.size, counts, observer)) found.addOrStop(finding);
  } catch (error) {
    // Also what only cannot be read: nobody has seen then that it is sound.
    if (error !== ENOUGH) found.add({ ...findingOf(error), severity: "error" });
  }
  return {
    checked: `${counts.names} names, ${counts.files} files, ${formatSize(counts.bytes)} of data`,
    findings: found.list,
  };
}

type VolumeFinding = Omit<PlacedFinding, "where">;

/** Findings of a volume, each once: the same damage is met again by everything that lies on it. */
class FindingList {
  readonly #base: number;
  readonly #found = new Map<string, { finding: FileFinding; path: ByteString | undefined; paths: number }>();

  /** `base` is where the volume begins in the image. */
  constructor(base: number) {
    this.#base = base;
  }

  get #isFull(): boolean {
    return this.#found.size >= MOST_FINDINGS;
  }

  /** Throws `ENOUGH` once no more are wanted. */
  addOrStop(finding: FileFinding): void {
    this.add(finding);
    if (this.#isFull) throw ENOUGH;
  }

  add(finding: FileFinding): void {
    const known = this.#found.get(finding.message) ?? { finding, path: undefined, paths: 0 };
    known.path ??= finding.path;
    if (finding.path !== undefined) known.paths++;
    this.#found.set(finding.message, known);
  }

  get list(): VolumeFinding[] {
    const list = [...this.#found.values()].map(({ finding, path, paths }): VolumeFinding => {
      const { severity, message, offset } = finding;
      const about = path === undefined ? {} : { path, paths };
      return { severity, message, ...(offset !== undefined && { offset: this.#base + offset }), ...about };
    });
    if (!this.#isFull) return list;
    return [
      ...list,
      { severity: "error", message: `there is more: only ${MOST_FINDINGS} findings of a file system are told` },
    ];
  }
}
