/** Programs of the host that know what Node's own calls cannot tell: libc's view under fakeroot, and extended attributes. */
import { spawn } from "node:child_process";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { type ByteString, toBytes } from "../bytes/bytestring.js";

export interface ProgramOutput {
  /** Undefined when there is no such program. */
  readonly exitCode: number | null | undefined;
  /** What it wrote to standard error. */
  readonly complaint: string;
}

/**
 * Runs `command` in the folder `cwd`, with `input` on its standard input, and hands its standard output to `use`, which has
 * to begin to read at once: what nobody reads when the program ends, Node drops. Rejects only where `use` does.
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  cwd: string,
  use: (output: AsyncIterable<Uint8Array>) => Promise<void>,
  input?: Iterable<Uint8Array>,
): Promise<ProgramOutput> {
  const child = spawn(command, args, { cwd, env: { ...process.env, LC_ALL: "C" }, stdio: ["pipe", "pipe", "pipe"] });
  // A program that ends before it has read everything says so by its exit code.
  pipeline(Readable.from(input ?? []), child.stdin).catch(() => {});
  const exit = new Promise<number | null | undefined>((resolve) => {
    child.once("error", () => resolve(undefined));
    child.once("close", resolve);
  });
  const complaint = text(child.stderr);
  try {
    await use(child.stdout);
  } catch (error) {
    child.kill();
    await exit;
    throw error;
  }
  return { exitCode: await exit, complaint: (await complaint).trim() };
}

/** Paths below a folder as xargs -0 and tar --null take them, in pieces that fit a pipe. None of them looks like an option. */
export function* nulTerminated(paths: readonly ByteString[]): Generator<Uint8Array> {
  for (let at = 0; at < paths.length; at += 1024) {
    yield toBytes(
      paths
        .slice(at, at + 1024)
        .map((path) => `./${path}\0`)
        .join("") as ByteString,
    );
  }
}
