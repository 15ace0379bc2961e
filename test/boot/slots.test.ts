/**
 * Updates of a machine with two root slots, through Debian's U-Boot as it is: a good root is tried and confirmed; one whose init
 * ends, one that panics and one whose image is cut short are tried, twice, and then the old root is back. After
 * each boot the image is read from outside. On 32-bit ARM a good one, with the profile that docs/device.md has.
 *
 * The parts come from Debian: `make parts`.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { lacks } from "../support/tools.js";
import { PROJECT } from "./image.js";
import { type Board, Machine, WAITING } from "./slots-machine.js";

/** The profile in docs/device.md, on a board that QEMU has, with what fits it; and an init system that tells when it is done. */
function documented(): Board {
  const text = fs.readFileSync(path.join(PROJECT, "docs/device.md"), "utf8");
  const [, profile] = /```yaml\n(extends: colibri-imx6\npartitions:\n.*?)```/s.exec(text)!;
  const start = fs.readFileSync(path.join(PROJECT, "fixtures/demo/rootfs/etc/init.d/rcS"), "utf8");
  return {
    ...{ architecture: "armhf", uboot: "qemu_arm" },
    profile: `storage: { size: 128MiB }\n${profile!.replace("colibri-imx6", "qemu-arm").replaceAll("512MiB", "16MiB")}`,
    layer: {
      "etc/init.d/rcS": "#!/bin/sh\nfor script in /etc/init.d/S??*; do $script start; done\n",
      "etc/init.d/S01start": start,
    },
  };
}

/** How often the power is cut while U-Boot is at work. What cuts during an update leave is in power-cuts.test.ts. */
const CUTS = Number(process.env.SLOT_CUTS ?? 3);

const update = (name: string) => `overlayctl update /home/root/${name}.squashfs`;

test("qemu-arm64 with two slots: updates that work, and those that do not", async (t) => {
  if (lacks(t, "qemu-system-aarch64", "sfdisk")) return;
  const machine = new Machine(t, ["good", "ends-init", "panics"]);
  assert.equal(await machine.boot("first", 2, update("ends-init")), "waiting");
  assert.deepEqual([machine.inSlot(2), machine.inSlot(3)], ["first", "ends-init"]);
  assert.deepEqual(machine.environment, WAITING);
  await machine.fails(3, /Attempted to kill init/, [1, 2]);

  const failed = "overlayctl status | grep 'partition 3 did not come up'";
  assert.equal(await machine.boot("first", 2, failed, update("good")), "waiting");
  assert.equal(await machine.boot("good", 3, "overlayctl confirm", update("panics")), "waiting");
  assert.deepEqual([machine.inSlot(2), machine.inSlot(3)], ["panics", "good"]);
  await machine.fails(2, /sysrq triggered crash/);

  assert.equal(await machine.boot("good", 3, update("good")), "waiting");
  const { offset, size } = machine.manifest.partitions.find(({ number }) => number === 2)!;
  const file = fs.openSync(machine.image, "r+");
  fs.writeSync(file, new Uint8Array(size - 65536), 0, size - 65536, offset + 65536);
  fs.closeSync(file);
  await machine.fails(2, /cannot mount/);

  assert.equal(await machine.boot("good", 3), "confirmed");
  const left = Object.entries(machine.environment);
  assert.deepEqual(left.filter(([name]) => !name.startsWith("boot")).sort(), [
    ["root_failed", "2"],
    ["root_part", "3"],
    ["upgrade_available", "0"],
  ]);
});

test("qemu-arm with the documented profile: the end of the boot confirms an update", async (t) => {
  if (lacks(t, "qemu-system-arm", "sfdisk")) return;
  const machine = new Machine(t, ["good"], documented());
  assert.equal(await machine.boot("first", 2, update("good")), "waiting");
  assert.deepEqual(machine.environment, { ...WAITING, bootlimit: "3" });
  assert.equal(await machine.boot("good", 3, "grep ' imgbuild.trial=1/3 ' /proc/cmdline"), "confirmed");
  assert.deepEqual(machine.environment, { root_part: "3", root_old: "2", upgrade_available: "0" });
});

test(`the power is cut ${CUTS} times while U-Boot counts: the try is counted or it is not, and what is booted is there`, async (t) => {
  if (lacks(t, "qemu-system-aarch64", "sfdisk")) return;
  const machine = new Machine(t, []);
  const { offset, size } = machine.manifest.partitions.find(({ number }) => number === 2)!;
  const file = fs.openSync(machine.image, "r+");
  const root = new Uint8Array(size);
  fs.readSync(file, root, 0, size, offset);
  fs.writeSync(file, root, 0, size, offset + size);
  fs.closeSync(file);
  assert.equal(machine.inSlot(3), "first");
  for (let cut = 0; cut < CUTS; cut++) {
    machine.environment = { ...WAITING };
    const guest = machine.start();
    await guest.waitFor("virtio write");
    await setTimeout((cut * 25) / CUTS);
    guest.kill();
    await guest.end();
    const { bootcount, root_part } = machine.environment;
    assert.ok(root_part === "3" && (bootcount === "0" || bootcount === "1"), `${root_part} ${bootcount}`);
    const again = machine.start();
    await again.waitFor(`Trying the new root in partition 3: ${Number(bootcount) + 1} of 2`);
    again.kill();
    await again.end();
    t.diagnostic(`${bootcount} counted`);
  }
});
