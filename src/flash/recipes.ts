/** How people get this image onto this board: commands to paste, with the image's own names, places and numbers. */
import { formatSize } from "../bytes/size.js";
import type { Plan } from "../image/plan.js";
import { BOOT0, IMAGE } from "../output/artifacts.js";
import type { Manifest, ManifestPartition } from "../output/manifest.js";
import { blocks, boot0Commands, mmcWrite as writeCommand } from "../output/mmc-commands.js";

export interface RecipeInputs {
  readonly manifest: Manifest;
  readonly plan: Plan;
  /** The output folder, as commands name it. */
  readonly folder: string;
  /** The names of the files that are in it. */
  readonly files: ReadonlySet<string>;
}

/** A way to flash, as commands and comments. */
interface Recipe {
  readonly title: string;
  /** When it is the one to take. */
  readonly about: string;
  readonly lines: readonly string[];
}

/** The recipes as text. What the board or the image lacks has none. */
export function recipesText(inputs: RecipeInputs): string {
  const { manifest, plan } = inputs;
  const image = sizeOf(manifest, IMAGE);
  const recipes = [
    emulator(inputs),
    reader(inputs),
    massStorage(inputs),
    mmcWrite(inputs),
    fastboot(inputs),
    uuu(inputs),
    boot0OnLinux(inputs),
    easyInstaller(inputs),
  ].filter((recipe) => recipe !== undefined);
  const head = [
    `${plan.profile}: ${IMAGE}${image === undefined ? "" : ` (${image} bytes, ${formatSize(image)})`}, ${manifest.table.type.toUpperCase()}`,
    ...manifest.partitions.map(
      ({ number, name, filesystem, offset, size }) =>
        `  partition ${number}: ${name}, ${filesystem}, ${formatSize(size)} from sector ${blocks(offset)} on`,
    ),
  ];
  const body = recipes.flatMap(({ title, about, lines }) => [
    "",
    title,
    `  # ${about}`,
    ...lines.map((line) => `  ${line}`),
  ]);
  return [...head, ...body, ""].join("\n");
}

const sizeOf = ({ artifacts }: Manifest, name: string) => artifacts.find(({ file }) => file === name)?.size;

/** The eMMC's number in U-Boot. Where the profile does not say, it is for the reader to fill in. */
const mmcOf = ({ flash }: Plan) => (flash.mmc === undefined ? "N" : `${flash.mmc}`);
const aboutMmc = ({ flash }: Plan) => (flash.mmc === undefined ? " Put its number in the place of N: mmc list." : "");

/** Where `load` puts a file: `mmc write` takes it from there. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: U-Boot's variable
const LOADED = "${loadaddr}";

/** Whether the board is a machine of QEMU's own, and no emulated real one. */
const isQemu = ({ emulator }: Plan) => emulator?.machine === "virt" || emulator?.machine === "pc";

/** Whether there is a console of U-Boot on which its commands could be given. */
const hasUboot = (plan: Plan) => !isQemu(plan) && plan.boot.loader !== "raspberrypi";

/** What decompresses the whole image onto standard output, by the image's suffix. */
const UNPACKERS: Readonly<Record<string, string>> = { "": "", ".zst": "zstd -dc", ".gz": "gzip -dc", ".xz": "xz -dc" };

function emulator({ folder, files, plan }: RecipeInputs): Recipe | undefined {
  if (!isQemu(plan) || !files.has(IMAGE)) return undefined;
  return {
    title: "QEMU",
    about: "The board is a machine of QEMU's: nothing has to be flashed.",
    lines: [`imgbuild boot ${quoted(folder)}`],
  };
}

/** A build may have the image only compressed, or not at all. */
function reader({ folder, files, manifest }: RecipeInputs): Recipe | undefined {
  const found = Object.entries(UNPACKERS).find(([suffix]) => files.has(IMAGE + suffix));
  if (found === undefined) return undefined;
  const [suffix, unpack] = found;
  const image = quoted(`${folder}/${IMAGE}${suffix}`);
  const bmap = files.has(`${IMAGE}.bmap`);
  const dd = "of=/dev/sdX bs=4M oflag=direct conv=fsync status=progress";
  return {
    title: "A card in a reader, or an eMMC that shows up as a disk",
    about: `Put the disk's name in the place of /dev/sdX: lsblk lists them.`,
    lines: [
      `imgbuild flash ${quoted(folder)} /dev/sdX`,
      ...(bmap ? [`bmaptool copy ${image} /dev/sdX`] : []),
      unpack === "" ? `dd if=${image} ${dd}` : `${unpack} ${image} | dd iflag=fullblock ${dd}`,
      ...(manifest.table.type === "gpt"
        ? ["# after bmaptool and dd, which leave the GPT's backup where the image ends:", "sgdisk -e /dev/sdX"]
        : []),
    ],
  };
}

function massStorage(inputs: RecipeInputs): Recipe | undefined {
  const { plan, folder } = inputs;
  if (!hasUboot(plan) || reader(inputs) === undefined) return undefined;
  return {
    title: "U-Boot: the eMMC as a USB disk",
    about: `On the board's console, in U-Boot; the board is connected by its USB device port. Ctrl-C ends it.${aboutMmc(plan)}`,
    lines: [`ums 0 mmc ${mmcOf(plan)}`, "# on the host:", `imgbuild flash ${quoted(folder)} /dev/sdX`],
  };
}

function mmcWrite({ manifest, plan, folder }: RecipeInputs): Recipe | undefined {
  if (!hasUboot(plan)) return undefined;
  const mmc = mmcOf(plan);
  const load = (file: string) => `load usb 0:1 ${LOADED} ${file}`;
  const boot0 = sizeOf(manifest, BOOT0);
  const write = ({ name, offset, used }: ManifestPartition, file: string) => [
    `# ${name}`,
    load(file),
    writeCommand(LOADED, offset, used),
  ];
  const found = manifest.partitions.flatMap((partition) => {
    const file = fileOf(manifest, partition);
    return file === undefined || partition.filesystem === "ext4" ? [] : [{ partition, file }];
  });
  const loaded = [...found.map(({ file }) => file), ...(boot0 === undefined ? [] : [BOOT0])];
  if (loaded.length === 0) return undefined;
  return {
    title: "U-Boot: mmc write, from a USB stick",
    about: `For a board that has this image's partition table already: each file has to fit into the board's memory. Counted in blocks of 512 bytes. An ext4 partition stays as it is.${aboutMmc(plan)}`,
    lines: [
      "# on the host, onto a stick with a FAT:",
      `cp ${loaded.map((file) => quoted(`${folder}/${file}`)).join(" ")} /media/STICK/`,
      "# in U-Boot:",
      "usb start",
      `mmc dev ${mmc} 0`,
      ...found.flatMap(({ partition, file }) => write(partition, file)),
      ...(boot0 === undefined
        ? []
        : [
            "# the bootloader, in the eMMC's boot partition; then the boot ROM is told to take it from there",
            load(BOOT0),
            ...boot0Commands(mmc, LOADED, boot0),
            `mmc dev ${mmc} 0`,
          ]),
    ],
  };
}

/** The artifact that holds a partition on its own. */
function fileOf({ artifacts }: Manifest, { name }: ManifestPartition): string | undefined {
  return artifacts.find(({ file }) => file !== IMAGE && file.slice(0, file.lastIndexOf(".")) === name)?.file;
}

function fastboot({ manifest, plan, folder, files }: RecipeInputs): Recipe | undefined {
  if (!hasUboot(plan)) return undefined;
  const mmc = mmcOf(plan);
  const file = ["emmc.simg", IMAGE].find((name) => files.has(name));
  const image = sizeOf(manifest, IMAGE) ?? plan.storage.size;
  if (file === undefined || image === undefined) return undefined;
  const boot0 = sizeOf(manifest, BOOT0);
  return {
    title: "U-Boot: fastboot",
    about: `Its raw partitions are places on the eMMC in blocks of 512 bytes, set in U-Boot first. U-Boot's CONFIG_FASTBOOT_FLASH_MMC_DEV says which eMMC.${aboutMmc(plan)}`,
    lines: [
      // Without "mmcpart 0" it would go where the last command went: to boot0.
      `setenv fastboot_raw_partition_all '0x0 ${blocks(image)} mmcpart 0'`,
      ...(boot0 === undefined ? [] : [`setenv fastboot_raw_partition_boot0 '0x0 ${blocks(boot0)} mmcpart 1'`]),
      "fastboot usb 0",
      "# on the host; Ctrl-C on the board's console ends it afterwards:",
      `fastboot flash all ${quoted(`${folder}/${file}`)}`,
      ...(boot0 === undefined
        ? []
        : [`fastboot flash boot0 ${quoted(`${folder}/${BOOT0}`)}`, `# then, in U-Boot: mmc partconf ${mmc} 1 1 0`]),
    ],
  };
}

function uuu({ files, folder }: RecipeInputs): Recipe | undefined {
  if (!files.has("uuu.auto")) return undefined;
  return {
    title: "NXP's uuu, with the board in recovery mode",
    about:
      "The boot ROM takes U-Boot over USB, and that takes the image: for a module that does not start. As root, or with uuu's udev rules (uuu -udev).",
    lines: [`uuu ${quoted(folder)}`],
  };
}

function boot0OnLinux({ manifest, plan, folder }: RecipeInputs): Recipe | undefined {
  const size = sizeOf(manifest, BOOT0);
  if (size === undefined) return undefined;
  const mmc = mmcOf(plan);
  const device = `mmcblk${mmc}boot0`;
  return {
    title: `The bootloader: ${BOOT0}, into the eMMC's boot partition`,
    about: `In a Linux on the board itself, as root: no card reader and no \`ums\` shows the boot partition. \`lsblk\` does; other kernels may count otherwise.${plan.flash.mmc === undefined ? " Put its number in the place of N." : ""}`,
    lines: [
      `imgbuild flash ${quoted(`${folder}/${BOOT0}`)} /dev/${device}`,
      "# or, without imgbuild:",
      `echo 0 > /sys/block/${device}/force_ro`,
      `dd if=${quoted(`${folder}/${BOOT0}`)} of=/dev/${device} bs=64K conv=fsync`,
      `echo 1 > /sys/block/${device}/force_ro`,
      "# the boot ROM takes its code from boot0 (package mmc-utils):",
      `mmc bootpart enable 1 1 /dev/mmcblk${mmc}`,
    ],
  };
}

function easyInstaller({ files, folder }: RecipeInputs): Recipe | undefined {
  if (!files.has("image.json") && !files.has("tezi")) return undefined;
  const where = files.has("tezi") ? `${folder}/tezi` : folder;
  return {
    title: "Toradex Easy Installer",
    about: "It lists what is on a USB stick or SD card, in folders with an image.json.",
    lines: [`cp -r ${quoted(where)} /media/STICK/`],
  };
}

/** As a POSIX shell takes it for one word. */
function quoted(text: string): string {
  return /^[\w./:@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
