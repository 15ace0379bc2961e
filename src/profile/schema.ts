/**
 * What a profile may say. The descriptions are the documentation: `imgbuild schema` prints them as JSON Schema. A profile
 * says sizes as people write them; the transforms below turn them into bytes.
 */
import { z } from "zod";
import { parseSize } from "../bytes/size.js";
import {
  BOOT_LOADERS,
  CONFIRMATIONS,
  EMULATED_MACHINES,
  KERNEL_FORMATS,
  NEW_ROOT_POLICIES,
  PARTITION_ROLES,
  RESET_FLAGS,
} from "../image/plan.js";
import { DEFAULT_OUTPUTS, describeOutputs, OUTPUT_NAMES } from "../output/outputs.js";
import { ATTRIBUTES } from "../partition/index.js";
import { BCJ_FILTERS, COMPRESSOR_NAMES, COMPRESSORS, describeLevels } from "../squashfs/index.js";
import { withExamples } from "./schema-keys.js";
import { teziSchema } from "./tezi-schema.js";
import { updateSchema } from "./update-schema.js";

function size(description: string) {
  return z
    .union([z.int().nonnegative(), z.string()])
    .transform((value, context) => {
      try {
        return parseSize(value);
      } catch {
        context.addIssue({ code: "custom", message: `"${value}" is not a size: write 4096, 64KiB, 64MiB or 1.5GiB` });
        return z.NEVER;
      }
    })
    .describe(description);
}

const partitionSize = z
  .union([z.int().positive(), z.string()])
  .transform((value, context) => {
    if (value === "fit" || value === "rest") return value;
    try {
      return parseSize(value);
    } catch {
      context.addIssue({ code: "custom", message: `"${value}" is not a size: write 64MiB, "fit" or "rest"` });
      return z.NEVER;
    }
  })
  .describe('Its length: 64MiB; "fit", what the content needs and the headroom; or "rest", what the others leave.');

const headroom = z
  .union([z.int().nonnegative(), z.string()])
  .transform((value, context) => {
    const percent = /^(\d+(?:\.\d+)?) ?%$/.exec(String(value));
    if (percent) return { share: Number(percent[1]) / 100 };
    try {
      return { bytes: parseSize(value) };
    } catch {
      context.addIssue({ code: "custom", message: `"${value}" is neither a size nor a share: write 16MiB or 25%` });
      return z.NEVER;
    }
  })
  .describe('With "fit": room beyond the content, as a size or as a share of it (25%).');

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
      const message = `${compressor} has levels from ${minLevel} to ${maxLevel}`;
      issues.push({ code: "custom", message, path: ["level"], input: level });
    }),
  z.strictObject({
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
  }),
  z.strictObject({ ...common, filesystem: z.literal("raw").describe(WHAT_FILE_SYSTEM) }),
]);

const bootloaderFile = z
  .strictObject({
    file: z.string().describe("The file's name in the bootloader folder."),
    sector: z.int().nonnegative().optional().describe("Where it goes, in sectors of 512 bytes from the area's start."),
    offset: size("Where it goes, in bytes from the area's start.").optional(),
  })
  .refine(({ sector, offset }) => (sector === undefined) !== (offset === undefined), {
    message: "needs either sector or offset",
  })
  .transform(({ file, sector, offset }) => ({ file, offset: offset ?? sector! * 512 }));

const slots = z
  .strictObject({
    tries: z.int().min(1).max(9).default(3).describe("How often a new root is tried before the old one is back."),
    confirm: z
      .enum(CONFIRMATIONS)
      .default("automatic")
      .describe("Who says that a new root is good. automatic: the end of its boot. manual: overlayctl confirm."),
    redundant: z
      .boolean()
      .default(false)
      .describe("Whether U-Boot was built with CONFIG_SYS_REDUNDAND_ENVIRONMENT: its environments have a flag byte."),
    environmentAt: size(
      "Where 8 KiB are that say which slot is booted: a multiple of 4KiB. Default: right in front of the first partition.",
    ).optional(),
  })
  .prefault({})
  .describe("For profiles with two partitions of the role rootfs: updates that fall back.");

/** As long as an eMMC's boot partition can be: 255 units of 128 KiB. JEDEC JESD84-B51, BOOT_SIZE_MULT. */
const MAX_BOOT_PARTITION = `${255 * 128}KiB`;

const flash = z
  .strictObject({
    mmc: z.int().nonnegative().optional().describe("The number of the board's eMMC, as U-Boot's `mmc dev` counts."),
    uuu: z
      .strictObject({
        rom: z
          .enum(["sdp", "sdps"])
          .describe(
            "How the boot ROM takes a bootloader over USB. sdp: i.MX6, i.MX7, i.MX8M Mini and 8M. sdps: i.MX8X, i.MX8, i.MX8M Nano and Plus, i.MX9.",
          ),
        loadAddress: z
          .int()
          .nonnegative()
          .optional()
          .describe("Where the SPL takes the second bootloader file to, where that is a file of its own."),
        devices: z
          .array(z.string().regex(/^(?:SDPV|FB): [-\w ]+$/, 'what follows "CFG:" in a script of uuu'))
          .default([])
          .describe("USB ids that uuu does not know: what follows CFG: in its scripts."),
      })
      .optional()
      .describe("Boards that NXP's uuu can flash over USB."),
  })
  .prefault({})
  .describe("What scripts and recipes for flashing have to know of the board.");

export const profileSchema = z
  .strictObject({
    extends: z
      .string()
      .optional()
      .describe("A shipped profile, or a file, whose values are taken where this one is silent."),
    abstract: z
      .boolean()
      .optional()
      .describe("This file is for others to extend: no image can be built of it as it is."),
    description: z.string().default("").describe("What the board is, in a line, for lists."),
    architecture: z.enum(["arm", "arm64"]).describe("The processor the kernel is for."),
    seed: z
      .string()
      .optional()
      .describe(
        "All UUIDs and ids follow from this text and the names, metadata and sizes in the root. Default: the name.",
      ),
    storage: z
      .strictObject({
        size: size("Length of the board's user area; partitions that take the rest reach to its end.").optional(),
        table: z.enum(["mbr", "gpt"]).describe("The kind of partition table."),
        sectorSize: z
          .union([z.literal(512), z.literal(4096)])
          .default(512)
          .describe("Bytes in a sector of the medium: 512 on eMMC and SD cards, 4096 on UFS and some disks."),
        alignment: size(
          "Every partition without an offset begins at a multiple of this, which is whole sectors.",
        ).prefault("4MiB"),
        gpt: z
          .strictObject({
            entries: z
              .int()
              .min(4)
              .max(128)
              .optional()
              .describe(
                "For how many partitions there is room. Fewer than 128 leave room for a bootloader behind them.",
              ),
            entriesAt: size(
              "Where the entries begin. Default: in sector 2. Further back, a bootloader fits between header and entries.",
            ).optional(),
          })
          .optional()
          .describe("How a GPT lies on the medium."),
        reserved: z
          .array(
            z.strictObject({
              name: z.string().min(1).describe("What it is, for messages."),
              start: size("Where it begins, in bytes from the medium's start."),
              size: size("Its length."),
            }),
          )
          .prefault([])
          .describe(
            "Stretches of the user area that nothing may touch: an environment, calibration, another's bootloader.",
          ),
      })
      .describe("The medium that the image is for, and its partition table."),
    partitions: z
      .record(z.string().regex(/^[a-z][a-z0-9_-]*$/, "a name of small letters, digits, - and _"), partition)
      .describe("By name, in the order of their places."),
    bootloader: z
      .strictObject({
        area: z.enum(["boot0", "user"]).describe("The eMMC's boot partition 0, or the user area."),
        size: size("Length of the eMMC's boot partition 0. Default: as long as one can be.").prefault(
          MAX_BOOT_PARTITION,
        ),
        reservedEnd: size(
          "With boot0: how much at its end no file may reach, because the board keeps an environment or its identity there.",
        ).prefault(0),
        optional: z.boolean().default(false).describe("The board has one already: an image without it makes sense."),
        files: z.array(bootloaderFile).min(1).describe("The files of the bootloader, and where each goes."),
      })
      .optional()
      .describe(
        "What runs before the kernel and lies outside of the partitions. Boards without the key have none of ours.",
      ),
    boot: z
      .strictObject({
        loader: z
          .enum(BOOT_LOADERS)
          .default("uboot")
          .describe(
            "Who loads the kernel from BootFS: U-Boot, by a boot.scr; or the Raspberry Pi's firmware, by config.txt and cmdline.txt.",
          ),
        config: z
          .array(z.string().regex(/^[\x20-\x7e]*$/, "one line of ASCII"))
          .default([])
          .describe("With the loader raspberrypi: more lines of config.txt."),
        kernel: z.enum(KERNEL_FORMATS).describe("The kernel's name and format on BootFS."),
        kernelFile: z
          .string()
          .optional()
          .describe("The boot file that is the kernel. Default: the one that looks like it."),
        deviceTrees: z
          .array(z.string())
          .default([])
          .describe("The board's device trees; * and ? stand for characters."),
        defaultDeviceTree: z.string().optional().describe("The one to use where U-Boot's environment names none."),
        console: z.string().describe("Kernel console: ttymxc0,115200."),
        arguments: z.array(z.string()).default([]).describe("More kernel arguments."),
        initramfs: z.string().default("auto").describe("auto: built where the kernel needs one; none; or a file."),
        drivers: z
          .array(z.string())
          .default([])
          .describe("Kernel modules that the board's storage needs, if not built in."),
        optionalDrivers: z
          .array(z.string())
          .default([])
          .describe("Kernel modules that are loaded with them where the kernel has them."),
        busybox: z.string().optional().describe("A static busybox for the initramfs. Default: the root's own."),
        files: z
          .array(z.string())
          .default([])
          .describe(
            "More boot files that go onto BootFS. With * and ?, all that match, which may be none; overlays/*.dtbo keeps the folder.",
          ),
      })
      .describe("The kernel, what it is started with, and what else is on BootFS."),
    overlay: z
      .strictObject({
        paths: z
          .array(z.string().startsWith("/"))
          .default(["/home/root"])
          .describe(
            "Paths with an upper layer on UserData, or / alone: the whole root, with the read-only one at /rom.",
          ),
        volatile: z
          .array(z.string().startsWith("/"))
          .default([])
          .describe("Paths that are writable in memory; nothing of it outlives a boot."),
        newRoot: z
          .enum(NEW_ROOT_POLICIES)
          .default("keep")
          .describe(
            "What becomes of what was written when another root comes under it. keep: it stays, and hides what is new. reset: it goes. refresh: copies that nobody edited go.",
          ),
        keep: z
          .array(z.string().startsWith("/"))
          .default([])
          .describe("Files that a factory reset carries over; * ? and [ ] stand for characters."),
        resetFlag: z
          .enum(RESET_FLAGS)
          .default("userdata")
          .describe(
            "Where a file factory-reset asks for a factory reset: on userdata; or on bootfs too, which is mounted at every boot to look.",
          ),
        layers: z
          .array(
            z.strictObject({
              path: z
                .string()
                .startsWith("/")
                .describe("The folder that the layer lies over; what it holds is in there."),
              from: z
                .string()
                .describe(
                  "userdata:FILE, a SquashFS on UserData; partition:NAME, of this profile; or LABEL=, UUID=, PARTLABEL=, PARTUUID= as the device's mount knows them.",
                ),
            }),
          )
          .default([])
          .describe(
            "Layers between the root and what is written, later ones above. Where no overlay is at their path, they are read-only. One that is missing is left out.",
          ),
        grow: z
          .boolean()
          .default(true)
          .describe(
            "At the first boot UserData grows to the end of the medium, where nothing lies behind it and the root has sfdisk, partx and resize2fs.",
          ),
      })
      .prefault({})
      .describe("What of the read-only root can be written on the device, and what becomes of what was written."),
    flash,
    update: updateSchema,
    outputs: z
      .array(z.enum(OUTPUT_NAMES))
      .min(1)
      .default([...DEFAULT_OUTPUTS])
      .describe(`What is made of the image. ${describeOutputs()}.`),
    tezi: teziSchema.optional(),
    slots,
    emulator: z
      .strictObject({
        machine: z.enum(EMULATED_MACHINES).describe("QEMU's name of it."),
        memory: size("The machine's memory.").prefault("512MiB"),
        storage: z.enum(["sd-card", "virtio-blk"]).describe("How the image is attached to it."),
        boot: z.enum(["kernel", "uboot"]).describe("Whether QEMU loads the kernel, or U-Boot does."),
        serial: z.int().nonnegative().default(0).describe("The serial port that is the console."),
        deviceTree: z.string().optional().describe("The device tree on BootFS to boot with."),
        enable: z.array(z.string()).default([]).describe("Device tree nodes to switch on for the machine's storage."),
        console: z.string().optional().describe("The console's name in this machine, where it is another."),
      })
      .optional()
      .describe("The machine that `imgbuild boot` emulates."),
  })
  .describe("An imgbuild profile: a board, and what its image is made of.");

export type Profile = z.output<typeof profileSchema>;

/** As much of JSON Schema as is in ours. */
export interface SchemaNode {
  readonly title?: string;
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly oneOf?: readonly SchemaNode[];
}

/** The JSON Schema of what a profile file may hold, with examples. */
export function jsonSchema(): SchemaNode {
  const schema = z.toJSONSchema(profileSchema, { io: "input" }) as SchemaNode;
  return { ...withExamples(schema), title: "imgbuild profile" };
}
