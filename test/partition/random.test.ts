import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { mbrPartuuid, writeGpt, writeMbr } from "../../src/partition/index.js";
import fc from "../support/fast-check.js";
import { lacks, run } from "../support/tools.js";
import { DISK, guid, MiB, makeDisk, readTable, sfdisk } from "./disk.js";

const stretches = fc.array(fc.tuple(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 20_000 })), {
  maxLength: 9,
});
const shapes = fc.record({
  kind: fc.constantFrom("mbr", "gpt"),
  signature: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  entryCount: fc.integer({ min: 9, max: 128 }),
  entriesAt: fc.integer({ min: 2, max: 500 }).map((sector) => sector * 512),
  hybrid: fc.integer({ min: 0, max: 3 }),
});

test("random tables pass sfdisk and sgdisk, and read as they were written", async (t) => {
  if (lacks(t, "sfdisk", "sgdisk")) return;
  await fc.assert(
    fc.asyncProperty(stretches, shapes, async (gaps, { kind, signature, hybrid, ...shape }) => {
      const gpt = kind === "gpt";
      let at = gpt ? shape.entriesAt / 512 + 32 : 0;
      const partitions = gaps.map(([gap, sectors], i) => {
        const number = !gpt && gaps.length > 4 && i > 2 ? i + 2 : i + 1;
        // The gap of a logical partition has room for its record.
        const partition = { number, start: (at + gap) * 512, size: sectors * 512, type: "linux" };
        at += gap + sectors;
        return { ...partition, guid: guid(i), name: `p${i}`, ...(i < hybrid && { hybrid: "linux" }) };
      });
      const image = await makeDisk(t, Math.max((at + 33) * 512, 4 * MiB), (device) =>
        gpt ? writeGpt(device, { diskGuid: DISK, partitions, ...shape }) : writeMbr(device, { signature, partitions }),
      );
      assert.match(run("sfdisk", ["--verify", image]), /^No errors detected|^Remaining/m);
      if (gpt) assert.match(run("sgdisk", ["-v", image]), /No problems found/);
      const theirs = sfdisk(image).partitions ?? [];
      assert.deepEqual(
        theirs.filter(({ type }) => type !== "f").map(({ start, size }) => [start * 512, size * 512]),
        partitions.map(({ start, size }) => [start, size]),
      );
      const table = await readTable(image);
      assert.deepEqual(table.problems, []);
      assert.deepEqual(
        table.partitions.map(({ number, start, size, partuuid }) => ({ number, start, size, partuuid })),
        partitions.map(({ number, start, size, guid: own }) => ({
          ...{ number, start, size },
          partuuid: gpt ? own : mbrPartuuid(signature, number),
        })),
      );
      fs.rmSync(image);
    }),
    { numRuns: 40 },
  );
});
