/**
 * Images of real parts on emulated boards. Each boots twice: the first boot writes a file into /home/root, deletes one that
 * the root ships and changes another; the second sees all three. Then the partition is looked at from outside. Then
 * UserData is destroyed, and it boots all the same.
 *
 * The parts come from Debian: `make parts`.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { FileReader } from "../../src/bytes/file-device.js";
import type { Plan } from "../../src/image/plan.js";
import type { Manifest, ManifestPartition } from "../../src/output/manifest.js";
import { planOfResolved } from "../../src/profile/load.js";
import { type QemuDisk, type QemuStart, qemuCommand } from "../../src/qemu/command.js";
import { createSnapshot } from "../../src/qemu/run.js";
import { emulatedMachine, kernelStart, startsUboot, ubootStart } from "../../src/qemu/start.js";
import { imgbuild } from "../support/cli.js";
import { Guest } from "../support/guest.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const PROJECT = path.resolve(import.meta.dirname, "../../..");
const PARTS = path.join(PROJECT, ".cache/debian");
const DEMO = path.join(PROJECT, "out/demo");

interface Board {
  readonly profile: string;
  readonly architecture: "armhf" | "arm64";
  readonly emulator: string;
  /** What the console shows when the boot took the way that it should. */
  readonly passes: readonly string[];
}

const BOARDS: readonly Board[] = [
  { profile: "colibri-imx6", architecture: "armhf", emulator: "qemu-system-arm", passes: [] },
  { profile: "sabrelite", architecture: "armhf", emulator: "qemu-system-arm", passes: [] },
  {
    profile: "qemu-arm",
    architecture: "armhf",
    emulator: "qemu-system-arm",
    passes: ["U-Boot", "## Executing script"],
  },
  {
    profile: "qemu-arm64",
    architecture: "arm64",
    emulator: "qemu-system-aarch64",
    passes: ["U-Boot", "## Executing script"],
  },
];

interface BuiltImage {
  readonly folder: string;
  readonly image: string;
  readonly manifest: Manifest;
  readonly plan: Plan;
}

function build(t: TestContext, { profile, architecture }: Board): BuiltImage {
  const demo = path.join(DEMO, architecture);
  const folder = temporaryFolder(t);
  const result = imgbuild([
    ...["--profile", profile, path.join(demo, "rootfs"), "--boot-files", path.join(demo, "boot")],
    ...["--devices", path.join(PROJECT, "fixtures/demo/devices.txt"), "--output", folder, "--json"],
    ...["--set", "storage.size=512MiB", "--set", "partitions.rootfs.size=64MiB"],
  ]);
  assert.equal(result.status, 0, result.stderr);
  const manifest = JSON.parse(result.stdout) as Manifest;
  const plan = planOfResolved(manifest.profile.name, manifest.profile.resolved);
  return { folder, image: path.join(folder, "emmc.img"), manifest, plan };
}

/** What the machine starts with: U-Boot, or files out of the image's BootFS. */
async function start({ profile }: Board, { folder, image, manifest, plan }: BuiltImage): Promise<QemuStart> {
  if (startsUboot(plan))
    return ubootStart(plan, path.join(PARTS, "armhf/usr/lib/u-boot", profile.replace("-", "_"), "u-boot.bin"));
  const device = new FileReader(image);
  try {
    return await kernelStart(device, plan, manifest, folder);
  } finally {
    device.close();
  }
}

const partition = ({ manifest }: BuiltImage, name: string): ManifestPartition =>
  manifest.partitions.find((found) => found.name === name)!;

async function boot(
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

async function firstBoot(guest: Guest): Promise<void> {
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

async function secondBoot(guest: Guest): Promise<void> {
  assert.equal(await guest.run("cat /home/root/new.txt"), "mine");
  assert.equal((await guest.try("test -e /home/root/readme.txt")).status, 1);
  assert.equal(await guest.run("cat /home/root/calibration.txt"), "changed");
  assert.equal((await guest.try("touch /etc/new")).status, 1);
}

/** The console says that UserData is not there, the marker says so to programs, and /home/root can be written all the same. */
async function degradedBoot(guest: Guest): Promise<void> {
  assert.match(await guest.run("cat /run/imgbuild/degraded"), /kept in memory/);
  assert.equal((await guest.try("test -e /home/root/new.txt")).status, 1);
  const shipped = fs.readFileSync(path.join(PROJECT, "fixtures/demo/rootfs/home/root/readme.txt"), "utf8");
  assert.equal(await guest.run("cat /home/root/readme.txt"), shipped.trimEnd());
  await guest.run("echo mine > /home/root/new.txt");
}

for (const board of BOARDS) {
  test(`${board.profile} boots twice and keeps what was written, and boots without UserData`, async (t) => {
    if (lacks(t, board.emulator, "debugfs", "e2fsck")) return;
    const built = build(t, board);
    const machine = emulatedMachine(built.plan);
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
  const board = BOARDS.find(({ profile }) => profile === "sabrelite")!;
  if (lacks(t, board.emulator, "e2fsck", "debugfs")) return;
  const built = build(t, board);
  const disk: QemuDisk = { path: path.join(built.folder, "copy.img"), format: "raw" };
  fs.copyFileSync(built.image, disk.path);
  fs.truncateSync(disk.path, 512 * 2 ** 20);
  const { offset } = partition(built, "userdata");
  const next = (use: (guest: Guest) => Promise<void>) => boot(t, board, built, disk, use);
  const names = "ls /home/root | grep -v -e readme -e latest -e calibration";

  await next(async (guest) => {
    await guest.run("echo 1 >/home/root/one; rm /home/root/readme.txt; overlayctl snapshot first");
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
    assert.equal(await guest.run(names), "one");
    assert.equal((await guest.try("test -e /home/root/readme.txt")).status, 1);
    assert.equal(JSON.parse(await guest.run("overlayctl status --json")).overlays[0].layers.length, 2);
    await guest.run("overlayctl reset");
  });
  await next(async (guest) => {
    assert.equal((await guest.try(names)).status, 1);
    assert.equal((await guest.try("test -e /run/imgbuild/degraded")).status, 1);
    await guest.run("test -e /home/root/readme.txt");
  });
});
