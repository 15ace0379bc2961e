/**
 * Two slots whose roots have dm-verity's hash trees, on an emulated board with Debian's U-Boot, its kernel, whose dm-verity is a module,
 * and its dmsetup: each is booted by its own root hash, and a flipped bit is noticed by what reads it.
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
const PARTS = path.join(PROJECT, ".cache/debian");
const UBOOT = path.join(PARTS, "armhf/usr/lib/u-boot/qemu_arm64/u-boot.bin");
const DEMO = path.join(PROJECT, "out/demo/arm64");
/** dm-verity, and what it depends on. */
const MODULES = /\/(?:dm-mod|dm-verity|dm-bufio|dax|reed_solomon)\.ko(?:\.xz)?$/;

/** A folder with the kernel's modules that the demonstration's root does not have. */
function modulesLayer(folder: string): string {
  const layer = path.join(folder, "layer");
  const parts = path.join(PARTS, "arm64");
  for (const name of fs.readdirSync(parts, { recursive: true, encoding: "utf8" })) {
    if (!MODULES.test(name)) continue;
    // Where the demonstration's root has its modules.
    const target = path.join(layer, name.replace(/^usr\//, ""));
    fs.mkdirSync(path.dirname(target), { recursive: true });
    fs.copyFileSync(path.join(parts, name), target);
  }
  return layer;
}

const PROFILE = `extends: qemu-arm64
storage: { size: 192MiB }
partitions:
  bootfs: { size: 64MiB }
  rootfs: { size: 32MiB, verity: true }
  rootfs-b: { filesystem: squashfs, size: 32MiB, role: rootfs, verity: true }
  userdata: null
  data: { filesystem: ext4, size: rest, role: userdata }
slots: { confirm: manual }
`;

test("a root with a hash tree boots, an update with another one, too, and a flipped bit is noticed", async (t) => {
  if (lacks(t, "qemu-system-aarch64")) return;
  const folder = temporaryFolder(t);
  const profile = path.join(folder, "checked.yaml");
  fs.writeFileSync(profile, PROFILE);
  const parts = [path.join(DEMO, "rootfs"), path.join(PARTS, "dmsetup-arm64"), modulesLayer(folder)];
  const build = (name: string, ...more: string[]) => {
    const layer = path.join(folder, `layer-${name}`);
    fs.mkdirSync(path.join(layer, "etc"), { recursive: true });
    fs.writeFileSync(path.join(layer, "etc/which"), `${name}\n`);
    const built = imgbuild([
      ...["--profile", profile, ...parts, layer, "--boot-files", path.join(DEMO, "boot")],
      ...["--devices", path.join(PROJECT, "fixtures/demo/devices.txt"), "--exclude", "usr/share/**"],
      ...["-o", path.join(folder, name), "--json", ...more],
    ]);
    assert.equal(built.status, 0, built.stderr);
    return JSON.parse(built.stdout) as Manifest;
  };
  const rootOf = ({ partitions }: Manifest) => partitions.find(({ role }) => role === "rootfs")!;
  const update = build("second");
  const home = path.join(folder, "userdata/home/root");
  fs.mkdirSync(home, { recursive: true });
  fs.copyFileSync(path.join(folder, "second/rootfs.squashfs"), path.join(home, "second.squashfs"));
  const manifest = build("first", "--userdata", path.join(folder, "userdata"));
  const plan = planOfResolved(manifest.profile.name, manifest.profile.resolved);
  const image = path.join(folder, "first/emmc.img");
  const boot = async (name: string, number: number, rootHash: string) => {
    const start = ubootStart(plan, UBOOT);
    const guest = Guest.start(t, qemuCommand(emulatedMachine(plan), { path: image, format: "raw" }, start));
    await guest.logIn();
    assert.equal(await guest.run("cat /etc/which"), name);
    assert.match(await guest.run("cat /proc/cmdline"), new RegExp(` imgbuild\\.verity=${rootHash} `));
    assert.match(await guest.run("cat /proc/mounts"), /^\/dev\/dm-0 \/ squashfs ro,/m);
    assert.equal(JSON.parse(await guest.run("overlayctl status --json")).slots.running, number);
    return guest;
  };
  const stop = async (guest: Guest) => {
    await guest.run("sync");
    guest.type("reboot -f");
    assert.equal(await guest.end(), 0);
  };
  /** Reads every file of the root. */
  const readAll = "find / -xdev -type f -exec cat {} + >/dev/null";
  const first = await boot("first", 2, rootOf(manifest).verity!.rootHash);
  assert.equal(await first.run("cat /sys/block/dm-0/dm/name"), "imgbuild-root");
  // UserData is found beside the partition that is below.
  assert.match(await first.run("cat /proc/mounts"), /^\/dev\/vda4 \/userdata ext4 rw,/m);
  assert.match(await first.run("overlayctl update /home/root/second.squashfs"), /tried at the next boot/);
  await stop(first);

  const { rootHash, hashOffset } = rootOf(update).verity!;
  assert.notEqual(rootHash, rootOf(manifest).verity!.rootHash);
  const second = await boot("second", 3, rootHash);
  assert.equal((await second.try(readAll)).status, 0);
  await second.run("overlayctl confirm");
  await stop(second);

  const { offset } = manifest.partitions.find(({ number }) => number === 3)!;
  const at = offset + Math.floor(hashOffset / 2);
  const fd = fs.openSync(image, "r+");
  const byte = Buffer.alloc(1);
  fs.readSync(fd, byte, 0, 1, at);
  byte[0]! ^= 1;
  fs.writeSync(fd, byte, 0, 1, at);
  fs.closeSync(fd);
  const flipped = await boot("second", 3, rootHash);
  assert.notEqual((await flipped.try(readAll)).status, 0);
  assert.match(await flipped.run("dmesg"), /device-mapper: verity: .*data block \d+ is corrupted/);
  flipped.type("reboot -f");
  await flipped.end();
});
