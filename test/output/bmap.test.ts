/** Block maps, with bmaptool as the one that reads them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { blockMap } from "../../src/output/bmap.js";
import { imgbuild, makeRoot } from "../support/cli.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import { build, recorded } from "./build.js";

test("bmaptool copies an image over old data: what is mapped is the image's, what is not stays, and it verifies", async (t) => {
  if (lacks(t, "bmaptool", "e2fsck", "fsck.fat", "unsquashfs", "losetup") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const { partitions } = build(folder, makeRoot(folder), "--format", "img,bmap");
  const image = path.join(folder, "out/colibri-imx6/emmc.img");
  const device = path.join(folder, "device");
  const { size } = fs.statSync(image);
  const old = Buffer.alloc(2 ** 20, 0xa5);
  for (let at = 0; at < size; at += old.length) fs.appendFileSync(device, old.subarray(0, size - at));
  // A file it would empty first; beside the image it finds the map itself.
  const loop = run("losetup", ["--find", "--show", device]).trim();
  try {
    run("bmaptool", ["copy", image, loop]);
  } finally {
    run("losetup", ["--detach", loop]);
  }

  const [expected, found] = [fs.readFileSync(image), fs.readFileSync(device)];
  const map = fs.readFileSync(`${image}.bmap`, "utf8");
  const mapped = new Uint8Array(size / 4096);
  for (const [, first, last = first] of map.matchAll(/> (\d+)(?:-(\d+))? <\/Range>/g))
    mapped.fill(1, +first!, +last! + 1);
  assert.equal(
    mapped.reduce((sum, is) => sum + is, 0),
    Number(/<MappedBlocksCount> (\d+) /.exec(map)![1]),
  );
  for (const [block, is] of mapped.entries()) {
    const bytes = found.subarray(block * 4096, (block + 1) * 4096);
    const wanted = is ? expected.subarray(block * 4096, (block + 1) * 4096) : old.subarray(0, 4096);
    assert.ok(bytes.equals(wanted), `block ${block}`);
  }
  // It is worth something only if there is both: zeros that are written, and blocks that nobody needs.
  const zeros = Buffer.alloc(4096);
  assert.ok(mapped.some((is, block) => is && expected.subarray(block * 4096, (block + 1) * 4096).equals(zeros)));
  assert.ok(mapped.some((is) => !is));

  const verified = imgbuild(["verify", device], { cwd: folder });
  assert.equal(verified.status, 0, verified.stdout);
  const part = path.join(folder, "part");
  const checks: Record<string, readonly string[]> = {
    fat: ["fsck.fat", "-n"],
    ext4: ["e2fsck", "-fn"],
    squashfs: ["unsquashfs", "-s"],
  };
  for (const { filesystem, offset, size: length } of partitions) {
    fs.writeFileSync(part, found.subarray(offset, offset + length));
    const [program, option] = checks[filesystem]!;
    run(program!, [option!, part]);
  }
});

test("bmaptool refuses an image or a map that was changed", (t) => {
  if (lacks(t, "bmaptool")) return;
  const folder = temporaryFolder(t);
  build(folder, makeRoot(folder), "--format", "img,bmap");
  const image = path.join(folder, "out/colibri-imx6/emmc.img");
  const copy = () => spawnSync("bmaptool", ["copy", image, path.join(folder, "device")], { encoding: "utf8" });
  assert.equal(copy().status, 0);
  const map = fs.readFileSync(`${image}.bmap`, "utf8");
  fs.writeFileSync(`${image}.bmap`, map.replace(/<MappedBlocksCount> \d/, "<MappedBlocksCount> 9"));
  assert.match(copy().stderr, /checksum/);
  fs.writeFileSync(`${image}.bmap`, map);
  const fd = fs.openSync(image, "r+");
  fs.writeSync(fd, "x", 139264 * 512 + 1000);
  fs.closeSync(fd);
  assert.match(copy().stderr, /checksum/);
});

test("ranges are whole blocks; the last ends where the image does", async () => {
  const image = await recorded(10 * 4096 + 512, [
    [0, 512, 1],
    [4 * 4096 + 512, 5 * 4096 + 1, 0],
    [6 * 4096, 7 * 4096, 0],
    [10 * 4096 + 511, 10 * 4096 + 512, 7],
  ]);
  const map = await blockMap(image);
  assert.match(map, /<BlocksCount> 11 </);
  assert.match(map, /<MappedBlocksCount> 5 </);
  assert.deepEqual(
    [...map.matchAll(/> ([\d-]+) <\/Range>/g)].map(([, range]) => range),
    ["0", "4-6", "10"],
  );
});
