import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { ImgbuildError } from "../../src/errors.js";
import { slotEnvironment } from "../../src/image/claims.js";
import { place } from "../../src/image/place.js";
import { type Plan, partitionWithRole, secondSlot } from "../../src/image/plan.js";
import { shippedProfiles } from "../../src/profile/document.js";
import { loadPlan } from "../../src/profile/load.js";
import { temporaryFolder } from "../support/tools.js";

const load = (name: string, ...set: string[]) => loadPlan(name, { folder: "/", set });

function refused(set: string[], message: RegExp): void {
  assert.throws(
    () => load("colibri-imx6", ...set),
    (error: unknown) => {
      assert.ok(error instanceof ImgbuildError, String(error));
      assert.match(error.message, message);
      assert.ok(error.hint);
      return true;
    },
  );
}

test("file systems that the device could not use where they are", () => {
  refused(["partitions.rootfs={filesystem: fat, size: 1MiB}"], /rootfs cannot be fat/);
  refused(["partitions.userdata={filesystem: fat, size: 1MiB}"], /userdata cannot be fat/);
  refused(["partitions.bootfs={filesystem: ext4, size: 1MiB}"], /bootfs cannot be ext4/);
});

test("features that ext4 does not have, or that the overlay needs", () => {
  refused(["partitions.userdata.features=-filetype"], /userdata\.features: an overlay .* without filetype/);
  refused(["partitions.userdata.features=-ext_attr"], /userdata\.features: an overlay .* without ext_attr/);
  refused(["partitions.userdata.features=-large_file"], /userdata\.features: .*resize_inode .* needs large_file/);
  refused(["partitions.userdata.features=','"], /userdata\.features: .*empty place/);
  load("colibri-imx6", "partitions.userdata.features=-large_file", "partitions.userdata.blockSize=2KiB");
  load("colibri-imx6", "partitions.app={filesystem: ext4, size: 8MiB, features: '-filetype'}");
});

test("a kernel's format and the loader are ones that the processor has", () => {
  for (const [name, right, wrong] of [
    ["colibri-imx6", ["zImage"], ["Image", "Image.gz", "bzImage"]],
    ["verdin-imx8mp", ["Image", "Image.gz"], ["zImage", "bzImage"]],
    ["qemu-x86_64", ["bzImage"], ["zImage", "Image", "Image.gz"]],
  ] as const) {
    for (const format of right) load(name, `boot.kernel=${format}`);
    for (const format of wrong) {
      assert.throws(() => load(name, `boot.kernel=${format}`), { code: "profile-invalid", message: /no kernel for/ });
    }
  }
  load("raspberrypi4", "architecture=arm", "boot.kernel=zImage");
  const pc = ["architecture=x86_64", "boot.kernel=bzImage"];
  assert.throws(() => load("raspberrypi4", ...pc), { code: "profile-invalid", message: /processor x86_64/ });
});

test("types, numbers and names", () => {
  refused(["partitions.rootfs.type=nonsense"], /nonsense/);
  refused(["partitions.rootfs.number=1"], /bootfs and rootfs both have the number 1/);
  refused(["partitions.emmc={filesystem: raw, size: 1MiB}"], /cannot be called emmc/);
  refused(["partitions.1={filesystem: raw, size: 1MiB}"], /partitions\.1/);
  refused(["partitions.rootfs=null"], /no partition rootfs/);
});

const SLOTS = ["partitions.rootfs.role=rootfs", "partitions.b={filesystem: squashfs, role: rootfs, size: 512MiB}"];

test("roles: by the names, or as they are said; two slots, one of the others", () => {
  const roles = (...set: string[]) => load("colibri-imx6", ...set).partitions.map(({ name, role }) => [name, role]);
  const usual = [
    ["bootfs", "bootfs"],
    ["rootfs", "rootfs"],
    ["userdata", "userdata"],
  ];
  assert.deepEqual(roles(), usual);
  assert.deepEqual(roles("partitions.app={filesystem: ext4, size: 8MiB}"), [...usual, ["app", "data"]]);
  assert.deepEqual(roles(...SLOTS), [...usual, ["b", "rootfs"]]);
  assert.equal(partitionWithRole(load("colibri-imx6", ...SLOTS), "rootfs")?.name, "rootfs");
  assert.equal(secondSlot(load("colibri-imx6", ...SLOTS))?.name, "b");
  assert.equal(secondSlot(load("colibri-imx6")), undefined);

  refused(["partitions.rootfs.role=data"], /no partition rootfs/);
  refused(["partitions.data={filesystem: ext4, size: 8MiB, role: userdata}"], /userdata and data .* role userdata/);
  refused([...SLOTS, "partitions.c={filesystem: squashfs, role: rootfs, size: 512MiB}"], /rootfs and b and c all/);
  refused([...SLOTS, "partitions.rootfs.size=64MiB"], /no size in common: 67108864 and 536870912/);
  refused([...SLOTS, "partitions.rootfs.size=fit", "partitions.b.size=fit"], /no size in common: fit and fit/);
  refused([...SLOTS, "partitions.b={filesystem: ext4, size: 512MiB, role: rootfs}"], /slot b is ext4/);
  refused([...SLOTS, "partitions.b.source=folder"], /partitions\.b\.source: imgbuild fills rootfs itself/);
});

test("two slots by the profile that docs/device.md shows, for every shipped board with U-Boot", (t) => {
  const document = fs.readFileSync(path.resolve(import.meta.dirname, "../../../docs/device.md"), "utf8");
  const [, example] = /```yaml\n(extends: colibri-imx6\n.*?)```/s.exec(document)!;
  const folder = temporaryFolder(t);
  const boards = shippedProfiles().filter((board) => load(board).boot.loader === "uboot");
  assert.ok(boards.length > 15);
  for (const board of boards) {
    const file = path.join(folder, `${board}.yaml`);
    fs.writeFileSync(file, example!.replace("colibri-imx6", board));
    const plan = loadPlan(file, { folder, set: [] });
    assert.deepEqual(
      plan.partitions.map(({ role, number }) => [role, number]),
      [
        ["bootfs", 1],
        ["rootfs", 2],
        ["rootfs", 3],
        ["userdata", 4],
      ],
    );
    assert.deepEqual(plan.slots, { tries: 3, confirm: "automatic", deadline: 600, redundant: false });
    place({ ...plan, storage: { ...plan.storage, size: 2 ** 32 } }, new Map([["bootfs", 2 ** 25]]));
  }
  const at = (...set: string[]) => slotEnvironment(load("colibri-imx6", ...SLOTS, ...set))?.start;
  assert.equal(at(), 4 * 2 ** 20 - 8192);
  assert.equal(at("slots.environmentAt=64KiB"), 65536);
  assert.equal(slotEnvironment(load("colibri-imx6")), undefined);
  refused([...SLOTS, "slots.environmentAt=5000"], /no multiple of 4096/);
  refused([...SLOTS, "partitions.userdata=null"], /need a partition with the role userdata/);
  refused(["slots.tries=10"], /slots\.tries/);
  assert.throws(
    () => place(load("colibri-imx6", ...SLOTS, "slots.environmentAt=4MiB"), new Map()),
    /the slots' environment .* overlaps|overlaps the slots' environment/,
  );
});

test("sources where there can be none, or has to be one", () => {
  refused(["partitions.rootfs.source=folder"], /imgbuild fills rootfs itself/);
  refused(["partitions.app={filesystem: squashfs, size: 1MiB}"], /app has nothing to put into its squashfs/);
});

test("nothing takes the rest in front of a SquashFS that is as long as it gets", () => {
  refused(
    ["partitions.bootfs.size=rest", "partitions.rootfs.size=fit", "partitions.userdata.size=1MiB"],
    /bootfs is to take the rest in front of rootfs/,
  );
  assert.equal(load("colibri-imx6", "partitions.rootfs.size=fit").partitions.length, 3);
});

const extra = (...names: string[]) => names.map((name) => `partitions.${name}={filesystem: ext4, size: 8MiB}`);
const numbers = (plan: Plan) => plan.partitions.map(({ name, number }) => [name, number]);

test("with more than four partitions the fourth and later ones of an MBR are logical", () => {
  assert.deepEqual(numbers(load("colibri-imx6", ...extra("a"))).at(-1), ["a", 4]);
  assert.deepEqual(numbers(load("colibri-imx6", ...extra("a", "b"))), [
    ["bootfs", 1],
    ["rootfs", 2],
    ["userdata", 3],
    ["a", 5],
    ["b", 6],
  ]);
  assert.deepEqual(numbers(load("qemu-arm64", ...extra("a", "b"))).at(-1), ["b", 5]);
  assert.deepEqual(numbers(load("colibri-imx6", "partitions.userdata.number=5")).at(-1), ["userdata", 5]);
});

test("numbers that an MBR's logical partitions cannot have", () => {
  refused(["partitions.userdata.number=6"], /userdata has the number 6, .* from 5 on: it would be 5/);
  refused(
    [...extra("a", "b"), "partitions.a.number=4"],
    /bootfs, rootfs, userdata, a take the four entries of the MBR, and b, number 6/,
  );
  refused(["partitions.bootfs.number=5", ...extra("a"), "partitions.a.number=6"], /rootfs, number 2, lies between/);
  refused(["partitions.userdata.number=61"], /userdata has the number 61, and an MBR's end at 60/);
});

test("a GPT has room for so many partitions", () => {
  const gpt = ["storage.table=gpt", "storage.gpt.entries=4"];
  refused([...gpt, ...extra("a", "b")], /storage\.gpt\.entries is 4, and partition b has the number 5/);
  assert.equal(load("colibri-imx6", ...gpt, ...extra("a")).partitions.length, 4);
  refused(["storage.gpt.entries=8"], /storage\.gpt says how a GPT lies, and storage\.table is mbr/);
  refused(["storage.table=gpt", "storage.gpt.entries=3"], /storage\.gpt\.entries/);
  refused(["storage.table=gpt", "storage.gpt.entriesAt=512"], /entries of a GPT cannot begin at byte 512/);
  refused(["storage.table=gpt", "storage.gpt.entriesAt=1500"], /cannot begin at byte 1500/);
});

test("what a GPT alone has, and a hybrid MBR", () => {
  refused(["partitions.rootfs.partlabel=root"], /partlabel is for a GPT/);
  refused(["partitions.rootfs.attributes=[read-only]"], /attributes is for a GPT/);
  refused(["partitions.rootfs.hybrid=true"], /hybrid is for a GPT/);
  const gpt = (...set: string[]) => ["storage.table=gpt", "partitions.bootfs.type=esp", ...set];
  refused(gpt("partitions.rootfs.attributes=[shiny]"), /"shiny" is not an attribute/);
  refused(gpt("partitions.rootfs.attributes=[64]"), /"64" is not an attribute/);
  refused(gpt("partitions.rootfs.hybrid=shiny"), /"shiny" is not a type .* MBR/);
  const all = ["bootfs", "rootfs", "userdata", "a"].map((name) => `partitions.${name}.hybrid=true`);
  refused(gpt(...extra("a"), ...all), /bootfs, rootfs, userdata, a are to be in the hybrid MBR, which has room for 3/);
  const plan = load("colibri-imx6", ...gpt(...all.slice(0, 2), "partitions.userdata.hybrid=0xda"));
  assert.deepEqual(
    plan.partitions.map(({ hybrid }) => hybrid),
    ["esp", "linux", "0xda"],
  );
  refused(["partitions.rootfs.active=true"], /bootfs and rootfs are both active/);
});

test("sectors of 4096 bytes: whole ones, and file systems that can be mounted from them", () => {
  const large = ["storage.sectorSize=4096"];
  assert.equal(load("colibri-imx6", ...large).storage.sectorSize, 4096);
  refused([...large, "partitions.userdata.blockSize=1KiB"], /userdata has blocks of 1024 bytes, smaller than/);
  refused([...large, "storage.size=1000000512"], /storage\.size is 1000000512 bytes/);
  refused([...large, "storage.alignment=512"], /storage\.alignment is 512 bytes/);
  refused(["storage.size=1000000100"], /no whole number of sectors of 512/);
  refused(["storage.alignment=0"], /storage\.alignment is 0 bytes/);
  refused(["storage.sectorSize=1024"], /storage\.sectorSize/);
});

test("a FAT partition has the usual type of its table", () => {
  const boot = "partitions.bootfs.type=null";
  assert.equal(partitionWithRole(load("colibri-imx6", boot), "bootfs")?.type, "fat32-lba");
  assert.equal(partitionWithRole(load("qemu-arm64", boot), "bootfs")?.type, "basic-data");
});
