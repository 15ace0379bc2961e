/** In which order a medium is written, and what it looks like when that goes wrong half-way. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { slice } from "../../src/bytes/device.js";
import { FileDevice } from "../../src/bytes/file-device.js";
import { ImgbuildError } from "../../src/errors.js";
import type { BlockMap } from "../../src/flash/bmap.js";
import { openImageSource } from "../../src/flash/image-source.js";
import { Medium } from "../../src/flash/medium.js";
import { wholeImage, writeImage } from "../../src/flash/write-image.js";
import { writeGpt } from "../../src/partition/index.js";
import { guid, MiB, readTable } from "../partition/disk.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";

const SIZE = 16 * MiB;

/** An image with a GPT, noise in it and stretches of zeros, and a longer medium full of old data. */
async function imageAndMedium(t: TestContext) {
  const folder = temporaryFolder(t);
  const image = path.join(folder, "image");
  const device = new FileDevice(image, SIZE);
  const partitions = [{ number: 1, start: 4 * MiB, size: 8 * MiB, type: "linux", guid: guid(1) }];
  await writeGpt(slice(device, 0, SIZE), { diskGuid: guid(0), partitions });
  for (let at = 4 * MiB; at < 12 * MiB; at += 2 * MiB) {
    await device.write(at, Buffer.alloc(MiB + 12_345, `content ${at} `));
  }
  device.close();
  const target = path.join(folder, "medium");
  fs.writeFileSync(target, Buffer.alloc(20 * MiB, "old data "));
  return { folder, image, target };
}

interface Job {
  readonly map?: BlockMap;
  readonly verify?: boolean;
  readonly medium?: Medium;
  readonly stage?: (name: string) => void;
}

async function flash(image: string, target: string, { map, verify = true, medium, stage = () => {} }: Job = {}) {
  const source = await openImageSource(image);
  const opened = medium ?? new Medium(target, 512);
  try {
    const job = { source, map: map ?? wholeImage(SIZE), medium: opened, verify, stage };
    return await writeImage(job, { begun: false, done: false });
  } finally {
    opened.close();
  }
}

test("the image is on the medium, and the GPT's backup at its end", async (t) => {
  const { image, target } = await imageAndMedium(t);
  assert.deepEqual(await flash(image, target), { written: SIZE, verified: SIZE, backupMoved: true });
  run("cmp", [`--bytes=${11 * MiB}`, `--ignore-initial=${MiB}`, image, target]);
  const table = await readTable(target);
  assert.deepEqual([table.problems, table.partitions[0]?.partuuid], [[], guid(1)]);
});

test("what the map does not name stays as it was, also in the first MiB; zeros that it names are written", async (t) => {
  const { image, target } = await imageAndMedium(t);
  // The table, zeros in front of the partition, and one block behind; not what lies between.
  const ranges = [
    { start: 0, end: 20_480 },
    { start: 2 * MiB, end: 2 * MiB + 8192 },
    { start: 6 * MiB, end: 6 * MiB + 4096 },
  ];
  await flash(image, target, { map: { imageSize: SIZE, checksumType: "sha256", ranges } });
  const [expected, found] = [fs.readFileSync(image), fs.readFileSync(target)];
  const old = Buffer.alloc(20 * MiB, "old data ");
  assert.ok(found.subarray(2 * MiB, 2 * MiB + 8192).every((byte) => byte === 0));
  assert.deepEqual(found.subarray(6 * MiB, 6 * MiB + 4096), expected.subarray(6 * MiB, 6 * MiB + 4096));
  for (const [start, end] of [
    [20_480, 2 * MiB],
    [2 * MiB + 8192, 6 * MiB],
    [6 * MiB + 4096, 16 * MiB - 512],
  ] as const)
    assert.ok(found.subarray(start, end).equals(old.subarray(start, end)), `${start}`);
  assert.deepEqual((await readTable(target)).problems, []);
});

test("compressed images come out the same", async (t) => {
  const { folder, image, target } = await imageAndMedium(t);
  await flash(image, target);
  const expected = fs.readFileSync(target);
  const compressed = path.join(folder, "image.gz");
  fs.writeFileSync(compressed, await promisify(zlib.gzip)(fs.readFileSync(image)));
  fs.writeFileSync(target, Buffer.alloc(20 * MiB, "old data "));
  await flash(compressed, target);
  // What follows the image is old data but for the backup.
  assert.ok(fs.readFileSync(target).equals(expected));
});

/** A medium that takes no more from byte `limit` on. */
class WornMedium extends Medium {
  limit = Number.POSITIVE_INFINITY;
  override async write(at: number, bytes: Uint8Array): Promise<void> {
    if (at >= this.limit) throw new ImgbuildError("io-failed", `cannot write ${this.path} at byte ${at}`);
    await super.write(at, bytes);
  }
}

/** A medium that forgets what is behind byte `limit`, as cards do that are smaller than they say. */
class FakeMedium extends Medium {
  limit = Number.POSITIVE_INFINITY;
  override async write(at: number, bytes: Uint8Array): Promise<void> {
    if (at < this.limit) await super.write(at, bytes);
  }
}

const hasTable = (target: string) => fs.readFileSync(target).subarray(510, 512).toString("hex") === "55aa";

test("a medium that fails half-way is said to be incomplete, and does not look like a whole one", async (t) => {
  const { image, target } = await imageAndMedium(t);
  await flash(image, target);
  assert.ok(hasTable(target));
  for (const limit of [1 * MiB, 6 * MiB, 17 * MiB]) {
    const medium = new WornMedium(target, 512);
    medium.limit = limit;
    await assert.rejects(flash(image, target, { medium }), (error: ImgbuildError) => {
      assert.match(error.message, /cannot write .* at byte \d+; .* is incomplete now and nothing starts from it/);
      assert.deepEqual(error.data, { device: target, incomplete: true });
      return true;
    });
    assert.equal(hasTable(target), false, `${limit}`);
    assert.ok(!fs.readFileSync(target).subarray(0, MiB).includes("EFI PART"));
  }
});

test("a medium that gives back something else is found out, and gets no table", async (t) => {
  const { image, target } = await imageAndMedium(t);
  const medium = new FakeMedium(target, 512);
  medium.limit = 9 * MiB;
  await assert.rejects(flash(image, target, { medium }), {
    code: "io-failed",
    message: new RegExp(
      `does not give back what was written between byte ${9 * MiB} and byte ${10 * MiB}; .* incomplete`,
    ),
  });
  assert.equal(hasTable(target), false);
});

test("a medium that cannot be read back is incomplete: the byte is named", async (t) => {
  if (lacksRoot(t) || lacks(t, "losetup")) return;
  const { image, target } = await imageAndMedium(t);
  const device = run("losetup", ["--find", "--show", target]).trim();
  t.after(() => run("losetup", ["--detach", device]));
  // What is behind the end of a loop device's file is an error to read.
  const stage = (name: string) => {
    if (name === "verifying") fs.truncateSync(target, 6 * MiB);
  };
  await assert.rejects(flash(image, device, { stage }), {
    code: "io-failed",
    message: new RegExp(
      `cannot read ${device} at byte ${6 * MiB}: the medium reports an error .EIO.; ${device} is incomplete`,
    ),
  });
  assert.equal(hasTable(target), false);
});

test("an image that is not its map's is found out, and the medium gets no table", async (t) => {
  const { image, target } = await imageAndMedium(t);
  const checksum = run("sha256sum", [image]).slice(0, 64);
  const map = { ...wholeImage(SIZE), ranges: [{ start: 0, end: SIZE, checksum }] };
  await flash(image, target, { map });
  const fd = fs.openSync(image, "r+");
  fs.writeSync(fd, "changed", 5 * MiB);
  fs.closeSync(fd);
  await assert.rejects(flash(image, target, { map }), {
    code: "image-corrupt",
    message: /is not the image .* incomplete/,
  });
  assert.equal(hasTable(target), false);
});
