/** `imgbuild ext4 [SOURCE...] IMAGE --size SIZE`: an ext4, as mke2fs -d makes one. */
import { seededUuid } from "../bytes/seeded-ids.js";
import { formatSize } from "../bytes/size.js";
import { uuidBytes } from "../bytes/uuid.js";
import { ImgbuildError } from "../errors.js";
import { ERROR_BEHAVIOURS, writeExt4 } from "../ext4/index.js";
import { treeDigest } from "../tree/digest.js";
import { defineCommand, type Options } from "./declare.js";
import { sourcesAndImage, writeImageFile } from "./image-file.js";
import { commonOptions, FORMAT_GROUP, severalSourcesOptions, sourceOptions } from "./options.js";
import { MKE2FS } from "./other-tools.js";
import { madeTime } from "./source.js";

const group = FORMAT_GROUP;

const options = {
  size: { type: "size", value: "SIZE", describe: "length of the file system", required: true, group },
  label: { type: "text", value: "TEXT", describe: "volume label, at most 16 bytes", group },
  uuid: { type: "text", value: "UUID", describe: "UUID", shownDefault: "from the content", group },
  "block-size": { type: "size", value: "SIZE", describe: "1K, 2K or 4K", default: "4K", group },
  "inode-ratio": { type: "size", value: "SIZE", describe: "one inode for so many bytes", default: "16K", group },
  reserved: {
    type: "number",
    value: "PERCENT",
    describe: "share of the blocks kept for root, in percent",
    default: 1,
    group,
  },
  "journal-size": {
    type: "size",
    value: "SIZE",
    describe: "length of the journal",
    shownDefault: "by the size",
    group,
  },
  "grow-to": {
    type: "size",
    value: "SIZE",
    describe: "the size that it can be grown to later, while it is mounted",
    shownDefault: "1024 times its own",
    group,
  },
  features: {
    type: "list",
    value: "LIST",
    describe: "changes to the features, as mke2fs -O takes them: [ext2|ext3,][+|-]NAME,...",
    group,
  },
  "inode-size": {
    type: "choice",
    value: "BYTES",
    choices: [128, 256],
    describe: "bytes in an inode",
    default: 256,
    group,
  },
  "mount-options": {
    type: "text",
    value: "LIST",
    describe: "what it is mounted with by default, between commas",
    default: "user_xattr,acl",
    group,
  },
  errors: {
    type: "choice",
    value: "WHAT",
    choices: ERROR_BEHAVIOURS,
    describe: "what the kernel does when it finds damage",
    default: "continue",
    group,
  },
  "hash-seed": {
    type: "text",
    value: "UUID",
    describe: "UUID that large directories are ordered by",
    shownDefault: "from the UUID",
    group,
  },
  ...sourceOptions,
  ...severalSourcesOptions,
  ...commonOptions,
} as const satisfies Options;

export const ext4 = defineCommand({
  describe: "Writes an ext4, as mke2fs -d does. Without a SOURCE it is empty.",
  operands: sourcesAndImage,
  options,
  otherTool: MKE2FS,
  async run(args) {
    const { sources, image } = args;
    const blockSize = checkBlockSize(args.blockSize);
    checkUuid("uuid", args.uuid);
    checkUuid("hash-seed", args.hashSeed);
    await writeImageFile(
      {
        sources,
        image,
        input: args,
        filesystem: "ext4",
        size: args.size,
        async write(device, tree, { observer }) {
          const identity = treeDigest(tree);
          await writeExt4(device, tree, {
            label: args.label,
            uuid: args.uuid ?? seededUuid(identity, "file system"),
            hashSeed: args.hashSeed ?? seededUuid(args.uuid ?? identity, "directory hash"),
            time: madeTime(tree),
            blockSize,
            inodeRatio: args.inodeRatio,
            reservedPercent: args.reserved,
            journalSize: args.journalSize,
            growTo: args.growTo,
            features: args.features?.join(","),
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
});

function checkBlockSize(size: number): 1024 | 2048 | 4096 {
  if (size === 1024 || size === 2048 || size === 4096) return size;
  throw new ImgbuildError("usage", `--block-size ${formatSize(size)} is not a block size of ext4`, {
    hint: "Give 1K, 2K or 4K.",
  });
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
