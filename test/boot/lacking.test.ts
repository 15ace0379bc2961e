/** Devices that cannot keep what is written: they boot, say so, and go on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { lacks } from "../support/tools.js";
import { GatedMachine } from "./gate.js";

test("a kernel without overlayfs: it boots, the folders are read-only, and it says so", async (t) => {
  if (lacks(t, "qemu-system-aarch64", "e2fsck")) return;
  const machine = await GatedMachine.create(t, "module_blacklist=overlay");
  const printed = await machine.run(
    "cat /run/imgbuild/degraded; touch /opt/x || echo refused; cat /home/root/calibration.txt; overlayctl status",
  );
  for (const folder of ["/home/root", "/opt"]) {
    assert.match(printed, new RegExp(`^no overlay can be mounted on ${folder}; it is read-only$`, "m"));
  }
  assert.match(printed, /^refused$/m);
  assert.match(printed, /^calibration 1\.000 0\.000$/m);
  assert.match(printed, /^Degraded: no overlay can be mounted on \/opt/m);
  await machine.check(machine.read());
});

test("a UserData without a free byte: it boots with what was written, and a reset makes room", async (t) => {
  if (lacks(t, "qemu-system-aarch64", "e2fsck")) return;
  const machine = await GatedMachine.create(t);
  await machine.run("ready; echo mine >/home/root/mine; sync; dd if=/dev/zero of=/opt/fill bs=4k; sync");
  const full = await machine.run("cat /home/root/mine; echo x >/opt/more || echo full; ls /run/imgbuild");
  assert.match(full, /^mine\n[\s\S]*^full$/m);
  assert.doesNotMatch(full, /degraded/);
  await machine.check(machine.read());
  await machine.run("echo /opt >/userdata/factory-reset || >/userdata/factory-reset; sync");
  const reset = await machine.run("ls /opt; echo x >/opt/more && cat /opt/more; cat /home/root/mine");
  assert.doesNotMatch(reset, /fill/);
  assert.match(reset, /^x$/m);
  await machine.check(machine.read());
});
