/** Results on standard output: as fast as whoever reads them takes them, and quietly ended when nobody does any more. */
import { once } from "node:events";
import { hostWriteError } from "../bytes/host-error.js";

/** Writes the pieces one after the other. When the reader goes away, as `head` does, it stops, and that is no error. */
export async function writeOutput(
  pieces: AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>,
): Promise<void> {
  const { stdout } = process;
  let failure: NodeJS.ErrnoException | undefined;
  const stop = new AbortController();
  const failed = (error: NodeJS.ErrnoException) => {
    failure = error;
    stop.abort();
  };
  stdout.on("error", failed);
  try {
    for await (const piece of pieces) {
      if (failure !== undefined) break;
      if (!stdout.write(piece)) await once(stdout, "drain", { signal: stop.signal });
    }
    if (failure === undefined) await new Promise<void>((resolve) => stdout.write("", () => resolve()));
  } catch (error) {
    if ((error as Error).name !== "AbortError") throw error;
  } finally {
    stdout.off("error", failed);
  }
  if (failure !== undefined && failure.code !== "EPIPE") throw hostWriteError("standard output", failure);
  // What is still on its way must not fail either.
  if (failure !== undefined) stdout.on("error", () => {});
}
