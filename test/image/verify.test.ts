/** Verifying: says nothing on what other programs made and is sound, and finds bits that were flipped anywhere. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { openSquashfs } from "../../src/squashfs/index.js";
import { describeTree } from "../support/describe.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { flip, MiB, makeFat, makeSource, opened, place, verifyFile } from "./image-files.js";

/** Numbers from 0 to below `limit`, which follow from `seed`. */
function* numbers(seed: number): Generator<(limit: number) => number> {
  let state = seed;
  const next = (limit: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  for (;;) yield next;
}
const random = (seed: number) => numbers(seed).next().value!;

const errorsOf = async (file: string) =>
  (await verifyFile(file)).findings.filter(({ severity }) => severity === "error");

/** All that can be read of the file system in `file`: what damage that is not found must not have changed. */
const content = (file: string) =>
  opened(file, async ({ volumes }) => describeTree(await (await volumes[0]!.open()).root.tree()));

test("says nothing on sound images of mksquashfs, mke2fs, mkfs.fat, sfdisk and sgdisk", async (t) => {
  if (lacks(t, "mksquashfs", "mke2fs", "mkfs.fat", "mcopy", "sfdisk", "sgdisk", "setfattr")) return;
  const folder = temporaryFolder(t);
  const at = (name: string) => path.join(folder, name);
  const source = makeSource(folder, { attributes: true });
  for (const [i, options] of [
    ["-comp", "gzip"],
    ["-comp", "xz", "-exports"],
    ["-comp", "zstd", "-always-use-fragments"],
    ["-comp", "lz4", "-no-fragments"],
    ["-comp", "lzo", "-b", "4096", "-exports"],
  ].entries()) {
    run("mksquashfs", [source, at(`${i}.squashfs`), "-quiet", "-no-progress", ...options]);
    assert.deepEqual((await verifyFile(at(`${i}.squashfs`))).findings, [], options.join(" "));
  }
  for (const [i, options] of [
    ["-t", "ext4"],
    ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg"],
    ["-t", "ext4", "-O", "64bit,inline_data,metadata_csum_seed"],
    ["-t", "ext4", "-O", "bigalloc"],
    ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"],
    ["-t", "ext4", "-b", "1024", "-O", "sparse_super2"],
    ["-t", "ext3", "-b", "2048"],
    ["-t", "ext2"],
  ].entries()) {
    run("mke2fs", ["-q", "-F", ...options, "-d", source, at(`${i}.ext4`), "48M"]);
    assert.deepEqual((await verifyFile(at(`${i}.ext4`))).findings, [], options.join(" "));
  }
  for (const type of [12, 16, 32] as const) {
    makeFat(at(`${type}.fat`), source, type === 12 ? 8 * MiB : 64 * MiB, type);
    assert.deepEqual((await verifyFile(at(`${type}.fat`))).findings, [], `FAT${type}`);
  }
  for (const [name, make] of [
    ["mbr", () => run("sfdisk", ["-q", at("mbr")], { input: Buffer.from("1M,8M,c\n,10M,83\n,64M,83\n") })],
    ["gpt", () => run("sgdisk", ["-n1:2048:+8M", "-n2::+10M", "-n3::+64M", at("gpt")])],
  ] as const) {
    fs.writeFileSync(at(name), "");
    fs.truncateSync(at(name), 128 * MiB);
    make();
    const parts = await opened(at(name), async ({ volumes }) => volumes.map(({ partition }) => partition!.start));
    for (const [i, part] of ["12.fat", "0.squashfs", "0.ext4"].entries()) place(at(name), at(part), parts[i]!);
    const { findings, checked } = await verifyFile(at(name));
    assert.deepEqual(findings, []);
    assert.equal(checked.length, 4, checked.join("\n"));
    assert.match(checked.join("\n"), /partition 3 .*ext4.*\b64 files/);
  }
});

test("finds flipped bits in a SquashFS, or they change nothing", async (t) => {
  if (lacks(t, "mksquashfs")) return;
  const folder = temporaryFolder(t);
  const source = makeSource(folder);
  // These two have checksums of their own.
  for (const compressor of ["gzip", "xz"]) {
    const image = path.join(folder, `${compressor}.squashfs`);
    run("mksquashfs", [source, image, "-quiet", "-no-progress", "-comp", compressor, "-exports"]);
    const { bytesUsed } = await opened(image, async ({ device }) => (await openSquashfs(device)).facts);
    const before = await content(image);
    const next = random(compressor.length);
    let found = 0;
    const tries = 120;
    for (let i = 0; i < tries; i++) {
      const [at, bit] = [96 + next(bytesUsed - 96), next(8)];
      flip(image, at, bit);
      const errors = await errorsOf(image).catch(() => ["it is no image any more"]);
      if (errors.length > 0) found++;
      else assert.deepEqual(await content(image), before, `bit ${bit} of byte ${at} went unseen`);
      flip(image, at, bit);
    }
    assert.ok(found > 0.9 * tries, `${found} of ${tries}`);
    assert.deepEqual(await errorsOf(image), []);
  }
});

test("finds flipped bits in the metadata of an ext4 with checksums", async (t) => {
  if (lacks(t, "mke2fs", "dumpe2fs", "debugfs")) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "a.ext4");
  run("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "1024", "-d", makeSource(folder), image, "48M"]);
  const block = (text: RegExp) => Number(text.exec(run("dumpe2fs", [image]))![1]);
  const blockOf = (command: string) => Number(/\d+/.exec(run("debugfs", ["-R", command, image]))![0]);
  const places = {
    superblock: [1024, 1023],
    "descriptors of groups": [block(/Group descriptors at (\d+)/) * 1024, 32],
    "block bitmap": [block(/Block bitmap at (\d+)/) * 1024, 1024],
    "inode bitmap": [block(/Inode bitmap at (\d+)/) * 1024, 200],
    "copy of the superblock": [block(/Backup superblock at (\d+)/) * 1024, 1023],
    "inodes in use": [block(/Inode table at (\d+)/) * 1024 + 12 * 256, 128],
    "directory block": [blockOf("bmap /etc 0") * 1024, 1024],
  };
  for (const [what, [start, length]] of Object.entries(places)) {
    const next = random(start!);
    for (let i = 0; i < 12; i++) {
      const [at, bit] = [start! + next(length!), next(8)];
      flip(image, at, bit);
      const errors = await errorsOf(image).catch(() => ["it is no image any more"]);
      assert.ok(errors.length > 0, `${what}: bit ${bit} of byte ${at} went unseen`);
      flip(image, at, bit);
    }
  }
  assert.deepEqual(await errorsOf(image), []);
});

test("finds free blocks and inodes that do not add up, where there are no checksums", async (t) => {
  if (lacks(t, "mke2fs", "dumpe2fs", "e2fsck")) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "a.ext2");
  run("mke2fs", ["-q", "-F", "-t", "ext2", "-b", "1024", "-d", makeSource(folder), image, "48M"]);
  const bitmap = Number(/Block bitmap at (\d+)/.exec(run("dumpe2fs", [image]))![1]) * 1024;
  flip(image, bitmap + 1000);
  assert.match((await errorsOf(image)).map(({ message }) => message).join(), /free blocks by its bitmap/);
  assert.throws(() => run("e2fsck", ["-fn", image]), /bitmap differences|count wrong/i);
});

test("finds what is wrong with a FAT", async (t) => {
  if (lacks(t, "mkfs.fat", "mcopy", "fsck.fat")) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "a.fat");
  const source = makeSource(folder);
  const tables = () => {
    const sector = fs.readFileSync(image).subarray(0, 64);
    const first = sector.readUInt16LE(14) * 512;
    return { first, second: first + sector.readUInt32LE(36) * 512 };
  };
  makeFat(image, source, 64 * MiB, 32);
  const { first, second } = tables();
  const sound = fs.readFileSync(image);
  for (const [at, expected, severity] of [
    [second + 400, /table 2 differs from the first/, "error"],
    [6 * 512 + 90, /copy of the boot sector differs/, "error"],
    [512 + 488, /FSInfo counts \d+ free clusters/, "warning"],
    [512 + 484, /FSInfo lacks/, "error"],
  ] as const) {
    flip(image, at);
    const { findings } = await verifyFile(image);
    assert.ok(
      findings.some((finding) => expected.test(finding.message) && finding.severity === severity),
      `${expected} in ${JSON.stringify(findings)}`,
    );
    assert.match(run("sh", ["-c", `fsck.fat -n "${image}" || true`]), /differ|wrong|dirty|summary|FSINFO/i);
    fs.writeFileSync(image, sound);
  }
  // A file's chain leads into the one before it: both copies of the table agree on it.
  const crossed = Buffer.from(sound);
  for (const table of [first, second]) crossed.writeUInt32LE(50, table + 4 * 100);
  fs.writeFileSync(image, crossed);
  assert.match(run("sh", ["-c", `fsck.fat -n "${image}" || true`]), /share clusters/);
  assert.match(
    (await errorsOf(image)).map(({ message }) => message).join("\n"),
    /the file "file54" .* has cluster 50, as has the file "file50"/,
  );
});

test("lost clusters are a warning", async (t) => {
  if (lacks(t, "mkfs.fat", "mcopy")) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "a.fat");
  makeFat(image, makeSource(folder), 64 * MiB, 16);
  const bytes = fs.readFileSync(image);
  const first = bytes.readUInt16LE(14) * 512;
  for (const table of [first, first + bytes.readUInt16LE(22) * 512]) bytes.writeUInt16LE(0xffff, table + 2 * 20_000);
  fs.writeFileSync(image, bytes);
  const { findings } = await verifyFile(image);
  assert.deepEqual(
    findings.map(({ severity, message }) => [severity, message]),
    [["warning", "1 cluster is taken and belongs to no file, or to a file that ends before it"]],
  );
});

test("finds a GPT whose copies are broken, with the byte", async (t) => {
  if (lacks(t, "sgdisk")) return;
  const image = path.join(temporaryFolder(t), "disk");
  fs.writeFileSync(image, "");
  fs.truncateSync(image, 16 * MiB);
  run("sgdisk", ["-n1:2048:+8M", image]);
  assert.deepEqual(await errorsOf(image), []);
  for (const [at, expected] of [
    [512 + 60, /primary GPT is broken.*checksum of the GPT header/],
    [1024 + 40, /primary GPT is broken.*checksum of the GPT's entries/],
    [16 * MiB - 512 + 60, /backup GPT is broken/],
  ] as const) {
    flip(image, at);
    const errors = await errorsOf(image);
    assert.match(errors.map(({ message }) => message).join(), expected);
    assert.ok(errors.every(({ offset }) => offset !== undefined));
    flip(image, at);
  }
});

test("names the paths that a broken block belongs to, and reads the others", async (t) => {
  if (lacks(t, "mksquashfs")) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "a.squashfs");
  run("mksquashfs", [makeSource(folder), image, "-quiet", "-no-progress", "-no-fragments", "-no-duplicates"]);
  const start = await opened(image, async ({ device }) => {
    const inode = await (await openSquashfs(device)).lookup(fromText("usr/large"));
    assert.ok(inode?.type === "file");
    return inode.start;
  });
  flip(image, start + 500, 3);
  const { findings, checked } = await verifyFile(image);
  assert.equal(findings.length, 1);
  assert.match(findings[0]!.path!, /^usr\/(?:large|link)$/);
  assert.equal(findings[0]!.offset, start);
  // 60 and end, copy, sparse, and the broken one by its first name.
  assert.match(checked[0]!, /\b64 files/);
});

test("names what is left out where a folder, an inode or attributes are broken, and reads the rest", async (t) => {
  if (lacks(t, "mke2fs", "debugfs", "setfattr")) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "a.ext4");
  const source = makeSource(folder, { attributes: true });
  run("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "1024", "-d", source, image, "48M"]);
  const debugfs = (command: string) => run("debugfs", ["-R", command, image]);
  const located = /block (\d+), offset 0x([0-9a-f]+)/i.exec(debugfs("imap /etc/file7"))!;
  const inode = Number(located[1]) * 1024 + Number.parseInt(located[2]!, 16);
  const listing = Number(/\d+/.exec(debugfs("bmap /etc/deep 0"))![0]) * 1024;
  const attributes = Number(/File ACL: (\d+)/.exec(debugfs("stat /usr/large"))![1]) * 1024;
  const filesIn = (checked: readonly string[]) => Number(/ (\d+) files/.exec(checked[0]!)![1]);
  const sound = await verifyFile(image);
  assert.deepEqual(sound.findings, []);
  for (const [at, name, missing] of [
    [inode + 4, "etc/file7", 1],
    [listing + 20, "etc/deep", 1],
    [attributes + 100, "usr/large", 0],
  ] as const) {
    flip(image, at);
    const { findings, checked } = await verifyFile(image);
    assert.ok(
      findings.some(({ path: found }) => found === name),
      `${name} in ${JSON.stringify(findings)}`,
    );
    assert.equal(filesIn(checked), filesIn(sound.checked) - missing, name);
    flip(image, at);
  }
});

test("ends soon on file systems that were overwritten at random", async (t) => {
  if (lacks(t, "mksquashfs", "mke2fs", "mkfs.fat", "mcopy")) return;
  const folder = temporaryFolder(t);
  const source = makeSource(folder);
  const at = (name: string) => path.join(folder, name);
  run("mksquashfs", [source, at("squashfs"), "-quiet", "-no-progress"]);
  run("mke2fs", ["-q", "-F", "-t", "ext4", "-O", "^metadata_csum", "-b", "1024", "-d", source, at("ext4"), "16M"]);
  makeFat(at("fat"), source, 8 * MiB, 12);
  for (const name of ["squashfs", "ext4", "fat"]) {
    const sound = fs.readFileSync(at(name));
    const next = random(name.length);
    for (let i = 0; i < 40; i++) {
      const broken = Buffer.from(sound);
      // Metadata mostly lies near one of the ends.
      for (let count = 0; count < 30; count++) {
        const near = next(2) === 0 ? next(40_000) : broken.length - 1 - next(40_000);
        broken[name === "squashfs" ? 96 + next(broken.length - 96) : Math.max(2048, near)] = next(256);
      }
      fs.writeFileSync(at(name), broken);
      const began = process.hrtime.bigint();
      await verifyFile(at(name)).catch((error) => assert.equal(error.name, "ImgbuildError", error.stack));
      assert.ok(process.hrtime.bigint() - began < 20_000_000_000n, `${name} ${i} took long`);
    }
  }
});
