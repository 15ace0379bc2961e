/** `imgbuild fat [SOURCE...] IMAGE --size SIZE`: a FAT, as mkfs.fat and mcopy make one. */
import type { CommandModule, InferredOptionTypes, Options } from "yargs";
import { seededId } from "../bytes/seeded-ids.js";
import { ImgbuildError } from "../errors.js";
import { writeFat } from "../fat/index.js";
import { treeDigest } from "../tree/digest.js";
import { sourcesAndImage, sourcesAndImagePaths, writeImageFile } from "./image-file.js";
import { type CommonOptions, contentOptions, FORMAT_GROUP, severalSourcesOptions, sizeOption } from "./options.js";
import { madeTime } from "./source.js";

const group = FORMAT_GROUP;

const options = {
  size: { type: "string", describe: "length of the file system", demandOption: true, requiresArg: true, group },
  label: { type: "string", describe: "volume label, at most 11 characters", requiresArg: true, group },
  type: { choices: [12, 16, 32] as const, describe: "kind of FAT", defaultDescription: "by the size", group },
  "sector-size": {
    choices: [512, 4096] as const,
    describe: "bytes in a sector of the medium",
    default: 512 as const,
    group,
  },
  "volume-id": {
    type: "string",
    describe: "volume id, XXXX-XXXX",
    defaultDescription: "from the content",
    requiresArg: true,
    group,
  },
  ...contentOptions,
  ...severalSourcesOptions,
} as const satisfies Record<string, Options>;

type Arguments = InferredOptionTypes<typeof options> & CommonOptions & { paths: string[] };

export const fatCommand: CommandModule<CommonOptions, Arguments> = {
  command: "fat <paths..>",
  describe: "write a FAT, as mkfs.fat and mcopy do: fat [SOURCE...] IMAGE --size SIZE",
  builder: (yargs) => yargs.positional("paths", sourcesAndImagePaths).options(options) as never,
  async handler(args) {
    const { sources, image } = sourcesAndImage("fat", args.paths, false);
    const volumeId = args.volumeId === undefined ? undefined : parseVolumeId(args.volumeId);
    await writeImageFile(
      {
        sources,
        image,
        input: args,
        filesystem: "fat",
        size: sizeOption(args.size),
        async write(device, tree, { observer }) {
          await writeFat(device, tree, {
            label: args.label,
            type: args.type,
            sectorSize: args.sectorSize,
            volumeId: volumeId ?? seededId(treeDigest(tree), "volume id"),
            time: madeTime(tree),
            observer,
          });
          return device.size;
        },
      },
      args,
    );
  },
};

function parseVolumeId(text: string): number {
  const hex = text.replace("-", "");
  if (/^[0-9a-f]{8}$/i.test(hex)) return Number.parseInt(hex, 16);
  throw new ImgbuildError("usage", `--volume-id ${text} is not a volume id`, {
    hint: "It has eight hexadecimal digits: 1234-ABCD.",
  });
}
