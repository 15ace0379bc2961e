/** `imgbuild squashfs SOURCE... IMAGE`: a SquashFS, as mksquashfs makes one. */
import type { CommandModule, InferredOptionTypes, Options } from "yargs";
import { ImgbuildError } from "../errors.js";
import {
  BCJ_FILTERS,
  COMPRESSOR_NAMES,
  describeLevels,
  PARTS,
  readSortFile,
  writeSquashfs,
} from "../squashfs/index.js";
import { sourcesAndImage, sourcesAndImagePaths, writeImageFile } from "./image-file.js";
import {
  type CommonOptions,
  FORMAT_GROUP,
  listOption,
  severalSourcesOptions,
  sizeOption,
  sourceOptions,
} from "./options.js";
import { sortedPaths } from "./places.js";
import { madeTime, placesOf, readOptionFile } from "./source.js";

const group = FORMAT_GROUP;

const options = {
  compressor: { alias: "c", choices: COMPRESSOR_NAMES, describe: "compressor", default: "gzip" as const, group },
  level: { alias: "l", type: "number", describe: describeLevels(), requiresArg: true, group },
  bcj: {
    type: "string",
    describe: `xz: filters to try for each block: ${BCJ_FILTERS.join(",")}`,
    requiresArg: true,
    group,
  },
  "dictionary-size": {
    type: "string",
    describe: "xz: size of its dictionary",
    defaultDescription: "the block size",
    requiresArg: true,
    group,
  },
  "block-size": {
    alias: "b",
    type: "string",
    describe: "data block size, 4K to 1M",
    default: "128K",
    requiresArg: true,
    group,
  },
  uncompressed: {
    type: "string",
    describe: `what is stored as it is: ${PARTS.join(",")}`,
    requiresArg: true,
    group,
  },
  exports: { type: "boolean", describe: "an NFS export table", default: false, group },
  xattrs: { type: "boolean", describe: "extended attributes", default: true, group },
  "strict-xattrs": {
    type: "boolean",
    describe: "fail for attributes that SquashFS cannot hold, such as ACLs",
    default: false,
    group,
  },
  fragments: { type: "boolean", describe: "pack files shorter than a block together", default: true, group },
  "tail-packing": { type: "boolean", describe: "pack the ends of longer files, too", default: false, group },
  dedupe: { type: "boolean", describe: "store equal files once", default: true, group },
  sparse: { type: "boolean", describe: "store blocks of zeros as holes", default: true, group },
  sort: { type: "string", describe: "priorities of files, as mksquashfs -sort reads them", requiresArg: true, group },
  pad: { type: "string", describe: "pad the image to a multiple", default: "4K", requiresArg: true, group },
  ...sourceOptions,
  ...severalSourcesOptions,
} as const satisfies Record<string, Options>;

type Arguments = InferredOptionTypes<typeof options> & CommonOptions & { paths: string[] };

export const squashfsCommand: CommandModule<CommonOptions, Arguments> = {
  command: "squashfs <paths..>",
  describe: "write a SquashFS, as mksquashfs does: squashfs SOURCE... IMAGE",
  builder: (yargs) => yargs.positional("paths", sourcesAndImagePaths).options(options) as never,
  async handler(args) {
    // Pseudo files may say all that there is.
    const { sources, image } = sourcesAndImage("squashfs", args.paths, args.pseudo === undefined);
    const { compressor, level, exports, xattrs, strictXattrs, dedupe, sparse, jobs } = args;
    const blockSize = sizeOption(args.blockSize)!;
    const pad = sizeOption(args.pad)!;
    const uncompressed = listOption("uncompressed", args.uncompressed, PARTS);
    const fragments = fragmentsOption(args);
    const xz = xzOptions(args);
    const sort = args.sort === undefined ? undefined : readOptionFile("sort", args.sort);
    await writeImageFile(
      {
        sources,
        image,
        input: args,
        filesystem: "squashfs",
        size: undefined,
        async write(device, tree, { observer }) {
          const time = madeTime(tree);
          const places = placesOf(sources, args.keepAsDirectory);
          const priorities =
            sort === undefined
              ? undefined
              : readSortFile(sort, tree, args.sort!, {
                  candidates: (path) => sortedPaths(places, path),
                  notice: (text) => observer.notice?.(text),
                });
          const { size } = await writeSquashfs(device, tree, {
            compressor,
            level,
            xz,
            blockSize,
            pad,
            uncompressed,
            exports,
            xattrs,
            strictXattrs,
            fragments,
            dedupe,
            sparse,
            priorities,
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

interface FragmentArguments {
  readonly fragments: boolean;
  readonly tailPacking: boolean;
}

function fragmentsOption({ fragments, tailPacking }: FragmentArguments): boolean | "always" {
  if (!tailPacking) return fragments;
  if (fragments) return "always";
  throw new ImgbuildError("usage", "--tail-packing and --no-fragments contradict each other", {
    hint: "Leave one of them out: tails are packed into fragments.",
  });
}

interface XzArguments {
  readonly compressor: string;
  readonly bcj?: string | undefined;
  readonly dictionarySize?: string | undefined;
}

/** The options of xz; undefined where none is given. */
function xzOptions({ compressor, bcj, dictionarySize }: XzArguments) {
  if (bcj === undefined && dictionarySize === undefined) return undefined;
  if (compressor !== "xz") {
    const option = bcj === undefined ? "--dictionary-size" : "--bcj";
    throw new ImgbuildError("usage", `${option} is an option of xz, and the compressor is ${compressor}`, {
      hint: "Add --compressor xz.",
    });
  }
  return { dictionarySize: sizeOption(dictionarySize), filters: listOption("bcj", bcj, BCJ_FILTERS) };
}
