/** `imgbuild extract IMAGE[:PART] [PATH]`: a file system of an image, or a part of it, into a folder or as a tar. */
import type { ByteString } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { newDirectory } from "../tree/node.js";
import { writeTar } from "../tree/tar/write-tar.js";
import type { Tree } from "../tree/tree.js";
import { directoryWriting } from "../tree/write-directory.js";
import { defineCommand, type Options } from "./declare.js";
import { partOperand, withFileSystem } from "./image-argument.js";
import { interruptible } from "./interrupt.js";
import { type Found, findPath } from "./listing.js";
import { commonOptions, reporterFor } from "./options.js";
import { totals } from "./source.js";
import { writeOutput } from "./standard-output.js";

const group = "Where it goes";

const options = {
  output: {
    type: "text",
    short: "o",
    value: "DIR",
    describe: "folder to extract into, made if it is missing; - for a tar on standard output",
    default: "extracted",
    group,
  },
  tar: {
    type: "flag",
    describe: "a tar on standard output, with owners, devices and attributes; needs no root",
    default: false,
    group,
  },
  force: { type: "flag", short: "f", describe: "replace files that are in the way", default: false, group },
  ...commonOptions,
} as const satisfies Options;

export const extract = defineCommand({
  describe: "Extracts a file system of an image, or a part of it, into a folder or as a tar.",
  operands: {
    image: partOperand,
    path: { value: "PATH", describe: "a folder or file in it; the root if left out", optional: true },
  },
  options,
  async run(args) {
    const { image, path = "/", output, force, json } = args;
    const reporter = reporterFor(args);
    const toTar = args.tar || output === "-";
    if (toTar) checkTarOutput(args.tar, output, json);
    await withFileSystem(image, async (fileSystem) => {
      reporter.stage("reading the file system");
      const tree = await treeOf(await findPath(fileSystem, path, true));
      const total = totals(tree);
      reporter.stage("extracting", total);
      if (toTar) await writeOutput(writeTar(tree, reporter.observer));
      else {
        const writing = directoryWriting(tree, output, { force, observer: reporter.observer });
        await interruptible(
          () => writing.abandon(),
          () => writing.write(),
          () => `what is complete stays in ${output}`,
        );
      }
      reporter.end();
      if (json) await writeOutput([`${JSON.stringify({ output, ...total })}\n`]);
    });
  },
});

/** Of a folder, what is in it; a file alone in a folder. */
async function treeOf({ path, inode }: Found): Promise<Tree> {
  if (inode.type === "directory") return inode.tree();
  const node = await inode.node();
  const root = newDirectory({ mtime: node.mtime });
  root.entries.set(path.slice(path.lastIndexOf("/") + 1) as ByteString, node);
  return { root };
}

function checkTarOutput(tar: boolean, output: string, json: boolean): void {
  if (tar && output !== "-" && output !== options.output.default) {
    throw new ImgbuildError("usage", "--tar writes to standard output, and --output names a folder", {
      hint: `Leave one of them out, or write \`--tar > ${output}\`.`,
    });
  }
  if (json)
    throw new ImgbuildError("usage", "--json and --tar both write to standard output", { hint: "Leave one out." });
  if (process.stdout.isTTY) {
    throw new ImgbuildError("usage", "a tar would be written to this terminal", { hint: "Redirect it: --tar > FILE." });
  }
}
