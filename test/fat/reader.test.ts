import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { ImgbuildError } from "../../src/errors.js";
import { type FatType, openFat, writeFat } from "../../src/fat/index.js";
import { newDirectory, newFile } from "../../src/tree/node.js";
import fc from "../support/fast-check.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { describe, mtools, OPTIONS, readFile, treeOf, withReader } from "./volume.js";

const MiB = 2 ** 20;

test("volumes of mkfs.fat and mcopy read as they were filled, fragmented and with deleted files", async (t) => {
  if (lacks(t, "mkfs.fat", "mcopy")) return;
  const folder = temporaryFolder(t);
  for (const [type, mib, more] of [
    [12, 2, []],
    [16, 20, []],
    [16, 20, ["-s", "1"]],
    [32, 40, []],
    [32, 16, []], // what Toradex's installer makes: fewer clusters than FAT32 may have
    [32, 600, []],
    [16, 20, ["-f", "1", "-r", "64"]],
    [32, 400, ["-S", "4096"]],
  ] as const) {
    const image = path.join(folder, `fat${type}-${mib}.img`);
    fs.writeFileSync(image, "");
    fs.truncateSync(image, mib * MiB);
    run("mkfs.fat", ["-F", `${type}`, "-n", "TDX BOOT", "-i", "cafe0123", ...more, image]);
    const expected = new Map<string, string>();
    const put = (name: string, size: number) => {
      const bytes = Buffer.alloc(size, name);
      const source = path.join(folder, "source");
      fs.writeFileSync(source, bytes);
      mtools("mcopy", image, "-o", source, `::${name}`);
      expected.set(name, createHash("sha256").update(bytes).digest("hex"));
    };
    const check = type === 32 && mib < 33 ? "fragmented too small for mtools" : undefined;
    if (check === undefined) {
      mtools("mmd", image, "::sub", "::sub/a folder of some length", "::EMPTY");
      for (const name of ["sub", "sub/a folder of some length", "EMPTY"]) expected.set(name, "folder");
      for (let i = 0; i < 20; i++) put(`sub/a folder of some length/file ${i}`, 3000 + i * 700);
      for (let i = 0; i < 20; i += 2) {
        mtools("mdel", image, `::sub/a folder of some length/file ${i}`);
        expected.delete(`sub/a folder of some length/file ${i}`);
      }
      put("fragmented", 60_000);
      put("SHORT.TXT", 10);
      put("lower.txt", 0);
      put("Ünïcode näme.dtb", 600);
    }
    await withReader(image, async (device) => {
      const reader = await openFat(device);
      const { facts } = reader;
      assert.deepEqual([facts.type, facts.label, facts.volumeId, facts.clean], [type, "TDX BOOT", 0xcafe0123, true]);
      assert.equal(facts.freeClusters, type === 32 ? await reader.countFree() : undefined);
      assert.deepEqual(await describe(await reader.tree()), expected, `FAT${type} of ${mib} MiB ${more}`);
    });
    fs.rmSync(image);
  }
});

test("paths are found without regard to case, and what is not there is undefined", async () => {
  const device = new MemoryDevice(MiB);
  await writeFat(device, treeOf({ "Overlays/Some.DTBO": "x", file: "" }), OPTIONS);
  const reader = await openFat(device);
  assert.equal((await reader.lookup(fromText("/overlays/some.dtbo")))?.name, "Some.DTBO");
  assert.equal(await reader.lookup(fromText("/")), reader.root);
  for (const path of ["nothing", "file/below", "overlays/nothing"]) {
    assert.equal(await reader.lookup(fromText(path)), undefined, path);
  }
});

test("content can be read in parts, from anywhere", async () => {
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7919) >> 8);
  const device = new MemoryDevice(MiB);
  await writeFat(device, treeOf({ file: bytes }), OPTIONS);
  const volume = await openFat(device);
  const file = await volume.lookup(fromText("file"));
  assert.ok(file?.type === "file");
  const reader = await volume.content(file).open();
  for (const [at, length] of [
    [0, 1],
    [2047, 2],
    [99_999, 1],
    [5000, 50_000],
    [100_000, 0],
  ] as const) {
    const into = new Uint8Array(length);
    await reader.read(at, into);
    assert.deepEqual(into, bytes.slice(at, at + length));
  }
});

/** A volume of ours, and where its parts are by its own boot sector. */
async function sample(
  type: FatType = 32,
): Promise<{ bytes: Uint8Array; view: DataView; fat: number; root: number; data: number }> {
  const device = new MemoryDevice(type === 32 ? 34 * MiB : type === 16 ? 9 * MiB : 64 * 1024);
  await writeFat(device, treeOf({ file: new Uint8Array(2000), "folder/inner": "x" }), { ...OPTIONS, type });
  const view = new DataView(device.bytes.buffer);
  const fat = view.getUint16(14, true) * 512;
  const root = fat + 2 * (type === 32 ? view.getUint32(36, true) : view.getUint16(22, true)) * 512;
  return { bytes: device.bytes, view, fat, root, data: root + view.getUint16(17, true) * 32 };
}

test("damage is an error that names the byte", async () => {
  const file = fromText("file");
  const inner = fromText("folder/inner");
  type Sample = Awaited<ReturnType<typeof sample>>;
  // Clusters: 2 the root, 3 the folder, 4 to 7 file, 8 inner. Root entries: file, folder.
  const cases: readonly [string, (s: Sample) => void, (s: Sample) => number, ByteString, RegExp][] = [
    ["no signature", (s) => s.view.setUint16(510, 0), () => 510, file, /55 AA/],
    ["sector size", (s) => s.view.setUint16(11, 500, true), () => 11, file, /500 bytes/],
    ["cluster size", (s) => s.view.setUint8(13, 3), () => 13, file, /3 sectors/],
    ["reserved", (s) => s.view.setUint16(14, 0), () => 14, file, /reserved/],
    ["no table", (s) => s.view.setUint8(16, 0), () => 16, file, /table/],
    ["too long", (s) => s.view.setUint32(32, 2 ** 20, true), () => 32, file, /1048576 sectors/],
    ["short table", (s) => s.view.setUint32(36, 2, true), () => 36, file, /256 entries/],
    ["root", (s) => s.view.setUint32(44, 1, true), () => 44, file, /root is cluster 1/],
    ["first cluster", (s) => s.view.setUint16(s.root + 26, 1, true), (s) => s.root, file, /begins at cluster 1/],
    ["far cluster", (s) => s.view.setUint16(s.root + 20, 999, true), (s) => s.root, file, /begins at cluster/],
    ["out of range", (s) => s.view.setUint32(s.fat + 4 * 4, 0x0abcdef0, true), (s) => s.fat + 16, file, /FAT entry/],
    ["free", (s) => s.view.setUint32(s.fat + 5 * 4, 0, true), (s) => s.fat + 20, file, /FAT entry of cluster 5/],
    ["bad cluster", (s) => s.view.setUint32(s.fat + 5 * 4, 0x0ffffff7, true), (s) => s.fat + 20, file, /FAT entry/],
    ["too short", (s) => s.view.setUint32(s.fat + 5 * 4, 0x0fffffff, true), (s) => s.fat + 20, file, /ends after 1024/],
    ["circle", (s) => s.view.setUint32(s.fat + 6 * 4, 4, true), (s) => s.fat + 24, file, /circle at cluster 4/],
    ["folder circle", (s) => s.view.setUint32(s.fat + 3 * 4, 3, true), (s) => s.fat + 12, inner, /circle at cluster 3/],
    ["slash", (s) => s.view.setUint8(s.root, 0x2f), (s) => s.root, file, /has the name/],
  ];
  for (const [name, damage, offset, target, message] of cases) {
    const volume = await sample();
    damage(volume);
    await assert.rejects(
      async () => readFile(await openFat(new MemoryDevice(volume.bytes)), target),
      (error: ImgbuildError) => {
        assert.deepEqual(
          [error.code, error.data.offset],
          ["image-corrupt", offset(volume)],
          `${name}: ${error.message}`,
        );
        assert.match(error.message, message);
        return true;
      },
      name,
    );
  }
});

test("a device that is too short, or holds something else, is no volume", async () => {
  for (const device of [
    new MemoryDevice(100),
    new MemoryDevice(MiB),
    new MemoryDevice(new Uint8Array(MiB).fill(0x5a)),
  ]) {
    await assert.rejects(openFat(device), { code: "image-corrupt" });
  }
});

test("in a tree each cluster belongs to one file or folder, and each name to one entry", async () => {
  type Sample = Awaited<ReturnType<typeof sample>>;
  const cases: readonly [string, (s: Sample) => void, (s: Sample) => number, RegExp][] = [
    [
      "two files share a beginning",
      (s) => s.view.setUint16(s.data + 512 + 64 + 26, 4, true),
      (s) => s.data + 512 + 64,
      /the file "inner" at byte \d+ has cluster 4, as has the file "file" at byte \d+/,
    ],
    [
      "a file runs into another",
      (s) => {
        s.view.setUint32(s.data + 512 + 64 + 28, 2000, true);
        s.view.setUint32(s.fat + 8 * 4, 6, true);
      },
      (s) => s.data + 512 + 64,
      /"inner" at byte \d+ has cluster 6, as has the file "file"/,
    ],
    [
      "a folder is the root",
      (s) => s.view.setUint16(s.root + 32 + 26, 2, true),
      (s) => s.root + 32,
      /the directory "folder" at byte \d+ has cluster 2, as has the root directory/,
    ],
    [
      "a folder holds itself",
      (s) => {
        s.bytes.set(s.bytes.subarray(s.root + 32, s.root + 64), s.data + 512 + 64);
      },
      (s) => s.data + 512 + 64,
      /the directory "folder" at byte \d+ has cluster 3, as has the directory "folder" at byte/,
    ],
    ["a circle", (s) => s.view.setUint32(s.fat + 6 * 4, 4, true), (s) => s.fat + 24, /circle at cluster 4/],
    ["one name", (s) => s.bytes.set(s.bytes.subarray(s.root, s.root + 11), s.root + 32), (s) => s.root + 32, /twice/],
    [
      "a size beyond the volume",
      (s) => s.view.setUint32(s.root + 28, 0xffff_ffff, true),
      (s) => s.root,
      /a file of 4294967295 bytes, in a volume whose clusters hold/,
    ],
  ];
  for (const [name, damage, offset, message] of cases) {
    const volume = await sample();
    damage(volume);
    const reader = await openFat(new MemoryDevice(volume.bytes));
    await assert.rejects(
      reader.tree(),
      (error: ImgbuildError) => {
        assert.deepEqual([error.code, error.data.offset], ["image-corrupt", offset(volume)], error.message);
        assert.match(error.message, message);
        return true;
      },
      name,
    );
  }
});

test("fsck.fat and the reader agree on shared clusters, circles and wrong sizes", async (t) => {
  if (lacks(t, "fsck.fat")) return;
  const damages: readonly ((s: Awaited<ReturnType<typeof sample>>) => void)[] = [
    (s) => s.view.setUint16(s.data + 512 + 64 + 26, 4, true),
    (s) => s.view.setUint32(s.fat + 6 * 4, 4, true),
    (s) => s.view.setUint32(s.fat + 5 * 4, 0, true),
    (s) => s.view.setUint16(s.root + 32 + 26, 2, true),
    (s) => s.view.setUint32(s.root + 28, 90_000, true),
    (s) => s.view.setUint16(s.root + 20, 999, true),
  ];
  const image = path.join(temporaryFolder(t), "damaged.img");
  for (const [i, damage] of damages.entries()) {
    const { bytes, ...rest } = await sample();
    damage({ bytes, ...rest });
    // Both copies of the table, so that fsck.fat has no better one.
    const table = rest.view.getUint32(36, true) * 512;
    bytes.copyWithin(rest.fat + table, rest.fat, rest.fat + table);
    fs.writeFileSync(image, bytes);
    assert.throws(() => run("fsck.fat", ["-n", image]), /ended with 1/, `${i}`);
    await assert.rejects((await openFat(new MemoryDevice(bytes))).tree(), { code: "image-corrupt" }, `${i}`);
  }
});

test("volumes that were not unmounted, and FSInfo that cannot be true, are read and told", async () => {
  const facts = async (damage: (s: Awaited<ReturnType<typeof sample>>) => void) => {
    const volume = await sample();
    damage(volume);
    const reader = await openFat(new MemoryDevice(volume.bytes));
    assert.equal((await reader.tree()).root.entries.size, 2);
    return [reader.facts.clean, reader.facts.freeClusters === (await reader.countFree())];
  };
  assert.deepEqual(await facts(() => {}), [true, true]);
  assert.deepEqual(await facts((s) => s.view.setUint8(65, 1)), [false, true]); // as Linux marks it
  assert.deepEqual(await facts((s) => s.view.setUint32(s.fat + 4, 0x07ff_ffff, true)), [false, true]); // as Windows does
  assert.deepEqual(await facts((s) => s.view.setUint32(512 + 488, 0xffff_ffff, true)), [true, false]);
  assert.deepEqual(await facts((s) => s.view.setUint32(512, 0, true)), [true, false]);
  assert.deepEqual(await facts((s) => s.view.setUint16(48, 0xffff, true)), [true, false]);
});

test("a chain in half a million pieces, backwards, is read in a moment", async () => {
  const device = new MemoryDevice(256 * MiB);
  const size = 244 * MiB;
  const root = newDirectory();
  const nothing = { read: async () => {}, close: async () => {} };
  root.entries.set(fromText("file"), newFile({ size, data: [], open: async () => nothing }));
  const { clusterSize } = await writeFat(device, { root }, OPTIONS);
  const view = new DataView(device.bytes.buffer);
  const fat = view.getUint16(14, true) * 512;
  const data = fat + 2 * view.getUint32(36, true) * 512;
  // Every cluster goes on to the one before it.
  const count = size / clusterSize;
  for (let i = 0; i < count; i++) view.setUint32(fat + (3 + i) * 4, i === 0 ? 0x0fff_ffff : 2 + i, true);
  view.setUint16(data + 26, (2 + count) & 0xffff, true);
  view.setUint16(data + 20, (2 + count) >>> 16, true);
  device.bytes[data + clusterSize] = 77; // the first cluster after the root's: the file's last
  const started = performance.now();
  const tree = await (await openFat(device)).tree();
  const file = tree.root.entries.get(fromText("file"));
  assert.ok(file?.type === "file");
  const last = new Uint8Array(clusterSize);
  await (await file.content.open()).read(size - clusterSize, last);
  assert.equal(last[0], 77);
  assert.ok(performance.now() - started < 10_000);
});

for (const type of [12, 16, 32] as const) {
  test(`whatever bytes of a FAT${type} are damaged, the reader ends, with what it read or an explained error`, async () => {
    const { bytes, fat, root, data } = await sample(type);
    const clean = bytes.slice();
    const interesting = fc.oneof(
      fc.nat(90),
      fc.nat(511),
      fc.nat(60).map((at) => fat + at),
      fc.nat(300).map((at) => root + at),
      fc.nat(4096).map((at) => data + at),
    );
    const values = fc.oneof(fc.nat(255), fc.nat(12), fc.constantFrom(0x0f, 0x10, 0x28, 0xe5, 0xf7, 0xf8, 0xff));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(interesting, values), { minLength: 1, maxLength: 8 }), async (changes) => {
        for (const [at, value] of changes) bytes[at] = value;
        try {
          const reader = await openFat(new MemoryDevice(bytes));
          for (const name of ["file", "folder/inner"]) await readFile(reader, name).catch(explained);
          await describe(await reader.tree());
        } catch (error) {
          explained(error);
        } finally {
          for (const [at] of changes) bytes[at] = clean[at]!;
        }
      }),
      { numRuns: 1500 },
    );
  });
}

/** Throws what is neither damage that has its place nor a path that damage has hidden. */
function explained(error: unknown): void {
  if (error instanceof ImgbuildError && error.code === "image-corrupt" && Number.isInteger(error.data.offset)) return;
  if (error instanceof Error && / is (missing|directory|file)$/.test(error.message)) return;
  throw error;
}
