/**
 * Images of real parts on emulated boards: i.MX6, whose kernel QEMU loads, and virt, which goes through U-Boot. The first boot writes
 * a file into /home/root, deletes one that the root ships and changes another; the second sees all three. Then the partition is
 * looked at from outside. On one board of each kind UserData is destroyed, and it boots all the same.
 *
 * The parts come from Debian: `make parts`.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import type { QemuDisk } from "../../src/qemu/command.js";
import { createSnapshot } from "../../src/qemu/run.js";
import { emulatedMachine } from "../../src/qemu/start.js";
import type { Guest } from "../support/guest.js";
import { lacks, run } from "../support/tools.js";
import { type Board, boot, bootTwice, build, firstBoot, partition, secondBoot } from "./board.js";
import { PROJECT } from "./image.js";

const COLIBRI: Board = { profile: "colibri-imx6", demo: "armhf", emulator: "qemu-system-arm", passes: [] };
const SABRELITE: Board = { ...COLIBRI, profile: "sabrelite" };
const VIRT: Board = {
  profile: "qemu-arm",
  demo: "armhf",
  emulator: "qemu-system-arm",
  uboot: "qemu_arm/u-boot.bin",
  passes: ["U-Boot", "## Executing script"],
};
const VIRT64: Board = {
  ...VIRT,
  ...{ profile: "qemu-arm64", demo: "arm64", emulator: "qemu-system-aarch64", uboot: "qemu_arm64/u-boot.bin" },
};

/** The console says that UserData is not there, the marker says so to programs, and /home/root can be written all the same. */
async function degradedBoot(guest: Guest): Promise<void> {
  assert.match(await guest.run("cat /run/imgbuild/degraded"), /kept in memory/);
  assert.equal((await guest.try("test -e /home/root/new.txt")).status, 1);
  const shipped = fs.readFileSync(path.join(PROJECT, "fixtures/demo/rootfs/home/root/readme.txt"), "utf8");
  assert.equal(await guest.run("cat /home/root/readme.txt"), shipped.trimEnd());
  await guest.run("echo mine > /home/root/new.txt");
}

test("qemu-arm boots twice and keeps what was written", async (t) => {
  if (lacks(t, VIRT.emulator, "debugfs")) return;
  await bootTwice(t, VIRT, build(t, VIRT));
});

for (const board of [COLIBRI, VIRT64]) {
  test(`${board.profile} boots twice and keeps what was written, and boots without UserData`, async (t) => {
    if (lacks(t, board.emulator, "debugfs")) return;
    const built = build(t, board);
    const machine = emulatedMachine(built.plan);
    const userdata = partition(built, "userdata");
    await bootTwice(t, board, built);

    const broken = path.join(built.folder, "broken.img");
    fs.copyFileSync(built.image, broken);
    const file = fs.openSync(broken, "r+");
    // All of it, the copies of the superblock included: nothing is left that e2fsck could find.
    for (let at = 0; at < userdata.size; at += 2 ** 20) {
      fs.writeSync(file, Buffer.alloc(2 ** 20, 0xa5), 0, Math.min(2 ** 20, userdata.size - at), userdata.offset + at);
    }
    fs.closeSync(file);
    const degraded = await boot(
      t,
      board,
      built,
      createSnapshot(machine, broken, path.join(built.folder, "snapshot")),
      degradedBoot,
    );
    assert.match(degraded.log, /imgbuild: degraded: UserData .* cannot be mounted/);
  });
}

test("sabrelite: snapshot, restore and factory reset, each at the next boot", async (t) => {
  if (lacks(t, SABRELITE.emulator, "debugfs")) return;
  const built = build(t, SABRELITE);
  const disk: QemuDisk = { path: path.join(built.folder, "copy.img"), format: "raw" };
  fs.copyFileSync(built.image, disk.path);
  fs.truncateSync(disk.path, 512 * 2 ** 20);
  const { offset } = partition(built, "userdata");
  const next = (use: (guest: Guest) => Promise<void>) => boot(t, SABRELITE, built, disk, use);
  const names = "ls /home/root | grep -v -e readme -e latest -e calibration";

  await next(async (guest) => {
    await firstBoot(guest);
    await guest.run("overlayctl snapshot first");
  });
  await next(async (guest) => {
    assert.match(
      await guest.run("grep ' /home/root ' /proc/mounts"),
      /lowerdir=\/userdata\/overlay\/home-root\/upper:\/home\/root,/,
    );
    await guest.run("echo 2 >/home/root/two; overlayctl restore first");
  });
  assert.equal(run("debugfs", ["-R", "cat /overlay/home-root/upper.1/two", `${disk.path}?offset=${offset}`]), "2\n");
  await next(async (guest) => {
    assert.equal(await guest.run(names), "new.txt");
    await secondBoot(guest);
    assert.equal(JSON.parse(await guest.run("overlayctl status --json")).overlays[0].layers.length, 2);
    await guest.run("overlayctl reset");
  });
  await next(async (guest) => {
    assert.equal((await guest.try(names)).status, 1);
    assert.equal((await guest.try("test -e /run/imgbuild/degraded")).status, 1);
    await guest.run("test -e /home/root/readme.txt");
  });
});
