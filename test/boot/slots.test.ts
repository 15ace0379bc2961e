/**
 * Updates of a machine with two root slots, through Debian's U-Boot as it is: a good root is tried and confirmed; one whose init
 * ends, one that panics and one whose image is cut short are tried, twice, and then the old root is back. After
 * each boot the image is read from outside.
 *
 * The parts come from Debian: `make parts`.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import type { Manifest } from "../../src/output/manifest.js";
import { planOfResolved } from "../../src/profile/load.js";
import { qemuCommand } from "../../src/qemu/command.js";
import { emulatedMachine, ubootStart } from "../../src/qemu/start.js";
import { imgbuild } from "../support/cli.js";
import { Guest } from "../support/guest.js";
import { lacks, temporaryFolder } from "../support/tools.js";

const PROJECT = path.resolve(import.meta.dirname, "../../..");
const UBOOT = path.join(PROJECT, ".cache/debian/armhf/usr/lib/u-boot/qemu_arm64/u-boot.bin");
const DEMO = path.join(PROJECT, "out/demo/arm64");

const PROFILE = `extends: qemu-arm64
storage: { size: 160MiB }
partitions:
  rootfs: { size: 16MiB }
  rootfs-b: { filesystem: squashfs, size: 16MiB, role: rootfs }
  userdata: null
  data: { filesystem: ext4, size: rest, role: userdata }
boot: { arguments: [panic=1] }
slots: { tries: 2, confirm: manual }
`;
/** In front of the first partition. */
const ENVIRONMENT_AT = 2 ** 20 - 8192;

/** What is laid over the demonstration's root: each says in /etc/slot which it is. */
const ROOTS = {
  first: {},
  good: {},
  "ends-init": { "sbin/init": "#!/bin/sh\nexit 1\n" },
  panics: { "sbin/init": "#!/bin/sh\necho c >/proc/sysrq-trigger\nsleep 60\n" },
} as const satisfies Record<string, Record<string, string>>;

test("qemu-arm64 with two slots: updates that work, and those that do not", async (t) => {
  if (lacks(t, "qemu-system-aarch64")) return;
  const folder = temporaryFolder(t);
  const profile = path.join(folder, "slots.yaml");
  fs.writeFileSync(profile, PROFILE);

  const build = (name: keyof typeof ROOTS, ...more: string[]): Manifest => {
    const layer = path.join(folder, "layers", name);
    for (const [file, text] of Object.entries({ ...ROOTS[name], "etc/slot": `${name}\n` })) {
      fs.mkdirSync(path.dirname(path.join(layer, file)), { recursive: true });
      fs.writeFileSync(path.join(layer, file), text, { mode: 0o755 });
    }
    const result = imgbuild([
      ...["--profile", profile, path.join(DEMO, "rootfs"), layer, "--boot-files", path.join(DEMO, "boot")],
      ...["--devices", path.join(PROJECT, "fixtures/demo/devices.txt"), "--output", path.join(folder, name), "--json"],
      ...more,
    ]);
    assert.equal(result.status, 0, result.stderr);
    return JSON.parse(result.stdout);
  };
  const home = path.join(folder, "userdata/home/root");
  fs.mkdirSync(home, { recursive: true });
  for (const name of ["good", "ends-init", "panics"] as const) {
    build(name);
    fs.copyFileSync(path.join(folder, name, "rootfs.squashfs"), path.join(home, `${name}.squashfs`));
  }
  const manifest = build("first", "--userdata", path.join(folder, "userdata"));
  const plan = planOfResolved(manifest.profile.name, manifest.profile.resolved);
  const image = path.join(folder, "disk.img");
  fs.copyFileSync(path.join(folder, "first/emmc.img"), image);
  const command = qemuCommand(emulatedMachine(plan), { path: image, format: "raw" }, ubootStart(plan, UBOOT));

  const place = ["--offset", `${ENVIRONMENT_AT}`, "--size", "4K"];

  /** A boot that comes up, as the root `name` in partition `number`. */
  const boot = async (name: string, number: number, commands: readonly string[]): Promise<string> => {
    const guest = Guest.start(t, command);
    await guest.logIn();
    assert.equal(await guest.run("cat /etc/slot"), name);
    const state = JSON.parse(await guest.run("overlayctl status --json")).slots;
    assert.equal(state.running, number);
    for (const line of commands) await guest.run(line);
    const { state: now } = JSON.parse(await guest.run("overlayctl status --json")).slots;
    await guest.run("sync");
    guest.type("reboot -f");
    assert.equal(await guest.end(), 0);
    return now;
  };
  /** The tries of a root in partition `number` that does not come up: both, or the last one, the first being made up. */
  const fails = async (number: number, reason: RegExp, tries = [2]): Promise<void> => {
    if (tries.length === 1) assert.equal(imgbuild(["env", "set", image, "bootcount=1", ...place]).status, 0);
    for (const tried of tries) {
      const guest = Guest.start(t, command);
      await guest.waitFor(`Trying the new root in partition ${number}: ${tried} of 2`);
      await guest.waitFor(reason);
      assert.equal(await guest.end(), 0);
      assert.equal(environment().bootcount, `${tried}`);
    }
  };
  const environment = (): Record<string, string> =>
    JSON.parse(imgbuild(["env", "print", image, ...place, "--json"]).stdout);
  const inSlot = (number: number) => imgbuild(["cat", `${image}:${number}`, "/etc/slot"]).stdout.trimEnd();
  const update = (name: string) => `overlayctl update /home/root/${name}.squashfs`;

  assert.equal(await boot("first", 2, [update("ends-init")]), "waiting");
  assert.deepEqual([inSlot(2), inSlot(3)], ["first", "ends-init"]);
  assert.deepEqual(environment(), {
    root_part: "3",
    root_old: "2",
    upgrade_available: "1",
    bootcount: "0",
    bootlimit: "2",
  });
  await fails(3, /Attempted to kill init/, [1, 2]);

  assert.equal(
    await boot("first", 2, ["overlayctl status | grep 'partition 3 did not come up'", update("good")]),
    "waiting",
  );
  assert.equal(await boot("good", 3, ["overlayctl confirm", update("panics")]), "waiting");
  assert.deepEqual([inSlot(2), inSlot(3)], ["panics", "good"]);
  await fails(2, /sysrq triggered crash/);

  assert.equal(await boot("good", 3, [update("good")]), "waiting");
  const { offset, size } = manifest.partitions.find(({ number }) => number === 2)!;
  const file = fs.openSync(image, "r+");
  fs.writeSync(file, new Uint8Array(size - 65536), 0, size - 65536, offset + 65536);
  fs.closeSync(file);
  await fails(2, /cannot mount/);

  assert.equal(await boot("good", 3, []), "confirmed");
  const { root_part, root_failed, upgrade_available } = environment();
  assert.deepEqual([root_part, root_failed, upgrade_available], ["3", "2", "0"]);
});
