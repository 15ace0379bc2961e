/** `imgbuild ext4 [SOURCE...] IMAGE --size SIZE`: an ext4, as mke2fs -d makes one. */
import type { CommandModule, InferredOptionTypes, Options } from "yargs";
import { seededUuid } from "../bytes/seeded-ids.js";
import { parseSize } from "../bytes/size.js";
import { uuidBytes } from "../bytes/uuid.js";
import { ImgbuildError } from "../errors.js";
import { ERROR_BEHAVIOURS, writeExt4 } from "../ext4/index.js";
import { treeDigest } from "../tree/digest.js";
import { sourcesAndImage, sourcesAndImagePaths, writeImageFile } from "./image-file.js";
import { type CommonOptions, FORMAT_GROUP, severalSourcesOptions, sizeOption, sourceOptions } from "./options.js";
import { madeTime } from "./source.js";

const group = FORMAT_GROUP;

const options = {
  size: { type: "string", describe: "length of the file system", demandOption: true, requiresArg: true, group },
  label: { type: "string", describe: "volume label, at most 16 bytes", requiresArg: true, group },
  uuid: { type: "string", describe: "UUID", defaultDescription: "from the content", requiresArg: true, group },
  "block-size": { type: "string", describe: "1K, 2K or 4K", default: "4K", requiresArg: true, group },
  "inode-ratio": { type: "string", describe: "one inode for so many bytes", default: "16K", requiresArg: true, group },
  reserved: {
    type: "number",
    describe: "share of the blocks kept for root, in percent",
    default: 1,
    requiresArg: true,
    group,
  },
  "journal-size": {
    type: "string",
    describe: "length of the journal",
    defaultDescription: "by the size",
    requiresArg: true,
    group,
  },
  "grow-to": {
    type: "string",
    describe: "the size that it can be grown to later, while it is mounted",
    defaultDescription: "1024 times its own",
    requiresArg: true,
    group,
  },
  features: {
    type: "string",
    describe: "changes to the features, as mke2fs -O takes them: [ext2|ext3,][+|-]NAME,...",
    requiresArg: true,
    group,
  },
  "inode-size": {
    choices: [128, 256] as const,
    describe: "bytes in an inode",
    default: 256 as const,
    requiresArg: true,
    group,
  },
  "mount-options": {
    type: "string",
    describe: "what it is mounted with by default, between commas",
    default: "user_xattr,acl",
    requiresArg: true,
    group,
  },
  errors: {
    choices: ERROR_BEHAVIOURS,
    describe: "what the kernel does when it finds damage",
    default: "continue" as const,
    requiresArg: true,
    group,
  },
  "hash-seed": {
    type: "string",
    describe: "UUID that large directories are ordered by",
    defaultDescription: "from the UUID",
    requiresArg: true,
    group,
  },
  ...sourceOptions,
  ...severalSourcesOptions,
} as const satisfies Record<string, Options>;

type Arguments = InferredOptionTypes<typeof options> & CommonOptions & { paths: string[] };

export const ext4Command: CommandModule<CommonOptions, Arguments> = {
  command: "ext4 <paths..>",
  describe: "write an ext4, as mke2fs -d does: ext4 [SOURCE...] IMAGE --size SIZE",
  builder: (yargs) => yargs.positional("paths", sourcesAndImagePaths).options(options) as never,
  async handler(args) {
    const { sources, image } = sourcesAndImage("ext4", args.paths, false);
    checkUuid("uuid", args.uuid);
    checkUuid("hash-seed", args.hashSeed);
    await writeImageFile(
      {
        sources,
        image,
        input: args,
        filesystem: "ext4",
        size: sizeOption(args.size),
        async write(device, tree, { observer }) {
          const identity = treeDigest(tree);
          await writeExt4(device, tree, {
            label: args.label,
            uuid: args.uuid ?? seededUuid(identity, "file system"),
            hashSeed: args.hashSeed ?? seededUuid(args.uuid ?? identity, "directory hash"),
            time: madeTime(tree),
            blockSize: blockSizeOption(args.blockSize),
            inodeRatio: sizeOption(args.inodeRatio),
            reservedPercent: args.reserved,
            journalSize: sizeOption(args.journalSize),
            growTo: sizeOption(args.growTo),
            features: args.features,
            inodeSize: args.inodeSize,
            mountOptions: args.mountOptions,
            errors: args.errors,
            observer,
          });
          return device.size;
        },
      },
      args,
    );
  },
};

function blockSizeOption(text: string): 1024 | 2048 | 4096 {
  const size = parseSize(text);
  if (size === 1024 || size === 2048 || size === 4096) return size;
  throw new ImgbuildError("usage", `--block-size ${text} is not a block size of ext4`, { hint: "Give 1K, 2K or 4K." });
}

function checkUuid(option: string, uuid: string | undefined): void {
  if (uuid === undefined) return;
  try {
    uuidBytes(uuid);
  } catch (error) {
    throw new ImgbuildError("usage", `--${option} ${uuid} is not a UUID`, {
      hint: "It has the form 123e4567-e89b-12d3-a456-426614174000.",
      cause: error,
    });
  }
}
