import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { type Device, MemoryDevice } from "../../src/bytes/device.js";
import { FileDevice, FileReader } from "../../src/bytes/file-device.js";
import { ImgbuildError } from "../../src/errors.js";
import { seededUuid } from "../../src/host.js";
import {
  gptType,
  type MbrPartition,
  mbrPartuuid,
  mbrType,
  PARTITION_TYPES,
  readPartitionTable,
  tableRanges,
  writeGpt,
  writeMbr,
} from "../../src/partition/index.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const DISK = seededUuid("test", "disk");
const guid = (number: number) => seededUuid("test", "partition", `${number}`);

async function makeDisk(t: TestContext, size: number, write: (device: Device) => Promise<void>): Promise<string> {
  const image = path.join(temporaryFolder(t), "disk.img");
  const device = new FileDevice(image, size);
  try {
    await write(device);
  } finally {
    device.close();
  }
  return image;
}

async function readTable(image: string) {
  const device = new FileReader(image);
  try {
    return await readPartitionTable(device);
  } finally {
    device.close();
  }
}

interface SfdiskTable {
  label: string;
  id: string;
  firstlba?: number;
  lastlba?: number;
  sectorsize: number;
  partitions: {
    node: string;
    start: number;
    size: number;
    type: string;
    uuid?: string;
    name?: string;
    bootable?: boolean;
    attrs?: string;
  }[];
}
const sfdisk = (image: string) => JSON.parse(run("sfdisk", ["-J", image])).partitiontable as SfdiskTable;

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
    const theirs = await makeDisk(t, size, async () => {});
    const script = partitions.map(
      ({ number, start, size: length, type, active }) =>
        `${theirs}${number} : start=${start / 512}, size=${length / 512}, type=${mbrType(type).toString(16)}${active ? ", bootable" : ""}`,
    );
    run("sfdisk", [theirs], { input: Buffer.from(["label: dos", "label-id: 0xdeadbeef", ...script, ""].join("\n")) });
    const head = (image: string) => {
      const bytes = Buffer.alloc(512);
      const fd = fs.openSync(image, "r");
      fs.readSync(fd, bytes);
      fs.closeSync(fd);
      return bytes.toString("hex");
    };
    assert.equal(head(ours), head(theirs), `${size}`);
    assert.deepEqual((await readTable(theirs)).partitions, (await readTable(ours)).partitions);
  }
});

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
      attributes: 1n,
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
      },
      {
        number: 2,
        start: 68 * MiB,
        size: 512 * MiB,
        type: gptType("linux"),
        partuuid: guid(2),
        name: "Wurzel ÄÖÜ 根",
        active: false,
      },
      { number: 128, start: 580 * MiB, size: 512, type: gptType("linux"), partuuid: guid(3), active: false },
    ],
  });
});

test("tables of sgdisk and sfdisk read as they were asked for", async (t) => {
  if (lacks(t, "sfdisk", "sgdisk")) return;
  const theirs = await makeDisk(t, GiB, async () => {});
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

test("sectors of 4096 bytes", async (t) => {
  if (lacks(t, "sgdisk")) return;
  const partitions = [{ number: 1, start: 4 * MiB, size: 8 * MiB, type: "linux", guid: guid(1), name: "a" }];
  const image = await makeDisk(t, 64 * MiB, (device) =>
    writeGpt(device, { diskGuid: DISK, sectorSize: 4096, partitions }),
  );
  const table = await readTable(image);
  assert.deepEqual([table.sectorSize, table.problems], [4096, []]);
  assert.deepEqual([table.partitions[0]!.start, table.partitions[0]!.size], [4 * MiB, 8 * MiB]);
  assert.deepEqual(tableRanges("gpt", 64 * MiB, 4096), [
    { what: "the GPT", start: 0, end: 6 * 4096 },
    { what: "the backup GPT", start: 64 * MiB - 5 * 4096, end: 64 * MiB },
  ]);
});

/** A GPT in memory, to be damaged. */
async function gptInMemory(): Promise<MemoryDevice> {
  const device = new MemoryDevice(8 * MiB);
  const partitions = [{ number: 1, start: MiB, size: MiB, type: "linux", guid: guid(1), name: "root" }];
  await writeGpt(device, { diskGuid: DISK, partitions });
  return device;
}

test("a broken primary GPT is read from its backup, which is said", async (t) => {
  const good = await readPartitionTable(await gptInMemory());
  for (const at of [512, 512 + 16, 512 + 24, 512 + 72, 1024 + 40]) {
    const device = await gptInMemory();
    device.bytes[at]! ^= 0x10;
    const table = await readPartitionTable(device);
    assert.deepEqual(table.partitions, good.partitions);
    assert.match(table.problems.join("\n"), /the primary GPT is broken, and its backup is used/, `${at}`);
    if (at !== 1024 + 40 || lacks(t, "sgdisk")) continue;
    const image = await makeDisk(t, device.size, (file) => file.write(0, device.bytes));
    assert.match(run("sgdisk", ["-i", "1", image]), /Partition name: 'root'/);
  }
});

test("a broken, missing or misplaced backup is said", async () => {
  const device = await gptInMemory();
  device.bytes[device.size - 512 + 56]! ^= 1;
  assert.match((await readPartitionTable(device)).problems.join(), /the backup GPT is broken: .*checksum is wrong/);
  const longer = new MemoryDevice(9 * MiB);
  longer.bytes.set((await gptInMemory()).bytes);
  const { problems, partitions } = await readPartitionTable(longer);
  assert.deepEqual(problems, ["the backup GPT is in sector 16383, and not in the disk's last one, 18431"]);
  assert.equal(partitions.length, 1);
});

test("when both copies are broken, the error names the byte", async () => {
  const device = await gptInMemory();
  device.bytes[512 + 16]! ^= 1;
  device.bytes[device.size - 512 + 16]! ^= 1;
  await assert.rejects(readPartitionTable(device), { code: "image-corrupt", data: { offset: 528 } });
});

test("a GPT without its protective MBR does not count", async () => {
  const device = await gptInMemory();
  await writeMbr(device, { signature: 7, partitions: [{ number: 1, start: MiB, size: MiB, type: "fat32-lba" }] });
  const table = await readPartitionTable(device);
  assert.deepEqual([table.kind, table.id, table.partitions.length], ["mbr", "00000007", 1]);
  assert.match(table.problems.join(), /GPT without its protective MBR is left/);
});

test("what is no table is said", async () => {
  for (const bytes of [new Uint8Array(100), new Uint8Array(MiB), new Uint8Array(MiB).fill(0x55)]) {
    await assert.rejects(readPartitionTable(new MemoryDevice(bytes)), { code: "image-corrupt" });
  }
  const cut = new MemoryDevice(new Uint8Array(512));
  cut.bytes.set([0x55, 0xaa], 510);
  cut.bytes.set([0, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0], 446 + 16);
  await assert.rejects(readPartitionTable(cut), { code: "image-corrupt", data: { offset: 462 } });
});

test("what the tables cannot hold is refused, with both sides named and a way out", async () => {
  const device = new MemoryDevice(64 * MiB);
  const refuse = async (
    partitions: MbrPartition[],
    message: RegExp,
    hint: RegExp,
    kind: "mbr" | "gpt" | "both" = "both",
  ) => {
    const error = { code: "layout-conflict", message, hint };
    if (kind !== "gpt") await assert.rejects(writeMbr(device, { signature: 1, partitions }), error);
    const named = partitions.map((partition, i) => ({ ...partition, guid: guid(i) }));
    if (kind !== "mbr") await assert.rejects(writeGpt(device, { diskGuid: DISK, partitions: named }), error);
    assert.ok(
      device.bytes.subarray(0, MiB).every((byte) => byte === 0),
      "nothing is written",
    );
  };
  const one = { number: 1, start: 4 * MiB, size: 8 * MiB, type: "linux" };
  const two = { number: 2, start: 12 * MiB, size: 8 * MiB, type: "linux" };
  await refuse(
    [two, { ...one, size: 9 * MiB }],
    /partition 1 .* and partition 2 .* overlap/,
    /partition 2 start at 13631488/,
  );
  await refuse([one, { ...two, start: 4 * MiB }], /partition 1 .* and partition 2 .* overlap/, /8388608 bytes smaller/);
  await refuse(
    [one, { ...two, size: 60 * MiB }],
    /partition 2 .* leaves the disk of 67108864 bytes by 8388608/,
    /72 MiB/,
  );
  await refuse(
    [{ ...one, start: 4 * MiB + 1 }],
    /start of partition 1, 4194305 bytes.*sectors of 512/,
    /multiple of 512/,
  );
  await refuse([{ ...one, size: 700 }], /size of partition 1, 700 bytes/, /multiple of 512/);
  await refuse([{ ...one, size: 0 }], /partition 1 has no size/, /leave it out/);
  await refuse([one, { ...two, number: 1 }], /two partitions have the number 1/, /of its own/);
  await refuse([{ ...one, number: 0 }], /has no partition 0/, /./);
  await refuse([{ ...one, number: 5 }], /MBR table has no partition 5: it has 1 to 4/, /GPT/, "mbr");
  await refuse([{ ...one, start: 0 }], /partition 1 .* lies over the MBR/, /start at 512/, "mbr");
  await refuse([{ ...one, start: 33 * 512 }], /partition 1 .* lies over the GPT/, /start at 17408/, "gpt");
  await refuse([{ ...one, size: 60 * MiB }], /lies over the backup GPT/, /end at 67091968/, "gpt");
  await refuse([{ ...one, type: "squash" }], /"squash" is not a type.* MBR/, /fat32-lba/, "mbr");
  await refuse([{ ...one, type: 0 }], /"0" is not a type/, /0x01 to 0xff/, "mbr");
  await refuse([{ ...one, type: 0x83 }], /"131" is not a type.* GPT/, /basic-data/, "gpt");
  await refuse(
    [
      { ...one, active: true },
      { ...two, active: true },
    ],
    /1 and 2 are both active/,
    /one of them/,
    "mbr",
  );
  await assert.rejects(writeMbr(new MemoryDevice(1000), { signature: 1, partitions: [] }), {
    hint: /up to 1024 bytes/,
  });
  await assert.rejects(writeGpt(new MemoryDevice(60 * 512), { diskGuid: DISK, partitions: [] }), /no room for a GPT/);
  const huge = { size: 3 * 2 ** 40 } as Device;
  await assert.rejects(writeMbr(huge, { signature: 1, partitions: [{ ...one, size: 2.5 * 2 ** 40 }] }), {
    hint: "Use a GPT.",
  });
  await assert.rejects(
    writeGpt(device, { diskGuid: DISK, partitions: [one, two].map((partition) => ({ ...partition, guid: DISK })) }),
    /partitions 1 and 2 have the same GUID/,
  );
  await assert.rejects(
    writeGpt(device, { diskGuid: DISK, partitions: [{ ...one, guid: DISK, name: "n".repeat(37) }] }),
    /does not fit into 36 UTF-16 units/,
  );
});

test("random tables pass sfdisk and sgdisk, and read as they were written", async (t) => {
  if (lacks(t, "sfdisk", "sgdisk")) return;
  const sizes = fc.array(fc.tuple(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 1, max: 20_000 })), {
    maxLength: 4,
  });
  await fc.assert(
    fc.asyncProperty(sizes, fc.boolean(), fc.integer({ min: 1, max: 2 ** 32 - 1 }), async (gaps, gpt, signature) => {
      let at = 34;
      const partitions = gaps.map(([gap, sectors], i) => {
        const partition = { number: i + 1, start: (at + gap) * 512, size: sectors * 512, type: "linux" };
        at += gap + sectors;
        return { ...partition, guid: guid(i), name: `p${i}` };
      });
      const image = await makeDisk(t, Math.max((at + 33) * 512, 4 * MiB), (device) =>
        gpt ? writeGpt(device, { diskGuid: DISK, partitions }) : writeMbr(device, { signature, partitions }),
      );
      assert.match(run("sfdisk", ["--verify", image]), /^No errors detected|^Remaining/m);
      if (gpt) assert.match(run("sgdisk", ["-v", image]), /No problems found/);
      const table = await readTable(image);
      assert.deepEqual(
        table.partitions.map(({ number, start, size, partuuid }) => ({ number, start, size, partuuid })),
        partitions.map(({ number, start, size, guid: own }) => ({
          number,
          start,
          size,
          partuuid: gpt ? own : mbrPartuuid(signature, number),
        })),
      );
      fs.rmSync(image);
    }),
    { numRuns: 40 },
  );
});

test("whatever bytes are damaged, reading ends with a table or an explained error", async () => {
  const device = await gptInMemory();
  const places = fc.oneof(
    fc.integer({ min: 440, max: 1300 }),
    fc.integer({ min: device.size - 512, max: device.size - 420 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(places, fc.nat(255)), { minLength: 1, maxLength: 6 }), async (changes) => {
      const damaged = new MemoryDevice(device.bytes.slice());
      for (const [at, value] of changes) damaged.bytes[at] = value;
      try {
        await readPartitionTable(damaged);
      } catch (error) {
        assert.ok(error instanceof ImgbuildError && error.code === "image-corrupt", `${error}`);
      }
    }),
    { numRuns: 400 },
  );
});

test("types are what sfdisk calls them", async (t) => {
  if (lacks(t, "sfdisk")) return;
  const listOf = (label: string) =>
    run("sfdisk", ["--list-types", "--label", label])
      .split("\n")
      .map((line) => /^ *([0-9A-Fa-f-]+) +(.*?) *$/.exec(line))
      .filter((match) => match !== null)
      .map(([, id, name]): [string, string] => [id!.toLowerCase(), name!]);
  const mbrNames = new Map(listOf("dos"));
  const gptNames = new Map(listOf("gpt"));
  const called = (name: string) => [mbrNames.get(mbrType(name).toString(16)), gptNames.get(gptType(name))];
  assert.deepEqual(called("fat32-lba"), ["W95 FAT32 (LBA)", "Microsoft basic data"]);
  assert.deepEqual(called("linux"), ["Linux", "Linux filesystem"]);
  assert.deepEqual(called("raw"), ["Linux", "Linux filesystem"]);
  assert.deepEqual(called("linux-swap"), ["Linux swap / Solaris", "Linux swap"]);
  assert.deepEqual(called("esp"), ["EFI (FAT-12/16/32)", "EFI System"]);
  assert.equal(gptNames.get(gptType("bios-boot")), "BIOS boot");
  assert.equal(gptNames.get(gptType("xbootldr")), "Linux extended boot");
  assert.equal(gptNames.get(gptType("linux-root-arm")), "Linux root (ARM)");
  assert.equal(gptNames.get(gptType("linux-root-arm64")), "Linux root (ARM-64)");
  assert.deepEqual([mbrType("0x0C"), mbrType(12), mbrType("12")], [12, 12, 12]);
  for (const name of PARTITION_TYPES) assert.match(gptType(name), /^[0-9a-f-]{36}$/);
});
