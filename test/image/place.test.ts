import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ImgbuildError } from "../../src/errors.js";
import { place } from "../../src/image/place.js";
import type { Plan } from "../../src/image/plan.js";
import { loadPlan } from "../../src/profile/load.js";

const MIB = 2 ** 20;
const load = (name: string, ...set: string[]): Plan => loadPlan(name, { folder: "/", set });
const table = (plan: Plan, fitted = new Map<string, number>(), bootloader = new Map<string, number>()) =>
  place(plan, fitted, bootloader).placements.map(({ partition, start, size }) => [
    partition.name,
    start / MIB,
    size / MIB,
  ]);

function fails(run: () => unknown, code: string, message: RegExp, hint: RegExp): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof ImgbuildError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.match(error.hint ?? "", hint);
    return true;
  });
}

test("colibri-imx6: 4 MiB alignment, UserData takes the rest", () => {
  assert.deepEqual(table(load("colibri-imx6")), [
    ["bootfs", 4, 64],
    ["rootfs", 68, 512],
    ["userdata", 580, 3584 - 580],
  ]);
});

test("a GPT keeps its backup at the end of the medium free", () => {
  const layout = place(load("qemu-arm64"), new Map([["rootfs", 10 * MIB]]));
  const last = layout.placements.at(-1)!;
  assert.equal(layout.size, 1024 * MIB);
  assert.equal(last.start + last.size, 1023 * MIB);
});

test("fit: the content, its headroom, whole alignments, at least the minimum", () => {
  const plan = load("qemu-arm", "partitions.rootfs.headroom=10MiB");
  assert.deepEqual(table(plan, new Map([["rootfs", 5 * MIB + 1]]))[1], ["rootfs", 65, 16]);
  const minimum = load("qemu-arm", "partitions.rootfs.minimum=100MiB");
  assert.deepEqual(table(minimum, new Map([["rootfs", 5 * MIB]]))[1], ["rootfs", 65, 100]);
});

test("the rest may be in the middle", () => {
  const plan = load("colibri-imx6", "partitions.rootfs.size=rest", "partitions.userdata.size=100MiB");
  assert.deepEqual(table(plan), [
    ["bootfs", 4, 64],
    ["rootfs", 68, 3584 - 68 - 100],
    ["userdata", 3484, 100],
  ]);
});

test("without a medium's size the image is as long as its partitions need", () => {
  const plan = load("colibri-imx6", "storage.size=null", "partitions.userdata.size=100MiB");
  assert.equal(place(plan, new Map()).size, (580 + 100) * MIB);
});

test("partitions that overlap are both named", () => {
  const plan = load("colibri-imx6", "partitions.rootfs.offset=32MiB", "partitions.userdata.size=100MiB");
  fails(() => table(plan), "layout-conflict", /partition bootfs .* overlaps partition rootfs/, /offset of one of them/);
});

test("a bootloader in the user area may not reach into a partition, nor a GPT over it", () => {
  const plan = load("sabrelite");
  assert.equal(table(plan, new Map(), new Map([["u-boot.imx", 4 * MIB - 1024]])).length, 3);
  fails(
    () => table(plan, new Map(), new Map([["u-boot.imx", 4 * MIB]])),
    "layout-conflict",
    /u-boot\.imx .* overlaps partition bootfs/,
    /larger offset/,
  );
  fails(
    () => table(load("sabrelite", "storage.table=gpt")),
    "layout-conflict",
    /the GPT .* overlaps bootloader file u-boot\.imx/,
    /storage\.table mbr/,
  );
});

test("what does not fit onto the medium says by how much", () => {
  const plan = load("colibri-imx6", "partitions.rootfs.size=4GiB", "partitions.userdata.size=1MiB");
  fails(() => table(plan), "does-not-fit", new RegExp(`${(68 + 4096 + 1 - 3584) * MIB} more`), /storage\.size/);
  fails(
    () => table(load("colibri-imx6", "partitions.rootfs.size=3520MiB")),
    "does-not-fit",
    /nothing is left for userdata/,
    /smaller/,
  );
  fails(
    () => table(load("colibri-imx6", "storage.size=null")),
    "profile-invalid",
    /userdata is to take the rest/,
    /storage\.size/,
  );
  fails(
    () => table(load("colibri-imx6", "partitions.rootfs.size=rest")),
    "layout-conflict",
    /rootfs is to take the rest/,
    /only one/,
  );
});

test("whatever the sizes, partitions are aligned, in order, and disjoint", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 300 * MIB }), { minLength: 3, maxLength: 3 });
  fc.assert(
    fc.property(sizes, fc.constantFrom("mbr", "gpt"), ([boot, root, data], kind) => {
      const plan = load(
        "colibri-imx6",
        `storage.table=${kind}`,
        `partitions.bootfs.size=${boot}`,
        "partitions.rootfs.size=fit",
        `partitions.userdata.size=${data}`,
      );
      const { placements, size } = place(plan, new Map([["rootfs", root!]]));
      let end = kind === "gpt" ? 34 * 512 : 512;
      for (const { start, size: length } of placements) {
        assert.equal(start % (4 * MIB), 0);
        assert.ok(start >= end);
        end = start + length;
      }
      assert.ok(end <= size);
    }),
    { numRuns: 50 },
  );
});
