/** Android sparse images, with simg2img as the one that reads them. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { writeSparse } from "../../src/output/simg.js";
import { makeRoot } from "../support/cli.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { Appended, build, recorded } from "./build.js";

/** The chunks of a sparse image, read by hand: type and blocks. */
function chunksOf(bytes: Uint8Array): { type: string; blocks: number }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const types: Record<number, string> = { 51905: "raw", 51906: "fill", 51907: "don't care" };
  const chunks = [];
  let at = 28;
  while (at < bytes.length) {
    chunks.push({ type: types[view.getUint16(at, true)]!, blocks: view.getUint32(at + 4, true) });
    at += view.getUint32(at + 8, true);
  }
  assert.equal(at, bytes.length);
  assert.equal(view.getUint32(20, true), chunks.length);
  assert.equal(
    view.getUint32(16, true),
    chunks.reduce((sum, { blocks }) => sum + blocks, 0),
  );
  return chunks;
}

test("simg2img makes the image of it again, byte for byte", (t) => {
  if (lacks(t, "simg2img")) return;
  const folder = temporaryFolder(t);
  const manifest = build(folder, makeRoot(folder), "--format", "img,simg");
  const out = path.join(folder, "out/colibri-imx6");
  const restored = path.join(folder, "restored");
  run("simg2img", [path.join(out, "emmc.simg"), restored]);
  assert.ok(fs.readFileSync(restored).equals(fs.readFileSync(path.join(out, "emmc.img"))));
  assert.deepEqual(new Set(chunksOf(fs.readFileSync(path.join(out, "emmc.simg"))).map(({ type }) => type)).size, 3);
  // Blocks of no concern take no room.
  const [size, whole] = ["emmc.simg", "emmc.img"].map(
    (name) => manifest.artifacts.find(({ file }) => file === name)!.size,
  );
  assert.ok(size! < whole! / 10, `${size} of ${whole}`);
});

test("blocks of one value are filled, the others raw, and what nobody wrote is of no concern", async (t) => {
  const image = await recorded(600 * 4096, [
    [0, 4096 - 1, 1],
    [4096 - 1, 4096, 2],
    [4 * 4096, 300 * 4096, 0],
    [300 * 4096, 301 * 4096, 0xff],
    [301 * 4096, 301 * 4096 + 10, 3],
    [599 * 4096 + 8, 600 * 4096, 4],
  ]);
  const file = new Appended();
  await writeSparse(image, file);
  assert.deepEqual(chunksOf(file.bytes), [
    { type: "raw", blocks: 1 },
    { type: "don't care", blocks: 3 },
    { type: "fill", blocks: 296 },
    { type: "fill", blocks: 1 },
    { type: "raw", blocks: 1 },
    { type: "don't care", blocks: 297 },
    { type: "raw", blocks: 1 },
  ]);
  if (lacks(t, "simg2img")) return;
  const folder = temporaryFolder(t);
  fs.writeFileSync(path.join(folder, "sparse"), file.bytes);
  run("simg2img", [path.join(folder, "sparse"), path.join(folder, "restored")]);
  assert.ok(fs.readFileSync(path.join(folder, "restored")).equals(await image.read(0, image.size)));
});

test("an image that is not whole blocks of 4096 bytes gets smaller ones", async (t) => {
  if (lacks(t, "simg2img")) return;
  const folder = temporaryFolder(t);
  for (const sectors of [1, 2, 12, 21]) {
    const image = await recorded(sectors * 512, [[100, sectors * 512 - 100, 9]]);
    const file = new Appended();
    await writeSparse(image, file);
    fs.writeFileSync(path.join(folder, "sparse"), file.bytes);
    run("simg2img", [path.join(folder, "sparse"), path.join(folder, "restored")]);
    assert.ok(fs.readFileSync(path.join(folder, "restored")).equals(await image.read(0, image.size)), `${sectors}`);
  }
});
