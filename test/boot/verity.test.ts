/**
 * A root with dm-verity's hash tree on an emulated board, with Debian's kernel, whose dm-verity is a module, and Debian's dmsetup:
 * it boots, and a flipped bit is noticed by what reads it.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { FileReader } from "../../src/bytes/file-device.js";
import type { Manifest } from "../../src/output/manifest.js";
import { planOfResolved } from "../../src/profile/load.js";
import { qemuCommand } from "../../src/qemu/command.js";
import { emulatedMachine, kernelStart } from "../../src/qemu/start.js";
import { imgbuild } from "../support/cli.js";
import { Guest } from "../support/guest.js";
import { lacks, temporaryFolder } from "../support/tools.js";

const PROJECT = path.resolve(import.meta.dirname, "../../..");
const PARTS = path.join(PROJECT, ".cache/debian");
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

test("a root with a hash tree boots, and a flipped bit is noticed", async (t) => {
  if (lacks(t, "qemu-system-aarch64")) return;
  const folder = temporaryFolder(t);
  const out = path.join(folder, "out");
  const settings = ["storage.size=256MiB", "partitions.rootfs.size=64MiB", "partitions.rootfs.verity=true"];
  const built = imgbuild([
    ...["--profile", "qemu-arm64", path.join(DEMO, "rootfs"), path.join(PARTS, "dmsetup-arm64"), modulesLayer(folder)],
    ...["--boot-files", path.join(DEMO, "boot"), "--devices", path.join(PROJECT, "fixtures/demo/devices.txt")],
    ...["--exclude", "usr/share/**", "-o", out, "--json", ...settings.flatMap((setting) => ["--set", setting])],
  ]);
  assert.equal(built.status, 0, built.stderr);
  const manifest = JSON.parse(built.stdout) as Manifest;
  const plan = planOfResolved(manifest.profile.name, manifest.profile.resolved);
  const image = path.join(out, "emmc.img");
  const boot = async () => {
    const device = new FileReader(image);
    const start = await kernelStart(device, plan, manifest, folder).finally(() => device.close());
    const guest = Guest.start(t, qemuCommand(emulatedMachine(plan), { path: image, format: "raw" }, start));
    await guest.logIn();
    return guest;
  };
  /** Reads every file of the root. */
  const readAll = "find / -xdev -type f -exec cat {} + >/dev/null";
  const sound = await boot();
  assert.match(await sound.run("cat /proc/mounts"), /^\/dev\/dm-0 \/ squashfs ro,/m);
  assert.equal(await sound.run("cat /sys/block/dm-0/dm/name"), "imgbuild-root");
  // UserData is found beside the partition that is below.
  assert.match(await sound.run("cat /proc/mounts"), /^\/dev\/vda3 \/userdata ext4 rw,/m);
  assert.equal((await sound.try(readAll)).status, 0);
  await sound.run("sync");
  sound.type("reboot -f");
  assert.equal(await sound.end(), 0);

  const { offset, verity } = manifest.partitions.find(({ role }) => role === "rootfs")!;
  const at = offset + Math.floor(verity!.hashOffset / 2);
  const fd = fs.openSync(image, "r+");
  const byte = Buffer.alloc(1);
  fs.readSync(fd, byte, 0, 1, at);
  byte[0]! ^= 1;
  fs.writeSync(fd, byte, 0, 1, at);
  fs.closeSync(fd);
  const flipped = await boot();
  assert.notEqual((await flipped.try(readAll)).status, 0);
  assert.match(await flipped.run("dmesg"), /device-mapper: verity: .*data block \d+ is corrupted/);
  flipped.type("reboot -f");
  await flipped.end();
});
