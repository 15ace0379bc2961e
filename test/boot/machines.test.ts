/**
 * Boards whose way to the kernel is another than that of those in boot.test.ts: a PC's, the Raspberry Pi's firmware's, and a machine that
 * not every QEMU has. Each boots twice.
 */
import { test } from "node:test";
import { lacks, lacksMachine } from "../support/tools.js";
import { type Board, bootTwice, build } from "./board.js";

test("qemu-x86_64 boots twice through U-Boot, which starts a PC's kernel from the same script", async (t) => {
  if (lacks(t, "qemu-system-x86_64", "debugfs")) return;
  const board: Board = {
    profile: "qemu-x86_64",
    demo: "amd64",
    emulator: "qemu-system-x86_64",
    uboot: "qemu-x86/u-boot.rom",
    passes: ["U-Boot", "## Executing script", "Loading bzImage"],
  };
  await bootTwice(t, board, build(t, board));
});

test("raspberrypi3 boots twice, with what config.txt and cmdline.txt say", async (t) => {
  if (lacks(t, "qemu-system-aarch64", "debugfs")) return;
  const board: Board = {
    profile: "raspberrypi3",
    demo: "arm64-boards",
    emulator: "qemu-system-aarch64",
    // Debian has the firmware in another section than the rest, and the emulator does not run it.
    settings: ["boot.files=[]"],
    // What begins with root= is cmdline.txt: what is put together from the manifest begins with console=.
    passes: ["Kernel command line: root=PARTUUID=", "Raspberry Pi 3 Model B", "mmcblk0: p1 p2 p3"],
  };
  await bootTwice(t, board, build(t, board));
});

test("imx8mp-evk boots twice, where QEMU has the machine", async (t) => {
  if (lacksMachine(t, "qemu-system-aarch64", "imx8mp-evk", 10) || lacks(t, "debugfs")) return;
  const board: Board = {
    profile: "imx8mp-evk",
    demo: "arm64-boards",
    emulator: "qemu-system-aarch64",
    passes: ["NXP i.MX8MPlus EVK board", "mmcblk2: p1 p2 p3"],
  };
  await bootTwice(t, board, build(t, board));
});
