/** Extents and devices against the simplest model there is: an array of bytes. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { type Device, MemoryDevice, RecordingDevice, slice } from "../../src/bytes/device.js";
import { ExtentSet } from "../../src/bytes/extent.js";
import { FileDevice, FileReader } from "../../src/bytes/file-device.js";
import { hostWriteError } from "../../src/bytes/host-error.js";
import fc from "../support/fast-check.js";
import { temporaryFolder } from "../support/tools.js";

const ranges = fc.array(fc.tuple(fc.nat(100), fc.nat(30)).map(([start, length]) => ({ start, end: start + length })));

/** The maximal runs of true. */
function runs(model: readonly boolean[]) {
  const found: { start: number; end: number }[] = [];
  for (let i = 0; i < model.length; i++) {
    if (!model[i]) continue;
    if (i > 0 && model[i - 1]) found.at(-1)!.end = i + 1;
    else found.push({ start: i, end: i + 1 });
  }
  return found;
}

test("an extent set is the set of its bytes", () => {
  fc.assert(
    fc.property(ranges, fc.nat(120), fc.nat(40), (added, from, length) => {
      const set = new ExtentSet();
      const model = new Array<boolean>(140).fill(false);
      for (const { start, end } of added) {
        set.add(start, end);
        model.fill(true, start, end);
      }
      assert.deepEqual(
        [...set].map((extent) => ({ ...extent })),
        runs(model),
      );
      assert.equal(set.bytes, model.filter(Boolean).length);
      const to = Math.min(140, from + length);
      assert.deepEqual(set.intersect(from, to), runs(model.map((isIn, i) => isIn && i >= from && i < to)));
    }),
    { numRuns: 500 },
  );
});

/** One of each operation, at random places of a device of 200 bytes. */
const operations = fc.array(
  fc.record({
    kind: fc.constantFrom("write", "zero", "read"),
    at: fc.nat(150),
    length: fc.nat(50),
    fill: fc.integer({ min: 1, max: 255 }),
  }),
  { maxLength: 20 },
);

type Operation = { kind: string; at: number; length: number; fill: number };

async function compareWithArray(device: Device, work: readonly Operation[]): Promise<Uint8Array> {
  const model = new Uint8Array(200);
  for (const { kind, at, length, fill } of work) {
    if (kind === "write") {
      const bytes = new Uint8Array(length).fill(fill);
      await device.write(at, bytes);
      bytes.fill(0); // the caller may reuse it
      model.fill(fill, at, at + length);
    } else if (kind === "zero") {
      await device.zero(at, length);
      model.fill(0, at, at + length);
    } else {
      const bytes = await device.read(at, length);
      assert.deepEqual(bytes, model.slice(at, at + length));
      bytes.fill(0xaa); // it is the caller's own
    }
  }
  assert.deepEqual(await device.read(0, 200), model);
  return model;
}

test("devices in memory and in files, windows of them and recorded ones hold what was written", async (t) => {
  const folder = temporaryFolder(t);
  await fc.assert(
    fc.asyncProperty(operations, async (work) => {
      await compareWithArray(new MemoryDevice(200), work);
      const around = new MemoryDevice(new Uint8Array(300).fill(0x77));
      around.bytes.fill(0, 50, 250);
      await compareWithArray(slice(around, 50, 200), work);
      assert.ok([...around.bytes.subarray(0, 50), ...around.bytes.subarray(250)].every((byte) => byte === 0x77));
      const file = new FileDevice(path.join(folder, "device"), 200);
      const model = await compareWithArray(file, work);
      file.sync();
      file.close();
      assert.deepEqual(new Uint8Array(fs.readFileSync(path.join(folder, "device"))), model);
    }),
    { numRuns: 60 },
  );
});

test("a recording device tells data, zeros that must be, and what nobody wrote", async () => {
  await fc.assert(
    fc.asyncProperty(operations, async (work) => {
      const device = new RecordingDevice(new MemoryDevice(200));
      await compareWithArray(device, work);
      const touched = new Array<boolean>(200).fill(false);
      const data = new Array<boolean>(200).fill(false);
      for (const { kind, at, length } of work) {
        if (kind !== "read") touched.fill(true, at, at + length);
        if (kind === "write") data.fill(true, at, at + length);
      }
      assert.deepEqual(
        [...device.written].map((extent) => ({ ...extent })),
        runs(touched),
      );
      assert.deepEqual(
        [...device.data].map((extent) => ({ ...extent })),
        runs(data),
      );
    }),
    { numRuns: 100 },
  );
});

test("zeros are remembered, but not written to a fresh device", async (t) => {
  const name = path.join(temporaryFolder(t), "device");
  const file = new FileDevice(name, 2 ** 30);
  const device = new RecordingDevice(file);
  await device.zero(0, 2 ** 30);
  await device.write(2 ** 29, new Uint8Array(4096).fill(1));
  file.close();
  assert.ok(fs.statSync(name).blocks * 512 < 2 ** 20, "the file is sparse");
  assert.deepEqual([...device.written], [{ start: 0, end: 2 ** 30 }]);
});

test("ranges that leave a device or a window are refused", async () => {
  const memory = new MemoryDevice(100);
  for (const device of [memory, slice(new MemoryDevice(200), 50, 100), new RecordingDevice(new MemoryDevice(100))]) {
    for (const [at, length] of [
      [-1, 1],
      [100, 1],
      [0, 101],
      [0.5, 1],
      [Number.NaN, 1],
    ] as const) {
      await assert.rejects(device.read(at, length), { code: "does-not-fit" });
      await assert.rejects(device.write(at, new Uint8Array(length)), { code: "does-not-fit" });
      await assert.rejects(device.zero(at, length), { code: "does-not-fit" });
    }
    assert.equal((await device.read(100, 0)).length, 0);
  }
  assert.throws(() => slice(memory, 50, 51), { code: "does-not-fit" });
  assert.ok(!("write" in slice({ size: 5, read: async () => new Uint8Array(0) }, 0, 5)));
});

test("a file as a device knows its size, notices when it is cut short, and may be closed twice", async (t) => {
  const file = new FileDevice(path.join(temporaryFolder(t), "device"), 100);
  for (const [at, length] of [
    [-1, 2],
    [99, 2],
    [101, 0],
    [0.5, 1],
  ] as const) {
    await assert.rejects(file.read(at, length), { code: "does-not-fit" });
    await assert.rejects(file.write(at, new Uint8Array(length)), { code: "does-not-fit" });
    await assert.rejects(file.zero(at, length), { code: "does-not-fit" });
  }
  assert.equal(fs.statSync(file.path).size, 100);
  file.resize(200);
  await file.write(199, Uint8Array.of(7));
  assert.deepEqual(await file.read(198, 2), Uint8Array.of(0, 7));
  fs.truncateSync(file.path, 150);
  await assert.rejects(file.read(140, 20), { code: "io-failed", message: /ends at byte 150/ });

  const reader = new FileReader(file.path);
  for (const open of [file, reader]) {
    open.close();
    // The number of the file that was closed is another one's now.
    const other = fs.openSync(file.path, "r");
    open.close();
    assert.equal(fs.fstatSync(other).size, 150);
    fs.closeSync(other);
  }
});

test("files that are missing, too short or not to be written", async (t) => {
  const folder = temporaryFolder(t);
  assert.throws(() => new FileReader(path.join(folder, "none")), { code: "source-missing" });
  assert.throws(() => new FileDevice(path.join(folder, "none", "x"), 5), { code: "io-failed" });
  fs.writeFileSync(path.join(folder, "short"), "12345");
  const reader = new FileReader(path.join(folder, "short"));
  assert.equal(reader.size, 5);
  assert.equal(Buffer.from(await reader.read(1, 4)).toString(), "2345");
  await assert.rejects(reader.read(3, 4), { code: "image-corrupt" });
  reader.close();
});

test("a write that fails says why in words, and what would help", () => {
  const explained = (code: string) => hostWriteError("here", Object.assign(new Error("as Node says it"), { code }));
  assert.match(explained("ENOSPC").hint!, /Free some space/);
  // Space would not help a file that is longer than the disk's file system has files.
  assert.match(explained("EFBIG").message, /too large for this disk/);
  assert.doesNotMatch(explained("EFBIG").hint!, /space/);
  assert.match(explained("EROFS").message, /cannot write here: it is on a read-only file system \(EROFS\)/);
  assert.equal(explained("EBADMSG").message, "cannot write here: EBADMSG");
});
