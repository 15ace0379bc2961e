/** What the kernel tells of devices, from folders that look like /sys and /proc; and what is refused because of it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import type { ImgbuildError } from "../../src/errors.js";
import { type BlockDevice, blockDevice, lengthOfDevice } from "../../src/flash/block-device.js";
import { usesOfFile } from "../../src/flash/device-uses.js";
import { checkKind, checkLength, checkSuits, checkUnused, type ImageFacts } from "../../src/flash/refusals.js";
import { temporaryFolder } from "../support/tools.js";

/** The attributes of a device, by their paths below its folder. */
type Attributes = Readonly<Record<string, string>>;

/** A host with a disk with two partitions in a USB reader, one of which a crypt device is made of; and an eMMC. */
function fakeHost(t: TestContext, files: { mounts?: string; swaps?: string; backing?: string } = {}) {
  const host = fakePaths(t, files);
  return (number: string) => blockDevice(number, host);
}

/** `backing`: what a loop device is made of. */
function fakePaths(t: TestContext, { mounts = "", swaps = "", backing = "/gone (deleted)" } = {}) {
  const root = temporaryFolder(t);
  const [sys, proc] = [path.join(root, "sys"), path.join(root, "proc")];
  const add = (folder: string, dev: string, attributes: Attributes = {}) => {
    const real = path.join(sys, "devices", folder);
    fs.mkdirSync(real, { recursive: true });
    for (const [name, value] of Object.entries({ dev, ro: "0", ...attributes })) {
      fs.mkdirSync(path.dirname(path.join(real, name)), { recursive: true });
      fs.writeFileSync(path.join(real, name), `${value}\n`);
    }
    for (const link of [`dev/block/${dev}`, `class/block/${path.basename(folder)}`]) {
      fs.mkdirSync(path.dirname(path.join(sys, link)), { recursive: true });
      fs.symlinkSync(real, path.join(sys, link));
    }
  };
  const usb = "pci0/usb1/1-2/block/sdb";
  const model = { "device/vendor": "Generic ", "device/model": "STORAGE DEVICE", removable: "1" };
  add(usb, "8:16", { ...model, "queue/logical_block_size": "512" });
  add(`${usb}/sdb1`, "8:17", { partition: "1" });
  add(`${usb}/sdb2`, "8:18", { partition: "2", "holders/dm-0": "" });
  add("virtual/block/dm-0", "253:0");
  const emmc = "soc/mmc0/block/mmcblk0";
  add(emmc, "179:0", { "device/name": "DG4008", "device/type": "MMC", "queue/logical_block_size": "512" });
  add("soc/mmc0/block/mmcblk0boot0", "179:32", { ro: "1", force_ro: "1" });
  add("soc/mmc1/block/mmcblk1", "179:64", { size: "15269888", "queue/logical_block_size": "4096" });
  add("virtual/block/loop0", "7:0");
  add("virtual/block/loop1", "7:1", { "loop/backing_file": backing });
  fs.mkdirSync(path.join(proc, "self"), { recursive: true });
  fs.writeFileSync(path.join(proc, "self/mountinfo"), mounts);
  fs.writeFileSync(path.join(proc, "swaps"), `Filename Type Size Used Priority\n${swaps}`);
  return { sys, proc };
}

const mount = (number: string, folder: string, source = "/dev/none") =>
  `36 35 ${number} / ${folder} rw,noatime shared:1 - ext4 ${source} rw\n`;

const DISK_IMAGE: ImageFacts = {
  path: "emmc.img",
  head: new Uint8Array(),
  compressed: false,
  foreign: undefined,
  fileSystem: undefined,
  size: 4096,
  hasTable: true,
  isBoot0: false,
  sectorSize: undefined,
};

test("a disk is described", (t) => {
  const disk = fakeHost(t)("8:16")!;
  assert.equal(disk.description, "Generic STORAGE DEVICE (USB)");
  assert.deepEqual(
    [disk.name, disk.partitionOf, disk.removable, disk.readOnly, disk.logicalBlockSize],
    ["sdb", undefined, true, false, 512],
  );
  assert.equal(fakeHost(t)("179:0")?.description, "DG4008 (MMC)");
  assert.equal(fakeHost(t)("9:9"), undefined);
});

test("a device's length is told in 512 bytes, whatever its blocks are", (t) => {
  const host = fakePaths(t);
  assert.equal(lengthOfDevice("179:64", host), 15_269_888 * 512);
  assert.equal(lengthOfDevice("9:9", host), undefined);
});

test("mounts of any partition, of what is made of one, and swap are uses", (t) => {
  const usesWith = (files: Parameters<typeof fakeHost>[1], number = "8:16") => fakeHost(t, files)(number)!.uses.all;
  const held = "sdb2 is a part of dm-0";
  assert.deepEqual(usesWith({}), [held]);
  assert.deepEqual(usesWith({ mounts: mount("8:17", "/media/a\\040b") }), [held, "sdb1 is mounted at /media/a b"]);
  assert.deepEqual(usesWith({ mounts: mount("253:0", "/secret") }), [held, "dm-0 is mounted at /secret"]);
  assert.deepEqual(usesWith({ swaps: "/dev/sdb1 partition 1 0 -2" }), [held, "sdb1 is used for swap"]);
  assert.deepEqual(usesWith({ mounts: mount("8:33", "/other") }), [held]);
  // Of a partition, only its own.
  assert.deepEqual(usesWith({ mounts: mount("8:18", "/mnt") }, "8:17"), []);
});

test("loop devices on a device are uses of it, and what is mounted from them", (t) => {
  const usesOf = (number: string, backing: string) =>
    fakeHost(t, { backing, mounts: mount("7:1", "/mnt") })(number)!.uses.all;
  const mounted = "loop1 is mounted at /mnt";
  assert.deepEqual(usesOf("179:0", "/dev/mmcblk0"), ["loop1 is made of mmcblk0", mounted]);
  assert.deepEqual(usesOf("8:17", "/dev/sdb1"), ["loop1 is made of sdb1", mounted]);
  // Whatever part of the disk it is made of.
  assert.deepEqual(usesOf("8:17", "/dev/sdb"), ["loop1 is made of sdb", mounted]);
  assert.deepEqual(usesOf("8:17", "/dev/sdb2"), []);
  assert.deepEqual(usesOf("7:1", "/dev/sdb2"), [mounted]);
});

test("a file is in use where a loop device is made of it, by whatever name, and where it is swapped to", (t) => {
  const folder = temporaryFolder(t);
  const [file, other, name] = ["a b", "other", "name"].map((base) => path.join(folder, base)) as [
    string,
    string,
    string,
  ];
  for (const one of [file, other]) fs.writeFileSync(one, "");
  fs.symlinkSync(file, name);
  const uses = (files: Parameters<typeof fakePaths>[1]) => usesOfFile(file, fakePaths(t, files));
  assert.deepEqual(uses({}).all, []);
  assert.deepEqual(uses({ backing: other, mounts: mount("7:1", "/mnt") }).all, []);
  assert.deepEqual(uses({ backing: file }).all, ["loop1 is made of it"]);
  const mounted = uses({ backing: name, mounts: mount("7:1", "/mnt") });
  assert.deepEqual(mounted, { all: ["loop1 is made of it", "loop1 is mounted at /mnt"], system: [] });
  assert.deepEqual(uses({ backing: file, mounts: mount("7:1", "/") }).system, ["loop1 is mounted at /"]);
  const swapped = uses({ swaps: `${file.replaceAll(" ", "\\040")} file 1 0 -2` });
  assert.deepEqual(swapped, { all: ["it is used for swap"], system: ["it is used for swap"] });
  assert.deepEqual(usesOfFile(path.join(folder, "none"), fakePaths(t)).all, []);
});

test("a used device is refused, and the running system's by that name", (t) => {
  const refusal = (mounts: string, message: RegExp) =>
    assert.throws(() => checkUnused("/dev/sdb", fakeHost(t, { mounts })("8:16")!.uses), {
      code: "device-refused",
      message,
    });
  refusal(mount("8:17", "/mnt"), /^\/dev\/sdb is in use: sdb2 is a part of dm-0, sdb1 is mounted at \/mnt$/);
  refusal(mount("8:17", "/"), /holds the running system: sdb1 is mounted at \/$/);
  refusal(mount("253:0", "/usr"), /holds the running system: dm-0 is mounted at \/usr/);
  refusal(mount("8:17", "/boot/efi"), /holds the running system/);
  checkUnused("/dev/mmcblk0", fakeHost(t, { mounts: mount("8:17", "/") })("179:0")!.uses);
});

test("an image goes onto what it is for", (t) => {
  const host = fakeHost(t);
  const check = (number: string, facts: Partial<ImageFacts> = {}, changed: Partial<BlockDevice> = {}) =>
    checkSuits("/dev/it", { ...host(number)!, ...changed }, { ...DISK_IMAGE, ...facts });
  const refuses = (message: RegExp, ...args: Parameters<typeof check>) =>
    assert.throws(() => check(...args), { code: "device-refused", message });
  check("8:16");
  check("8:17", { hasTable: false });
  check("179:32", { isBoot0: true, hasTable: false });
  check("8:16", { sectorSize: 512 });
  refuses(/is a partition of sdb/, "8:17");
  refuses(/is a whole disk, and emmc.img has no partition table/, "8:16", { hasTable: false });
  refuses(/is an eMMC's boot partition/, "179:32");
  refuses(/is for an eMMC's boot partition/, "179:0", { isBoot0: true });
  refuses(/sectors of 4096 bytes/, "8:16", { sectorSize: 512 }, { logicalBlockSize: 4096 });
});

test("a device that is too small is refused, by how much; boot0's last bytes are not the image's", () => {
  checkLength("/dev/sdb", 4096, undefined, DISK_IMAGE);
  assert.throws(() => checkLength("/dev/sdb", 3584, undefined, DISK_IMAGE), {
    code: "does-not-fit",
    message: "/dev/sdb is too small: it has 3584 bytes (3.5 KiB), and emmc.img needs 4096 (4 KiB): 512 bytes more",
  });
  const hint = (facts: Partial<ImageFacts>) => {
    try {
      checkLength("/dev/sdb1", 3584, undefined, { ...DISK_IMAGE, ...facts });
    } catch (error) {
      return (error as ImgbuildError).hint;
    }
    return undefined;
  };
  assert.match(hint({})!, /medium, .* --set storage\.size=3584\.$/);
  const partition = { hasTable: false, fileSystem: "ext4", path: "out/data.ext4.zst" } as const;
  assert.match(hint(partition)!, /partition, .* --set partitions\.data\.size=3584\.$/);
  const boot0 = { ...DISK_IMAGE, isBoot0: true };
  checkLength("/dev/mmcblk0boot0", 4096 + 0x2200, undefined, boot0);
  assert.throws(() => checkLength("/dev/mmcblk0boot0", 4096 + 0x2200 - 512, undefined, boot0), {
    code: "does-not-fit",
    message: /512 bytes more/,
  });
});

test("nothing reaches boot0's last bytes, whatever the image is called and however it is forced", (t) => {
  const device = fakeHost(t)("179:32")!;
  const bootloader = { ...DISK_IMAGE, path: "u-boot.bin", hasTable: false };
  checkLength("/dev/mmcblk0boot0", 4096 + 0x2200, device, bootloader);
  assert.throws(() => checkLength("/dev/mmcblk0boot0", 4096 + 0x2200 - 512, device, bootloader), {
    code: "does-not-fit",
    message: /with 8704 bytes at the end that are not the image's: 512 bytes more/,
  });
});

test("a folder is refused, and on Linux a device that is no disk; what is not there yet is for others to judge", (t) => {
  assert.throws(() => checkKind(temporaryFolder(t)), { code: "device-refused", message: /is a folder/ });
  if (process.platform === "linux") assert.throws(() => checkKind("/dev/null"), /is no block device/);
  checkKind(path.join(temporaryFolder(t), "none"));
});

test("an eMMC's boot partition can be unlocked, and is read-only until then", (t) => {
  const boot0 = fakeHost(t)("179:32")!;
  assert.deepEqual([boot0.isBootPartition, boot0.readOnly], [true, true]);
  assert.equal(fs.readFileSync(boot0.lock!, "utf8"), "1\n");
});
