import assert from "node:assert/strict";
import { test } from "node:test";
import { ImgbuildError } from "../../src/errors.js";
import { partitionNamed } from "../../src/image/plan.js";
import { loadPlan } from "../../src/profile/load.js";

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

test("types, numbers and names", () => {
  refused(["partitions.rootfs.type=nonsense"], /nonsense/);
  refused(["partitions.rootfs.number=1"], /bootfs and rootfs both have the number 1/);
  refused(["partitions.emmc={filesystem: raw, size: 1MiB}"], /cannot be called emmc/);
  refused(["partitions.1={filesystem: raw, size: 1MiB}"], /partitions\.1/);
  refused(["partitions.rootfs=null"], /no partition rootfs/);
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

test("an MBR holds four partitions", () => {
  const more = ["a", "b"].map((name) => `partitions.${name}={filesystem: ext4, size: 1MiB}`);
  refused(more, /holds 4 partitions, and the profile has 5/);
  assert.equal(load("qemu-arm64", ...more).partitions.length, 5);
});

test("a FAT partition has the usual type of its table", () => {
  const boot = "partitions.bootfs.type=null";
  assert.equal(partitionNamed(load("colibri-imx6", boot), "bootfs")?.type, "fat32-lba");
  assert.equal(partitionNamed(load("qemu-arm64", boot), "bootfs")?.type, "basic-data");
});
