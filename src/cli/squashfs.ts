/** `imgbuild squashfs SOURCE... IMAGE`: a SquashFS, as mksquashfs makes one. */
import { ImgbuildError } from "../errors.js";
import {
  BCJ_FILTERS,
  COMPRESSOR_NAMES,
  describeLevels,
  PARTS,
  readSortFile,
  writeSquashfs,
} from "../squashfs/index.js";
import { type Arguments, defineCommand, type Options } from "./declare.js";
import { sourcesAndImage, writeImageFile } from "./image-file.js";
import { commonOptions, FORMAT_GROUP, severalSourcesOptions, sourceOptions } from "./options.js";
import { MKSQUASHFS } from "./other-tools.js";
import { sortedPaths } from "./places.js";
import { madeTime, placesOf, readOptionFile } from "./source.js";

const group = FORMAT_GROUP;

const options = {
  compressor: {
    type: "choice",
    short: "c",
    value: "NAME",
    choices: COMPRESSOR_NAMES,
    describe: "compressor",
    default: "gzip",
    group,
  },
  level: { type: "number", short: "l", value: "N", describe: describeLevels(), group },
  bcj: {
    type: "list",
    value: "LIST",
    choices: BCJ_FILTERS,
    describe: "xz: filters for machine code to try for each block",
    group,
  },
  "dictionary-size": {
    type: "size",
    value: "SIZE",
    describe: "xz: size of its dictionary",
    shownDefault: "the block size",
    group,
  },
  "block-size": {
    type: "size",
    short: "b",
    value: "SIZE",
    describe: "data block size, a power of two from 4K to 1M",
    default: "128K",
    group,
  },
  uncompressed: { type: "list", value: "LIST", choices: PARTS, describe: "what is stored as it is", group },
  exports: { type: "flag", describe: "an NFS export table", default: false, group },
  xattrs: { type: "flag", describe: "extended attributes", default: true, group },
  "strict-xattrs": {
    type: "flag",
    describe: "fail for attributes that SquashFS cannot hold, such as ACLs",
    default: false,
    group,
  },
  fragments: { type: "flag", describe: "pack files shorter than a block together", default: true, group },
  "tail-packing": { type: "flag", describe: "pack the ends of longer files, too", default: false, group },
  dedupe: { type: "flag", describe: "store equal files once", default: true, group },
  sparse: { type: "flag", describe: "store blocks of zeros as holes", default: true, group },
  sort: { type: "text", value: "FILE", describe: "priorities of files, as mksquashfs -sort reads them", group },
  pad: { type: "size", value: "SIZE", describe: "pad the image to a multiple", default: "4K", group },
  ...sourceOptions,
  ...severalSourcesOptions,
  ...commonOptions,
} as const satisfies Options;

export const squashfs = defineCommand({
  describe: "Writes a SquashFS, as mksquashfs does. Without a SOURCE, pseudo files say all that is in it.",
  operands: sourcesAndImage,
  options,
  otherTool: MKSQUASHFS,
  async run(args) {
    const { sources, image } = args;
    if (sources.length === 0 && args.pseudo.length === 0) {
      throw new ImgbuildError("usage", "imgbuild squashfs takes sources and an image", {
        hint: "imgbuild squashfs SOURCE... IMAGE; there is no need for a source with --pseudo only.",
      });
    }
    const { compressor, level, blockSize, pad, uncompressed, exports, xattrs, strictXattrs, dedupe, sparse, jobs } =
      args;
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
});

type Given = Arguments<typeof options>;

function fragmentsOption({ fragments, tailPacking }: Pick<Given, "fragments" | "tailPacking">): boolean | "always" {
  if (!tailPacking) return fragments;
  if (fragments) return "always";
  throw new ImgbuildError("usage", "--tail-packing and --no-fragments contradict each other", {
    hint: "Leave one of them out: tails are packed into fragments.",
  });
}

/** The options of xz; undefined where none is given. */
function xzOptions({ compressor, bcj, dictionarySize }: Pick<Given, "compressor" | "bcj" | "dictionarySize">) {
  if (bcj === undefined && dictionarySize === undefined) return undefined;
  if (compressor !== "xz") {
    const option = bcj === undefined ? "--dictionary-size" : "--bcj";
    throw new ImgbuildError("usage", `${option} is an option of xz, and the compressor is ${compressor}`, {
      hint: "Add --compressor xz.",
    });
  }
  return { dictionarySize, filters: bcj };
}
