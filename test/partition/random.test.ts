import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { mbrPartuuid, writeGpt, writeMbr } from "../../src/partition/index.js";
import { lacks, run } from "../support/tools.js";
import { DISK, guid, MiB, makeDisk, readTable } from "./disk.js";

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
