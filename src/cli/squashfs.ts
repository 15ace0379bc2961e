/** `imgbuild squashfs SOURCE IMAGE`: a SquashFS, as mksquashfs makes one. */
import type { CommandModule, InferredOptionTypes, Options } from "yargs";
import { COMPRESSOR_NAMES, describeLevels, writeSquashfs } from "../squashfs/index.js";
import { writeImageFile } from "./image-file.js";
import { type CommonOptions, sizeOption, sourceOptions } from "./options.js";
import { madeTime } from "./source.js";

const options = {
  compressor: { alias: "c", choices: COMPRESSOR_NAMES, describe: "compressor", default: "gzip" as const },
  level: {
    alias: "l",
    type: "number",
    describe: describeLevels(),
    requiresArg: true,
  },
  "block-size": {
    alias: "b",
    type: "string",
    describe: "data block size, 4K to 1M",
    default: "128K",
    requiresArg: true,
  },
  exports: { type: "boolean", describe: "an NFS export table", default: false },
  xattrs: { type: "boolean", describe: "extended attributes", default: true },
  fragments: { type: "boolean", describe: "pack the ends of files together", default: true },
  dedupe: { type: "boolean", describe: "store equal files once", default: true },
  sparse: { type: "boolean", describe: "store blocks of zeros as holes", default: true },
  pad: { type: "string", describe: "pad the image to a multiple", default: "4K", requiresArg: true },
  ...sourceOptions,
} as const satisfies Record<string, Options>;

type Arguments = InferredOptionTypes<typeof options> & CommonOptions & { source: string; image: string };

export const squashfsCommand: CommandModule<CommonOptions, Arguments> = {
  command: "squashfs <source> <image>",
  describe: "write a SquashFS, as mksquashfs does",
  builder: (yargs) =>
    yargs
      .positional("source", { type: "string", demandOption: true, describe: "a folder, a tar, or -" })
      .positional("image", { type: "string", demandOption: true, describe: "the file to make" })
      .options(options) as never,
  async handler(args) {
    const { compressor, level, exports, xattrs, fragments, dedupe, sparse, jobs } = args;
    const blockSize = sizeOption(args.blockSize)!;
    const pad = sizeOption(args.pad)!;
    await writeImageFile(
      {
        ...args,
        filesystem: "squashfs",
        size: undefined,
        async write(device, tree, { observer }) {
          const time = madeTime(tree);
          const { size } = await writeSquashfs(device, tree, {
            compressor,
            level,
            blockSize,
            pad,
            exports,
            xattrs,
            fragments,
            dedupe,
            sparse,
            time,
            jobs,
            observer,
          });
          return size;
        },
      },
      args,
    );
  },
};
