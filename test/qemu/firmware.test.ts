/** config.txt and cmdline.txt, read as the Raspberry Pi's documentation says that its firmware does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { firmwareArguments, firmwareFiles } from "../../src/qemu/firmware.js";

test("what config.txt says nothing of is the firmware's own choice for 64 bits", () => {
  assert.deepEqual(firmwareFiles("arm_64bit=1\n", "pi3"), {
    ...{ kernel: "kernel8.img", initramfs: undefined, commandLine: "cmdline.txt" },
  });
});

test("files are those of the last line that is for the model", () => {
  const config = [
    "# kernel=comment.img",
    "kernel=Image",
    "initramfs first.gz followkernel",
    "[pi4]",
    "kernel=kernel_pi4.img",
    "initramfs pi4.gz 0x00800000",
    "[PI3]",
    "  initramfs pi3.gz followkernel",
    "cmdline=pi3.txt",
    "[none]",
    "kernel=nobody.img",
    "[all]",
    "enable_uart=1",
  ];
  const wanted = { kernel: "Image", initramfs: "pi3.gz", commandLine: "pi3.txt" };
  assert.deepEqual(firmwareFiles(config.join("\n"), "pi3"), wanted);
  assert.deepEqual(firmwareFiles(config.join("\r\n"), "pi3"), wanted, "with the line ends of Windows");
  assert.equal(firmwareFiles(config.join("\n"), "pi4").kernel, "kernel_pi4.img");
});

test("serial0 becomes the port's name, in the first line alone", () => {
  const line = "console=serial0,115200  console=tty1 root=PARTUUID=1-02 rootwait\nnot=read\n";
  assert.equal(
    firmwareArguments(line, "ttyS1,115200"),
    "console=ttyS1,115200 console=tty1 root=PARTUUID=1-02 rootwait",
  );
  assert.equal(firmwareArguments("console=serial0 console=serial01", "ttyS1"), "console=ttyS1 console=serial01");
  assert.equal(firmwareArguments("console=serial0,115200", undefined), "console=serial0,115200");
});
