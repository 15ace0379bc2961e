/**
 * SHA-256 of sparse files, each in a thread of its own. What was written is read back from the disk; holes are not read,
 * which would fill the host's memory with zeros, but hashed as the zeros that they are.
 */
import { Worker } from "node:worker_threads";
import type { Extent } from "../bytes/extent.js";
import { ImgbuildError } from "../errors.js";

export interface SparseFile {
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** Where data is, ascending. */
  readonly data: readonly Extent[];
}

/** The SHA-256 of a file, in hexadecimal. Rejects with `io-failed` when it cannot be read back. */
export function sha256(file: SparseFile): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./sha256-worker.js", import.meta.url), { workerData: file });
    worker.once("message", resolve);
    worker.once("error", (cause) => {
      reject(
        new ImgbuildError("io-failed", `cannot read ${file.path} back: ${cause.message}`, {
          hint: "Check the disk.",
          cause,
        }),
      );
    });
  });
}
