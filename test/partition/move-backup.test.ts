/** A GPT whose disk became longer, as sgdisk and sfdisk see it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryDevice, slice } from "../../src/bytes/device.js";
import { type GptOptions, moveGptBackup, readPartitionTable, writeGpt, writeMbr } from "../../src/partition/index.js";
import { lacks, run } from "../support/tools.js";
import { DISK, guid, MiB, makeDisk, readTable, sfdisk } from "./disk.js";

const partitions = [
  { number: 1, start: 4 * MiB, size: 8 * MiB, type: "esp", guid: guid(1), name: "BootFS", active: true },
  { number: 2, start: 12 * MiB, size: 16 * MiB, type: "linux", guid: guid(2), name: "root" },
];

/** A disk of `length` bytes with a table that was made for one of 32 MiB, its backup moved. */
const moved = (t: Parameters<typeof makeDisk>[0], length: number, options: Partial<GptOptions> = {}) =>
  makeDisk(t, length, async (device) => {
    await writeGpt(slice(device, 0, 32 * MiB), { diskGuid: DISK, partitions, ...options });
    assert.equal(await moveGptBackup(device), length - 32 * MiB);
  });

test("a moved backup is what sgdisk and sfdisk find nothing wrong with", async (t) => {
  if (lacks(t, "sfdisk", "sgdisk")) return;
  const hybrid = partitions.map((partition) => ({ ...partition, hybrid: partition.number === 1 ? 0x0c : undefined }));
  for (const options of [{}, { entryCount: 8 }, { entriesAt: 1 * MiB }, { partitions: hybrid }]) {
    const image = await moved(t, 100 * MiB + 512, options);
    assert.match(run("sgdisk", ["-v", image]), /No problems found/);
    assert.match(run("sfdisk", ["--verify", image]), /^No errors detected/m);
    const table = sfdisk(image);
    assert.equal(table.id, DISK.toUpperCase());
    assert.deepEqual(
      table.partitions.map(({ start, size, name }) => [start * 512, size * 512, name]),
      partitions.map(({ start, size, name }) => [start, size, name]),
    );
    assert.deepEqual((await readTable(image)).problems, []);
  }
});

test("the backup alone is enough after the move", async (t) => {
  if (lacks(t, "sgdisk")) return;
  const image = await moved(t, 64 * MiB);
  run("dd", ["if=/dev/zero", `of=${image}`, "bs=512", "seek=1", "count=1", "conv=notrunc", "status=none"]);
  assert.equal((await readTable(image)).gpt?.copy, "backup");
});

test("sectors of 4096 bytes", async (t) => {
  const image = await moved(t, 64 * MiB, { sectorSize: 4096 });
  const table = await readTable(image);
  assert.deepEqual([table.sectorSize, table.problems], [4096, []]);
});

test("what is no GPT, or at the end already, or on a shorter disk, is left alone", async () => {
  const untouched = async (device: MemoryDevice) => {
    const before = device.bytes.slice();
    const result = await moveGptBackup(device);
    assert.deepEqual(device.bytes, before);
    return result;
  };
  assert.equal(await untouched(new MemoryDevice(MiB)), undefined);
  const mbr = new MemoryDevice(32 * MiB);
  await writeMbr(mbr, { signature: 1, partitions: [{ number: 1, start: MiB, size: MiB, type: "linux" }] });
  assert.equal(await untouched(mbr), undefined);
  const gpt = new MemoryDevice(32 * MiB);
  await writeGpt(gpt, { diskGuid: DISK, partitions });
  assert.equal(await untouched(gpt), 0);
  assert.equal(await untouched(new MemoryDevice(gpt.bytes.subarray(0, 30 * MiB))), undefined);
});

test("the old backup's header is gone: no program takes it for one", async () => {
  const device = new MemoryDevice(40 * MiB);
  await writeGpt(slice(device, 0, 32 * MiB), { diskGuid: DISK, partitions });
  assert.equal(await moveGptBackup(device), 8 * MiB);
  assert.ok(device.bytes.subarray(32 * MiB - 512, 32 * MiB).every((byte) => byte === 0));
  assert.deepEqual((await readPartitionTable(device)).problems, []);
});
