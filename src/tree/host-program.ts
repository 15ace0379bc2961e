/** Programs of the host that know what Node's own calls cannot tell: libc's view under fakeroot, and extended attributes. */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";

export interface ProgramOutput {
  /** Undefined when there is no such program. */
  readonly exitCode: number | null | undefined;
  /** What it wrote to standard error. */
  readonly complaint: string;
}

/** Runs `command` in the folder `cwd` and hands its standard output to `use`. Rejects only where `use` does. */
export async function runProgram(
  command: string,
  args: readonly string[],
  cwd: string,
  use: (output: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<ProgramOutput> {
  const child = spawn(command, args, { cwd, env: { ...process.env, LC_ALL: "C" }, stdio: ["ignore", "pipe", "pipe"] });
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
