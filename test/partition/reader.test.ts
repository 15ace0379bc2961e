import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { type TestContext, test } from "node:test";
import { MemoryDevice } from "../../src/bytes/device.js";
import { type PartitionTable, type Problem, readPartitionTable, writeMbr } from "../../src/partition/index.js";
import { lacks, run } from "../support/tools.js";
import { change, gptInMemory, LAST, LOGICAL, le32, le64, mbrInMemory, mend, PARTITIONS, SIZE } from "./damage.js";
import { MiB, makeDisk } from "./disk.js";

const texts = ({ problems }: PartitionTable) => problems.map(({ message }) => message).join("\n");

test("a broken primary GPT is read from its backup, which is said", async (t) => {
  const good = await readPartitionTable(await gptInMemory());
  for (const at of [512, 512 + 16, 512 + 24, 512 + 72, 1024 + 40]) {
    const device = await gptInMemory();
    device.bytes[at]! ^= 0x10;
    const table = await readPartitionTable(device);
    assert.deepEqual(table.partitions, good.partitions);
    assert.match(texts(table), /the primary GPT is broken, and its backup is used/, `${at}`);
    if (at !== 1024 + 40 || lacks(t, "sgdisk")) continue;
    const image = await makeDisk(t, device.size, (file) => file.write(0, device.bytes));
    assert.match(run("sgdisk", ["-i", "1", image]), /Partition name: 'root'/);
  }
});

test("a broken, missing or misplaced backup is said", async () => {
  const device = await gptInMemory();
  device.bytes[device.size - 512 + 56]! ^= 1;
  assert.match(
    texts(await readPartitionTable(device)),
    /the backup GPT is broken: the checksum of the GPT header in sector 16383 is wrong/,
  );
  const longer = new MemoryDevice(9 * MiB);
  longer.bytes.set((await gptInMemory()).bytes);
  const { problems, partitions } = await readPartitionTable(longer);
  assert.deepEqual(
    problems.map(({ severity, message, offset }) => [severity, message.split(";")[0], offset]),
    [
      ["warning", "the backup GPT is in sector 16383, and not in the disk's last one, 18431", 512 + 32],
      ["warning", "the protective MBR covers 16383 sectors, and the disk has 18431 behind it", 446],
    ],
  );
  assert.equal(partitions.length, 2);
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
  assert.match(texts(table), /GPT without its protective MBR is left/);
});

test("what is no table is said", async () => {
  for (const bytes of [new Uint8Array(100), new Uint8Array(MiB), new Uint8Array(MiB).fill(0x55)]) {
    await assert.rejects(readPartitionTable(new MemoryDevice(bytes)), { code: "image-corrupt" });
  }
  const cut = new MemoryDevice(new Uint8Array(512));
  cut.bytes.set([0x55, 0xaa], 510);
  cut.bytes.set([0, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0], 446 + 16);
  const table = await readPartitionTable(cut);
  assert.deepEqual(table.problems, [
    { severity: "error", message: "partition 2 ends at 5120, 4608 bytes behind the end of the disk", offset: 462 },
  ]);
});

/** What sgdisk finds wrong. */
async function sgdiskFinds(t: TestContext, device: MemoryDevice): Promise<string> {
  const image = await makeDisk(t, device.size, (file) => file.write(0, device.bytes));
  const { stdout, stderr } = spawnSync("sgdisk", ["-v", image], { encoding: "utf8" });
  return stdout + stderr;
}

interface Damage {
  readonly name: string;
  readonly device: () => Promise<MemoryDevice>;
  readonly problem: RegExp;
  readonly severity?: Problem["severity"];
  readonly offset: number;
  /** What sgdisk says to it, where it says anything. */
  readonly sgdisk?: RegExp;
}

const GPT_DAMAGE: readonly Damage[] = [
  {
    name: "overlapping partitions",
    device: async () => change(await gptInMemory(), "entries", 128 + 32, ...le64(3000)),
    problem: /^partition 1 ends at 2097152, and partition 2 begins at 1536000: they overlap$/,
    offset: 1024 + 128,
    sgdisk: /Problem: partitions 2 and 1 overlap/,
  },
  {
    name: "a partition in front of the usable sectors",
    device: async () => change(await gptInMemory(), "entries", 32, ...le64(20)),
    problem: /^partition 1 has the sectors 20 to 4095, and partitions may use 34 to 16350$/,
    offset: 1024 + 32,
    sgdisk: /Main partition table overlaps the first partition by 14 blocks/,
  },
  {
    name: "a partition that ends before it begins",
    device: async () => change(await gptInMemory(), "entries", 40, ...le64(100)),
    problem: /^partition 1 ends in sector 100, before it begins in 2048$/,
    offset: 1024,
    sgdisk: /Problem: partition 1 ends before it begins/,
  },
  {
    name: "a partition behind the end of the disk",
    device: async () => change(await gptInMemory(), "entries", 128 + 40, ...le64(20_000)),
    problem: /^partition 2 ends at 10240512, 1851904 bytes behind the end of the disk$/,
    offset: 1024 + 128,
    sgdisk: /Problem: partition 2 is too big for the disk/,
  },
  {
    name: "two partitions with one GUID",
    device: async () => {
      const device = await gptInMemory();
      return change(device, "entries", 128 + 16, ...device.bytes.subarray(1024 + 16, 1024 + 32));
    },
    problem: /^partitions 1 and 2 have the same GUID/,
    offset: 1024 + 128,
  },
  {
    name: "entries that lie where partitions may be",
    device: async () => change(await gptInMemory(), "header", 40, ...le64(10)),
    problem: /^the GPT's entries are in the sectors 2 to 33, where partitions may be$/,
    offset: 512 + 72,
  },
  {
    name: "no usable sector",
    device: async () => change(await gptInMemory({ partitions: [] }), "header", 48, ...le64(20)),
    problem: /use the sectors 34 to 20, which is none/,
    offset: 512 + 40,
  },
  {
    name: "a backup that points to another primary",
    device: async () => {
      const device = await gptInMemory();
      device.bytes.set(le64(5), LAST * 512 + 32);
      return mend(device);
    },
    problem: /^the backup GPT says that the primary is in sector 5$/,
    offset: LAST * 512 + 32,
    sgdisk: /Problem: .*\n.*alternate LBA pointer\(5\)/,
  },
  {
    name: "a backup of another disk",
    device: async () => {
      const device = await gptInMemory();
      device.bytes[LAST * 512 + 56]! ^= 1;
      return mend(device);
    },
    problem: /^the backup GPT differs from the primary: its diskGuid is another$/,
    offset: LAST * 512 + 56,
    sgdisk: /Problem: main header's disk GUID/,
  },
  {
    name: "a wrong checksum of the backup's entries",
    device: async () => {
      const device = await gptInMemory();
      device.bytes[SIZE - 33 * 512 + 60]! ^= 1;
      return device;
    },
    problem:
      /^the backup GPT is broken: the checksum of the GPT's entries is wrong: the header in sector 16383 says 0x/,
    offset: SIZE - 33 * 512,
    sgdisk: /CRC for the backup partition table is invalid/,
  },
  {
    name: "a missing backup",
    device: async () => {
      const device = await gptInMemory();
      device.bytes.fill(0, LAST * 512);
      return device;
    },
    problem: /^the backup GPT is missing: there is no GPT header in sector 16383$/,
    offset: LAST * 512,
    sgdisk: /invalid backup GPT header, but valid main header/,
  },
  {
    name: "a disk that was cut off",
    device: async () => new MemoryDevice((await gptInMemory()).bytes.slice(0, 6 * MiB)),
    problem:
      /^the GPT lets partitions use the sectors up to 16350, and the disk ends with 12287: it is 2080256 bytes or more/,
    offset: 512 + 48,
    sgdisk: /Problem: GPT claims the disk is larger than it is!/,
  },
  {
    name: "a hybrid MBR that lists what the GPT does not have",
    device: async () => {
      const device = await gptInMemory({ partitions: PARTITIONS.map((one) => ({ ...one, hybrid: "linux" })) });
      device.bytes.set(le32(9999), 446 + 2 * 16 + 8);
      return device;
    },
    problem: /^entry 3 of the hybrid MBR has the bytes 5119488 to 6168064, which no partition of the GPT has$/,
    offset: 446 + 32,
  },
];

for (const { name, device, problem, severity = "error", offset, sgdisk } of GPT_DAMAGE) {
  test(`a GPT with ${name}: the problem, its place, and that sgdisk sees it too`, async (t) => {
    const damaged = await device();
    const { problems } = await readPartitionTable(damaged);
    const found = problems.find(({ message }) => problem.test(message));
    assert.ok(found, JSON.stringify(problems));
    assert.deepEqual([found.severity, found.offset], [severity, offset]);
    if (sgdisk === undefined || lacks(t, "sgdisk")) return;
    const said = await sgdiskFinds(t, damaged);
    assert.match(said, sgdisk);
  });
}

test("entries of another size than 128 bytes are read, and it is said that Linux does not", async () => {
  const device = await gptInMemory({ entryCount: 64 });
  for (const start of [1024, SIZE - 17 * 512]) {
    const second = device.bytes.slice(start + 128, start + 256);
    device.bytes.fill(0, start + 128, start + 256);
    device.bytes.set(second, start + 256);
  }
  const table = await readPartitionTable(change(device, "header", 80, ...le32(32), ...le32(256)));
  assert.deepEqual(
    table.partitions.map(({ number, start }) => [number, start]),
    PARTITIONS.map(({ number, start }) => [number, start]),
  );
  assert.deepEqual(
    table.problems.map(({ message }) => message),
    ["the GPT's entries have 256 bytes each: Linux reads only those of 128"],
  );
});

test("a header that asks for too much is refused without reading it", async () => {
  for (const [at, ...values] of [
    [80, ...le32(0xffffffff)],
    [84, ...le32(100)],
    [84, ...le32(0x80000000)],
    [72, ...le64(2 ** 40)],
    [72, 255, 255, 255, 255, 255, 255, 255, 255],
    [12, ...le32(91)],
    [12, ...le32(2 ** 31)],
  ] as const) {
    const device = await gptInMemory();
    for (const copy of [512, LAST * 512]) device.bytes.set(values, copy + at);
    await assert.rejects(readPartitionTable(device), { code: "image-corrupt" }, `${at}`);
  }
});

test("a protective entry that does not begin at sector 1 protects nothing: Linux takes the disk for neither", async () => {
  const device = await gptInMemory();
  device.bytes.set(le32(2), 446 + 8);
  const table = await readPartitionTable(device);
  assert.equal(table.kind, "mbr");
  assert.match(texts(table), /protective type, 0xee, but does not begin at sector 1/);
  assert.match(texts(table), /GPT without its protective MBR/);
});

test("a sound GPT beside an empty MBR, or none, is pointed out", async () => {
  const device = await gptInMemory();
  device.bytes.fill(0, 446, 510);
  const { kind, problems } = await readPartitionTable(device);
  assert.deepEqual([kind, problems.length, problems[0]!.severity, problems[0]!.offset], ["mbr", 1, "error", 512]);
  assert.match(problems[0]!.message, /the MBR is empty, and the GPT does not count/);
  device.bytes.fill(0, 0, 512);
  await assert.rejects(readPartitionTable(device), /55 AA is missing .* the GPT, which is sound, is read by nobody/);
});

test("of two sound GPTs, the one counts in whose sectors the protective MBR covers the disk", async () => {
  // Four entries are short enough to survive in front of the header of the other.
  const device = await gptInMemory({ entryCount: 4 });
  const large = await gptInMemory({ sectorSize: 4096, partitions: PARTITIONS.slice(0, 1) });
  const small = device.bytes.slice(0, 512);
  for (const [start, end] of [
    [0, 512],
    [4096, MiB],
    [SIZE - 5 * 4096, SIZE],
  ] as const) {
    device.bytes.set(large.bytes.subarray(start, end), start);
  }
  const table = await readPartitionTable(device);
  assert.deepEqual([table.sectorSize, table.partitions.length, table.problems], [4096, 1, []]);
  device.bytes.set(small);
  const other = await readPartitionTable(device);
  assert.deepEqual([other.sectorSize, other.partitions.length], [512, 2]);
  assert.match(texts(other), /the backup GPT/);
  assert.equal((await readPartitionTable(device, { sectorSize: 4096 })).sectorSize, 4096);
});

test("the remains of a GPT beside an MBR", async () => {
  const device = await gptInMemory();
  await writeMbr(device, { signature: 7, partitions: LOGICAL.slice(0, 1) });
  device.bytes[LAST * 512]! ^= 1;
  device.bytes[600]! ^= 1;
  const { problems } = await readPartitionTable(device);
  assert.deepEqual(
    problems.map(({ severity, offset }) => [severity, offset]),
    [["warning", 512 + 16]],
  );
  assert.match(problems[0]!.message, /the remains of a GPT do not count: the checksum of the GPT header in sector 1/);
});

test("a backup is found through a sound header whose entries are broken", async () => {
  const longer = new MemoryDevice(9 * MiB);
  longer.bytes.set((await gptInMemory()).bytes);
  longer.bytes[1024 + 60]! ^= 1;
  const table = await readPartitionTable(longer);
  assert.deepEqual([table.gpt?.copy, table.partitions.length], ["backup", 2]);
});

/** Records of LOGICAL lie in the sector in front of each partition. */
const RECORDS = LOGICAL.slice(1).map(({ start }) => start - 512);
const [FIRST, SECOND, THIRD] = RECORDS as [number, number, number];

const MBR_DAMAGE: readonly {
  name: string;
  at: number;
  values: readonly number[];
  problem: RegExp;
  offset: number;
  left: number[];
}[] = [
  {
    name: "a chain that comes back to itself",
    at: SECOND + 446 + 16 + 8,
    values: le32(0),
    problem: /^the chain of extended boot records comes back to the one at byte 3145216$/,
    offset: SECOND + 446 + 16,
    left: [1, 5, 6],
  },
  {
    name: "a record without 55 AA",
    at: THIRD + 510,
    values: [0],
    problem: /^there is no extended boot record at byte 5242368: 55 AA is missing$/,
    offset: THIRD + 510,
    left: [1, 5, 6],
  },
  {
    name: "a chain that leaves the extended partition",
    at: FIRST + 446 + 16 + 8,
    values: le32(100_000),
    problem: /^the next extended boot record would be at byte 54345216, outside of the extended partition or the disk$/,
    offset: FIRST + 446 + 16,
    left: [1, 5],
  },
  {
    name: "a logical partition that leaves the extended one",
    at: THIRD + 446 + 12,
    values: le32(4000),
    problem: /^partition 7 leaves the extended partition 4$/,
    offset: THIRD + 446,
    left: [1, 5, 6, 7],
  },
  {
    name: "a logical partition over its own record",
    at: SECOND + 446 + 8,
    values: le32(0),
    problem: /^partition 6 lies over its own record$/,
    offset: SECOND + 446,
    left: [1, 5, 6, 7],
  },
  {
    name: "logical partitions that overlap",
    at: SECOND + 446 + 12,
    values: le32(3000),
    problem: /^partition 6 ends at 5730304, and partition 7 begins at 5242880: they overlap$/,
    offset: THIRD + 446,
    left: [1, 5, 6, 7],
  },
  {
    name: "a primary partition over the extended one",
    at: 446 + 12,
    values: le32(5000),
    problem: /^partition 1 ends at 3608576, and the extended partition 4 begins at 3145216: they overlap$/,
    offset: 446 + 3 * 16,
    left: [1, 5, 6, 7],
  },
  {
    name: "a record without a partition",
    at: SECOND + 446 + 12,
    values: le32(0),
    problem: /^the extended boot record at byte 4193792 has no partition: Linux leaves it out of its count/,
    offset: SECOND + 446,
    left: [1, 5, 6],
  },
  {
    name: "a record with two partitions",
    at: THIRD + 446 + 16,
    values: [0, 0, 0, 0, 0x83, 0, 0, 0, ...le32(500), ...le32(20)],
    problem: /^the extended boot record at byte 5242368 has more than one partition/,
    offset: THIRD + 446 + 16,
    left: [1, 5, 6, 7, 8],
  },
  {
    name: "a partition of type 0",
    at: 446 + 4,
    values: [0],
    problem: /^partition 1 has the type 0x00: Linux counts it, and U-Boot does not see it$/,
    offset: 446,
    left: [1, 5, 6, 7],
  },
  {
    name: "a partition over the MBR",
    at: 446 + 8,
    values: le32(0),
    problem: /^partition 1 lies over the MBR itself$/,
    offset: 446,
    left: [1, 5, 6, 7],
  },
];

for (const { name, at, values, problem, offset, left } of MBR_DAMAGE) {
  test(`an MBR with ${name}: the problem, its place, and what is left`, async () => {
    const device = await mbrInMemory();
    assert.deepEqual((await readPartitionTable(device)).problems, []);
    device.bytes.set(values, at);
    const { problems, partitions } = await readPartitionTable(device);
    const found = problems.find(({ message }) => problem.test(message));
    assert.ok(found, JSON.stringify(problems));
    assert.deepEqual([found.severity, found.offset], ["error", offset]);
    assert.deepEqual(
      partitions.map(({ number }) => number),
      left,
    );
  });
}

test("an endless chain is left after 256 records", async () => {
  const device = new MemoryDevice(MiB);
  const entry = (type: number, start: number, sectors: number) => [
    0,
    0,
    0,
    0,
    type,
    0,
    0,
    0,
    ...le32(start),
    ...le32(sectors),
  ];
  device.bytes.set([...entry(0x05, 1, 2000)], 446);
  device.bytes.set([0x55, 0xaa], 510);
  for (let record = 0; record < 1000; record++) {
    const at = 512 + record * 512;
    device.bytes.set([...entry(0, 0, 0), ...entry(0x05, record + 1, 1)], at + 446);
    device.bytes.set([0x55, 0xaa], at + 510);
  }
  let reads = 0;
  const counting = {
    size: device.size,
    read: (at: number, length: number) => {
      reads++;
      return device.read(at, length);
    },
  };
  const { problems } = await readPartitionTable(counting);
  assert.ok(reads < 270, `${reads}`);
  // Each record is a problem, and so is their number.
  assert.deepEqual([problems.length, problems.at(-1)!.message], [51, "207 more problems"]);
});

test("a file system without a partition table is not taken for one", async () => {
  const device = new MemoryDevice(MiB);
  device.bytes.fill(0x61, 62, 510);
  device.bytes.set([0x55, 0xaa], 510);
  await assert.rejects(readPartitionTable(device), {
    code: "image-corrupt",
    message: /entry 1 of sector 0 has the status 97, .* a single file system/,
  });
});
