import assert from "node:assert/strict";
import { test } from "node:test";
import { type GptPartition, gptType, mbrType, tableRanges, writeGpt, writeMbr } from "../../src/partition/index.js";
import { lacks, lacksRoot, run } from "../support/tools.js";
import { DISK, GiB, guid, MiB, makeDisk, parted, readBytes, readTable, sfdisk } from "./disk.js";

test("a GPT is what sgdisk, sfdisk and our reader read", async (t) => {
  if (lacks(t, "sfdisk", "sgdisk")) return;
  const size = 3 * GiB + 512;
  const partitions = [
    { number: 1, start: 4 * MiB, size: 64 * MiB, type: "esp", guid: guid(1), name: "BootFS", active: true },
    {
      number: 2,
      start: 68 * MiB,
      size: 512 * MiB,
      type: "linux",
      guid: guid(2),
      name: "Wurzel ÄÖÜ 根",
      attributes: ["required"],
    },
    { number: 128, start: 580 * MiB, size: 512, type: "0fc63daf-8483-4772-8e79-3d69d8477de4", guid: guid(3) },
  ];
  const image = await makeDisk(t, size, (device) => writeGpt(device, { diskGuid: DISK, partitions }));
  assert.match(run("sgdisk", ["-v", image]), /No problems found/);
  assert.match(run("sfdisk", ["--verify", image]), /^No errors detected/m);
  const table = sfdisk(image);
  assert.deepEqual([table.label, table.id, table.firstlba], ["gpt", DISK.toUpperCase(), 34]);
  assert.equal(table.lastlba, size / 512 - 34);
  assert.deepEqual(
    table.partitions.map(({ start, size: length, uuid, attrs }) => [start, length, uuid, attrs]),
    [
      [8192, 131_072, guid(1).toUpperCase(), "LegacyBIOSBootable"],
      [139_264, 1_048_576, guid(2).toUpperCase(), "RequiredPartition"],
      [1_187_840, 1, guid(3).toUpperCase(), undefined],
    ],
  );
  const first = run("sgdisk", ["-i", "1", image]);
  assert.match(first, /C12A7328-F81F-11D2-BA4B-00A0C93EC93B \(EFI system partition\)/);
  assert.match(first, /Partition name: 'BootFS'/);
  assert.deepEqual(await readTable(image), {
    kind: "gpt",
    id: DISK,
    sectorSize: 512,
    gpt: { copy: "primary", entryCount: 128, entriesAt: 1024, firstUsable: 34 * 512, usableEnd: size - 33 * 512 },
    extended: [],
    hybrid: [],
    problems: [],
    partitions: [
      {
        number: 1,
        start: 4 * MiB,
        size: 64 * MiB,
        type: gptType("esp"),
        partuuid: guid(1),
        name: "BootFS",
        active: true,
        attributes: ["legacy-boot"],
      },
      {
        number: 2,
        start: 68 * MiB,
        size: 512 * MiB,
        type: gptType("linux"),
        partuuid: guid(2),
        name: "Wurzel ÄÖÜ 根",
        active: false,
        attributes: ["required"],
      },
      {
        number: 128,
        start: 580 * MiB,
        size: 512,
        type: gptType("linux"),
        partuuid: guid(3),
        active: false,
        attributes: [],
      },
    ],
  });
});

test("tables of sgdisk and sfdisk read as they were asked for", async (t) => {
  if (lacks(t, "sfdisk", "sgdisk")) return;
  const theirs = await makeDisk(t, GiB);
  run("sgdisk", [
    "-o",
    "-U",
    DISK,
    "-n",
    "1:2048:+64M",
    "-c",
    "1:boot fs",
    "-t",
    "1:ef00",
    "-A",
    "1:set:2",
    "-n",
    "5:0:+10M",
    "-u",
    `5:${guid(5)}`,
    theirs,
  ]);
  const table = await readTable(theirs);
  assert.deepEqual([table.kind, table.id, table.problems], ["gpt", DISK, []]);
  assert.deepEqual(
    table.partitions.map(({ number, start, size, name, active }) => [number, start, size, name, active]),
    [
      [1, MiB, 64 * MiB, "boot fs", true],
      [5, 65 * MiB, 10 * MiB, undefined, false],
    ],
  );
  assert.equal(table.partitions[1]!.partuuid, guid(5));
  run("sfdisk", [theirs], { input: Buffer.from("label: gpt\ntable-length: 8\n, 10M, L\n") });
  assert.deepEqual(
    (await readTable(theirs)).partitions.map(({ start, size }) => [start, size]),
    [[MiB, 10 * MiB]],
  );
});

const THREE: readonly GptPartition[] = [
  { number: 1, start: 4 * MiB, size: 8 * MiB, type: "esp", guid: guid(1), name: "boot", active: true },
  { number: 2, start: 12 * MiB, size: 8 * MiB, type: "linux", guid: guid(2), name: "root" },
  { number: 4, start: 24 * MiB, size: 4 * MiB, type: "linux-swap", guid: guid(4), name: "swap" },
];

test("fewer entries, and entries further back, are what sgdisk writes, byte for byte", async (t) => {
  if (lacks(t, "sgdisk", "sfdisk", "parted")) return;
  const shapes = [
    { entryCount: 128 },
    { entryCount: 4 },
    { entryCount: 56 },
    { entryCount: 128, entriesAt: MiB },
    { entryCount: 12, entriesAt: 512 * 200 },
  ];
  for (const shape of shapes) {
    const ours = await makeDisk(t, 64 * MiB, (device) =>
      writeGpt(device, { diskGuid: DISK, partitions: THREE, ...shape }),
    );
    const theirs = await makeDisk(t, 64 * MiB);
    const { entryCount, entriesAt = 1024 } = shape;
    run("sgdisk", ["-o", "-S", `${entryCount}`, "-j", `${entriesAt / 512}`, "-U", DISK, theirs]);
    const each = THREE.flatMap(({ number, start, size, type, guid: own, name, active }) => [
      ...["-n", `${number}:${start / 512}:${(start + size) / 512 - 1}`, "-t", `${number}:${gptType(type)}`],
      ...["-u", `${number}:${own}`, "-c", `${number}:${name}`, ...(active ? ["-A", `${number}:set:2`] : [])],
    ]);
    run("sgdisk", [...each, theirs]);
    for (const [at, length] of [
      [512, 2 * MiB],
      [64 * MiB - 33 * 512, 33 * 512],
    ] as const) {
      assert.ok(readBytes(ours, at, length).equals(readBytes(theirs, at, length)), `${JSON.stringify(shape)} at ${at}`);
    }
    assert.match(run("sgdisk", ["-v", ours]), /No problems found/);
    assert.match(run("sfdisk", ["--verify", ours]), /^No errors detected/m);
    assert.deepEqual(
      parted(ours).partitions.map(({ number, start, size, name }) => [number, start, size, name]),
      THREE.map(({ number, start, size, name }) => [number, start, size, name]),
    );
    const table = await readTable(ours);
    assert.deepEqual(table.problems, []);
    assert.deepEqual([table.gpt!.entryCount, table.gpt!.entriesAt], [entryCount, entriesAt]);
    assert.equal(table.gpt!.firstUsable, tableRanges({ kind: "gpt", ...shape }, 0).at(-2)!.end);
  }
});

test("any number of entries from 4 to 128 passes sgdisk and sfdisk", async (t) => {
  if (lacks(t, "sgdisk", "sfdisk")) return;
  for (const entryCount of [5, 6, 7, 9, 63, 127]) {
    const partitions = [{ ...THREE[0]!, number: entryCount }];
    const image = await makeDisk(t, 64 * MiB, (device) => writeGpt(device, { diskGuid: DISK, partitions, entryCount }));
    assert.match(run("sgdisk", ["-v", image]), /No problems found/, `${entryCount}`);
    assert.match(run("sfdisk", ["--verify", image]), /^No errors detected/m, `${entryCount}`);
    const table = await readTable(image);
    assert.deepEqual([table.partitions.length, table.partitions[0]!.number, table.problems], [1, entryCount, []]);
  }
});

test("a hybrid MBR is what sgdisk makes", async (t) => {
  if (lacks(t, "sgdisk", "sfdisk")) return;
  const partitions = THREE.map((partition) => ({ ...partition, active: false }));
  const plain = await makeDisk(t, 64 * MiB, (device) => writeGpt(device, { diskGuid: DISK, partitions }));
  run("sgdisk", ["-h", "1:2:4", plain]);
  const hybrid = partitions.map((partition) => ({ ...partition, hybrid: partition.type }));
  const ours = await makeDisk(t, 64 * MiB, (device) => writeGpt(device, { diskGuid: DISK, partitions: hybrid }));
  assert.equal(readBytes(ours, 446, 66).toString("hex"), readBytes(plain, 446, 66).toString("hex"));
  assert.match(run("sgdisk", ["-v", ours]), /No problems found/);
  assert.match(run("sfdisk", ["--verify", ours]), /^No errors detected/m);
  assert.match(run("sgdisk", ["-p", ours]), /Number {2}Start/);
  const table = await readTable(ours);
  assert.deepEqual(table.problems, []);
  assert.deepEqual(
    table.hybrid.map(({ number, start, size, type }) => [number, start, size, Number(type)]),
    THREE.map(({ start, size, type }, i) => [i + 2, start, size, mbrType(type)]),
  );
  const listed = [{ ...THREE[0]!, hybrid: "fat32-lba" }];
  const active = await makeDisk(t, 64 * MiB, (device) => writeGpt(device, { diskGuid: DISK, partitions: listed }));
  assert.deepEqual((await readTable(active)).hybrid, [
    { number: 2, start: 4 * MiB, size: 8 * MiB, type: "0x0c", active: true },
  ]);
});

test("attributes are what sfdisk calls them", async (t) => {
  if (lacks(t, "sfdisk")) return;
  const attributes = ["required", "no-block-io", "legacy-boot", "growfs", "read-only", "no-auto", 48];
  const partitions = [{ ...THREE[1]!, attributes }];
  const image = await makeDisk(t, 64 * MiB, (device) => writeGpt(device, { diskGuid: DISK, partitions }));
  assert.equal(
    sfdisk(image).partitions[0]!.attrs,
    "RequiredPartition NoBlockIOProtocol LegacyBIOSBootable GUID:48,59,60,63",
  );
  const { partitions: read } = await readTable(image);
  assert.deepEqual(new Set(read[0]!.attributes), new Set(attributes.map(String)));
  assert.equal(read[0]!.active, true);
});

/** Attaches `image` as a disk with sectors of 4096 bytes for the time of `use`. */
function withLargeSectors(image: string, use: (device: string) => void): void {
  const device = run("losetup", ["--find", "--show", "--sector-size", "4096", image]).trim();
  try {
    use(device);
  } finally {
    run("losetup", ["--detach", device]);
  }
}

test("sectors of 4096 bytes: on a disk that has them, sfdisk, sgdisk and parted read every kind of table", async (t) => {
  if (lacks(t, "losetup", "sfdisk", "sgdisk", "parted") || lacksRoot(t)) return;
  const places = THREE.map(({ number, start, size }) => [number, start, size]);
  for (const shape of [{}, { entryCount: 33 }, { entriesAt: MiB }]) {
    const image = await makeDisk(t, 64 * MiB, (device) =>
      writeGpt(device, { diskGuid: DISK, sectorSize: 4096, partitions: THREE, ...shape }),
    );
    withLargeSectors(image, (device) => {
      assert.match(run("sgdisk", ["-v", device]), /No problems found/);
      assert.match(run("sfdisk", ["--verify", device]), /^No errors detected/m);
      const { label, sectorSize, partitions } = parted(device);
      assert.deepEqual([label, sectorSize], ["gpt", 4096]);
      assert.deepEqual(
        partitions.map(({ number, start, size }) => [number, start, size]),
        places,
      );
    });
    const table = await readTable(image);
    assert.deepEqual([table.sectorSize, table.problems], [4096, []]);
    assert.deepEqual(
      table.partitions.map(({ number, start, size }) => [number, start, size]),
      places,
    );
  }
  const logical = [
    { number: 1, start: 4 * MiB, size: 8 * MiB, type: "linux" },
    { number: 5, start: 20 * MiB, size: 8 * MiB, type: "linux", recordAt: 16 * MiB },
    { number: 6, start: 32 * MiB, size: 8 * MiB, type: "linux" },
  ];
  const image = await makeDisk(t, 64 * MiB, (device) =>
    writeMbr(device, { signature: 1, sectorSize: 4096, partitions: logical }),
  );
  withLargeSectors(image, (device) => {
    assert.match(run("sfdisk", ["--verify", device]), /^No errors detected|^Remaining/m);
    const { label, partitions } = parted(device);
    assert.equal(label, "msdos");
    assert.deepEqual(
      partitions.filter(({ number }) => number !== 4).map(({ number, start, size }) => [number, start, size]),
      logical.map(({ number, start, size }) => [number, start, size]),
    );
  });
  const table = await readTable(image, { sectorSize: 4096 });
  assert.deepEqual(table.problems, []);
  assert.deepEqual(
    table.partitions.map(({ number, start, size }) => [number, start, size]),
    logical.map(({ number, start, size }) => [number, start, size]),
  );
});
