// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these placeholders are hush's
/**
 * The script that boots Linux from the partition it lies on. Plain U-Boot hush: no functions, no `exit`, no command that
 * the boards' U-Boots lack (load, part uuid, bootz, booti or zboot, unzip for a packed kernel where booti cannot).
 */
import { ImgbuildError } from "../errors.js";
import { type BootSlots, chooseSlot } from "./slot-script.js";

export interface BootScript {
  readonly kernel:
    | { readonly file: string; readonly command: "bootz" }
    /** A PC's kernel, which takes no device tree. */
    | { readonly file: string; readonly command: "zboot" }
    /** `compressed`: the file is an Image packed with gzip. */
    | { readonly file: string; readonly command: "booti"; readonly compressed: boolean };
  /** Absent: the firmware brings one, at ${fdt_addr} or ${fdtcontroladdr}, as QEMU's virt machine does. */
  readonly deviceTree?: {
    /** Taken when ${fdtfile} is unset, or names a file that is not there. */
    readonly defaultFile?: string;
  };
  /** A file with a raw initramfs, not wrapped for U-Boot. */
  readonly initramfs?: string;
  /** The number of the root's partition; ${root_part}, in hexadecimal as U-Boot counts, overrides it: A/B updates do. */
  readonly rootPartition: number;
  /** Where there are two root slots, of which rootPartition is the first. */
  readonly slots?: BootSlots | undefined;
  /** Of the kernel: "ro", "rootwait", "rootfstype=squashfs". root= and console= come from the script. */
  readonly arguments: readonly string[];
  /** "ttymxc0": taken when ${console} is unset. */
  readonly console: string;
}

/** Text that goes into double quotes. Throws a `not-representable` error for what hush would take for something else. */
function quotable(text: string, what: string): string {
  if (/^[\x20-\x7e]*$/.test(text) && !/["\\$`';]/.test(text)) return text;
  throw new ImgbuildError("not-representable", `${what} ${JSON.stringify(text)} cannot be put into a U-Boot script`, {
    hint: "Use ASCII without quotes, backslashes, $ and semicolons; what needs them can come from ${bootargs_extra}.",
    data: { text },
  });
}

/**
 * A file's path on the boot partition, which is a word of its own, without quotes. To hush far more characters than blanks
 * end a word there or stand for something (& | < > ( ) # * ? [ ~ ! and =); only those that mean nothing are let through.
 */
function fileWord(path: string): string {
  if (/^[A-Za-z0-9._/+@,][A-Za-z0-9._/+@,-]*$/.test(path)) return path;
  throw new ImgbuildError("not-representable", `the file ${JSON.stringify(path)} cannot be named in a U-Boot script`, {
    hint: "Rename it: of ASCII it may have letters, digits and . _ / + @ , - in its name, and must not begin with a dash.",
    data: { text: path },
  });
}

const BOOT_DISK = "${boot_devtype} ${boot_devnum}";
const BOOT_PARTITION = `${BOOT_DISK}:\${boot_bootpart}`;
const load = (address: string, file: string) => `load ${BOOT_PARTITION} ${address} ${file}`;
const missing = (what: string) => `setenv boot_missing "\${boot_missing} ${what}"`;
const byDefault = (name: string, value: string) => `test -n "\${${name}}" || setenv ${name} ${value}`;

/**
 * Where the script was loaded from, under names of its own: what altbootcmd runs may look at other disks, and leave those in devtype and
 * devnum. And U-Boot's own scripts, which assign to those as variables of hush, cannot any more once the environment has them.
 */
const loadedFrom = (name: string, source: string, otherwise: string) => [
  `setenv ${name} "\${${source}}"`,
  byDefault(name, otherwise),
];

/**
 * Where the ramdisk goes for zboot. The PC's ramdisk_addr_r, at 64 MiB, is too near: a kernel unpacks itself to 16 MiB, and with its
 * init_size (Linux Documentation/arch/x86/boot.rst) a distribution's reaches beyond that.
 */
const ZBOOT_RAMDISK = "8000000";

function loadKernel({ kernel }: BootScript): string[] {
  const file = fileWord(kernel.file);
  if (kernel.command !== "booti" || !kernel.compressed)
    return [`${load("${kernel_addr_r}", file)} || ${missing(file)}`];
  return [
    "# booti unpacks the kernel itself where it has room to; elsewhere the ramdisk's place, which is still free, serves.",
    'if test -n "${kernel_comp_addr_r}" -a -n "${kernel_comp_size}"; then',
    `  ${load("${kernel_addr_r}", file)} || ${missing(file)}`,
    `elif ${load("${ramdisk_addr_r}", file)}; then`,
    `  unzip \${ramdisk_addr_r} \${kernel_addr_r} || ${missing(`(unpacked)${file}`)}`,
    "else",
    `  ${missing(file)}`,
    "fi",
  ];
}

function loadDeviceTree({ deviceTree }: BootScript): string[] {
  const builtIn = ['setenv boot_fdt "${fdt_addr}"', byDefault("boot_fdt", '"${fdtcontroladdr}"')];
  if (deviceTree === undefined) return builtIn;
  const named = "${fdtfile}";
  const lines = ['if test -n "${fdt_addr_r}"; then', '  setenv boot_fdt "${fdt_addr_r}"'];
  if (deviceTree.defaultFile === undefined) {
    lines.push(`  ${load("${fdt_addr_r}", named)} || ${missing(named)}`);
  } else {
    const usual = fileWord(deviceTree.defaultFile);
    lines.push(
      `  ${byDefault("fdtfile", usual)}`,
      `  if ${load("${fdt_addr_r}", named)}; then`,
      "    true",
      "  else",
      `    echo "${named} is not there, trying ${usual}"`,
      `    ${load("${fdt_addr_r}", usual)} || ${missing(usual)}`,
      "  fi",
    );
  }
  // Boards without a place for one were given theirs by the firmware: virt.
  return [...lines, "else", ...builtIn.map((line) => `  ${line}`), "fi"];
}

/**
 * The text of a boot.scr, for `encodeScript`. What it needs and does not find it collects, and says; then it ends, and
 * U-Boot goes on to its next boot target. From the environment it takes root_part, fdtfile, console and baudrate, and adds
 * ${tdxargs} (as Toradex's own script does) and ${bootargs_extra} to the kernel's arguments. ${imgbuild_reset} asks for a factory
 * reset, once for each value: a variable that was saved stays, and no script can remove it wherever U-Boot keeps it.
 */
export function bootScript(script: BootScript): string {
  const kernelArguments = script.arguments.map((text) => quotable(text, "the kernel argument"));
  const bootargs = [
    "root=PARTUUID=${boot_rootuuid}",
    ...kernelArguments,
    ...(script.slots === undefined ? [] : ["imgbuild.slots=${boot_slots}", "imgbuild.trial=${boot_trial}"]),
    ...(script.slots?.rootHash === undefined ? [] : ["imgbuild.verity=${boot_hash}"]),
    "console=${boot_console}",
    "${tdxargs}",
    "${bootargs_extra}",
  ];
  const { command, file } = script.kernel;
  // U-Boot cmd/x86/zboot.c: the ramdisk's length is a word of its own, and the kernel's is found where it says 0.
  const isZboot = command === "zboot";
  const noRamdisk = isZboot ? "" : " -";
  const ramdiskAt = isZboot ? ZBOOT_RAMDISK : "${ramdisk_addr_r}";
  const start = isZboot ? "0 ${boot_ramdisk}" : "${boot_ramdisk} ${boot_fdt}";
  const root =
    script.slots === undefined
      ? [byDefault("root_part", script.rootPartition.toString(16)), 'setenv boot_root "${root_part}"']
      : chooseSlot(script.slots);
  const lines = [
    "# Made by imgbuild. Boots Linux from the disk that this script was loaded from.",
    ...loadedFrom("boot_devtype", "devtype", "mmc"),
    ...loadedFrom("boot_devnum", "devnum", "0"),
    ...loadedFrom("boot_bootpart", "distro_bootpart", "1"),
    byDefault("baudrate", "115200"),
    `setenv boot_console "${quotable(script.console, "the console")}"`,
    'test -n "${console}" && setenv boot_console "${console},${baudrate}"',
    "setenv boot_missing",
    `setenv boot_ramdisk${noRamdisk}`,
    "",
    ...root,
    ...(script.slots?.rootHash === undefined
      ? []
      : [`test -n "\${boot_hash}" || ${missing("root-hash-of-partition-${boot_root}")}`]),
    `part uuid ${BOOT_DISK}:\${boot_root} boot_rootuuid || ${missing("partition-${boot_root}")}`,
    ...loadKernel(script),
    ...(isZboot ? [] : loadDeviceTree(script)),
  ];
  if (script.initramfs !== undefined) {
    const initramfs = fileWord(script.initramfs);
    lines.push(
      `if ${load(ramdiskAt, initramfs)}; then`,
      `  setenv boot_ramdisk "${ramdiskAt}${isZboot ? " " : ":"}\${filesize}"`,
      "else",
      `  ${missing(initramfs)}`,
      "fi",
    );
  }
  lines.push(
    "",
    'if test -z "${boot_missing}"; then',
    `  setenv bootargs "${bootargs.join(" ")}"`,
    '  test -n "${imgbuild_reset}" && setenv bootargs "${bootargs} imgbuild.resetonce=${imgbuild_reset}"',
    '  echo "Booting with ${bootargs}"',
    `  ${command} \${kernel_addr_r} ${start}`,
    `  echo "${command} could not start ${file}"`,
    "else",
    `  echo "Cannot boot from ${BOOT_PARTITION}. Missing:\${boot_missing}"`,
    "fi",
    "",
  );
  return lines.join("\n");
}
