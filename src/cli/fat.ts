/** `imgbuild fat [SOURCE...] IMAGE --size SIZE`: a FAT, as mkfs.fat and mcopy make one. */
import { seededId } from "../bytes/seeded-ids.js";
import { ImgbuildError } from "../errors.js";
import { writeFat } from "../fat/index.js";
import { treeDigest } from "../tree/digest.js";
import { defineCommand, type Options } from "./declare.js";
import { sourcesAndImage, writeImageFile } from "./image-file.js";
import { commonOptions, contentOptions, FORMAT_GROUP, severalSourcesOptions } from "./options.js";
import { MKFS_FAT } from "./other-tools.js";
import { madeTime } from "./source.js";

const group = FORMAT_GROUP;

const options = {
  size: { type: "size", value: "SIZE", describe: "length of the file system", required: true, group },
  label: { type: "text", value: "TEXT", describe: "volume label, at most 11 characters", group },
  type: {
    type: "choice",
    value: "BITS",
    choices: [12, 16, 32],
    describe: "kind of FAT",
    shownDefault: "by the size",
    group,
  },
  "sector-size": {
    type: "choice",
    value: "BYTES",
    choices: [512, 4096],
    describe: "bytes in a sector of the medium",
    default: 512,
    group,
  },
  "volume-id": {
    type: "text",
    value: "ID",
    describe: "volume id, XXXX-XXXX",
    shownDefault: "from the content",
    group,
  },
  ...contentOptions,
  ...severalSourcesOptions,
  ...commonOptions,
} as const satisfies Options;

export const fat = defineCommand({
  describe: "Writes a FAT, as mkfs.fat and mcopy do. Without a SOURCE it is empty.",
  operands: sourcesAndImage,
  options,
  otherTool: MKFS_FAT,
  async run(args) {
    const { sources, image } = args;
    const volumeId = args.volumeId === undefined ? undefined : parseVolumeId(args.volumeId);
    await writeImageFile(
      {
        sources,
        image,
        // FAT has no place for attributes.
        input: { ...args, xattrs: false },
        filesystem: "fat",
        size: args.size,
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
});

function parseVolumeId(text: string): number {
  const hex = text.replace("-", "");
  if (/^[0-9a-f]{8}$/i.test(hex)) return Number.parseInt(hex, 16);
  throw new ImgbuildError("usage", `--volume-id ${text} is not a volume id`, {
    hint: "It has eight hexadecimal digits: 1234-ABCD.",
  });
}
