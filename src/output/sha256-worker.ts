/** The thread that sha256.ts starts: hashes one file and sends the digest back. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { readFully } from "../bytes/file-device.js";
import type { SparseFile } from "./sha256.js";

const CHUNK = 2 ** 20;

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
      if (readFully(fd, piece, at) < piece.length) throw new Error(`${path} has become shorter`);
      hash.update(piece);
      at += piece.length;
    }
  }
  skipTo(size);
  fs.closeSync(fd);
  return hash.digest("hex");
}

parentPort!.postMessage(hashFile(workerData as SparseFile));
