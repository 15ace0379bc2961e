#!/usr/bin/env node
/** The command line: which command it names, running that, and one place where failures end. */
import * as fs from "node:fs";
import { setFlagsFromString } from "node:v8";
import { similarNames } from "../bytes/similar-names.js";
import { ImgbuildError } from "../errors.js";
import { COMMANDS, type CommandName, isCommand } from "./commands.js";
import { reportFailure } from "./failure.js";
import { commonOptions } from "./options.js";
import { interpret, scan, tokensOf } from "./parse.js";
import { writeOutput } from "./standard-output.js";

/** Runs one command line. Throws what goes wrong, usage errors included. */
async function runCommandLine(args: readonly string[]): Promise<void> {
  const { name, rest } = commandOf(args);
  if (name === undefined) {
    const { given } = scan(rest, { name: "", command: { options: commonOptions, operands: {} } });
    if (await answered(given, async () => (await import("./help.js")).generalHelp())) return;
    throw new ImgbuildError("usage", "there is no command and no root file system", {
      hint: "`imgbuild --help` lists the commands.",
    });
  }
  const command = await COMMANDS[name].load();
  const judged = { name, command };
  const scanned = scan(rest, judged);
  if (await answered(scanned.given, async () => (await import("./help.js")).commandHelp(name, command))) return;
  await command.run(interpret(scanned, judged) as never);
}

/** The command, and the command line without its name; no name where there are only options that every command has. */
function commandOf(args: readonly string[]): { name: CommandName | undefined; rest: readonly string[] } {
  const first = tokensOf(args, commonOptions).find(
    (token) => token.kind !== "option" || !Object.hasOwn(commonOptions, token.name),
  );
  if (first === undefined) return { name: undefined, rest: args };
  if (first.kind !== "positional") return { name: "build", rest: args };
  const { value, index } = first;
  if (isCommand(value)) return { name: value, rest: args.toSpliced(index, 1) };
  if (!/^[a-z]+$/.test(value) || fs.existsSync(value)) return { name: "build", rest: args };
  const similar = similarNames(value, Object.keys(COMMANDS));
  const guess = similar.length > 0 ? `Did you mean ${similar.join(" or ")}? ` : "";
  throw new ImgbuildError("usage", `there is no command ${value}, and no file of that name`, {
    hint: `${guess}\`imgbuild --help\` lists the commands.`,
  });
}

/** Prints the help or the version where they are asked for, whatever else is. */
async function answered(given: ReadonlyMap<string, unknown>, help: () => Promise<string>): Promise<boolean> {
  if (given.has("help")) await writeOutput([await help()]);
  else if (given.has("version")) await writeOutput([`${(await import("../output/version.js")).version()}\n`]);
  else return false;
  return true;
}

// What is read of a tree stays. V8 takes this for a reason to let its space for new objects grow to 48 MB, half of what the
// process needs otherwise; with the megabyte that it has at first, nothing takes longer. Making a worker's heap, V8 puts the
// factor back to 2, which counts for the whole process.
const keepNewSpaceSmall = () => setFlagsFromString("--semi-space-growth-factor=1");
keepNewSpaceSmall();
process.on("worker", (worker) => worker.once("online", keepNewSpaceSmall));

// Nobody reading notes and progress any more is no reason to end, least of all half-way.
process.stderr.on("error", () => {});

const args = process.argv.slice(2);
try {
  await runCommandLine(args);
} catch (error) {
  // The parser may have failed, so these two are looked for by hand.
  const verbose = args.includes("--verbose") || args.includes("-v");
  process.exitCode = await reportFailure(error, { verbose, json: args.includes("--json") });
}
