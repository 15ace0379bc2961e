/** File systems that the kernel wrote to: the reader finds what the kernel shows. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { describeDirectory } from "../support/describe.js";
import { materialise } from "../support/materialise.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { describeImage, everything, mke2fs, noise, reading } from "./reading.js";
import { MiB, makeImage } from "./support.js";

const OPTIONS = { nanoseconds: true, ignore: ["lost+found"] };

const KINDS: readonly (readonly [name: string, options: readonly string[], blockSize: number, most: number])[] = [
  ["ext2", ["-t", "ext2", "-b", "1024"], 1024, 500],
  ["ext3", ["-t", "ext3", "-b", "1024", "-I", "128"], 1024, 500],
  ["ext4", ["-t", "ext4", "-b", "4096"], 4096, 1500],
  ["ext4, 1 KiB", ["-t", "ext4", "-b", "1024"], 1024, 500],
  ["inline data", ["-t", "ext4", "-b", "4096", "-O", "inline_data"], 4096, 1500],
  ["attributes in inodes", ["-t", "ext4", "-b", "4096", "-O", "ea_inode"], 4096, 20_000],
  ["without metadata_csum", ["-t", "ext4", "-b", "4096", "-O", "^metadata_csum"], 4096, 1500],
];

/** Deletes, renames, appends to and truncates what `everything` made. */
function change(folder: string, { allocates = true } = {}): void {
  for (let i = 0; i < 400; i += 3) fs.rmSync(`${folder}/crowd/a name that is somewhat longer ${i}`);
  fs.rmSync(`${folder}/a`, { recursive: true });
  fs.renameSync(`${folder}/links`, `${folder}/empty/links`);
  fs.renameSync(`${folder}/third`, `${folder}/fourth`);
  fs.appendFileSync(`${folder}/sizes/100`, noise(50_000));
  fs.truncateSync(`${folder}/sizes/indirect`, 13_001);
  fs.truncateSync(`${folder}/sizes/60`, 70_000);
  fs.writeFileSync(`${folder}/names/new`, noise(200_000));
  for (let i = 0; i < 2000; i++) fs.writeFileSync(`${folder}/crowd/new ${i}`, "");
  if (!allocates) return;
  // Blocks that are allocated and were never written, in front of, among and behind the others; and behind the end.
  const fd = fs.openSync(`${folder}/allocated`, "w");
  run("fallocate", ["-l", "300000", `${folder}/allocated`]);
  fs.writeSync(fd, noise(9000), 0, 9000, 100_000);
  fs.closeSync(fd);
  run("fallocate", ["-n", "-l", "300000", `${folder}/names/new`]);
}

for (const [name, options, blockSize, most] of KINDS) {
  test(`written to by the kernel: ${name}`, async (t) => {
    if (lacks(t, "mke2fs", "getfattr", "setfattr", "fallocate") || lacksRoot(t)) return;
    const image = path.join(temporaryFolder(t), "image");
    mke2fs(image, 60 * 1024, options);
    await mounted(image, { type: "ext4", writable: true }, async (folder) => {
      await materialise(everything(blockSize, most), path.join(folder, "tree"));
      change(path.join(folder, "tree"), { allocates: name !== "ext2" && name !== "ext3" });
    });
    const shown = await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, OPTIONS));
    assert.deepEqual(await describeImage(image, OPTIONS), shown);
  });
}

test("a file of more than 4 GiB, most of it holes, in an extent tree of depth 2 and in a map of three levels", async (t) => {
  if (lacks(t, "mke2fs", "debugfs") || lacksRoot(t)) return;
  for (const [type, depth] of [
    ["ext4", /0\/ 2/],
    ["ext3", /./],
  ] as const) {
    const image = path.join(temporaryFolder(t), "image");
    mke2fs(image, 40 * 1024, ["-t", type, "-b", "1024"]);
    // Large files have all three levels of a block map.
    const places = Array.from({ length: 6000 }, (_, i) => (i * i * 450 + i) % (16 * 2 ** 30)).map(
      (at) => at - (at % 2048),
    );
    const size = Math.max(...places) + 8;
    await mounted(image, { type: "ext4", writable: true }, (folder) => {
      const fd = fs.openSync(`${folder}/file`, "w");
      for (const at of places.slice(0, type === "ext4" ? 6000 : 1000))
        fs.writeSync(fd, Buffer.from([at % 251, 1]), 0, 2, at);
      fs.ftruncateSync(fd, size);
      fs.closeSync(fd);
    });
    assert.match(run("debugfs", ["-R", "dump_extents /file", image]) || "none", depth);
    await reading(image, async (reader) => {
      const inode = await reader.lookup(fromText("file"));
      assert.ok(inode?.type === "file");
      const content = await reader.content(inode);
      assert.equal(content.size, size);
      assert.ok(content.data!.length > 900 && content.data!.every(({ start, end }) => end > start));
      const file = await content.open();
      for (const at of places.slice(0, 1000)) {
        const bytes = new Uint8Array(3);
        await file.read(at, bytes);
        assert.deepEqual([...bytes], [at % 251, 1, 0]);
      }
    });
  }
});

test("a folder of 60,000 names", async (t) => {
  if (lacks(t, "mke2fs") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  mke2fs(image, 60 * 1024, ["-t", "ext4", "-b", "1024", "-N", "1000"]);
  await mounted(image, { type: "ext4", writable: true }, (folder) => {
    fs.writeFileSync(`${folder}/0`, "0");
    for (let i = 1; i < 60_000; i++) fs.linkSync(`${folder}/0`, `${folder}/${i}`);
  });
  await reading(image, async (reader) => {
    const { entries } = (await reader.tree()).root;
    assert.equal(entries.size, 60_001);
    assert.equal(new Set(entries.values()).size, 2);
    assert.equal((await reader.lookup(fromText("59999")))?.links, 60_000);
  });
});

test("what our writer made, and the kernel then changed", async (t) => {
  if (lacks(t, "getfattr") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  for (const blockSize of [1024, 4096] as const) {
    await makeImage(image, 60 * MiB, everything(blockSize, 500), { blockSize });
    const find = () => mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, OPTIONS));
    assert.deepEqual(await describeImage(image, OPTIONS), await find());
    await mounted(image, { type: "ext4", writable: true }, (folder) => change(folder));
    assert.deepEqual(await describeImage(image, OPTIONS), await find());
    fs.rmSync(image);
  }
});
