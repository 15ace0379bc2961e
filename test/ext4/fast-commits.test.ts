/** What single records of fast commits do to a file's blocks, against a model that has every block by itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BlockMap } from "../../src/ext4/reader/block-map.js";
import { FastCommits } from "../../src/ext4/reader/fast-commits.js";
import type { Image } from "../../src/ext4/reader/image.js";
import fc from "../support/fast-check.js";

const TAG = { addRange: 1, deleteRange: 2, pad: 7 } as const;
const INODE = 12;
const BLOCKS = 64;
/** Lengths of extents above mean blocks that were never written. */
const UNWRITTEN = 32_768;

const image = { superblock: { inodes: 100 }, has: () => true } as unknown as Image;

/** The file as the image has it: block n of it is block 1000 + n. */
const STORED: BlockMap = { run: async (at) => ({ start: at, end: BLOCKS, block: 1000 + at }) };

/** fc_ino, then an extent as the tree has them. */
function addRange(start: number, length: number, block: number) {
  const value = Buffer.alloc(16);
  value.writeUInt32LE(INODE, 0);
  value.writeUInt32LE(start, 4);
  value.writeUInt16LE(length, 8);
  value.writeUInt32LE(block, 12);
  return { tag: TAG.addRange, value, at: 0 };
}

/** fc_ino, the first block, the number of blocks. */
function deleteRange(start: number, length: number) {
  const value = Buffer.alloc(12);
  for (const [i, word] of [INODE, start, length].entries()) value.writeUInt32LE(word, 4 * i);
  return { tag: TAG.deleteRange, value, at: 0 };
}

test("padding may have any length", () => {
  for (let length = 0; length < 6; length++)
    new FastCommits(image, [{ tag: TAG.pad, value: Buffer.alloc(length), at: 0 }]);
});

test("of ranges that overlap, the last one holds", async () => {
  const changes = fc.array(
    fc.record({
      kind: fc.constantFrom("written", "unwritten", "deleted"),
      start: fc.integer({ min: 0, max: BLOCKS - 1 }),
      length: fc.integer({ min: 1, max: 20 }),
      block: fc.integer({ min: 2000, max: 100_000 }),
    }),
    { maxLength: 30 },
  );
  await fc.assert(
    fc.asyncProperty(changes, async (list) => {
      const model = Array.from({ length: BLOCKS }, (_, n): number | undefined => 1000 + n);
      const records = list.map(({ kind, start, length, block }) => {
        for (let i = 0; i < length && start + i < BLOCKS; i++)
          model[start + i] = kind === "written" ? block + i : undefined;
        if (kind === "deleted") return deleteRange(start, length);
        return addRange(start, kind === "written" ? length : length + UNWRITTEN, block);
      });
      const map = new FastCommits(image, records).map(INODE, STORED);
      const found: (number | undefined)[] = [];
      while (found.length < BLOCKS) {
        const { start, end, block } = await map.run(found.length);
        assert.ok(start === found.length && end > start, `${start} to ${end}`);
        for (let i = 0; i < end - start; i++) found.push(block === undefined ? undefined : block + i);
      }
      assert.deepEqual(found.slice(0, BLOCKS), model);
    }),
    { numRuns: 400, seed: 4 },
  );
});

test("as many ranges as a journal has room for, in any order, take no time", () => {
  const count = 200_000;
  const orders = {
    descending: (i: number) => 2 * (count - i),
    scattered: (i: number) => (i * 7919) % count,
    same: () => 5,
  };
  for (const [name, place] of Object.entries(orders)) {
    const records = Array.from({ length: count }, (_, i) => deleteRange(place(i), name === "scattered" ? 1000 : 1));
    const { user } = process.cpuUsage();
    new FastCommits(image, records);
    const seconds = (process.cpuUsage().user - user) / 1e6;
    assert.ok(seconds < 5, `${name}: ${seconds} s`);
  }
});
