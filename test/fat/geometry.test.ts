import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { chooseRoom, smallestVolume } from "../../src/fat/geometry.js";
import { type FatType, measureFat, openFat, type SectorSize, writeFat } from "../../src/fat/index.js";
import { newDirectory, newFile } from "../../src/tree/node.js";
import type { Tree } from "../../src/tree/tree.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { describe, discarding, fsck, makeVolume, mtools, OPTIONS, treeOf, withReader } from "./volume.js";

const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** From the smallest to 64 GiB; those that others got wrong among them. */
const SIZES: readonly (readonly [size: number, type: FatType])[] = [
  [64 * 1024, 12],
  [MiB, 12],
  [4 * MiB, 12],
  [8 * MiB, 12],
  [9 * MiB, 16],
  [16 * MiB, 16],
  [32 * MiB, 16],
  [33 * MiB, 32],
  [63 * MiB, 32],
  [64 * MiB, 32],
  [65 * MiB, 32],
  [260 * MiB, 32],
  [261 * MiB, 32],
  [512 * MiB, 32],
  [GiB, 32],
  [4 * GiB - 512, 32],
  [4 * GiB, 32],
  [4 * GiB + 512, 32],
  [8 * GiB, 32],
  [9 * GiB, 32],
  [17 * GiB, 32],
  [64 * GiB, 32],
];

test("volumes of every size are clean, complete and sparse", async (t) => {
  if (lacks(t, "fsck.fat", "mdir")) return;
  const tree = treeOf({ zImage: new Uint8Array(20_000).fill(7), "overlays/a.dtbo": "x" });
  for (const [size, type] of SIZES) {
    const volume = await makeVolume(t, size, tree);
    assert.equal(volume.type, type, `${size}`);
    fsck(volume.image);
    assert.equal(mtools("mdir", volume.image, "-b", "-/", "::"), "::/overlays/\n::/zImage\n::/overlays/a.dtbo\n");
    assert.ok(fs.statSync(volume.image).blocks * 512 < MiB / 2, `${size}: a sparse image takes little of the disk`);
    fs.rmSync(volume.image);
  }
});

test("cluster sizes and counts are those of mkfs.fat", async (t) => {
  if (lacks(t, "mkfs.fat")) return;
  const folder = temporaryFolder(t);
  const compare = async (size: number, type: FatType, sectorSize: SectorSize = 512) => {
    const ours = await makeVolume(t, size, treeOf({}), { type, sectorSize });
    const theirs = path.join(folder, "theirs.img");
    fs.writeFileSync(theirs, "");
    fs.truncateSync(theirs, size);
    run("mkfs.fat", ["-F", `${type}`, "-S", `${sectorSize}`, theirs]);
    const { clusterSize, clusters } = (await withReader(theirs, openFat)).facts;
    assert.equal(ours.clusterSize, clusterSize, `FAT${type} of ${size}, sectors of ${sectorSize}`);
    // mkfs.fat makes volumes from 256 MiB on a whole number of tracks, up to 63 sectors shorter.
    const margin = size > 256 * MiB ? Math.ceil((63 * sectorSize * 255) / clusterSize) : 0;
    assert.ok(
      ours.clusters >= clusters && ours.clusters <= clusters + margin,
      `FAT${type} of ${size}: ${ours.clusters} clusters, mkfs.fat ${clusters}`,
    );
    fs.rmSync(theirs);
    fs.rmSync(ours.image);
  };
  for (const mib of [1, 2, 4, 5, 8, 12, 15, 20]) await compare(mib * MiB, 12);
  for (const mib of [9, 16, 31, 32, 64, 100, 128, 129, 256, 300, 512, 513, 1023, 2047]) await compare(mib * MiB, 16);
  for (const mib of [33, 63, 64, 65, 128, 256, 260, 261, 512, 4095, 4096, 8192, 8193, 16_385, 33_000, 65_536]) {
    await compare(mib * MiB, 32);
  }
  // FAT12 below 64 MiB, FAT16 from there on; FAT32 has to have 65,525 clusters, which mkfs.fat does not see to.
  for (const mib of [8, 17, 32, 63]) await compare(mib * MiB, 12, 4096);
  for (const mib of [100, 128, 256, 300, 1023, 2047, 8191]) await compare(mib * MiB, 16, 4096);
  for (const mib of [260, 300, 512, 2047, 2079, 2081, 4096, 65_530]) await compare(mib * MiB, 32, 4096);
});

test("volumes with sectors of 4096 bytes are clean and complete, and FAT32 from 257 MiB on", async (t) => {
  if (lacks(t, "fsck.fat", "mcopy")) return;
  const kernel = new Uint8Array(20_000).map((_, i) => i >> 4);
  const tree = treeOf({ "a long name": kernel, "overlays/a.dtbo": "x", empty: "" });
  for (const [size, type] of [
    [MiB, 12],
    [63 * MiB, 12],
    [100 * MiB, 16],
    [256 * MiB, 16],
    [257 * MiB, 32],
    [4 * GiB, 32],
    [64 * GiB, 32],
  ] as const) {
    const notices: string[] = [];
    const observer = { notice: (text: string) => void notices.push(text) };
    const volume = await makeVolume(t, size, tree, { sectorSize: 4096, label: "BOOT", observer });
    assert.equal(volume.type, type, `${size}`);
    assert.equal(/which begins at 257 MiB: it becomes FAT1/.test(notices.join()), type !== 32);
    assert.match(fsck(volume.image), /4096 bytes per logical sector/);
    assert.equal(mtools("mcopy", volume.image, "::a long name", "-"), Buffer.from(kernel).toString("latin1"));
    await withReader(volume.image, async (device) => {
      const reader = await openFat(device);
      assert.equal(reader.facts.sectorSize, 4096);
      assert.deepEqual(await describe(await reader.tree()), await describe(tree));
    });
    fs.rmSync(volume.image);
  }
  await assert.rejects(makeVolume(t, 256 * MiB, tree, { sectorSize: 4096, type: 32 }), {
    code: "layout-conflict",
    hint: /257 MiB/,
  });
});

test("a type that the size does not allow is refused, and a small volume becomes FAT16 with a notice", async () => {
  const notices: string[] = [];
  const observer = { notice: (text: string) => void notices.push(text) };
  await assert.rejects(writeFat(new MemoryDevice(32 * MiB), treeOf({}), { ...OPTIONS, type: 32 }), {
    code: "layout-conflict",
    message: /FAT32 cannot be 32 MiB.*65,525 clusters/,
    hint: "Make it at least 33 MiB, or leave the type out to get FAT16.",
  });
  await assert.rejects(writeFat(new MemoryDevice(MiB), treeOf({}), { ...OPTIONS, type: 16 }), {
    code: "layout-conflict",
  });
  await assert.rejects(
    writeFat({ ...new MemoryDevice(0), size: 3 * GiB } as never, treeOf({}), { ...OPTIONS, type: 16 }),
    {
      code: "layout-conflict",
      hint: /smaller/,
    },
  );
  await assert.rejects(writeFat(new MemoryDevice(1024), treeOf({}), OPTIONS), { code: "layout-conflict" });
  const { type } = await writeFat(new MemoryDevice(32 * MiB), treeOf({}), { ...OPTIONS, observer });
  assert.equal(type, 16);
  assert.match(notices.join("\n"), /32 MiB is too small for FAT32, which begins at 33 MiB: it becomes FAT16/);
});

test("a FAT ends before 2^32 sectors, since it counts them in 32 bits", async (t) => {
  if (lacks(t, "fsck.fat")) return;
  const device = (size: number) => ({ ...new MemoryDevice(0), size }) as never;
  for (const type of [undefined, 12, 16, 32] as const) {
    for (const size of [2048 * GiB, 3072 * GiB]) {
      await assert.rejects(writeFat(device(size), treeOf({}), { ...OPTIONS, ...(type && { type }) }), {
        code: "layout-conflict",
        message: /at most 4,294,967,295 sectors of 512 bytes/,
        hint: /smaller than 2048 GiB/,
      });
    }
  }
  const volume = await makeVolume(t, 2048 * GiB - 512, treeOf({}));
  assert.equal(volume.type, 32);
  assert.match(fsck(volume.image), /4294967295 sectors total/);
});

test("boot sector and backup say how many sectors of the disk are in front of the volume", async (t) => {
  if (lacks(t, "fsck.fat", "mkfs.fat")) return;
  const reference = path.join(temporaryFolder(t), "reference");
  fs.writeFileSync(reference, "");
  fs.truncateSync(reference, 64 * MiB);
  run("mkfs.fat", ["-F", "32", "-h", "2048", reference]);
  const field = (file: string, sector: number) => fs.readFileSync(file).readUInt32LE(sector * 512 + 0x1c);
  assert.deepEqual([field(reference, 0), field(reference, 6)], [2048, 2048]);
  for (const [hiddenSectors, stored] of [
    [undefined, 0],
    [2048, 2048],
    [2 ** 32 - 1, 2 ** 32 - 1],
    [2 ** 32, 0],
  ] as const) {
    for (const type of [16, 32] as const) {
      const options = { type, ...(hiddenSectors !== undefined && { hiddenSectors }) };
      const { image } = await makeVolume(t, 64 * MiB, treeOf({ a: "x" }), options);
      for (const sector of type === 32 ? [0, 6] : [0]) assert.equal(field(image, sector), stored);
      fsck(image);
    }
  }
});

test("a size that is too small is refused in whole sentences", async () => {
  for (const [size, message] of [
    [1, /^FAT cannot be 1 byte: it has at least 1 cluster, and so \d+ bytes$/],
    [2, /^FAT cannot be 2 bytes: it has at least 1 cluster, /],
    [2048, /^FAT cannot be 2 KiB \(2048 bytes\): it has at least 1 cluster, /],
  ] as const) {
    await assert.rejects(writeFat(new MemoryDevice(size), treeOf({}), OPTIONS), { code: "layout-conflict", message });
  }
});

test("the smallest FAT32 has 65,525 clusters, and fsck.fat and mtools take it", async (t) => {
  if (lacks(t, "fsck.fat", "mdir")) return;
  const smallest = measureFat(treeOf({}), { type: 32 });
  const volume = await makeVolume(t, smallest, treeOf({ a: "x" }), { type: 32 });
  assert.equal(volume.clusters, 65_525);
  fsck(volume.image);
  assert.equal(mtools("mtype", volume.image, "::a"), "x");
  await assert.rejects(makeVolume(t, smallest - 512, treeOf({}), { type: 32 }), { code: "layout-conflict" });
});

test("the measured size takes the tree, and a sector less does not", async (t) => {
  if (lacks(t, "fsck.fat")) return;
  const block = (mib: number) => new Uint8Array(mib * MiB);
  const trees = [
    treeOf({}),
    treeOf({ a: "x" }),
    treeOf({ "a/b/c/d": new Uint8Array(3000), e: new Uint8Array(70_000) }),
    treeOf(Object.fromEntries(Array.from({ length: 700 }, (_, i) => [`a long name number ${i}`, "x"]))),
    treeOf({ kernel: block(9), "device-tree.dtb": block(1) }),
    treeOf({ kernel: block(40) }),
  ];
  for (const [i, tree] of trees.entries()) {
    for (const type of [undefined, 12, 16, 32] as const) {
      const options = { ...(type && { type }), label: "BOOT" };
      const size = measureFat(tree, options);
      const volume = await makeVolume(t, size, tree, options);
      fsck(volume.image);
      await assert.rejects(
        makeVolume(t, size - 512, tree, options),
        (error: { code: string; data: { needed?: number } }) =>
          ["does-not-fit", "layout-conflict"].includes(error.code) && error.data.needed === size,
        `tree ${i}, FAT${type}, ${size} bytes`,
      );
    }
  }
});

test("nothing fits into less than the smallest volume, which takes as many steps to find for any content", () => {
  for (const sectorSize of [512, 4096] as const) {
    for (const type of [undefined, 12, 16, 32] as const) {
      // Files that the usual clusters of a size suit, and such that waste much of them.
      for (const [files, bytes] of [
        ...[
          [3000, 500],
          [4000, 900],
          [60_000, 500],
          [300_000, 1000],
          [150_000, 3000],
          [1_000_000, 7000],
        ],
        ...[
          [5_000_000, 6000],
          [2_000_000, 15_000],
          [1, 34e6],
          [1, 1e9],
          [16, 4e9],
          [500, 4e9],
        ],
      ] as [number, number][]) {
        const wanted = { type, sectorSize, rootEntries: 20 };
        let steps = 0;
        const needed = (_: FatType, clusterBytes: number) => {
          steps++;
          return files * Math.ceil(bytes / clusterBytes);
        };
        // Below it there is no volume of the type at all, which is another error.
        const least = smallestVolume(wanted, () => 1)!;
        const smallest = smallestVolume(wanted, needed);
        const about = `${files} files of ${bytes} bytes, FAT${type}, sectors of ${sectorSize}`;
        assert.ok(steps < 10_000, `${about}: ${steps} steps`);
        if (smallest === undefined) continue;
        assert.equal(chooseRoom(smallest, wanted, needed)?.sectors, smallest / sectorSize, about);
        for (let i = 1; i < 40; i++) {
          for (const sectors of [smallest / sectorSize - i * i, Math.floor((smallest * (1 - i / 300)) / sectorSize)]) {
            if (sectors * sectorSize < least) continue;
            const found = chooseRoom(sectors * sectorSize, wanted, needed);
            assert.equal(found, undefined, `${about}: ${smallest} bytes is not the smallest, ${sectors} sectors do`);
          }
        }
      }
    }
  }
});

test("what fits into a size fits into every larger one", async () => {
  const small = (count: number, bytes = 10) =>
    treeOf(Object.fromEntries(Array.from({ length: count }, (_, i) => [`${i % 100}/${i}`, new Uint8Array(bytes)])));
  // As a hole, so that no test has to hold it.
  const large = (size: number): Tree => {
    const root = newDirectory();
    const reader = { read: async () => {}, close: async () => {} };
    root.entries.set(fromText("large"), newFile({ size, data: [], open: async () => reader }));
    return { root };
  };
  // Sizes around those at which the type or the usual size of a cluster changes.
  const sizes = [4, 8, 8.5, 16, 32, 32.25, 32.5, 33, 33.25, 34, 64, 128, 130, 256, 259, 260, 261, 300, 512, 1024, 2047];
  const above = [...sizes.map((mib) => mib * MiB), ...sizes.map((mib) => mib * MiB + 512), 8 * GiB, 9 * GiB, 40 * GiB];
  for (const [name, tree, types] of [
    ["3,000 small files", small(3000), [undefined, 12, 16]],
    ["a file that fills FAT16", large(33_869_004), [undefined, 12, 16, 32]],
    ["a file that fills FAT12", large(8_367_636), [undefined, 12]],
  ] as const) {
    for (const type of types) {
      const options = { ...OPTIONS, ...(type && { type }) };
      const smallest = measureFat(tree, options);
      const most = type === 12 ? 127 * MiB : type === 16 ? 2047 * MiB : 64 * GiB;
      for (const size of [smallest, smallest + 512, smallest + 1024, ...above]) {
        if (size < smallest || size > most) continue;
        const { freeClusters } = await writeFat(discarding(size), tree, options);
        assert.ok(freeClusters >= 0, `${name}, FAT${type}, ${size} bytes`);
      }
    }
  }
});

test("many small files get smaller clusters than usual, and volumes shorter than their place are sound", async (t) => {
  if (lacks(t, "fsck.fat", "mtype")) return;
  const files = (count: number) =>
    treeOf(Object.fromEntries(Array.from({ length: count }, (_, i) => [`${i % 100}/${i}`, `${i}`])));
  const many = await makeVolume(t, 300 * MiB, files(100_000));
  assert.deepEqual([many.type, many.clusterSize], [32, 2048]);
  fsck(many.image);
  assert.equal(mtools("mtype", many.image, "::99/99999"), "99999");
  // FAT16 has these many clusters in 33 MiB with clusters of 512 bytes, and not again below 100 MiB.
  const short = await makeVolume(t, 40 * MiB, files(60_000), { type: 16 });
  assert.deepEqual([short.type, short.clusterSize], [16, 512]);
  fsck(short.image);
  assert.equal(mtools("mtype", short.image, "::99/59999"), "59999");
});

test("a tree that does not fit says how much it needs, and what is large", async () => {
  const tree = treeOf({ small: "x", "boot/large": new Uint8Array(2 * MiB) });
  await assert.rejects(writeFat(new MemoryDevice(MiB), tree, OPTIONS), {
    code: "does-not-fit",
    data: {
      needed: measureFat(tree, {}),
      available: MiB,
      largest: [
        { path: "boot/large", bytes: 2 * MiB },
        { path: "small", bytes: 1 },
      ],
    },
    hint: /boot\/large \(2 MiB\)/,
  });
});
