/** How failures reach the user: one line, a hint, the right exit code; a stack trace only with --verbose. */
import { safeText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { writeOutput } from "./standard-output.js";
import { paint } from "./terminal.js";

/** 0 success, 1 failure, 2 usage, 130 interrupted. */
export type ExitCode = 0 | 1 | 2 | 130;

/** Any error as one of ours. What is not ours is a bug, and is said to be one. */
export function asImgbuildError(error: unknown): ImgbuildError {
  if (error instanceof ImgbuildError) return error;
  const { message } = error as Error;
  return new ImgbuildError("internal", `this is a bug in imgbuild: ${message ?? String(error)}`, {
    hint: "Please report it with the command line and the output of the same command with --verbose.",
    cause: error,
  });
}

export function exitCodeOf(error: ImgbuildError): ExitCode {
  return error.code === "usage" || error.code === "profile-unknown" || error.code === "profile-invalid" ? 2 : 1;
}

/** Prints an error to standard error; with `json`, as a document on standard output too. Returns the exit code. */
export async function reportFailure(thrown: unknown, options: { verbose: boolean; json: boolean }): Promise<ExitCode> {
  const error = asImgbuildError(thrown);
  process.stderr.write(`${paint("red", "error:")} ${safeText(error.message)}\n`);
  if (error.hint !== undefined) process.stderr.write(`${paint("cyan", "hint:")} ${safeText(error.hint)}\n`);
  if (options.verbose) process.stderr.write(`${withCauses(error)}\n`);
  if (options.json) {
    const { code, message, hint, data } = error;
    await writeOutput([`${JSON.stringify({ error: { code, message, hint, data } })}\n`]);
  }
  return exitCodeOf(error);
}

function withCauses(error: Error): string {
  const lines = [error.stack ?? error.message];
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) lines.push(`caused by ${cause.stack}`);
  return lines.join("\n").split("\n").map(safeText).join("\n");
}
