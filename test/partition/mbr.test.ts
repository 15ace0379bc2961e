import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryDevice } from "../../src/bytes/device.js";
import { type MbrPartition, mbrType, writeMbr } from "../../src/partition/index.js";
import { lacks, run } from "../support/tools.js";
import { GiB, MiB, makeDisk, parted, readBytes, readTable, sfdisk, sfdiskMakes } from "./disk.js";

/** The layout of colibri-imx6, as the profiles have it. */
const COLIBRI: readonly MbrPartition[] = [
  { number: 1, start: 4 * MiB, size: 64 * MiB, type: "fat32-lba", active: true },
  { number: 2, start: 68 * MiB, size: 512 * MiB, type: "linux" },
  { number: 3, start: 580 * MiB, size: 3000 * MiB, type: "linux" },
];

test("an MBR table is what sfdisk, fdisk and our reader read", async (t) => {
  if (lacks(t, "sfdisk", "fdisk")) return;
  const image = await makeDisk(t, 3580 * MiB, (device) =>
    writeMbr(device, { signature: 0x00c0ffee, partitions: COLIBRI }),
  );
  assert.match(run("sfdisk", ["--verify", image]), /^No errors detected/m);
  const table = sfdisk(image);
  assert.deepEqual([table.label, table.id], ["dos", "0x00c0ffee"]);
  assert.deepEqual(
    table.partitions.map(({ start, size, type, bootable }) => [start, size, type, bootable]),
    [
      [8192, 131_072, "c", true],
      [139_264, 1_048_576, "83", undefined],
      [1_187_840, 6_144_000, "83", undefined],
    ],
  );
  assert.match(run("fdisk", ["-l", image]), /disk\.img1 \* +8192 +139263 +131072 +64M +c W95 FAT32 \(LBA\)/);
  assert.deepEqual(await readTable(image), {
    kind: "mbr",
    id: "00c0ffee",
    sectorSize: 512,
    problems: [],
    extended: [],
    hybrid: [],
    partitions: [
      { number: 1, start: 4 * MiB, size: 64 * MiB, type: "0x0c", partuuid: "00c0ffee-01", active: true },
      { number: 2, start: 68 * MiB, size: 512 * MiB, type: "0x83", partuuid: "00c0ffee-02", active: false },
      { number: 3, start: 580 * MiB, size: 3000 * MiB, type: "0x83", partuuid: "00c0ffee-03", active: false },
    ],
  });
});

test("an MBR written by sfdisk is written by us to the same bytes", async (t) => {
  if (lacks(t, "sfdisk")) return;
  for (const size of [100 * MiB, 9 * GiB, 200 * GiB]) {
    const partitions: MbrPartition[] = [
      { number: 1, start: MiB, size: 17 * MiB, type: 0x0c, active: true },
      { number: 3, start: 18 * MiB, size: 80 * MiB, type: "0x83" },
      ...(size > GiB ? [{ number: 4, start: 98 * MiB, size: size - 98 * MiB, type: "linux" }] : []),
    ];
    const ours = await makeDisk(t, size, (device) => writeMbr(device, { signature: 0xdeadbeef, partitions }));
    const theirs = await makeDisk(t, size);
    const script = partitions.map(
      ({ number, start, size: length, type, active }) =>
        `${theirs}${number} : start=${start / 512}, size=${length / 512}, type=${mbrType(type).toString(16)}${active ? ", bootable" : ""}`,
    );
    sfdiskMakes(theirs, "label: dos", "label-id: 0xdeadbeef", ...script);
    assert.deepEqual(readBytes(ours, 0, 512), readBytes(theirs, 0, 512), `${size}`);
    assert.deepEqual((await readTable(theirs)).partitions, (await readTable(ours)).partitions);
  }
});

/** Seven partitions: three primary, an extended one as number 4, four logical ones whose records lie 1 MiB in front. */
const LOGICAL: readonly MbrPartition[] = [
  { number: 1, start: 4 * MiB, size: 4 * MiB, type: "fat32-lba" },
  { number: 2, start: 8 * MiB, size: 4 * MiB, type: "linux" },
  { number: 3, start: 12 * MiB, size: 4 * MiB, type: "linux" },
  { number: 5, start: 20 * MiB, size: 4 * MiB, type: "linux", recordAt: 19 * MiB },
  { number: 6, start: 28 * MiB, size: 1 * MiB, type: "linux-swap", recordAt: 27 * MiB },
  { number: 7, start: 30 * MiB, size: 8 * MiB, type: "linux", recordAt: 29 * MiB, active: true },
  { number: 8, start: 120 * MiB, size: 80 * MiB, type: "linux", recordAt: 119 * MiB },
];

test("logical partitions are what sfdisk writes, byte for byte, and what it, parted and our reader read", async (t) => {
  if (lacks(t, "sfdisk", "parted")) return;
  const ours = await makeDisk(t, 256 * MiB, (device) => writeMbr(device, { signature: 0x12ab, partitions: LOGICAL }));
  const theirs = await makeDisk(t, 256 * MiB);
  // sfdisk puts each record a grain, 1 MiB, in front of its partition.
  sfdiskMakes(
    theirs,
    "label: dos",
    "label-id: 0x12ab",
    ...LOGICAL.map(
      ({ number, start, size, type, active }) =>
        `${number}: start=${start / 512}, size=${size / 512}, type=${mbrType(type).toString(16)}${active ? ", bootable" : ""}`,
    ).toSpliced(3, 0, `4: start=${(19 * MiB) / 512}, size=${(181 * MiB) / 512}, type=f`),
  );
  for (const at of [0, 19 * MiB, 27 * MiB, 29 * MiB, 119 * MiB]) {
    assert.deepEqual(readBytes(ours, at, 512).toString("hex"), readBytes(theirs, at, 512).toString("hex"), `${at}`);
  }
  assert.match(run("sfdisk", ["--verify", ours]), /^No errors detected|^Remaining/m);
  assert.deepEqual(
    sfdisk(ours).partitions.map(({ node, start, size }) => [Number(/\d+$/.exec(node)![0]), start * 512, size * 512]),
    LOGICAL.map(({ number, start, size }) => [number, start, size]).toSpliced(3, 0, [4, 19 * MiB, 181 * MiB]),
  );
  assert.deepEqual(
    parted(ours).partitions.map(({ number, start, size }) => [number, start, size]),
    LOGICAL.map(({ number, start, size }) => [number, start, size]).toSpliced(3, 0, [4, 19 * MiB, 181 * MiB]),
  );
  const table = await readTable(ours);
  assert.deepEqual(table.problems, []);
  assert.deepEqual(
    table.partitions.map(({ number, start, size, partuuid, active }) => [number, start, size, partuuid, active]),
    LOGICAL.map(({ number, start, size, active = false }) => [number, start, size, `000012ab-0${number}`, active]),
  );
  assert.deepEqual(
    table.extended.map(({ number, start, size, type }) => [number, start, size, type]),
    [[4, 19 * MiB, 181 * MiB, "0x0f"]],
  );
});

test("56 logical partitions side by side, with their records in the sector in front", async (t) => {
  if (lacks(t, "sfdisk")) return;
  const partitions = Array.from({ length: 56 }, (_, i) => ({
    number: 5 + i,
    start: MiB + i * 64 * 1024 + 512,
    size: 64 * 1024 - 512,
    type: "linux",
  }));
  const image = await makeDisk(t, 8 * MiB, (device) => writeMbr(device, { signature: 1, partitions, extended: 2 }));
  assert.equal(sfdisk(image).partitions.length, 57);
  const table = await readTable(image);
  assert.deepEqual(table.problems, []);
  assert.deepEqual(
    table.partitions.map(({ number }) => number),
    partitions.map(({ number }) => number),
  );
  assert.equal(table.partitions.at(-1)!.partuuid, "00000001-3c");
  assert.deepEqual(
    table.extended.map(({ number }) => number),
    [2],
  );
});

test("logical partitions from which no chain can be made are refused", async () => {
  const device = new MemoryDevice(64 * MiB);
  const refuse = async (partitions: MbrPartition[], message: RegExp, hint: RegExp, extended?: number) => {
    const options = { signature: 1, partitions, ...(extended && { extended }) };
    await assert.rejects(writeMbr(device, options), { code: "layout-conflict", message, hint });
    assert.ok(
      device.bytes.every((byte) => byte === 0),
      "nothing is written",
    );
  };
  const at = (number: number, start: number, size = 4 * MiB) => ({ number, start, size, type: "linux" });
  await refuse([at(1, MiB), at(6, 8 * MiB)], /a partition 6, and no partition 5/, /Number partition 6 5/);
  await refuse(
    [at(5, 8 * MiB), at(6, 12 * MiB)],
    /no room for the extended boot record of partition 6 .* between partition 5 /,
    /partition 6 start at 12583424/,
  );
  await refuse([at(5, 20 * MiB), at(6, 8 * MiB)], /record of partition 6/, /start at 25166336/);
  await refuse(
    [at(1, MiB, MiB), at(2, 2 * MiB, MiB), at(3, 3 * MiB, MiB), at(4, 4 * MiB, MiB), at(5, 8 * MiB)],
    /1 to 4 leave no entry of the MBR for .* partition 5/,
    /from 5 on/,
  );
  await refuse(
    [at(5, 8 * MiB), at(1, 16 * MiB), at(6, 24 * MiB)],
    /partition 1 .* over the extended partition 4/,
    /29360128/,
  );
  await refuse([at(1, MiB), at(5, 8 * MiB)], /two partitions have the number 1/, /its own/, 1);
  await refuse([at(61, 8 * MiB)], /MBR table has no partition 61: it has 1 to 60/, /GPT/);
  await refuse([{ ...at(5, 8 * MiB), recordAt: 8 * MiB - 100 }], /record of partition 5/, /start at 1024/);
  await refuse([{ ...at(1, MiB), type: 0x0f }], /15 is the type of an extended partition/, /from 5 on/);
  await refuse([{ ...at(1, MiB), type: "0xee" }], /0xee is the type of a GPT's protective entry/, /what is in it/);
});
