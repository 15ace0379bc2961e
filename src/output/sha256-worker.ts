/** The thread that sha256.ts starts: hashes the files that it is sent, and sends their digests back. */
import { parentPort } from "node:worker_threads";
import { hashFile, type SparseFile } from "./sha256.js";

parentPort!.on("message", async (file: SparseFile) => parentPort!.postMessage(await hashFile(file)));
