#!/usr/bin/env node
/** The command line: commands, the options they share, and one place where failures end. */
import { setFlagsFromString } from "node:v8";
import yargs, { type CommandModule } from "yargs";
import { hideBin } from "yargs/helpers";
import { version } from "../output/version.js";
import { checkArguments, type DeclaredOptions, parserError } from "./arguments.js";
import { reportFailure } from "./failure.js";
import { type CommonOptions, withCommonOptions } from "./options.js";
import { STANDARD_INPUT } from "./source.js";

type Command = CommandModule<CommonOptions, never>;

/** Commands by name, in the order of the help; the first one needs no name. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  build: async () => (await import("./build.js")).buildCommand as Command,
  squashfs: async () => (await import("./squashfs.js")).squashfsCommand as Command,
  ext4: async () => (await import("./ext4.js")).ext4Command as Command,
  fat: async () => (await import("./fat.js")).fatCommand as Command,
  boot: async () => (await import("./boot.js")).bootCommand as Command,
  profiles: async () => (await import("./profiles.js")).profilesCommand as Command,
  schema: async () => (await import("./profiles.js")).schemaCommand as Command,
};

/** Runs one command line. Throws what goes wrong, usage errors included. */
async function runCommandLine(args: readonly string[]): Promise<void> {
  const [first = "", ...rest] = args;
  // A command is loaded with everything that it needs, which takes longer than making a small image does. And for one that
  // it has to find by its name, the parser lays out the whole help text, called for or not: as long again.
  if (Object.hasOwn(COMMANDS, first) && !isHelp(rest)) {
    const command = await COMMANDS[first]!();
    await parserFor(rest)
      .command({ ...command, command: [command.command].flat()[0]!.replace(first, "$0") })
      .parseAsync();
    return;
  }
  const names = Object.hasOwn(COMMANDS, first) ? [first] : Object.keys(COMMANDS);
  const cli = parserFor(args);
  await cli
    .command(await Promise.all(names.map((name) => COMMANDS[name]!())))
    .command("completion", "print a shell completion script", {}, () => {
      cli.showCompletionScript();
    })
    .parseAsync();
}

/** Whether help is asked for. What only looks like it is parsed in full, with the same result. */
const isHelp = (args: readonly string[]) => args.some((arg) => arg === "--help" || /^-\w*h/.test(arg));

/** The parser with everything but the commands. */
function parserFor(args: readonly string[]) {
  // The parser takes a lone "-" for an option without a name, and hands on an empty string.
  const parser = yargs(args.map((arg) => (arg === "-" ? STANDARD_INPUT : arg))).check((argv, declared) => {
    checkArguments(argv, declared as unknown as DeclaredOptions, args);
    return true;
  });
  return (
    withCommonOptions(parser)
      // The parser's messages too are the same in every locale.
      .locale("en")
      .scriptName("imgbuild")
      .usage(
        "$0 --profile NAME ROOTFS\n\nTurns a root file system and a board profile into an image that can be flashed and that boots.",
      )
      .version(version())
      .help()
      .alias("help", "h")
      .strict()
      .recommendCommands()
      .wrap(Math.min(110, process.stdout.columns ?? 100))
      .exitProcess(false)
      .fail((message, error) => {
        // Thrown, because with strict() and recommendCommands() this is called again for the same mistake otherwise.
        // The parser's own errors are about the command line too.
        if (error !== undefined && error.name !== "YError") throw error;
        throw parserError(message ?? error.message);
      })
  );
}

// What is read of a tree stays. V8 takes this for a reason to let its space for new objects grow to 48 MB, half of what the
// process needs otherwise; with the megabyte that it has at first, nothing takes longer. Making a worker's heap, V8 puts the
// factor back to 2, which counts for the whole process.
const keepNewSpaceSmall = () => setFlagsFromString("--semi-space-growth-factor=1");
keepNewSpaceSmall();
process.on("worker", (worker) => worker.once("online", keepNewSpaceSmall));

/** What comes after "--" is paths, also where it looks like options: the parser would not count it. */
function withoutTerminator(args: readonly string[]): string[] {
  const end = args.indexOf("--");
  if (end < 0) return [...args];
  const paths = args.slice(end + 1).map((arg) => (/^-./.test(arg) ? `./${arg}` : arg));
  return [...args.slice(0, end), ...paths];
}

const args = withoutTerminator(hideBin(process.argv));
try {
  await runCommandLine(args);
} catch (error) {
  // The parser may have failed, so these two are looked for by hand.
  const verbose = args.includes("--verbose") || args.includes("-v");
  process.exitCode = reportFailure(error, { verbose, json: args.includes("--json") });
}
