/** Sparse files of which nobody knows where their holes are, in file systems that only take them without. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { measureExt4, writeExt4 } from "../../src/ext4/index.js";
import { readDirectory } from "../../src/host.js";
import { type Content, newDirectory, newFile } from "../../src/tree/node.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import { lacks, lacksRoot, mounted, temporaryFolder } from "../support/tools.js";
import { assertClean, GiB, MiB, makeImage, OPTIONS } from "./support.js";

const BLOCK_SIZES = [1024, 2048, 4096] as const;

interface Sparse {
  readonly size: number;
  /** [start, end) of bytes that are not zeros. */
  readonly data: readonly (readonly [start: number, end: number])[];
  /** The same from the second time on that it is opened. */
  readonly then?: readonly (readonly [start: number, end: number])[];
}

/** Content that says nothing of its holes, and counts what is asked of it. */
function untold({ size, data, then = data }: Sparse): Content & { opened: number; read: number } {
  const content = {
    size,
    opened: 0,
    read: 0,
    async open() {
      const extents = content.opened++ === 0 ? data : then;
      return {
        async read(at: number, into: Uint8Array) {
          assert.ok(at + into.length <= size);
          content.read += into.length;
          into.fill(0);
          for (const [start, end] of extents) {
            if (start < at + into.length && end > at) into.fill(0xa5, Math.max(start - at, 0), end - at);
          }
        },
        async close() {},
      };
    },
  };
  return content;
}

function treeOf(contents: Readonly<Record<string, Content>>) {
  const root = newDirectory();
  for (const [name, content] of Object.entries(contents)) {
    const folder = newDirectory();
    folder.entries.set(fromText("file"), newFile(content));
    root.entries.set(fromText(name), folder);
  }
  return { root };
}

const IGNORE = { ignore: ["lost+found"] };

test("a hole of 20 GiB fits into 64 MiB", async (t) => {
  if (lacks(t, "e2fsck") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  const last = 20 * GiB + 3;
  const content = untold({ size: last, data: [[last - 1, last]] });
  let bytes = 0;
  const observer = {
    progress(more: number) {
      bytes += more;
    },
  };
  await makeImage(image, 64 * MiB, treeOf({ sp: content }), { observer });
  assertClean(image);
  assert.equal(bytes, last, "what is looked at beforehand is no progress");
  await mounted(image, { type: "ext4" }, (folder) => {
    const { size, blocks } = fs.statSync(`${folder}/sp/file`);
    assert.deepEqual([size, blocks], [last, 4096 / 512]);
    const fd = fs.openSync(`${folder}/sp/file`, "r");
    const end = Buffer.alloc(4099, 1);
    fs.readSync(fd, end, 0, end.length, last - end.length);
    fs.closeSync(fd);
    assert.deepEqual([end.subarray(0, -1).equals(Buffer.alloc(4098)), end.at(-1)], [true, 0xa5]);
  });
});

test("a folder of the host with 8 KiB in the middle of 128 MiB", async (t) => {
  if (lacks(t, "e2fsck") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "image");
  const source = path.join(folder, "source");
  fs.mkdirSync(path.join(source, "var"), { recursive: true });
  fs.writeFileSync(path.join(source, "small"), "not sparse");
  const fd = fs.openSync(path.join(source, "var", "sparse"), "w");
  fs.ftruncateSync(fd, 128 * MiB);
  // Three blocks: neither its start nor its end is aligned.
  fs.writeSync(fd, Buffer.alloc(8192, "data"), 0, 8192, 64 * MiB + 100);
  fs.closeSync(fd);
  await makeImage(image, 16 * MiB, await readDirectory(source));
  assertClean(image);
  await mounted(image, { type: "ext4" }, async (at) => {
    assert.equal(fs.statSync(`${at}/var/sparse`).blocks, (3 * 4096) / 512);
    assert.deepEqual(await describeDirectory(at, IGNORE), await describeDirectory(source, IGNORE));
  });
});

test("what does not fit with its holes left out either says how much it needs, and that is enough", async (t) => {
  if (lacks(t, "e2fsck") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  // Every second KiB of the first is data: many extents. The second is dense.
  const striped = Array.from({ length: 5000 }, (_, i) => [i * 2048, i * 2048 + 1024] as const);
  const tree = () =>
    treeOf({
      striped: untold({ size: 300 * MiB, data: striped }),
      dense: untold({ size: 6 * MiB + 1, data: [[0, 6 * MiB + 1]] }),
    });
  for (const blockSize of BLOCK_SIZES) {
    const options = { ...OPTIONS, blockSize };
    let needed = 0;
    await assert.rejects(writeExt4(new MemoryDevice(4 * MiB), tree(), options), ({ code, data }) => {
      assert.deepEqual([code, data.available], ["does-not-fit", 4 * MiB]);
      needed = data.needed;
      return true;
    });
    const held = (blockSize === 1024 ? 5000 * 1024 : 5000 * 2048) + 6 * MiB;
    assert.ok(needed > held && needed < held + 8 * MiB, `${needed} for ${held} bytes of data`);
    await makeImage(image, needed, tree(), options);
    assertClean(image);
    await assert.rejects(writeExt4(new MemoryDevice(needed - blockSize), tree(), options), ({ code, data }) => {
      assert.deepEqual([code, data.needed, data.available], ["does-not-fit", needed, needed - blockSize]);
      // By the blocks that they take: the striped one is fifty times as large, but for its holes.
      const { largest } = data as { largest: { path: string; bytes: number }[] };
      const paths = blockSize === 1024 ? ["dense/file", "striped/file"] : ["striped/file", "dense/file"];
      assert.deepEqual(
        largest.map(({ path }) => path),
        paths,
      );
      assert.ok(largest.every(({ bytes }) => bytes < 22 * MiB));
      return true;
    });
  }
  const found = await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, IGNORE));
  assert.deepEqual(found, await describeTree(tree(), IGNORE));
});

test("what fits with all its holes is read once", async () => {
  const content = untold({ size: 3 * MiB, data: [[MiB, 2 * MiB]] });
  const tree = treeOf({ a: content });
  await writeExt4(new MemoryDevice(measureExt4(tree, OPTIONS)), tree, OPTIONS);
  assert.deepEqual([content.opened, content.read], [1, 3 * MiB]);
});

test("data in what was a hole when it was looked at is a changed source, not a broken image", async () => {
  const size = 40 * MiB;
  const data = [[8 * MiB, 9 * MiB]] as const;
  for (const then of [
    [[8 * MiB, 9 * MiB + 1]],
    [[8 * MiB - 1, 9 * MiB]],
    // As many blocks as before.
    [[20 * MiB, 21 * MiB]],
    [[0, size]],
    [[size - 1, size]],
  ] as const) {
    await assert.rejects(
      writeExt4(new MemoryDevice(16 * MiB), treeOf({ etc: untold({ size, data, then }) }), OPTIONS),
      { code: "source-changed", message: /^\/etc\/file changed while it was read: .* there was a hole/ },
      JSON.stringify(then),
    );
  }
});

test("holes in what was data when it was looked at make a correct image", async (t) => {
  if (lacks(t, "e2fsck") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  const size = 40 * MiB;
  // As one extent before, as hundreds then: the tree of extents has to come out of the blocks that are saved.
  const then = Array.from({ length: 300 }, (_, i) => [MiB + i * 8192, MiB + i * 8192 + 4096] as const);
  const tree = () => treeOf({ a: untold({ size, data: [[MiB, MiB + 300 * 8192]], then }) });
  let needed = 0;
  await assert.rejects(writeExt4(new MemoryDevice(MiB), tree(), OPTIONS), ({ data }) => {
    needed = data.needed;
    return true;
  });
  await makeImage(image, needed, tree(), OPTIONS);
  assertClean(image);
  const expected = await describeTree(treeOf({ a: untold({ size, data: then }) }), IGNORE);
  assert.deepEqual(await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, IGNORE)), expected);
});
