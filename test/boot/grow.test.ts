/**
 * UserData of 64 MiB that grows: on a larger disk, the kernel grows the mounted file system to 128 GiB, uses what it gained, and
 * leaves it in order; and the device does all of it by itself at its first boot, with Debian's sfdisk, partx and resize2fs.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import type { Manifest } from "../../src/output/manifest.js";
import { planOfResolved } from "../../src/profile/load.js";
import { qemuCommand } from "../../src/qemu/command.js";
import { emulatedMachine, ubootStart } from "../../src/qemu/start.js";
import { assertClean } from "../ext4/support.js";
import { imgbuild } from "../support/cli.js";
import { Guest } from "../support/guest.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { growingPrograms } from "./growing-programs.js";
import { bootCommand, buildImage } from "./image.js";

const PROJECT = path.resolve(import.meta.dirname, "../../..");
const PARTS = path.join(PROJECT, ".cache/debian/armhf/usr/lib/u-boot/qemu_arm64/u-boot.bin");
const DEMO = path.join(PROJECT, "out/demo/arm64");
const GiB = 2 ** 30;

/**
 * What resize2fs does with a mounted file system, as a program of 120 bytes: open the folder, EXT4_IOC_RESIZE_FS, and exit
 * with the error number. The demonstration's BusyBox has no resize2fs.
 */
function resizeProgram(folder: string, blocks: number): Uint8Array {
  const code = [
    0x92800c60, // movn x0, #99        AT_FDCWD
    0x100001e1, // adr  x1, path
    0xd2800002, // mov  x2, #0         O_RDONLY
    0xd2800003, // mov  x3, #0
    0xd2800708, // mov  x8, #56        openat
    0xd4000001, // svc  #0
    0x528cc201, // mov  w1, #0x6610    _IOW('f', 16, __u64)
    0x72a80101, // movk w1, #0x4008, lsl #16
    0x100000c2, // adr  x2, blocks
    0xd28003a8, // mov  x8, #29        ioctl
    0xd4000001, // svc  #0
    0xcb0003e0, // neg  x0, x0
    0xd2800ba8, // mov  x8, #93        exit
    0xd4000001, // svc  #0
  ];
  const [header, segment] = [64, 56];
  const body = Buffer.alloc(code.length * 4 + 8 + folder.length + 1);
  code.forEach((word, i) => {
    body.writeUInt32LE(word, i * 4);
  });
  body.writeBigUInt64LE(BigInt(blocks), code.length * 4);
  body.write(folder, code.length * 4 + 8, "latin1");
  const file = Buffer.alloc(header + segment + body.length);
  const at = 0x400000n;
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // ELF, 64 bits, little-endian
  file.writeUInt16LE(2, 16); // executable
  file.writeUInt16LE(183, 18); // AArch64
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(at + BigInt(header + segment), 24); // entry
  file.writeBigUInt64LE(BigInt(header), 32); // program headers
  file.writeUInt16LE(header, 52);
  file.writeUInt16LE(segment, 54);
  file.writeUInt16LE(1, 56);
  file.writeUInt32LE(1, header); // PT_LOAD
  file.writeUInt32LE(5, header + 4); // readable, executable
  file.writeBigUInt64LE(at, header + 16);
  file.writeBigUInt64LE(at, header + 24);
  file.writeBigUInt64LE(BigInt(file.length), header + 32);
  file.writeBigUInt64LE(BigInt(file.length), header + 40);
  file.writeBigUInt64LE(0x1000n, header + 48);
  file.set(body, header + segment);
  return file;
}

test("UserData grows from 64 MiB to 128 GiB while it is mounted", async (t) => {
  if (lacks(t, "qemu-system-aarch64", "e2fsck", "dumpe2fs", "sfdisk") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const tools = path.join(folder, "tools");
  fs.mkdirSync(path.join(tools, "sbin"), { recursive: true });
  fs.writeFileSync(path.join(tools, "sbin/grow"), resizeProgram("/userdata", (128 * GiB) / 4096), { mode: 0o755 });
  const built = imgbuild([
    ...["--profile", "qemu-arm64", path.join(DEMO, "rootfs"), tools, "--boot-files", path.join(DEMO, "boot")],
    ...["--devices", path.join(PROJECT, "fixtures/demo/devices.txt"), "--output", folder, "--json"],
    ...["storage.size=512MiB", "partitions.rootfs.size=64MiB", "partitions.userdata.size=64MiB"].flatMap((value) => [
      "--set",
      value,
    ]),
    ...["--set", "partitions.userdata.growTo=128GiB"],
  ]);
  assert.equal(built.status, 0, built.stderr);
  const manifest = JSON.parse(built.stdout) as Manifest;
  const plan = planOfResolved(manifest.profile.name, manifest.profile.resolved);
  const userdata = manifest.partitions.find(({ name }) => name === "userdata")!;

  // Flashed onto a larger disk, whose last partition was made to reach to its end.
  const image = path.join(folder, "emmc.img");
  fs.truncateSync(image, 129 * GiB);
  run("sfdisk", ["--no-reread", "--no-tell-kernel", "-N", String(userdata.number), image], {
    input: Buffer.from(", +\n"),
  });

  const guest = Guest.start(
    t,
    qemuCommand(emulatedMachine(plan), { path: image, format: "raw" }, ubootStart(plan, PARTS)),
  );
  await guest.logIn();
  await guest.run("echo before > /userdata/before");
  await guest.run("/sbin/grow", 180_000);
  assert.match(await guest.run("df -h /userdata"), / 12[67]\.\dG /);
  await guest.run("dd if=/dev/zero of=/userdata/large bs=1M count=100");
  assert.equal(await guest.run("cat /userdata/before"), "before");
  await guest.run("sync");
  guest.type("reboot -f");
  assert.equal(await guest.end(), 0);

  const inside = `${image}?offset=${userdata.offset}`;
  // The journal is replayed with the mount; e2fsck cannot, in a part of a file.
  await mounted(image, { type: "ext4", offset: userdata.offset, writable: true }, (mount) => {
    assert.equal(fs.readFileSync(path.join(mount, "before"), "latin1"), "before\n");
    assert.equal(fs.statSync(path.join(mount, "large")).size, 100 * 2 ** 20);
  });
  assertClean(inside);
  assert.match(run("dumpe2fs", ["-h", inside]), /^Block count: +33554432$/m);
});

test("the first boot grows the partition and the file system; a table that a cut tore is mended; BootFS asks for a reset", async (t) => {
  if (lacks(t, "qemu-system-aarch64", "e2fsck", "sfdisk", "sgdisk", "mcopy") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const tools = growingPrograms(path.join(folder, "tools"));
  const built = buildImage(folder, "qemu-arm64", [
    ...[path.join(DEMO, "rootfs"), tools, "--boot-files", path.join(DEMO, "boot")],
    ...["--devices", path.join(PROJECT, "fixtures/demo/devices.txt"), "--set", "storage.size=512MiB"],
    ...["--set", "partitions.rootfs.size=96MiB", "--set", "partitions.userdata.size=64MiB"],
    ...["--set", "overlay.resetFlag=bootfs"],
  ]);
  const { userdata } = built;
  const disk = path.join(folder, "emmc.copy");
  fs.copyFileSync(built.image, disk);
  fs.truncateSync(disk, 3 * GiB);
  const boot = async (use: (guest: Guest) => Promise<void>) => {
    const guest = Guest.start(t, await bootCommand(built, disk));
    await guest.logIn(300_000);
    await use(guest);
    await guest.run("sync");
    guest.type("reboot -f");
    assert.equal(await guest.end(), 0);
  };
  const sound = () => {
    assert.match(run("sgdisk", ["-v", disk]), /^No problems found/m);
    run("sfdisk", ["--verify", disk]);
  };
  const grown = (guest: Guest) =>
    guest.run("cat /userdata/grown; df -m /userdata | awk 'NR == 2 && $2 > 2600 { print \"large\" }'");

  await boot(async (guest) => {
    const wrong = await guest.try("cd /run/imgbuild && cat degraded not-grown 2>/dev/null && cat grow.log");
    assert.equal(wrong.status, 1, wrong.output);
    assert.match(await grown(guest), /^6291456 \d+\nlarge$/);
    await guest.run("dd if=/dev/zero of=/userdata/large bs=1M count=200 2>/dev/null; rm /userdata/large");
    await guest.run("echo mine >/home/root/mine");
  });
  sound();

  // As a cut leaves it between the entries of the first copy and the header with their checksum.
  const file = fs.openSync(disk, "r+");
  fs.writeSync(file, Buffer.of(9), 0, 1, 2 * 512 + 2 * 128 + 60);
  fs.closeSync(file);
  assert.match(run("sh", ["-c", 'sgdisk -v "$0" 2>&1 || true', disk]), /CRC/);
  await mounted(disk, { type: "ext4", offset: userdata.offset, writable: true }, (mount) => {
    fs.writeFileSync(path.join(mount, "grown"), "");
  });
  const bootfs = built.manifest.partitions.find(({ name }) => name === "bootfs")!;
  fs.writeFileSync(path.join(folder, "factory-reset"), "");
  run("mcopy", ["-i", `${disk}@@${bootfs.offset}`, path.join(folder, "factory-reset"), "::factory-reset"]);

  await boot(async (guest) => {
    assert.match(await grown(guest), /^6291456 \d+\nlarge$/);
    const said = (await guest.run("dmesg")).split("\n").filter((line) => /imgbuild|vfat|FAT/i.test(line));
    assert.equal((await guest.try("test -e /home/root/mine")).status, 1, said.join("\n"));
    assert.equal((await guest.try("grep bootfs /proc/mounts")).status, 1);
  });
  sound();
  assert.doesNotMatch(run("mdir", ["-b", "-i", `${disk}@@${bootfs.offset}`, "::"]), /factory/i);
  await mounted(disk, { type: "ext4", offset: userdata.offset, writable: true }, () => {});
  assertClean(`${disk}?offset=${userdata.offset}`);
});
