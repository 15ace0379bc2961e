/** Emulated boards, and what is done on them: the first boot writes, deletes and changes files of /home/root, the second sees it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import type { TestContext } from "node:test";
import { FileReader } from "../../src/bytes/file-device.js";
import type { Plan } from "../../src/image/plan.js";
import type { Manifest, ManifestPartition } from "../../src/output/manifest.js";
import { planOfResolved } from "../../src/profile/load.js";
import { type QemuDisk, type QemuStart, qemuCommand } from "../../src/qemu/command.js";
import { emulatedMachine, kernelStart, startsUboot, ubootStart } from "../../src/qemu/start.js";
import { imgbuild } from "../support/cli.js";
import { Guest } from "../support/guest.js";
import { run, temporaryFolder } from "../support/tools.js";
import { DEMO, PROJECT } from "./image.js";

const PARTS = path.join(PROJECT, ".cache/debian");

export interface Board {
  readonly profile: string;
  /** The folder in out/demo with its root file system and its boot files. */
  readonly demo: string;
  readonly emulator: string;
  /** U-Boot's folder and file in Debian's packages, where the machine goes through it. */
  readonly uboot?: string;
  /** What is set besides, to build of what is in Debian. */
  readonly settings?: readonly string[];
  /** What the console shows when the boot took the way that it should. */
  readonly passes: readonly string[];
}

export interface BuiltImage {
  readonly folder: string;
  readonly image: string;
  readonly manifest: Manifest;
  readonly plan: Plan;
}

export function build(t: TestContext, { profile, demo: name, settings = [] }: Board): BuiltImage {
  const demo = path.join(DEMO, name);
  const folder = temporaryFolder(t);
  const result = imgbuild([
    ...["--profile", profile, path.join(demo, "rootfs"), "--boot-files", path.join(demo, "boot")],
    ...["--devices", path.join(PROJECT, "fixtures/demo/devices.txt"), "--output", folder, "--json"],
    ...["storage.size=512MiB", "partitions.rootfs.size=64MiB", ...settings].flatMap((value) => ["--set", value]),
  ]);
  assert.equal(result.status, 0, result.stderr);
  const manifest = JSON.parse(result.stdout) as Manifest;
  const plan = planOfResolved(manifest.profile.name, manifest.profile.resolved);
  return { folder, image: path.join(folder, "emmc.img"), manifest, plan };
}

/** What the machine starts with: U-Boot, or files out of the image's BootFS. */
async function start({ uboot }: Board, { folder, image, manifest, plan }: BuiltImage): Promise<QemuStart> {
  if (startsUboot(plan)) return ubootStart(plan, path.join(PARTS, "armhf/usr/lib/u-boot", uboot!));
  const device = new FileReader(image);
  try {
    return await kernelStart(device, plan, manifest, folder);
  } finally {
    device.close();
  }
}

export const partition = ({ manifest }: BuiltImage, name: string): ManifestPartition =>
  manifest.partitions.find((found) => found.name === name)!;

/** Boots, does `use`, and restarts, which ends the emulator. */
export async function boot(
  t: TestContext,
  board: Board,
  built: BuiltImage,
  disk: QemuDisk,
  use: (guest: Guest) => Promise<void>,
): Promise<Guest> {
  const guest = Guest.start(t, qemuCommand(emulatedMachine(built.plan), disk, await start(board, built)));
  await guest.logIn();
  for (const text of board.passes) assert.ok(guest.log.includes(text), `the console does not show "${text}"`);
  await use(guest);
  await guest.run("sync");
  guest.type("reboot -f");
  assert.equal(await guest.end(), 0);
  return guest;
}

export async function firstBoot(guest: Guest): Promise<void> {
  assert.match(await guest.run("cat /proc/mounts"), / \/ squashfs ro,/);
  const mounts = await guest.run("grep ' /home/root ' /proc/mounts");
  assert.match(mounts, /^overlay \/home\/root overlay rw,/);
  assert.match(mounts, /upperdir=\/userdata\/overlay\/home-root\/upper/);
  assert.notEqual((await guest.try("touch /etc/new")).status, 0);
  assert.equal(await guest.run("stat -c '%a %u:%g' /home/root"), "700 0:0");
  assert.equal((await guest.try("test -e /run/imgbuild/degraded")).status, 1);
  await guest.run("echo mine > /home/root/new.txt");
  await guest.run("rm /home/root/readme.txt");
  await guest.run("echo changed > /home/root/calibration.txt");
}

export async function secondBoot(guest: Guest): Promise<void> {
  assert.equal(await guest.run("cat /home/root/new.txt"), "mine");
  assert.equal((await guest.try("test -e /home/root/readme.txt")).status, 1);
  assert.equal(await guest.run("cat /home/root/calibration.txt"), "changed");
  assert.equal((await guest.try("touch /etc/new")).status, 1);
}

/** Boots a copy of the image twice, and looks into its UserData from outside. */
export async function bootTwice(t: TestContext, board: Board, built: BuiltImage): Promise<void> {
  const userdata = partition(built, "userdata");
  // Written in place on a copy, so that it can be looked at from outside.
  const copy = path.join(built.folder, "copy.img");
  fs.copyFileSync(built.image, copy);
  fs.truncateSync(copy, 512 * 2 ** 20);
  const disk: QemuDisk = { path: copy, format: "raw" };
  await boot(t, board, built, disk, firstBoot);
  await boot(t, board, built, disk, secondBoot);

  const inside = `${copy}?offset=${userdata.offset}`;
  const upper = "/overlay/home-root/upper";
  const whiteout = run("debugfs", ["-R", `stat ${upper}/readme.txt`, inside]);
  assert.match(whiteout, /Type: character special/);
  assert.match(whiteout, /Device major\/minor number: 00:00/);
  assert.equal(run("debugfs", ["-R", `cat ${upper}/new.txt`, inside]), "mine\n");
  assert.equal(run("debugfs", ["-R", `cat ${upper}/calibration.txt`, inside]), "changed\n");
}
