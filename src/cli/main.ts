#!/usr/bin/env node
/** The command line: commands, the options they share, and one place where failures end. */
import yargs from "yargs";
import { hideBin } from "yargs/helpers";
import { ImgbuildError } from "../errors.js";
import { version } from "../output/version.js";
import { bootCommand } from "./boot.js";
import { buildCommand } from "./build.js";
import { ext4Command } from "./ext4.js";
import { reportFailure } from "./failure.js";
import { fatCommand } from "./fat.js";
import { withCommonOptions } from "./options.js";
import { profilesCommand, schemaCommand } from "./profiles.js";
import { STANDARD_INPUT } from "./source.js";
import { squashfsCommand } from "./squashfs.js";

/** Runs one command line. Throws what goes wrong, usage errors included. */
async function runCommandLine(args: readonly string[]): Promise<void> {
  // The parser takes a lone "-" for an option without a name, and hands on an empty string.
  const cli = withCommonOptions(yargs(args.map((arg) => (arg === "-" ? STANDARD_INPUT : arg))));
  await cli
    .scriptName("imgbuild")
    .usage(
      "$0 --profile NAME ROOTFS\n\nTurns a root file system and a board profile into an image that can be flashed and that boots.",
    )
    .command(buildCommand)
    .command(squashfsCommand)
    .command(ext4Command)
    .command(fatCommand)
    .command(bootCommand)
    .command(profilesCommand)
    .command(schemaCommand)
    .command("completion", "print a shell completion script", {}, () => {
      cli.showCompletionScript();
    })
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
      throw new ImgbuildError("usage", (message ?? error.message).split("\n")[0]!, {
        hint: "`imgbuild --help` lists commands and options.",
      });
    })
    .parseAsync();
}

const args = hideBin(process.argv);
try {
  await runCommandLine(args);
} catch (error) {
  // The parser may have failed, so these two are looked for by hand.
  const verbose = args.includes("--verbose") || args.includes("-v");
  process.exitCode = reportFailure(error, { verbose, json: args.includes("--json") });
}
