import assert from "node:assert/strict";
import { test } from "node:test";
import { ImgbuildError } from "../../src/errors.js";
import { place } from "../../src/image/place.js";
import type { Plan } from "../../src/image/plan.js";
import { loadPlan } from "../../src/profile/load.js";
import fc from "../support/fast-check.js";

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
  fails(
    () => table(plan),
    "layout-conflict",
    /partition bootfs .* overlaps partition rootfs/,
    /partitions\.rootfs\.offset to 68MiB or more, or partitions\.bootfs\.size to 28MiB or less/,
  );
});

test("a bootloader in the user area may not reach into a partition, nor a GPT over it", () => {
  const plan = load("sabrelite");
  assert.equal(table(plan, new Map(), new Map([["u-boot.imx", 4 * MIB - 1024]])).length, 3);
  fails(
    () => table(plan, new Map(), new Map([["u-boot.imx", 4 * MIB]])),
    "layout-conflict",
    /u-boot\.imx .* overlaps partition bootfs/,
    /partitions\.bootfs\.offset to 8MiB or more/,
  );
  // In front of it there is no room for a partition that anybody would want.
  fails(
    () => table(load("colibri-imx6-sd", "partitions.bootfs.offset=64KiB")),
    "layout-conflict",
    /partition bootfs .* overlaps bootloader file u-boot\.img/,
    /^Set partitions\.bootfs\.offset to \d+MiB or more\.$/,
  );
  fails(
    () => table(load("sabrelite", "storage.table=gpt")),
    "layout-conflict",
    /the GPT .* overlaps bootloader file u-boot\.imx/,
    /Set storage\.gpt\.entriesAt to 64KiB or more, which is behind it, or storage\.table to mbr/,
  );
});

const SPL = "bootloader={area: user, files: [{file: SPL, offset: 8KiB}]}";

test("a bootloader where the entries of a GPT would be: fewer entries, or entries further back", () => {
  const files = new Map([["SPL", 300 * 1024]]);
  const gpt = (...set: string[]) => load("sabrelite", "storage.table=gpt", SPL, ...set);
  fails(
    () => table(gpt(), new Map(), files),
    "layout-conflict",
    /the GPT \(bytes 0 to 17408\) overlaps bootloader file SPL \(bytes 8192 to 315392\)/,
    /Set storage\.gpt\.entries to 56 or less, or storage\.gpt\.entriesAt to 320KiB or more, .* or storage\.table to mbr/,
  );
  assert.equal(table(gpt("storage.gpt.entries=56"), new Map(), files).length, 3);
  assert.equal(table(gpt("storage.gpt.entriesAt=320KiB"), new Map(), files).length, 3);
  fails(
    () => table(gpt("storage.gpt.entriesAt=256KiB"), new Map(), files),
    "layout-conflict",
    /file SPL .* overlaps the GPT's entries/,
    /entriesAt to 320KiB or more/,
  );
  fails(
    () => table(gpt("bootloader.files=[{file: SPL, offset: 512}]", "storage.gpt.entriesAt=1MiB"), new Map(), files),
    "layout-conflict",
    /the GPT's header \(bytes 0 to 1024\) overlaps bootloader file SPL/,
    /header in sector 1.*storage\.table mbr/,
  );
  // What is moved back pushes the first partition on.
  assert.equal(table(gpt("storage.gpt.entriesAt=6MiB"))[0]![1], 8);
  fails(
    () => table(gpt("storage.gpt.entriesAt=6MiB", "partitions.bootfs.offset=1MiB", "partitions.bootfs.size=1MiB")),
    "layout-conflict",
    /bootfs begins at 1048576, in front of the end of the GPT's entries at 6307840/,
    /offset to 8MiB or more/,
  );
});

test("a partition that reaches over the moved entries of a GPT", () => {
  const plan = load("sabrelite", "storage.table=gpt", "storage.gpt.entriesAt=6MiB", "partitions.bootfs.offset=4MiB");
  fails(
    () => table(plan),
    "layout-conflict",
    /partition bootfs .* overlaps the GPT's entries/,
    /Set partitions\.bootfs\.offset to 8MiB or more, or partitions\.bootfs\.size to 2MiB or less/,
  );
});

test("an MBR and a bootloader at its place", () => {
  const plan = load("sabrelite", "bootloader={area: user, files: [{file: SPL, offset: 0}]}");
  fails(
    () => table(plan),
    "layout-conflict",
    /the MBR .* overlaps bootloader file SPL|SPL .* overlaps the MBR/,
    /at 512 or later/,
  );
});

test("reserved areas are kept free, of partitions, bootloader and table", () => {
  const reserved = (start: string, size: string, ...set: string[]) =>
    load("colibri-imx6", `storage.reserved=[{name: environment, start: ${start}, size: ${size}}]`, ...set);
  assert.equal(table(reserved("1MiB", "3MiB")).length, 3);
  fails(
    () => table(reserved("1MiB", "3200KiB")),
    "layout-conflict",
    /reserved area environment \(bytes 1048576 to 4325376\) overlaps partition bootfs/,
    /partitions\.bootfs\.offset to 8MiB or more/,
  );
  fails(
    () => table(reserved("100MiB", "1MiB")),
    "layout-conflict",
    /partition rootfs .* overlaps reserved area environment/,
    /partitions\.rootfs\.offset to 104MiB or more, or partitions\.rootfs\.size to 32MiB or less/,
  );
  fails(
    () => table(reserved("256", "1MiB")),
    "layout-conflict",
    /the MBR .* overlaps reserved area environment/,
    /512 or later/,
  );
  fails(
    () =>
      table(
        reserved("3583MiB", "1MiB", "storage.table=gpt", "partitions.bootfs.type=esp", "partitions.userdata.size=1MiB"),
      ),
    "layout-conflict",
    /reserved area environment .* overlaps the backup GPT/,
    /environment end at \d+ or before/,
  );
  fails(
    () => table(reserved("3583MiB", "2MiB", "partitions.userdata.size=1MiB")),
    "layout-conflict",
    /reserved area environment ends at 3759144960, and the medium at 3758096384/,
    /storage\.size/,
  );
  fails(
    () =>
      table(
        reserved("64KiB", "1MiB", "bootloader={area: user, files: [{file: SPL, offset: 1KiB}]}"),
        new Map(),
        new Map([["SPL", 65536]]),
      ),
    "layout-conflict",
    /bootloader file SPL \(bytes 1024 to 66560\) overlaps reserved area environment/,
    /Is bootloader file SPL as large/,
  );
});

test("logical partitions lie an alignment behind their records", () => {
  const more = ["a", "b"].map((name) => `partitions.${name}={filesystem: ext4, size: 8MiB}`);
  const plan = load("colibri-imx6", "partitions.userdata.size=100MiB", ...more);
  const { placements } = place(plan, new Map());
  assert.deepEqual(
    placements.slice(2).map(({ start, size, recordAt }) => [start / MIB, size / MIB, recordAt && recordAt / MIB]),
    [
      [580, 100, undefined],
      [684, 8, 680],
      [696, 8, 692],
    ],
  );
  // The rest leaves room for the records behind it, too.
  assert.deepEqual(table(load("colibri-imx6", ...more)).slice(2), [
    ["userdata", 580, 3584 - 580 - 24],
    ["a", 3584 - 20, 8],
    ["b", 3584 - 8, 8],
  ]);
  fails(
    () => table(load("colibri-imx6", "partitions.userdata.size=100MiB", ...more, "partitions.a.offset=680MiB")),
    "layout-conflict",
    /partition a begins at 713031680, and partition userdata ends at 713031680: no sector is left/,
    /partitions\.a\.offset to 684MiB or more/,
  );
  const close = load("colibri-imx6", "partitions.userdata.size=100MiB", ...more, "partitions.a.offset=713032192");
  assert.equal(place(close, new Map()).placements[3]!.recordAt, 680 * MIB);
});

test("an offset inside a sector is refused", () => {
  const plan = load("colibri-imx6", "partitions.bootfs.offset=5000000");
  fails(() => table(plan), "layout-conflict", /bootfs begins inside a sector/, /offset to 4883KiB: a multiple of 512/);
});

test("the sizes that the error of a medium that is too small proposes are enough, and the least", () => {
  const load2 = (...set: string[]) =>
    load("colibri-imx6", "storage.size=512MiB", "partitions.userdata.size=1MiB", ...set);
  const error = (...set: string[]) => {
    try {
      table(load2(...set));
    } catch (thrown) {
      if (thrown instanceof ImgbuildError) return thrown;
      throw thrown;
    }
    return undefined;
  };
  const { hint, data } = error("partitions.rootfs.size=1GiB")!;
  assert.equal(data.over, (68 + 1024 + 1 - 512) * MIB);
  assert.deepEqual((data.largest as object[])[0], { path: "rootfs", bytes: 1024 * MIB });
  assert.equal(error("partitions.rootfs.size=1GiB", data.remedy as string), undefined);
  const [, smaller] = /or (partitions\.rootfs\.size=\d+MiB) or less/.exec(hint!)!;
  assert.equal(error(smaller!), undefined);
  assert.notEqual(error(smaller!.replace(/\d+/, (size) => `${Number(size) + 4}`)), undefined);
});

test("a partition that an MBR does not reach is named, with how it would", () => {
  const large = (...set: string[]) => load("colibri-imx6", "storage.size=3TiB", ...set);
  const error = /partition userdata ends at byte 3298534883328, and an MBR reaches to 2199023255552/;
  fails(
    () => table(large()),
    "layout-conflict",
    error,
    /storage\.table=gpt, or partitions\.userdata\.size=2096572MiB or less/,
  );
  assert.equal(table(large("partitions.userdata.size=2096572MiB")).at(-1)![2], 2096572);
  fails(() => table(large("partitions.userdata.size=2096573MiB")), "layout-conflict", /an MBR reaches/, /./);
});

test("what does not fit onto the medium says by how much", () => {
  const plan = load("colibri-imx6", "partitions.rootfs.size=4GiB", "partitions.userdata.size=1MiB");
  fails(() => table(plan), "does-not-fit", new RegExp(`${(68 + 4096 + 1 - 3584) * MIB} more`), /storage\.size/);
  fails(
    () => table(load("colibri-imx6", "partitions.rootfs.size=3520MiB")),
    "does-not-fit",
    /nothing is left for userdata: .* need a medium of \d+ bytes, \d+ more than its \d+/,
    /storage\.size=3592MiB or more .* or partitions\.rootfs\.size=3512MiB or less. The largest .* rootfs 3.4 GiB, bootfs 64 MiB/,
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
