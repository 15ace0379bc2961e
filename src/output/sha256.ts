/**
 * SHA-256 of sparse files, each in a thread of its own. What was written is read back from the disk; holes are not read,
 * which would fill the host's memory with zeros, but hashed as the zeros that they are.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import type { Extent } from "../bytes/extent.js";
import { readFully } from "../bytes/file-device.js";

export interface SparseFile {
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** Where data is, ascending. */
  readonly data: readonly Extent[];
}

const CHUNK = 2 ** 20;

/** The SHA-256 of a file, in hexadecimal. */
export function sha256(file: SparseFile): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: file });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

function hashFile({ path, size, data }: SparseFile): string {
  const hash = createHash("sha256");
  const zeros = new Uint8Array(CHUNK);
  const buffer = new Uint8Array(CHUNK);
  const fd = fs.openSync(path, "r");
  let at = 0;
  const skipTo = (end: number) => {
    for (; at < end; at += CHUNK) hash.update(zeros.subarray(0, Math.min(CHUNK, end - at)));
    at = end;
  };
  for (const { start, end } of data) {
    skipTo(start);
    while (at < end) {
      const piece = buffer.subarray(0, Math.min(CHUNK, end - at));
      readFully(fd, piece, at);
      hash.update(piece);
      at += piece.length;
    }
  }
  skipTo(size);
  fs.closeSync(fd);
  return hash.digest("hex");
}

if (!isMainThread) parentPort?.postMessage(hashFile(workerData as SparseFile));
