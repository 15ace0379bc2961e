/** The export table, read back with nothing but zlib: the kernel checks no more than its length when it mounts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inflateSync } from "node:zlib";
import { imageBytes, text, treeOf } from "./image.js";

test("the export table has the place of each inode under its number", async () => {
  const files = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`${i % 9}/${i}`, text(i % 40, i)]));
  const image = Buffer.from(await imageBytes(treeOf(files), { exports: true }));
  const inodes = image.readUInt32LE(4);
  const inodeTable = Number(image.readBigUInt64LE(64));
  const exportTable = Number(image.readBigUInt64LE(88));
  assert.equal(inodes, 2000 + 9 + 1);

  const metadataBlock = (at: number) => {
    const header = image.readUInt16LE(at);
    const stored = image.subarray(at + 2, at + 2 + (header & 0x7fff));
    return header & 0x8000 ? stored : inflateSync(stored);
  };
  const references = Buffer.concat(
    Array.from({ length: Math.ceil((8 * inodes) / 8192) }, (_, i) =>
      metadataBlock(Number(image.readBigUInt64LE(exportTable + 8 * i))),
    ),
  );
  assert.equal(references.length, 8 * inodes);
  for (let number = 1; number <= inodes; number++) {
    const reference = references.readBigUInt64LE(8 * (number - 1));
    const block = inodeTable + Number(reference >> 16n);
    const length = image.readUInt16LE(block) & 0x7fff;
    // An inode may reach into the block behind the one in which it begins.
    const inode = Buffer.concat([metadataBlock(block), metadataBlock(block + 2 + length)]).subarray(
      Number(reference & 0xffffn),
    );
    assert.equal(inode.readUInt32LE(12), number);
  }
});

test("without it, handles of inodes are not to be found", async () => {
  const image = Buffer.from(await imageBytes(treeOf({ a: text(5) })));
  assert.equal(image.readBigUInt64LE(88), 2n ** 64n - 1n);
});
