/**
 * Writes an image onto a medium so that, whatever happens half-way, the medium never looks like a whole one: the first MiB, with
 * the partition table and what a boot ROM looks for, becomes zeros before anything else and is written last.
 *
 *     1. zeros over what the image has in the first MiB, and over the header of an old GPT's backup
 *     2. everything else that the block map names, in order; then the caches are emptied
 *     3. that is read back and compared
 *     4. of a GPT, the backup at the medium's end; then the first MiB; both are read back too
 *
 * Blocks that the map does not name are never written: another's bootloader or environment may be there.
 */
import { createHash, type Hash } from "node:crypto";
import { fromBytes } from "../bytes/bytestring.js";
import { type Device, MemoryDevice } from "../bytes/device.js";
import { ImgbuildError } from "../errors.js";
import { moveGptBackup, readPartitionTable } from "../partition/index.js";
import type { Observer } from "../tree/observer.js";
import type { BlockMap, MappedRange } from "./bmap.js";
import { cutAtPieces, type ImagePiece, type ImageSource } from "./image-source.js";
import { type Medium, PIECE } from "./medium.js";

export interface FlashJob {
  readonly source: ImageSource;
  /** What has to be written of the image. */
  readonly map: BlockMap;
  readonly medium: Medium;
  /** Whether everything is read back. */
  readonly verify: boolean;
  readonly observer?: Observer;
  readonly stage?: (name: string, bytes: number) => void;
}

export interface Flashed {
  /** In bytes. */
  readonly written: number;
  readonly verified: number;
  /** Whether the backup of a GPT was moved to the medium's end. */
  readonly backupMoved: boolean;
}

/** A map of an image without one: all of it. */
export function wholeImage(imageSize: number): BlockMap {
  return { imageSize, checksumType: "sha256", ranges: imageSize === 0 ? [] : [{ start: 0, end: imageSize }] };
}

/** How far a job has come: for what is said when it does not come to its end. */
export interface FlashProgress {
  /** Whether anything of the medium was changed. */
  begun: boolean;
  done: boolean;
}

/**
 * Does the job. Rejects with `io-failed` for what the medium does not take or gives back otherwise, with `image-corrupt` for an
 * image that is not what its block map says; all of them say that the medium is incomplete once it is.
 */
export async function writeImage(job: FlashJob, progress: FlashProgress): Promise<Flashed> {
  try {
    return await writeInOrder(job, progress);
  } catch (error) {
    if (!progress.begun || progress.done || !(error instanceof ImgbuildError)) throw error;
    const { code, message, hint, data, cause } = error;
    throw new ImgbuildError(code, `${message}; ${incompleteText(job.medium.path)}`, {
      ...(hint !== undefined && { hint }),
      data: { ...data, device: job.medium.path, incomplete: true },
      cause,
    });
  }
}

/** What is said of a medium that was not written to its end. */
export const incompleteText = (path: string): string =>
  `${path} is incomplete now and nothing starts from it: flash it again`;

async function writeInOrder(job: FlashJob, progress: FlashProgress): Promise<Flashed> {
  const { source, map, medium, verify, observer, stage } = job;
  const total = map.ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  const head = new MemoryDevice(await medium.read(0, Math.min(PIECE, medium.size)));
  const digests: Digest[] = [];
  stage?.("writing", total);
  progress.begun = true;
  await clearHead(medium, map, head);
  const checks = new RangeChecks(map, source.path);
  for await (const piece of source.pieces(map.ranges)) {
    checks.add(piece);
    const { at, bytes } = piece;
    if (at < PIECE) {
      await head.write(at, bytes);
    } else {
      await medium.write(at, bytes);
      if (verify) digests.push({ start: at, end: at + bytes.length, sha256: sha256(bytes) });
    }
    observer?.progress?.(bytes.length, 0);
  }
  medium.sync();

  let verified = 0;
  stage?.(verify ? "verifying" : "partition table", verify ? total : 0);
  for (const { start, end, sha256: expected } of digests) {
    if (!sha256(await medium.read(start, end - start)).equals(expected)) throw differs(medium, start, end);
    verified += end - start;
    observer?.progress?.(end - start, 0);
  }

  const moved = (await moveGptBackup(withHead(head, medium))) ?? 0;
  medium.sync();
  await medium.write(0, head.bytes);
  medium.sync();
  progress.done = true;
  if (verify) {
    await verifyHead(medium, head, moved > 0);
    observer?.progress?.(total - verified, 0);
    verified = total;
  }
  return { written: total, verified, backupMoved: moved > 0 };
}

interface Digest {
  readonly start: number;
  readonly end: number;
  readonly sha256: Buffer;
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();

function differs(medium: Medium, start: number, end: number): ImgbuildError {
  return new ImgbuildError(
    "io-failed",
    `${medium.path} does not give back what was written between byte ${start} and byte ${end}`,
    { hint: "The card may be worn out, or smaller than it says. Try another.", data: { start, end } },
  );
}

/** Makes the medium one without a table. What the map does not name in the first MiB stays in `head`, and on the medium. */
async function clearHead(medium: Medium, map: BlockMap, head: MemoryDevice): Promise<void> {
  for (const { start, end } of map.ranges) {
    if (start < PIECE) await head.zero(start, Math.min(end, head.size) - start);
  }
  await medium.write(0, head.bytes);
  for (const sectorSize of [512, 4096]) {
    const at = medium.size - sectorSize;
    if (at < PIECE || at % sectorSize !== 0) continue;
    if (await hasGptHeader(medium, at)) await medium.zero(at, sectorSize);
  }
  medium.sync();
}

/** What cannot be read is no header that anybody finds, and no reason not to write what can be written. */
async function hasGptHeader(medium: Medium, at: number): Promise<boolean> {
  try {
    return fromBytes(await medium.read(at, 8)) === "EFI PART";
  } catch (error) {
    if (error instanceof ImgbuildError && error.code === "io-failed") return false;
    throw error;
  }
}

/** The medium as it is going to be: its first bytes are in memory still. */
function withHead(head: MemoryDevice, medium: Medium): Device {
  const write = async (at: number, bytes: Uint8Array) => {
    for (const { start, end } of cutAtPieces({ start: at, end: at + bytes.length })) {
      await (start < head.size ? head : medium).write(start, bytes.subarray(start - at, end - at));
    }
  };
  return {
    size: medium.size,
    async read(at, length) {
      const bytes = new Uint8Array(length);
      for (const { start, end } of cutAtPieces({ start: at, end: at + length })) {
        bytes.set(await (start < head.size ? head : medium).read(start, end - start), start - at);
      }
      return bytes;
    },
    write,
    zero: (at, length) => write(at, new Uint8Array(length)),
  };
}

async function verifyHead(medium: Medium, head: MemoryDevice, hasMoved: boolean): Promise<void> {
  const found = await medium.read(0, head.size);
  if (!sha256(found).equals(sha256(head.bytes))) throw differs(medium, 0, head.size);
  if (!hasMoved) return;
  const [problem] = (await readPartitionTable(medium)).problems;
  if (problem !== undefined) {
    throw new ImgbuildError("io-failed", `the partition table on ${medium.path} is not right: ${problem.message}`, {
      hint: "The card may be worn out, or smaller than it says. Try another.",
    });
  }
}

/** Holds what is read of the image against the map's checksums. */
class RangeChecks {
  readonly #map: BlockMap;
  readonly #path: string;
  #index = 0;
  #hash: Hash;

  constructor(map: BlockMap, path: string) {
    this.#map = map;
    this.#path = path;
    this.#hash = createHash(map.checksumType);
  }

  add({ at, bytes }: ImagePiece): void {
    const range: MappedRange = this.#map.ranges[this.#index]!;
    if (range.checksum !== undefined) this.#hash.update(bytes);
    if (at + bytes.length < range.end) return;
    if (range.checksum !== undefined) {
      const found = this.#hash.digest("hex");
      if (found !== range.checksum) {
        throw new ImgbuildError(
          "image-corrupt",
          `${this.#path} is not the image that its block map is of: bytes ${range.start} to ${range.end} have the ${this.#map.checksumType} ${found}, and the map says ${range.checksum}`,
          { hint: "Copy both again, or build the image again.", data: { start: range.start, end: range.end } },
        );
      }
      this.#hash = createHash(this.#map.checksumType);
    }
    this.#index++;
  }
}
