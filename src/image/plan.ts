/**
 * What an image is to be: plain data, all sizes in bytes. A profile resolves into a plan; placing, assembling and the
 * emulator read it; the manifest repeats it.
 */
import { NEW_ROOT_POLICIES, type NewRootPolicy } from "../overlay/index.js";
import type { SectorSize } from "../partition/index.js";
import type { CompressorName, SquashfsXzOptions } from "../squashfs/index.js";

export const ARCHITECTURES = ["arm", "arm64", "x86_64"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

export interface Plan {
  /** The profile's name: "colibri-imx6". */
  readonly profile: string;
  readonly description: string;
  readonly architecture: Architecture;
  /** All UUIDs, ids and hash seeds follow from this text and from the root file system. */
  readonly seed: string;
  readonly storage: StoragePlan;
  /** In the order of their places on the medium. */
  readonly partitions: readonly PartitionPlan[];
  readonly bootloader?: BootloaderPlan | undefined;
  readonly boot: BootPlan;
  readonly overlay: OverlayPlan;
  readonly flash: FlashPlan;
  readonly update: UpdatePlan;
  /** What is made of the image, by the names in src/output/outputs.ts. */
  readonly outputs: readonly string[];
  readonly tezi?: TeziPlan | undefined;
  readonly slots: SlotsPlan;
  readonly emulator?: EmulatorPlan | undefined;
}

export interface StoragePlan {
  /** Length of the user area that the image is made for; undefined: as long as the partitions need. */
  readonly size?: number | undefined;
  readonly table: "mbr" | "gpt";
  readonly sectorSize: SectorSize;
  /** Every partition begins at a multiple of this. */
  readonly alignment: number;
  /** Where the table is a GPT: its room for partitions, and where its entries begin, if not behind its header. */
  readonly gpt?: { readonly entries?: number | undefined; readonly entriesAt?: number | undefined } | undefined;
  /** Stretches of the user area that nothing of the image may touch. */
  readonly reserved: readonly ReservedPlan[];
}

export interface ReservedPlan {
  readonly name: string;
  readonly start: number;
  readonly size: number;
}

/** How long a partition is: a number of bytes, what its content needs, or what the others leave. */
export type PartitionSize = number | "fit" | "rest";

/**
 * What a partition is for. imgbuild fills bootfs, rootfs and userdata; two may be rootfs: slots A and B, in their order. The
 * others are the user's own.
 */
export const PARTITION_ROLES = ["bootfs", "rootfs", "userdata", "data"] as const;
export type PartitionRole = (typeof PARTITION_ROLES)[number];

interface PartitionCommon {
  readonly name: string;
  readonly role: PartitionRole;
  /** As the kernel counts, from 1. */
  readonly number: number;
  readonly size: PartitionSize;
  /** With "fit": room beyond the content, in bytes or as a share of the content. */
  readonly headroom: { readonly bytes: number } | { readonly share: number };
  /** With "fit": never smaller than this. */
  readonly minimum: number;
  /** Where it begins; undefined: after the one before it. */
  readonly offset?: number | undefined;
  /** A name that src/partition knows, a number for MBR, a GUID for GPT. */
  readonly type: string;
  /** The flag by which U-Boot finds the boot partition: active in an MBR, legacy BIOS bootable in a GPT. */
  readonly active: boolean;
  /** GPT only: its name in the table. */
  readonly partlabel?: string | undefined;
  /** GPT only: names or numbers of attribute bits. */
  readonly attributes: readonly string[];
  /** GPT only: its type in a hybrid MBR, if it is to be in one. */
  readonly hybrid?: string | undefined;
  /** What goes into it, for partitions with the role data: a folder, a tar or a file. */
  readonly source?: string | undefined;
}

export interface FatPartition extends PartitionCommon {
  readonly filesystem: "fat";
  readonly label?: string | undefined;
  readonly fatType?: 12 | 16 | 32 | undefined;
}

export interface SquashfsPartition extends PartitionCommon {
  readonly filesystem: "squashfs";
  readonly compressor: CompressorName;
  readonly level?: number | undefined;
  readonly xz?: SquashfsXzOptions | undefined;
  readonly blockSize: number;
  readonly exports: boolean;
  /** Whether dm-verity's hash tree lies behind it. */
  readonly verity: boolean;
}

export interface Ext4Partition extends PartitionCommon {
  readonly filesystem: "ext4";
  readonly label?: string | undefined;
  readonly blockSize: 1024 | 2048 | 4096;
  readonly inodeRatio: number;
  readonly reservedPercent: number;
  readonly journalSize?: number | undefined;
  readonly growTo?: number | undefined;
  readonly features?: string | undefined;
  readonly inodeSize: 128 | 256;
  readonly mountOptions?: string | undefined;
  readonly errors: "continue" | "remount-ro" | "panic";
}

export interface RawPartition extends PartitionCommon {
  readonly filesystem: "raw";
}

export type PartitionPlan = FatPartition | SquashfsPartition | Ext4Partition | RawPartition;

export interface BootloaderPlan {
  /** The eMMC's boot partition 0, or the user area in front of the first partition. */
  readonly area: "boot0" | "user";
  /** In bytes, the length of boot0 on the board. */
  readonly size: number;
  /** In bytes: so much at boot0's end is the board's own, and no file may reach it. */
  readonly reservedEnd: number;
  /** Whether an image without it makes sense: on boards that come with a bootloader, it does. */
  readonly optional: boolean;
  readonly files: readonly { readonly file: string /** In bytes from the area's start. */; readonly offset: number }[];
}

export const KERNEL_FORMATS = ["zImage", "Image", "Image.gz", "bzImage"] as const;
export type KernelFormat = (typeof KERNEL_FORMATS)[number];

/** The formats that there are of a kernel for the architecture. */
export const KERNEL_FORMATS_OF: Readonly<Record<Architecture, readonly KernelFormat[]>> = {
  arm: ["zImage"],
  arm64: ["Image", "Image.gz"],
  x86_64: ["bzImage"],
};

/** Who loads the kernel from BootFS: U-Boot, by boot.scr; or the Raspberry Pi's firmware, by config.txt and cmdline.txt. */
export const BOOT_LOADERS = ["uboot", "raspberrypi"] as const;
export type BootLoader = (typeof BOOT_LOADERS)[number];

export interface BootPlan {
  readonly loader: BootLoader;
  /** More lines of config.txt. */
  readonly config: readonly string[];
  /** The kernel's name and format on BootFS. */
  readonly kernel: KernelFormat;
  /** Which file of the boot files is the kernel; undefined: the only one that looks like it. */
  readonly kernelFile?: string | undefined;
  /** Names of the board's device trees, with * and ?. Empty: the firmware brings one. */
  readonly deviceTrees: readonly string[];
  /** The one that is used where U-Boot's environment names none. */
  readonly defaultDeviceTree?: string | undefined;
  /** Kernel console, "ttymxc0,115200". */
  readonly console: string;
  /** More kernel arguments. */
  readonly arguments: readonly string[];
  /** "auto": built where the kernel needs one. Otherwise a file's name. */
  readonly initramfs: string;
  /** Kernel modules that the board's storage needs, where they are not built in. */
  readonly drivers: readonly string[];
  /** Modules that are loaded with them where the kernel has them. */
  readonly optionalDrivers: readonly string[];
  /** A static busybox for the initramfs; undefined: the root's own. */
  readonly busybox?: string | undefined;
  /** More files for BootFS; patterns stand for all that match, which may be none. */
  readonly files: readonly string[];
}

export { NEW_ROOT_POLICIES };

export const RESET_FLAGS = ["userdata", "bootfs"] as const;

export interface OverlayPlan {
  /** Absolute paths that get an upper layer on UserData; "/" alone for the whole root. */
  readonly paths: readonly string[];
  /** Absolute paths that are writable in memory. */
  readonly volatile: readonly string[];
  /** What becomes of what was written when the root under it is another one. */
  readonly newRoot: NewRootPolicy;
  /** Patterns of files that a factory reset carries over. */
  readonly keep: readonly string[];
  /** Where a file may ask for a factory reset; on UserData it can in any case. */
  readonly resetFlag: (typeof RESET_FLAGS)[number];
  /** Layers over the root from elsewhere: src/overlay/layer-source.ts reads `from`. */
  readonly layers: readonly { readonly path: string; readonly from: string }[];
  /** Whether the device makes UserData fill the medium. */
  readonly grow: boolean;
}

/** What the bundles of RAUC and SWUpdate say of the device. */
export interface UpdatePlan {
  /** The disk's partitions in /dev, without their number. */
  readonly device?: string | undefined;
  readonly version?: string | undefined;
  readonly compatible?: string | undefined;
  readonly hardware?: string | undefined;
  /** What bundles are signed with: paths of files on the host. */
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
}

/** What scripts and recipes for flashing have to know of the board. */
export interface FlashPlan {
  /** The number of its eMMC, as U-Boot counts. */
  readonly mmc?: number | undefined;
  /** Of boards that uuu can flash. */
  readonly uuu?:
    | {
        /** The boot ROM's protocol. */
        readonly rom: "sdp" | "sdps";
        /** Where the SPL takes the second bootloader file to, where there is one. */
        readonly loadAddress?: number | undefined;
        /** Where U-Boot has what fastboot downloads. */
        readonly bufferAddress?: number | undefined;
        /** USB ids that uuu does not know, as its CFG: lines say them. */
        readonly devices: readonly string[];
      }
    | undefined;
}

/** At the end of boot0: what U-Boot's environment and Toradex's configuration block take, which nothing of ours may reach. */
export const BOOT0_KEPT = 0x2200;

export const TEZI_COMPRESSIONS = ["none", "gz", "xz", "zst"] as const;

/** What the Toradex Easy Installer is told besides. */
export interface TeziPlan {
  /** Product numbers of the modules, four digits each. */
  readonly productIds: readonly string[];
  readonly name?: string | undefined;
  readonly version?: string | undefined;
  /** YYYY-MM-DD. */
  readonly releaseDate?: string | undefined;
  readonly autoinstall: boolean;
  /** The eMMC in the installer's /dev. */
  readonly device: string;
  readonly compression: (typeof TEZI_COMPRESSIONS)[number];
  /** By a file of the bootloader: the files that go in its place, each with the product numbers that get it. */
  readonly bootloader: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  /** Paths of files on the host. */
  readonly environment?: string | undefined;
  readonly prepareScript?: string | undefined;
  readonly wrapupScript?: string | undefined;
  readonly errorScript?: string | undefined;
  readonly icon?: string | undefined;
  readonly marketing?: string | undefined;
  readonly license?: string | undefined;
  readonly releaseNotes?: string | undefined;
  readonly licenseTitle?: string | undefined;
}

export const TEZI_FILES = [
  "environment",
  "prepareScript",
  "wrapupScript",
  "errorScript",
  "icon",
  "marketing",
  "license",
  "releaseNotes",
] as const satisfies readonly (keyof TeziPlan)[];

export const CONFIRMATIONS = ["automatic", "manual"] as const;

/** Of a profile with two slots for the root. */
export interface SlotsPlan {
  /** How often a new root is tried before the old one is back. */
  readonly tries: number;
  /** Who says that a new root is good: the end of its boot, or an application by `overlayctl confirm`. */
  readonly confirm: (typeof CONFIRMATIONS)[number];
  /** After how many seconds a root on trial that has not been confirmed is restarted; 0: never. */
  readonly deadline: number;
  /** Whether U-Boot was built for redundant environments, whose copies have a flag byte. */
  readonly redundant: boolean;
  /** Where it is kept which slot is booted, in bytes from the medium's start; undefined: in front of the first partition. */
  readonly environmentAt?: number | undefined;
}

/** Machines of QEMU that an image can be attached to. */
export const EMULATED_MACHINES = ["sabrelite", "virt", "imx8mp-evk", "raspi3b", "pc"] as const;

/** The machine that stands in for the board in `imgbuild boot`. */
export interface EmulatorPlan {
  readonly machine: (typeof EMULATED_MACHINES)[number];
  readonly memory: number;
  readonly storage: "sd-card" | "virtio-blk";
  /** Which of the machine's SD controllers the card is in, as QEMU counts; undefined: QEMU takes the first that is free. */
  readonly controller?: number | undefined;
  /** "kernel": QEMU loads kernel, device tree and initramfs itself. "uboot": through U-Boot and boot.scr. */
  readonly boot: "kernel" | "uboot";
  /** Which of the machine's serial ports is the console. */
  readonly serial: number;
  /** The device tree to boot with, from BootFS; undefined: the machine makes its own. */
  readonly deviceTree?: string | undefined;
  /** Nodes of the device tree that are switched on, because the machine has its storage there. */
  readonly enable: readonly string[];
  /** The console as the kernel names it in this machine, where it differs from the board's. */
  readonly console?: string | undefined;
}

/** Whether a partition lies inside of an MBR's extended one: those numbered from 5 on do. */
export function isLogical({ table }: StoragePlan, { number }: PartitionPlan): boolean {
  return table === "mbr" && number > MBR_PRIMARIES;
}
export const MBR_PRIMARIES = 4;

/** The partition with that role, or undefined. Of two slots it is A, which the build fills. */
export function partitionWithRole(plan: Plan, role: PartitionRole): PartitionPlan | undefined {
  return plan.partitions.find((partition) => partition.role === role);
}

/** Slot B, where the profile has two slots for the root. */
export function secondSlot({ partitions }: Plan): PartitionPlan | undefined {
  return partitions.filter(({ role }) => role === "rootfs")[1];
}
