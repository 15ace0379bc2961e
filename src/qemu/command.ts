/** The emulator's command line, as data. Nothing here touches a file or starts a program. */

/** An emulated machine, as a profile describes it. Plain data. */
export interface QemuMachine {
  /** The emulator: `qemu-system-arm`, `qemu-system-aarch64`, `qemu-system-x86_64`. */
  readonly program: string;
  /** The Debian package that has it, for the message when it is missing. */
  readonly package: string;
  /** What `-machine` takes: `sabrelite`, `virt`. */
  readonly machine: string;
  /** What `-cpu` takes, where the machine leaves a choice. */
  readonly cpu?: string;
  /** Main memory in MiB. */
  readonly memory: number;
  /** How the image is attached: as a card in the machine's SD controller, or as a virtio disk on PCI. */
  readonly disk: "sd-card" | "virtio-blk";
  /** Of an SD card: the controller that it is in, from 0; undefined: the first that is free. */
  readonly controller?: number | undefined;
  /** Which of the machine's serial ports is the console. The first is 0. */
  readonly serial: number;
}

/** QEMU loads the kernel itself; no bootloader runs. Names are paths on the host. */
export interface KernelStart {
  readonly kernel: string;
  readonly deviceTree?: string;
  readonly initramfs?: string;
  /** The kernel's command line. */
  readonly append: string;
}

/** QEMU runs a bootloader from the machine's flash, and that finds the rest on the disk. */
export interface BiosStart {
  /** Path of U-Boot's `u-boot.bin`. */
  readonly bios: string;
}

/** What the machine boots from. */
export type QemuStart = KernelStart | BiosStart;

/** The image, or a snapshot of it. */
export interface QemuDisk {
  readonly path: string;
  readonly format: "raw" | "qcow2";
}

export interface QemuCommand {
  readonly program: string;
  readonly args: readonly string[];
}

/** A comma in a file name ends an option's value unless it is doubled. QEMU's manual, "Drive specifications". */
const quoted = (path: string) => path.replaceAll(",", ",,");

function* startArguments(start: QemuStart): Generator<string> {
  if ("bios" in start) {
    yield* ["-bios", start.bios];
    return;
  }
  yield* ["-kernel", start.kernel];
  if (start.deviceTree !== undefined) yield* ["-dtb", start.deviceTree];
  if (start.initramfs !== undefined) yield* ["-initrd", start.initramfs];
  yield* ["-append", start.append];
}

/**
 * The command that boots `disk` on `machine`. The console is on standard input and output, shared with QEMU's monitor:
 * Ctrl-A X ends the emulator, and Ctrl-C goes to the guest. A guest that reboots ends it with exit code 0, or with `reboots`
 * starts again from `start` and what it has written to the disk.
 */
export function qemuCommand(machine: QemuMachine, disk: QemuDisk, start: QemuStart, reboots = false): QemuCommand {
  const args = ["-machine", machine.machine];
  if (machine.cpu !== undefined) args.push("-cpu", machine.cpu);
  args.push("-m", `${machine.memory}M`, "-display", "none");
  if (!reboots) args.push("-no-reboot");
  // A network card on PCI would want an option ROM, which is in yet another package.
  args.push("-nic", "none");
  for (let port = 0; port < machine.serial; port++) args.push("-serial", "null");
  args.push("-serial", "mon:stdio", ...startArguments(start));
  const file = `format=${disk.format},file=${quoted(disk.path)}`;
  if (machine.controller !== undefined) {
    args.push("-drive", `if=sd,bus=${machine.controller},${file}`);
  } else {
    args.push("-drive", `if=none,id=disk,${file}`);
    args.push("-device", machine.disk === "sd-card" ? "sd-card,drive=disk" : "virtio-blk-pci,drive=disk");
  }
  return { program: machine.program, args };
}

/**
 * The size that a disk of at least `size` bytes has on this machine. An SD card's is a power of two: QEMU refuses others,
 * because the card's capacity field cannot hold them.
 */
export function diskSize(machine: QemuMachine, size: number): number {
  return machine.disk === "sd-card" ? 2 ** Math.ceil(Math.log2(size)) : size;
}
