/** From a finished image and its manifest to what the emulator needs: the machine, and files out of BootFS. */
import * as fs from "node:fs";
import * as path from "node:path";
import { fromText } from "../bytes/bytestring.js";
import { type ReadableDevice, slice } from "../bytes/device.js";
import { ImgbuildError } from "../errors.js";
import { type FatReader, openFat } from "../fat/index.js";
import { type Architecture, type EmulatorPlan, type Plan, secondSlot } from "../image/plan.js";
import type { Manifest } from "../output/manifest.js";
import { readContent } from "../tree/node.js";
import type { QemuMachine, QemuStart } from "./command.js";
import { enableNode } from "./devicetree.js";
import { firmwareArguments, firmwareFiles } from "./firmware.js";

const PROGRAMS: Readonly<Record<Architecture, Pick<QemuMachine, "program" | "package">>> = {
  arm: { program: "qemu-system-arm", package: "qemu-system-arm" },
  arm64: { program: "qemu-system-aarch64", package: "qemu-system-arm" },
  x86_64: { program: "qemu-system-x86_64", package: "qemu-system-x86" },
};

/** Where Debian's u-boot-qemu has U-Boot for the virt machine, and for the PC. That one is 32-bit code, and starts 64-bit kernels. */
const UBOOT: Readonly<Record<Architecture, string>> = {
  arm: "/usr/lib/u-boot/qemu_arm/u-boot.bin",
  arm64: "/usr/lib/u-boot/qemu_arm64/u-boot.bin",
  x86_64: "/usr/lib/u-boot/qemu-x86/u-boot.rom",
};

/** The machine that stands in for the board. Throws `usage` when the profile names none. */
export function emulatedMachine(plan: Plan): QemuMachine {
  const emulator = requireEmulator(plan);
  return {
    ...PROGRAMS[plan.architecture],
    machine: emulator.machine,
    // virt would emulate a 32-bit processor if nothing was said.
    ...(emulator.machine === "virt" && plan.architecture === "arm64" ? { cpu: "cortex-a53" } : {}),
    memory: Math.round(emulator.memory / 2 ** 20),
    disk: emulator.storage,
    controller: emulator.controller,
    serial: emulator.serial,
  };
}

function requireEmulator({ profile, emulator }: Plan): EmulatorPlan {
  if (emulator !== undefined) return emulator;
  throw new ImgbuildError("usage", `no emulator stands in for the board of ${profile}`, {
    hint: "QEMU has no machine for it. Build the same root with qemu-arm or qemu-arm64, or set the profile's emulator key.",
  });
}

/** U-Boot as the machine's firmware. `file` is the one to use instead of Debian's. */
export function ubootStart(plan: Plan, file: string | undefined): QemuStart {
  const bios = file ?? UBOOT[plan.architecture];
  if (fs.existsSync(bios)) return { bios };
  throw new ImgbuildError(file === undefined ? "tool-missing" : "source-missing", `there is no U-Boot at ${bios}`, {
    hint: `Debian has it in the package u-boot-qemu; in a checkout, \`make parts\` fetches it to .cache/debian/armhf${UBOOT[plan.architecture]}. Name one with --bios FILE, or start the kernel without it: --direct.`,
  });
}

/** Whether the profile's machine goes through U-Boot. */
export function startsUboot(plan: Plan): boolean {
  return requireEmulator(plan).boot === "uboot";
}

/**
 * The kernel argument by which a kernel that panics would restart for ever: a `panic=` that is not 0
 * (Documentation/admin-guide/kernel-parameters.txt), unless U-Boot counts what fails and goes back to another root.
 */
export function endlessPanic(plan: Plan, { boot }: Manifest, start: QemuStart): string | undefined {
  const kernelArguments = "append" in start ? start.append.split(/\s+/) : boot.arguments;
  const panic = kernelArguments.findLast((text) => text.startsWith("panic="));
  if (panic === undefined || Number(panic.slice("panic=".length)) === 0) return undefined;
  return secondSlot(plan) !== undefined && "bios" in start ? undefined : panic;
}

/** Of emulated Raspberry Pis: the section of config.txt that is for the model. */
const CONFIG_FILTERS: Readonly<Record<string, string>> = { raspi3b: "pi3" };

async function readFrom(bootfs: FatReader, name: string): Promise<Uint8Array> {
  const found = await bootfs.lookup(fromText(name));
  if (found?.type === "file") return readContent(bootfs.content(found));
  throw new ImgbuildError("source-missing", `BootFS has no file ${name}`, {
    hint: "The image was changed after it was built: build it again.",
  });
}

/** What the board's loader would start from BootFS: names of files, and the kernel's arguments. */
interface Loaded {
  readonly kernel: string;
  readonly initramfs: string | undefined;
  readonly append: string;
}

/** As the boot script would have it. */
function loadedByUboot({ boot, partitions }: Manifest, plan: Plan): Loaded {
  const rootfs = partitions.find(({ role }) => role === "rootfs");
  if (rootfs === undefined) {
    throw new ImgbuildError("usage", "the image has no root to start a kernel with", {
      hint: "Build it with a profile that has a partition with the role rootfs.",
    });
  }
  const console = requireEmulator(plan).console ?? plan.boot.console;
  return {
    ...{ kernel: boot.kernel, initramfs: boot.initramfs },
    append: [`console=${console}`, `root=PARTUUID=${rootfs.partuuid}`, ...boot.arguments].join(" "),
  };
}

/** As config.txt and cmdline.txt have it, which are read from the image: they may have been edited since. */
async function loadedByFirmware(bootfs: FatReader, plan: Plan): Promise<Loaded> {
  const { machine, console } = requireEmulator(plan);
  const text = async (name: string) => new TextDecoder().decode(await readFrom(bootfs, name));
  const files = firmwareFiles(await text("config.txt"), CONFIG_FILTERS[machine] ?? machine);
  return { ...files, append: firmwareArguments(await text(files.commandLine), console) };
}

/** The kernel, device tree and initramfs of `image`'s BootFS, put into `folder` for the emulator to load. */
export async function kernelStart(
  image: ReadableDevice,
  plan: Plan,
  manifest: Manifest,
  folder: string,
): Promise<QemuStart> {
  const emulator = requireEmulator(plan);
  const bootfs = manifest.partitions.find(({ role }) => role === "bootfs");
  if (bootfs === undefined) {
    throw new ImgbuildError("usage", "the image has no BootFS to start a kernel from", {
      hint: "Build it with a profile that has a partition with the role bootfs.",
    });
  }
  const files = await openFat(slice(image, bootfs.offset, bootfs.size));
  const extract = async (name: string, change: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes) => {
    const target = path.join(folder, name.replaceAll("/", "_"));
    fs.writeFileSync(target, change(await readFrom(files, name)));
    return target;
  };
  const enable = (tree: Uint8Array) => emulator.enable.reduce(enableNode, tree);
  const { kernel, initramfs, append } =
    plan.boot.loader === "raspberrypi" ? await loadedByFirmware(files, plan) : loadedByUboot(manifest, plan);
  return {
    kernel: await extract(kernel),
    ...(emulator.deviceTree === undefined ? {} : { deviceTree: await extract(emulator.deviceTree, enable) }),
    ...(initramfs === undefined ? {} : { initramfs: await extract(initramfs) }),
    append,
  };
}
