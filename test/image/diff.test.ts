/** Comparing what lies outside of partitions, on disks whose partitions are not in the same places. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryDevice } from "../../src/bytes/device.js";
import { diffDisks } from "../../src/image/diff.js";
import { openImage } from "../../src/image/open-image.js";
import { writeMbr } from "../../src/partition/index.js";
import { MiB } from "./image-files.js";

/** A disk of 16 MiB with partitions [from, to) in MiB, and a byte of something at each of `marks`. */
async function disk(partitions: readonly (readonly [from: number, to: number])[], marks: readonly number[] = []) {
  const device = new MemoryDevice(16 * MiB);
  await writeMbr(device, {
    signature: 0x1234abcd,
    partitions: partitions.map(([from, to], i) => ({
      ...{ number: i + 1, type: "linux", start: from * MiB, size: (to - from) * MiB },
    })),
  });
  for (const at of marks) await device.write(at, Uint8Array.of(0xa5));
  return openImage(device);
}

async function gapsThatDiffer(...[a, b]: Awaited<ReturnType<typeof disk>>[]): Promise<string[]> {
  const found: string[] = [];
  for await (const difference of diffDisks(a!, b!, new Map())) {
    if (difference.where.startsWith("outside"))
      found.push(`${difference.where}: ${(difference as { offset?: number }).offset}`);
  }
  return found;
}

test("bytes that both disks leave free are compared, wherever the gaps begin and end", async () => {
  const marks = [MiB / 2, 5 * MiB, 9 * MiB + 1, 16 * MiB - 1];
  const usual = [
    [1, 4],
    [8, 9],
  ] as const;
  const places = (...ranges: [number, number][]) =>
    ranges.map(([from, to]) => [from === 0 ? 512 : from * MiB, to * MiB] as const);
  for (const [other, common] of [
    [usual, places([0, 1], [4, 8], [9, 16])],
    [
      [
        [1, 4.5],
        [8, 9],
      ],
      places([0, 1], [4.5, 8], [9, 16]),
    ], // grew
    [
      [
        [2, 4],
        [7, 9],
      ],
      places([0, 1], [4, 7], [9, 16]),
    ], // begin elsewhere
    [[[1, 4]], places([0, 1], [4, 8], [9, 16])], // one is gone
    [
      [
        [1, 4],
        [6, 7],
        [8, 9],
      ],
      places([0, 1], [4, 6], [7, 8], [9, 16]),
    ], // one more, in a gap
  ] as const) {
    const expected = common.flatMap(([start, end]) => {
      const first = marks.find((at) => at >= start && at < end);
      return first === undefined ? [] : [`outside of partitions, bytes ${start} to ${end}: ${first}`];
    });
    assert.deepEqual(await gapsThatDiffer(await disk(usual), await disk(other, marks)), expected);
    assert.deepEqual(await gapsThatDiffer(await disk(other, marks), await disk(usual)), expected);
    assert.deepEqual(await gapsThatDiffer(await disk(usual, marks), await disk(other, marks)), []);
  }
});
