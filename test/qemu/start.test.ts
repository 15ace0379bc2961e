/** When a kernel that panics would restart for ever, and a reboot has to end the emulator. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Plan } from "../../src/image/plan.js";
import type { Manifest } from "../../src/output/manifest.js";
import { endlessPanic } from "../../src/qemu/start.js";

const rootfs = { role: "rootfs" };
const one = { partitions: [rootfs] } as unknown as Plan;
const two = { partitions: [rootfs, rootfs] } as unknown as Plan;
const UBOOT = { bios: "u-boot.bin" };
const kernel = (append: string) => ({ kernel: "Image", append });
const manifest = (...boot: string[]) =>
  ({ boot: { kernel: "Image", arguments: ["ro", ...boot] } }) as unknown as Manifest;

test("a kernel that restarts after a panic does so for ever, unless U-Boot counts it", () => {
  assert.equal(endlessPanic(one, manifest(), UBOOT), undefined);
  assert.equal(endlessPanic(one, manifest("panic=10", "panic=0"), UBOOT), undefined, "the last one counts");
  assert.equal(endlessPanic(one, manifest("panic=10"), UBOOT), "panic=10");
  assert.equal(endlessPanic(one, manifest(), kernel("ro panic=-1")), "panic=-1");
  assert.equal(endlessPanic(two, manifest("panic=10"), UBOOT), undefined);
  assert.equal(
    endlessPanic(two, manifest("panic=10"), kernel("ro panic=10")),
    "panic=10",
    "without U-Boot nobody counts",
  );
});
