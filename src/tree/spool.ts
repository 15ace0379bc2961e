/** Bytes that come once and are read at random later: a temporary file that vanishes with this process at the latest. */
import * as fs from "node:fs";
import * as path from "node:path";
import { breathe, readFully } from "../bytes/file-device.js";
import { hostWriteError } from "../bytes/host-error.js";
import { ImgbuildError } from "../errors.js";

let count = 0;

/** Makes a file in `folder` that has no name any more when this returns, for reading and writing. Throws as `hostWriteError` says. */
export function openSpool(folder: string): number {
  const name = path.join(folder, `.imgbuild-spool-${process.pid}-${count++}`);
  try {
    const fd = fs.openSync(name, "wx+", 0o600);
    fs.unlinkSync(name);
    return fd;
  } catch (error) {
    throw hostWriteError(name, error);
  }
}

/** Writes `chunks` to the end of a file that `openSpool` made in `folder`. Returns how many bytes they are. */
export async function appendToSpool(fd: number, folder: string, chunks: AsyncIterable<Uint8Array>): Promise<number> {
  let size = 0;
  for await (const chunk of chunks) {
    try {
      for (let done = 0; done < chunk.length; ) done += fs.writeSync(fd, chunk, done);
    } catch (error) {
      throw hostWriteError(`a temporary file in ${folder}`, error);
    }
    size += chunk.length;
    await breathe();
  }
  return size;
}

/** Fills `into` with the bytes from `at` on, which have to be there. Throws an `io-failed` error when the disk fails. */
export function readSpool(fd: number, folder: string, into: Uint8Array, at: number): void {
  let cause: unknown;
  try {
    if (readFully(fd, into, at) === into.length) return;
  } catch (error) {
    cause = error;
  }
  throw new ImgbuildError("io-failed", `cannot read a temporary file in ${folder}`, { hint: "Check the disk.", cause });
}
