/** The command lines that boot the boards, each as a whole: a change to one is seen, and meant. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { diskSize, type QemuMachine, qemuCommand } from "../../src/qemu/command.js";

const sabrelite: QemuMachine = {
  program: "qemu-system-arm",
  package: "qemu-system-arm",
  machine: "sabrelite",
  memory: 512,
  disk: "sd-card",
  serial: 1,
};
const virt: QemuMachine = {
  program: "qemu-system-aarch64",
  package: "qemu-system-arm",
  machine: "virt",
  cpu: "cortex-a53",
  memory: 1024,
  disk: "virtio-blk",
  serial: 0,
};
const line = (...arguments_: Parameters<typeof qemuCommand>) => {
  const { program, args } = qemuCommand(...arguments_);
  return [program, ...args].join(" ");
};

test("i.MX6: QEMU loads the kernel, the image is an SD card, the console is the second serial port", () => {
  assert.equal(
    line(
      sabrelite,
      { path: "emmc.img", format: "raw" },
      { kernel: "zImage", deviceTree: "board.dtb", initramfs: "initramfs.cpio.gz", append: "console=ttymxc1 ro" },
    ),
    "qemu-system-arm -machine sabrelite -m 512M -display none -no-reboot -nic none -serial null -serial mon:stdio " +
      "-kernel zImage -dtb board.dtb -initrd initramfs.cpio.gz -append console=ttymxc1 ro " +
      "-drive if=none,id=disk,format=raw,file=emmc.img -device sd-card,drive=disk",
  );
});

test("i.MX8: the image is in one of the machine's card slots", () => {
  const evk: QemuMachine = { ...sabrelite, program: "qemu-system-aarch64", machine: "imx8mp-evk", controller: 2 };
  assert.equal(
    line(evk, { path: "emmc.img", format: "raw" }, { kernel: "Image", deviceTree: "board.dtb", append: "ro" }),
    "qemu-system-aarch64 -machine imx8mp-evk -m 512M -display none -no-reboot -nic none -serial null " +
      "-serial mon:stdio -kernel Image -dtb board.dtb -append ro -drive if=sd,bus=2,format=raw,file=emmc.img",
  );
});

test("virt: U-Boot finds the rest on a virtio disk", () => {
  assert.equal(
    line(virt, { path: "snapshot.qcow2", format: "qcow2" }, { bios: "u-boot.bin" }),
    "qemu-system-aarch64 -machine virt -cpu cortex-a53 -m 1024M -display none -no-reboot -nic none -serial mon:stdio " +
      "-bios u-boot.bin -drive if=none,id=disk,format=qcow2,file=snapshot.qcow2 -device virtio-blk-pci,drive=disk",
  );
});

test("a guest that reboots ends the emulator, unless it is to start again", () => {
  const [disk, start] = [{ path: "emmc.img", format: "raw" }, { bios: "u-boot.bin" }] as const;
  assert.equal(line(virt, disk, start).replace(" -no-reboot", ""), line(virt, disk, start, true));
});

test("virt: a kernel that has everything built in needs neither device tree nor initramfs", () => {
  assert.equal(
    line(virt, { path: "emmc.img", format: "raw" }, { kernel: "Image", append: "root=/dev/vda2 ro" }),
    "qemu-system-aarch64 -machine virt -cpu cortex-a53 -m 1024M -display none -no-reboot -nic none -serial mon:stdio " +
      "-kernel Image -append root=/dev/vda2 ro " +
      "-drive if=none,id=disk,format=raw,file=emmc.img -device virtio-blk-pci,drive=disk",
  );
});

test("a comma in the image's path does not end the option", () => {
  const { args } = qemuCommand(virt, { path: "a,readonly=on.img", format: "raw" }, { bios: "u-boot.bin" });
  assert.ok(args.includes("if=none,id=disk,format=raw,file=a,,readonly=on.img"));
});

test("an SD card's size is a power of two", () => {
  const MiB = 2 ** 20;
  assert.equal(diskSize(sabrelite, 200 * MiB), 256 * MiB);
  assert.equal(diskSize(sabrelite, 256 * MiB), 256 * MiB);
  assert.equal(diskSize(sabrelite, 3500 * MiB), 4096 * MiB);
  assert.equal(diskSize(virt, 200 * MiB), 200 * MiB);
});
