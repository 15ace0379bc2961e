import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MemoryDevice } from "../../src/bytes/device.js";
import { ImgbuildError } from "../../src/errors.js";
import { type PartitionTable, readPartitionTable, writeGpt, writeMbr } from "../../src/partition/index.js";
import { lacks, run } from "../support/tools.js";
import { DISK, guid, MiB, makeDisk } from "./disk.js";

const texts = ({ problems }: PartitionTable) => problems.map(({ message }) => message).join("\n");

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
