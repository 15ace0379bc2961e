/**
 * What the Raspberry Pi's firmware reads from BootFS in the place of a bootloader's script: config.txt says what to load, and
 * cmdline.txt is the kernel's command line. raspberrypi/documentation, documentation/asciidoc/computers/config_txt/boot.adoc
 * and configuration/kernel-command-line-config.adoc.
 */
import type { Plan } from "./plan.js";

/** The firmware picks the device tree of the model that it runs on: nothing here names one. */
export function configText({ architecture, boot }: Plan, initramfs: string | undefined): string {
  const lines = [
    "# Made by imgbuild.",
    `arm_64bit=${architecture === "arm64" ? 1 : 0}`,
    `kernel=${boot.kernel}`,
    // Without an equals sign, unlike every other key.
    ...(initramfs === undefined ? [] : [`initramfs ${initramfs} followkernel`]),
    ...boot.config,
  ];
  return `${lines.join("\n")}\n`;
}

/** One line: the firmware reads no more. `root`: the root's PARTUUID. */
export function commandLineText(plan: Plan, root: string, kernelArguments: readonly string[]): string {
  return `${[`root=PARTUUID=${root}`, ...kernelArguments, `console=${plan.boot.console}`].join(" ")}\n`;
}
