/**
 * SHA-256 of sparse files. What was written is read back from the disk; holes are not read, which would fill the host's memory
 * with zeros, but hashed as the zeros that they are.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { Worker } from "node:worker_threads";
import type { Extent } from "../bytes/extent.js";
import { breathe, readFully } from "../bytes/file-device.js";
import { ImgbuildError } from "../errors.js";

export interface SparseFile {
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** Where data is, ascending. */
  readonly data: readonly Extent[];
}

const CHUNK = 2 ** 18;
const ZEROS = new Uint8Array(CHUNK);

/** A thread takes longer to start than to hash so much. */
const WORTH_A_THREAD = 2 ** 24;

/** The SHA-256 of a file, in hexadecimal. Rejects with `io-failed` when it cannot be read back. */
export async function sha256(file: SparseFile): Promise<string> {
  try {
    return await hashFile(file);
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** The SHA-256 of each file, in their order, on as many threads as there are `jobs`: this one, and others for large files. */
export async function sha256OfAll(files: readonly SparseFile[], jobs: number): Promise<string[]> {
  const digests = new Map<SparseFile, string>();
  // The longest first, so that no thread begins it when the others are done.
  const waiting = [...files].sort((a, b) => b.size - a.size);
  const large = waiting.filter(({ size }) => size >= WORTH_A_THREAD).length;
  const workers = Array.from({ length: Math.max(0, Math.min(jobs, large) - 1) }, () => new HashWorker());
  const hashers = [sha256, ...workers.map((worker) => (file: SparseFile) => worker.hash(file))];
  try {
    await Promise.all(
      hashers.map(async (hash) => {
        for (let file = waiting.shift(); file !== undefined; file = waiting.shift())
          digests.set(file, await hash(file));
      }),
    );
  } finally {
    // After a failure the others need not go on.
    waiting.length = 0;
    await Promise.all(workers.map((worker) => worker.end()));
  }
  return files.map((file) => digests.get(file)!);
}

/** A thread that hashes one file after the other. */
class HashWorker {
  readonly #worker = new Worker(new URL("./sha256-worker.js", import.meta.url));

  hash(file: SparseFile): Promise<string> {
    return new Promise((resolve, reject) => {
      const failed = (error: Error) => reject(unreadable(file, error));
      this.#worker.once("error", failed);
      this.#worker.once("message", (digest: string) => {
        this.#worker.off("error", failed);
        resolve(digest);
      });
      this.#worker.postMessage(file);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** The SHA-256 of a file; throws the host's own errors. */
export async function hashFile({ path, size, data }: SparseFile): Promise<string> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(CHUNK);
  const fd = fs.openSync(path, "r");
  try {
    let at = 0;
    const zerosTo = async (end: number) => {
      for (; at < end; at += CHUNK) {
        await breathe();
        hash.update(ZEROS.subarray(0, Math.min(CHUNK, end - at)));
      }
      at = end;
    };
    for (const { start, end } of data) {
      await zerosTo(start);
      while (at < end) {
        await breathe();
        const piece = buffer.subarray(0, Math.min(CHUNK, end - at));
        if (readFully(fd, piece, at) < piece.length) throw new Error(`it ends at byte ${at}, or before`);
        hash.update(piece);
        at += piece.length;
      }
    }
    await zerosTo(size);
  } finally {
    fs.closeSync(fd);
  }
  return hash.digest("hex");
}

function unreadable({ path }: SparseFile, cause: unknown): ImgbuildError {
  const { code, message } = cause as NodeJS.ErrnoException;
  return new ImgbuildError("io-failed", `cannot read ${path} back: ${code ?? message}`, {
    hint: "Check the disk, and that nothing else writes to the file.",
    cause,
  });
}
