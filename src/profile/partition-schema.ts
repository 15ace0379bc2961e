/** The key `partitions`: what lies on the medium, and what is made in it. */
import { z } from "zod";
import { PARTITION_ROLES } from "../image/plan.js";
import { ATTRIBUTES } from "../partition/index.js";
import { BCJ_FILTERS, COMPRESSOR_NAMES, COMPRESSORS, describeLevels } from "../squashfs/index.js";
import { isNot } from "./issue-text.js";
import { headroom, partitionSize, size } from "./sizes.js";

const role = z
  .enum(PARTITION_ROLES)
  .optional()
  .describe(
    "What it is for; imgbuild fills bootfs, rootfs and userdata. Two may be rootfs: slots A and B. Default: its name if that is one of these, else data.",
  );

const common = {
  role,
  number: z
    .int()
    .min(1)
    .max(128)
    .optional()
    .describe(
      "Its number, as the kernel counts and as its PARTUUID ends in an MBR. Default: by its place. In an MBR those from 5 on are logical, in an extended partition that takes one of the first four numbers; with more than four partitions the first three are 1 to 3, the extended one is 4, and the others are 5, 6, ...",
    ),
  size: partitionSize,
  headroom: headroom.prefault(0),
  minimum: size('With "fit": never smaller than this.').prefault(0),
  offset: size("Where it begins, in whole sectors. Default: behind the partition before it, aligned.").optional(),
  type: z
    .union([z.string(), z.int().transform((value) => `0x${value.toString(16)}`)])
    .optional()
    .describe("Partition type: a name (fat32-lba, linux, ...), a number for an MBR, a GUID for a GPT."),
  active: z
    .boolean()
    .default(false)
    .describe(
      "Marks the partition that U-Boot boots from: active in an MBR, legacy BIOS bootable in a GPT, where U-Boot takes an ESP for it too.",
    ),
  partlabel: z
    .string()
    .max(36)
    .optional()
    .describe("With a GPT: its name in the table, PARTLABEL. Default: its name here."),
  attributes: z
    .array(z.union([z.string(), z.int().transform(String)]))
    .prefault([])
    .describe(`With a GPT: ${ATTRIBUTES.join(", ")}, or numbers of bits from 0 to 63.`),
  hybrid: z
    .union([z.boolean(), z.string(), z.int().transform((value) => `0x${value.toString(16)}`)])
    .prefault(false)
    .describe(
      "With a GPT: lists the partition in the MBR too, for firmware that reads no GPT; true, or the type it has there. At most three can be.",
    ),
  source: z
    .string()
    .optional()
    .describe("Content of a partition with the role data: a folder or tar; for raw, a file."),
};

const WHAT_FILE_SYSTEM = "What is made in it. raw: nothing; the bytes of a file.";

const partition = z.discriminatedUnion("filesystem", [
  z.strictObject({
    ...common,
    filesystem: z.literal("fat").describe(WHAT_FILE_SYSTEM),
    label: z.string().max(11).optional().describe("Volume label, at most 11 characters."),
    fatType: z
      .union([z.literal(12), z.literal(16), z.literal(32)])
      .optional()
      .describe("Default: by the size."),
  }),
  z
    .strictObject({
      ...common,
      filesystem: z.literal("squashfs").describe(WHAT_FILE_SYSTEM),
      compressor: z.enum(COMPRESSOR_NAMES).default("gzip").describe("Smallest: xz; fastest to read: lz4, zstd."),
      level: z.int().min(0).optional().describe(`The compressor's level. ${describeLevels()}.`),
      xz: z
        .strictObject({
          dictionarySize: size("At most the block size, which is the default.").optional(),
          filters: z
            .array(z.enum(BCJ_FILTERS))
            .optional()
            .describe(
              "For machine code: each block is tried with each of them. The kernel needs CONFIG_XZ_DEC_... of each.",
            ),
        })
        .optional()
        .describe("With the compressor xz only."),
      blockSize: size("Data block size, a power of two from 4KiB to 1MiB.").prefault("128KiB"),
      exports: z
        .boolean()
        .default(false)
        .describe("An NFS export table. An overlay's lower layer should not have one."),
      verity: z
        .boolean()
        .default(false)
        .describe(
          "dm-verity: a hash tree behind it, with which the kernel checks whatever it reads. The root needs dmsetup, for the initramfs.",
        ),
    })
    .check(({ value: { compressor, level, xz }, issues }) => {
      if (xz !== undefined && compressor !== "xz") {
        issues.push({
          code: "custom",
          message: `belongs to the compressor xz, not ${compressor}`,
          path: ["xz"],
          input: xz,
        });
      }
      const { minLevel, maxLevel } = COMPRESSORS[compressor];
      if (level === undefined || (level >= minLevel && level <= maxLevel)) return;
      const message = isNot(level, `a level of ${compressor}: ${minLevel} to ${maxLevel}`);
      issues.push({ code: "custom", message, path: ["level"], input: level });
    }),
  z
    .strictObject({
      ...common,
      filesystem: z.literal("ext4").describe(WHAT_FILE_SYSTEM),
      label: z.string().max(16).optional().describe("Volume label, at most 16 bytes."),
      blockSize: size("1KiB, 2KiB or 4KiB.")
        .pipe(z.literal([1024, 2048, 4096]))
        .prefault("4KiB"),
      inodeRatio: size("One inode for so many bytes.").prefault("16KiB"),
      reservedPercent: z.number().min(0).max(50).default(1).describe("Share of the blocks kept for root."),
      journalSize: size("Default: by the size of the partition.").optional(),
      growTo: size(
        "The size that it can be grown to on the device, while it is mounted. Default: 1024 times its own.",
      ).optional(),
      features: z.string().optional().describe("Changes to the features, as mke2fs -O takes them: ext3,-dir_index."),
      inodeSize: z
        .union([z.literal(128), z.literal(256)])
        .default(256)
        .describe("128 for bootloaders that read nothing else."),
      mountOptions: z
        .string()
        .optional()
        .describe("What it is mounted with by default, between commas. Default: user_xattr,acl."),
      errors: z
        .enum(["continue", "remount-ro", "panic"])
        .default("continue")
        .describe("What the kernel does when it finds damage."),
    })
    .check(({ value: { size, growTo }, issues }) => {
      if (growTo === undefined || typeof size !== "number" || growTo >= size) return;
      const message = isNot(growTo, `at least ${size}, the partition's own size`);
      issues.push({ code: "custom", message, path: ["growTo"], input: growTo });
    }),
  z.strictObject({ ...common, filesystem: z.literal("raw").describe(WHAT_FILE_SYSTEM) }),
]);

export const partitionsSchema = z
  .record(z.string().regex(/^[a-z][a-z0-9_-]*$/, "a name of small letters, digits, - and _"), partition)
  .describe("By name, in the order of their places.");
