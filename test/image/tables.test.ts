/** Whole builds with every kind of partition table, read by sfdisk, sgdisk and parted. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { MemoryDevice } from "../../src/bytes/device.js";
import { ImgbuildError } from "../../src/errors.js";
import { place } from "../../src/image/place.js";
import type { Manifest } from "../../src/output/manifest.js";
import { readPartitionTable, writeGpt, writeMbr } from "../../src/partition/index.js";
import { loadPlan } from "../../src/profile/load.js";
import { parted, sfdisk } from "../partition/disk.js";
import { imgbuild, makeRoot, SMALL } from "../support/cli.js";
import fc from "../support/fast-check.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const MIB = 2 ** 20;

interface Built {
  readonly image: string;
  readonly manifest: Manifest;
}

function build(folder: string, name: string, ...set: string[]): Built {
  const out = path.join(folder, name);
  const settings = ["partitions.userdata.size=24MiB", "partitions.userdata.journalSize=4MiB", ...set];
  const options = settings.flatMap((setting) => ["--set", setting]);
  const result = imgbuild([...SMALL, ...options, "--output", out, "--json", path.join(folder, "rootfs")]);
  assert.equal(result.status, 0, result.stderr);
  return { image: path.join(out, "emmc.img"), manifest: JSON.parse(result.stdout) };
}

function folderWithRoot(t: TestContext): string {
  const folder = temporaryFolder(t);
  makeRoot(folder);
  return folder;
}

const places = ({ partitions }: Manifest) => partitions.map(({ number, offset, size }) => [number, offset, size]);
const MORE = ["a", "b", "c"].map((name) => `partitions.${name}={filesystem: ext4, size: 8MiB}`);

test("six partitions in an MBR: three primary, three logical, each at the PARTUUID that the manifest says", (t) => {
  if (lacks(t, "sfdisk", "parted", "e2fsck")) return;
  const { image, manifest } = build(folderWithRoot(t), "mbr", ...MORE);
  assert.match(run("sfdisk", ["--verify", image]), /^No errors detected|^Remaining/m);
  const table = sfdisk(image);
  const own = table.partitions.filter(({ type }) => type !== "f");
  assert.equal(table.partitions.length, 7);
  assert.deepEqual(
    own.map(({ node, start, size }) => [Number(/\d+$/.exec(node)![0]), start * 512, size * 512]),
    places(manifest),
  );
  assert.deepEqual(
    manifest.partitions.map(({ number, partuuid }) => [number, partuuid]),
    [1, 2, 3, 5, 6, 7].map((number) => [number, `${table.id.slice(2)}-0${number}`]),
  );
  assert.deepEqual(
    parted(image)
      .partitions.filter(({ number }) => number !== 4)
      .map(({ number, start, size }) => [number, start, size]),
    places(manifest),
  );
  // The records lie between the file systems, and in none of them.
  for (const { name, offset } of manifest.partitions.slice(2)) {
    run("e2fsck", ["-fn", `${image}?offset=${offset}`]);
    assert.equal(offset % (4 * MIB), 0, name);
  }
});

test("a GPT with few entries, names, attributes and a hybrid MBR, beside a bootloader where its entries would be", (t) => {
  if (lacks(t, "sfdisk", "sgdisk", "parted")) return;
  const folder = folderWithRoot(t);
  fs.writeFileSync(path.join(folder, "rootfs/boot/SPL"), "SPL".repeat(10_000));
  const { image, manifest } = build(
    folder,
    "gpt",
    ...MORE,
    "storage.table=gpt",
    "storage.gpt.entries=8",
    "bootloader={area: user, files: [{file: SPL, offset: 8KiB}]}",
    "partitions.bootfs={type: esp, hybrid: true, partlabel: EFI boot}",
    "partitions.rootfs.type=linux-root-arm",
    "partitions.rootfs.attributes=[read-only, 48]",
  );
  assert.match(run("sgdisk", ["-v", image]), /No problems found/);
  assert.match(run("sfdisk", ["--verify", image]), /^No errors detected/m);
  const table = sfdisk(image);
  assert.equal(table.id.toLowerCase(), manifest.table.id);
  assert.deepEqual(
    table.partitions.map(({ uuid, name }) => [uuid!.toLowerCase(), name]),
    manifest.partitions.map(({ partuuid, name }) => [partuuid, name === "bootfs" ? "EFI boot" : name]),
  );
  assert.equal(table.partitions[1]!.attrs, "GUID:48,60");
  assert.equal(table.partitions[0]!.attrs, "LegacyBIOSBootable");
  assert.deepEqual(
    parted(image).partitions.map(({ number, start, size }) => [number, start, size]),
    places(manifest),
  );
  assert.match(run("sgdisk", ["-O", image]), /2 +\* +8192 +139263 +primary +0xEF/);
  assert.equal(fs.readFileSync(image).subarray(8192, 8195).toString(), "SPL");
  assert.match(
    imgbuild(["inspect", image]).stdout,
    /^hybrid MBR\n {2}entry 2: partition 1 \(bootfs\) as esp, active$/m,
  );
});

test("sectors of 4096 bytes, up to the length of the image", async (t) => {
  const settings = ["storage.sectorSize=4096"];
  const folder = folderWithRoot(t);
  for (const table of ["mbr", "gpt"]) {
    const { image, manifest } = build(folder, table, ...MORE, ...settings, `storage.table=${table}`);
    const bytes = fs.readFileSync(image);
    const read = await readPartitionTable(new MemoryDevice(bytes), { sectorSize: 4096 });
    assert.deepEqual([read.kind, read.sectorSize, read.problems], [table, 4096, []]);
    assert.deepEqual(
      read.partitions.map(({ number, start, size }) => [number, start, size]),
      places(manifest),
    );
    // The FAT has the medium's sectors; Linux mounts it from such a medium only then.
    assert.equal(new DataView(bytes.buffer, bytes.byteOffset + read.partitions[0]!.start).getUint16(11, true), 4096);
  }
});

test("the same build gives the same bytes, and another seed other ids", (t) => {
  const folder = folderWithRoot(t);
  const settings = (table: string) => [...MORE, `storage.table=${table}`, "partitions.rootfs.size=fit"];
  for (const table of ["mbr", "gpt"]) {
    const first = build(folder, "first", ...settings(table));
    const again = build(folder, "again", ...settings(table));
    assert.ok(fs.readFileSync(first.image).equals(fs.readFileSync(again.image)));
    const other = build(folder, "other", ...settings(table), "seed=other");
    assert.notEqual(other.manifest.table.id, first.manifest.table.id);
    const ids = [...first.manifest.partitions, ...other.manifest.partitions].map(({ partuuid }) => partuuid);
    assert.equal(new Set(ids).size, ids.length);
  }
});

test("whatever is placed can be written, and reads back without a problem; what cannot says what to change", async () => {
  const size = fc.integer({ min: 1, max: 6 * MIB });
  const offset = fc.option(fc.integer({ min: 0, max: 256 }), { nil: undefined });
  const partitions = fc.array(fc.record({ size, offset }), { minLength: 1, maxLength: 9 });
  let placed = 0;
  await fc.assert(
    fc.asyncProperty(
      partitions,
      fc.constantFrom("mbr", "gpt"),
      fc.constantFrom(512, 4096),
      fc.constantFrom(4096, 65536, MIB),
      async (wanted, kind, sectorSize, alignment) => {
        const device = new MemoryDevice(64 * MIB);
        const settings = wanted.map(
          ({ size: length, offset: at }, i) =>
            `partitions.${i === 0 ? "rootfs" : `p${i}`}={filesystem: raw, size: ${length}${at === undefined ? "" : `, offset: ${at * 65536}`}}`,
        );
        try {
          const plan = loadPlan("colibri-imx6", {
            folder: "/",
            set: [
              ...["bootfs", "rootfs", "userdata"].map((name) => `partitions.${name}=null`),
              ...settings.map((setting) => setting.replace("rootfs={filesystem: raw", "rootfs={filesystem: ext4")),
              ...[`storage.table=${kind}`, `storage.sectorSize=${sectorSize}`, `storage.alignment=${alignment}`],
              "storage.size=64MiB",
            ],
          });
          const layout = place(plan, new Map());
          const entries = layout.placements.map(({ partition, start, size: length, recordAt }) => ({
            number: partition.number,
            start,
            size: length,
            recordAt,
            type: partition.type,
            guid: `00000000-0000-0000-0000-00000000000${partition.number}`,
          }));
          const large = plan.storage.sectorSize;
          if (kind === "mbr") await writeMbr(device, { signature: 1, sectorSize: large, partitions: entries });
          else await writeGpt(device, { diskGuid: entries[0]!.guid, sectorSize: large, partitions: entries });
          placed++;
        } catch (error) {
          assert.ok(error instanceof ImgbuildError, `${error}`);
          assert.ok(["layout-conflict", "does-not-fit"].includes(error.code), error.message);
          assert.match(error.hint ?? "", /\d|smaller/, error.message);
          return;
        }
        const table = await readPartitionTable(device, { sectorSize: sectorSize === 512 ? 512 : 4096 });
        assert.deepEqual(table.problems, []);
        assert.equal(table.partitions.length, wanted.length);
      },
    ),
    { numRuns: 150 },
  );
  assert.ok(placed > 20, `${placed}`);
});
