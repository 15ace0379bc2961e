/** Damaged tables: reading ends, with a table or an explained error, after a bounded number of reads. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { MemoryDevice } from "../../src/bytes/device.js";
import { ImgbuildError } from "../../src/errors.js";
import { type PartitionTable, readPartitionTable } from "../../src/partition/index.js";
import fc from "../support/fast-check.js";
import { lacks } from "../support/tools.js";
import { gptInMemory, LOGICAL, mbrInMemory, mend, PARTITIONS, SIZE } from "./damage.js";
import { MiB, makeDisk, sfdisk } from "./disk.js";

/** Counts what is read. */
class CountingDevice extends MemoryDevice {
  reads = 0;
  bytesRead = 0;

  override read(at: number, length: number): Promise<Uint8Array> {
    this.reads++;
    this.bytesRead += length;
    return super.read(at, length);
  }
}

/** What is read of a disk with these bytes; undefined where an explained error says that there is no table. */
async function read(bytes: Uint8Array): Promise<PartitionTable | undefined> {
  const device = new CountingDevice(bytes);
  try {
    return await readPartitionTable(device);
  } catch (error) {
    assert.ok(error instanceof ImgbuildError && error.code === "image-corrupt", `${error}`);
    assert.ok(Number.isSafeInteger(error.data.offset));
    return undefined;
  } finally {
    assert.ok(device.reads < 1100 && device.bytesRead < 40 * MiB, `${device.reads} reads, ${device.bytesRead} bytes`);
  }
}

/** Positions where a table has something, and now and then any. */
const place = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 440, max: 1300 }) },
  { weight: 2, arbitrary: fc.integer({ min: SIZE - 512, max: SIZE - 420 }) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom(...LOGICAL.map(({ start }) => start)), fc.integer({ min: -66, max: -1 }))
      .map(([start, at]) => start + at),
  },
  { weight: 1, arbitrary: fc.nat(SIZE - 1) },
);
const byte = fc.oneof(fc.constantFrom(0, 1, 5, 15, 0x80, 0xee, 0xff), fc.nat(255));
const changes = fc.array(fc.tuple(place, byte), { minLength: 1, maxLength: 8 });

test("whatever bytes are damaged, reading ends with a table or an explained error", async () => {
  const originals = [
    await mbrInMemory(),
    await gptInMemory(),
    await gptInMemory({ entryCount: 4, partitions: PARTITIONS.map((one) => ({ ...one, hybrid: "linux" })) }),
    await gptInMemory({ entriesAt: 4096 }),
  ];
  let withProblems = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(originals.length - 1), changes, fc.boolean(), async (which, wanted, mended) => {
      const original = originals[which]!.bytes;
      const bytes = original.slice();
      for (const [at, value] of wanted) bytes[at] = value;
      // With right checksums, what is damaged gets past them.
      if (mended && which > 0) mend(new MemoryDevice(bytes));
      const table = await read(bytes);
      if (table === undefined) refused++;
      else if (table.problems.length > 0) withProblems++;
    }),
    { numRuns: 300 },
  );
  assert.ok(withProblems > 50 && refused > 5, `${withProblems} with problems, ${refused} refused`);
});

test("noise between two marks of a table", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 512, maxLength: 40_000 }), fc.boolean(), async (noise, zeros) => {
      const bytes = noise.slice();
      if (zeros) for (let i = 446; i < 510; i += 16) bytes[i] = 0;
      bytes.set([0x55, 0xaa], 510);
      await read(bytes);
    }),
    { numRuns: 100 },
  );
});

test("where no problem is found, sfdisk reads the same partitions", async (t) => {
  if (lacks(t, "sfdisk")) return;
  const originals = [await mbrInMemory(), await gptInMemory()];
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.nat(1),
      fc.array(fc.tuple(place, byte), { minLength: 1, maxLength: 2 }),
      async (which, wanted) => {
        const bytes = originals[which]!.bytes.slice();
        for (const [at, value] of wanted) bytes[at] = value;
        if (which > 0) mend(new MemoryDevice(bytes));
        const table = await read(bytes);
        if (table === undefined || table.problems.length > 0) return;
        compared++;
        const image = await makeDisk(t, bytes.length, (device) => device.write(0, bytes));
        const extended = new Set(table.extended.map(({ start, size }) => `${start} ${size}`));
        // An entry without a length is none, whatever else it says; sfdisk lists it.
        const theirs = (sfdisk(image).partitions ?? [])
          .filter(({ size }) => size > 0)
          .map(({ start, size }) => `${start * 512} ${size * 512}`);
        assert.deepEqual(
          theirs.filter((one) => !extended.has(one)),
          table.partitions.map(({ start, size }) => `${start} ${size}`),
        );
        fs.rmSync(image);
      },
    ),
    { numRuns: 100 },
  );
  assert.ok(compared > 20, `${compared}`);
});
