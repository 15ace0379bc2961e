/**
 * What the Raspberry Pi's firmware would do between BootFS and the kernel, as far as an emulator needs it, which does not run
 * it. raspberrypi/documentation, documentation/asciidoc/computers/config_txt/boot.adoc and conditional.adoc.
 */

/** What config.txt names, of files on BootFS. */
export interface FirmwareFiles {
  readonly kernel: string;
  readonly initramfs: string | undefined;
  /** The file with the kernel's arguments. */
  readonly commandLine: string;
}

/** The firmware's own choice for a 64-bit kernel, and for the arguments' file. */
const DEFAULTS: FirmwareFiles = { kernel: "kernel8.img", initramfs: undefined, commandLine: "cmdline.txt" };

/**
 * The files that config.txt names; of repeated keys the last counts. `filter` is the model that lines are for, as config.txt
 * has it ("pi3"): what stands under another filter than that and [all] is left out.
 */
export function firmwareFiles(config: string, filter: string): FirmwareFiles {
  let files = DEFAULTS;
  let applies = true;
  for (const line of config.split(/\r?\n/)) {
    const section = /^\s*\[(.*)\]\s*$/.exec(line)?.[1];
    if (section !== undefined) applies = ["all", filter].includes(section.toLowerCase());
    if (!applies) continue;
    const kernel = /^\s*kernel=(\S+)/.exec(line)?.[1];
    if (kernel !== undefined) files = { ...files, kernel };
    const commandLine = /^\s*cmdline=(\S+)/.exec(line)?.[1];
    if (commandLine !== undefined) files = { ...files, commandLine };
    // Alone of all keys it has no equals sign; the address behind it is for the firmware.
    const initramfs = /^\s*initramfs\s+(\S+)/.exec(line)?.[1];
    if (initramfs !== undefined) files = { ...files, initramfs };
  }
  return files;
}

/**
 * The kernel's arguments in a cmdline.txt, which is its first line. The firmware puts the port's name in this kernel into the
 * place of serial0: here that is `console`, a name with or without a speed ("ttyS1,115200").
 */
export function firmwareArguments(commandLine: string, console: string | undefined): string {
  const words = commandLine.split(/\r?\n/, 1)[0]!.trim().split(/\s+/);
  const named = (word: string) =>
    console !== undefined && /^console=serial0(,|$)/.test(word) ? `console=${console}` : word;
  return words.map(named).join(" ");
}
