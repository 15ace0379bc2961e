/**
 * A new root with systemd that hangs in its start, through Debian's U-Boot as it is: it is restarted at the deadline, which counts, and
 * the old root is back. A job that never ends keeps systemd from no shutdown in order, so that UserData is unmounted.
 *
 * The parts come from Debian: `make parts`.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { qemuCommand } from "../../src/qemu/command.js";
import { emulatedMachine, ubootStart } from "../../src/qemu/start.js";
import { Guest } from "../support/guest.js";
import { lacks, temporaryFolder } from "../support/tools.js";
import { buildImage, DEMO, PROJECT, partition, readUserdata } from "./image.js";
import { slotVariables, writeSlotVariables } from "./slots-check.js";

/** systemd takes half a minute on a quiet machine. */
const PATIENCE = 600_000;

const UBOOT = path.join(PROJECT, ".cache/debian/armhf/usr/lib/u-boot/qemu_arm64/u-boot.bin");

const PROFILE = `extends: qemu-arm64
storage: { size: 256MiB }
partitions:
  rootfs: { size: 64MiB, compressor: lz4, level: 1 }
  rootfs-b: { filesystem: squashfs, size: 64MiB, role: rootfs }
  userdata: null
  data: { filesystem: ext4, size: rest, role: userdata }
slots: { tries: 1, confirm: manual }
`;

/** Nothing that needs sysinit.target is ever started: no login, no unit that would confirm. */
const UNIT = `[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
StandardOutput=tty
ExecStart=/usr/sbin/hang
`;

/** How fast systemd comes here depends on the machine, so it is the unit that has the deadline pass: it sets what is gone by forward. */
const HANG = `#!/bin/sh
pid=$(pgrep -f /deadline.sh)
echo "hangs; $(cat /proc/$pid/cgroup) waits: $(ps -o args= $pid)"
echo 99999.99 0 >/run/later
mount --bind /run/later /proc/uptime
kill $(pgrep -P $pid)
exec sleep infinity
`;

test("a new root with systemd that hangs is restarted at the deadline, and the old one is back", async (t) => {
  if (lacks(t, "qemu-system-aarch64")) return;
  const folder = temporaryFolder(t);
  const write = (name: string, text: string) => {
    const file = path.join(folder, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text, { mode: 0o755 });
    return file;
  };
  const profile = write("slots.yaml", PROFILE);
  const boot = ["--boot-files", path.join(DEMO, "arm64/boot")];
  const units = "hanging/usr/lib/systemd/system";
  write(`${units}/hang.service`, UNIT);
  fs.mkdirSync(path.join(folder, units, "sysinit.target.wants"));
  fs.symlinkSync("../hang.service", path.join(folder, units, "sysinit.target.wants/hang.service"));
  write("hanging/usr/sbin/hang", HANG);
  // Without one systemd takes it for the first boot ever, which takes it long.
  write("hanging/etc/machine-id", `${"0123456789abcdef".repeat(2)}\n`);
  const hanging = buildImage(path.join(folder, "new"), profile, [
    ...[path.join(DEMO, "systemd"), path.join(folder, "hanging"), ...boot],
    ...["--devices", path.join(PROJECT, "fixtures/systemd/devices.txt")],
  ]);
  const old = buildImage(path.join(folder, "old"), profile, [
    ...[path.join(DEMO, "arm64/rootfs"), ...boot, "--devices", path.join(PROJECT, "fixtures/demo/devices.txt")],
  ]);
  const update = fs.readFileSync(path.join(hanging.folder, "rootfs.squashfs"));
  const disk = fs.openSync(old.image, "r+");
  fs.writeSync(disk, update, 0, update.length, partition(old, "rootfs-b").offset);
  fs.closeSync(disk);
  writeSlotVariables(old, { root_part: "3", root_old: "2", upgrade_available: "1", bootcount: "0", bootlimit: "1" });

  const command = qemuCommand(
    emulatedMachine(old.plan),
    { path: old.image, format: "raw" },
    ubootStart(old.plan, UBOOT),
  );
  const trial = Guest.start(t, command);
  await trial.waitFor("Trying the new root in partition 3: 1 of 1");
  await trial.waitFor(/hangs; 0::\/init.scope waits: sh \S+\/deadline.sh 600 /, PATIENCE);
  await trial.waitFor("imgbuild: the root on trial has not been confirmed in 600 seconds: restarting", PATIENCE);
  assert.equal(await trial.end(PATIENCE), 0);
  const { bootcount, upgrade_available } = slotVariables(fs.readFileSync(old.image))!;
  assert.deepEqual({ bootcount, upgrade_available }, { bootcount: "1", upgrade_available: "1" });
  await readUserdata(old, async ({ reader }) => assert.equal(reader.facts.state, "clean", "it was unmounted"));

  const back = Guest.start(t, command);
  await back.waitFor("The new root in partition 3 did not come up: back to partition 2");
  await back.logIn();
  assert.match(await back.run("overlayctl status"), /partition 2, confirmed\n.*partition 3 did not come up/);
});
