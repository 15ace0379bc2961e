/** What an image is taken for, and what lies outside of partitions. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { MemoryDevice } from "../../src/bytes/device.js";
import { firstData, gapsOf, openImage, typeName } from "../../src/image/open-image.js";
import { verifyImage } from "../../src/image/verify.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { flip, MiB, makeFat, makeSource, opened } from "./image-files.js";

test("single file systems, and disks by sfdisk and sgdisk, are told apart", async (t) => {
  if (lacks(t, "mksquashfs", "mke2fs", "mkfs.fat", "mcopy", "sfdisk", "sgdisk")) return;
  const folder = temporaryFolder(t);
  const at = (name: string) => path.join(folder, name);
  const source = makeSource(folder);
  run("mksquashfs", [source, at("squashfs"), "-quiet", "-no-progress"]);
  run("mke2fs", ["-q", "-F", "-t", "ext4", at("ext4"), "16M"]);
  makeFat(at("fat"), source, 40 * MiB, 32);
  for (const kind of ["squashfs", "ext4", "fat"]) {
    const found = await opened(at(kind), async ({ table, volumes }) => [table, volumes.map((volume) => volume.kind)]);
    assert.deepEqual(found, [undefined, [kind]]);
  }
  // An ext4 from before under a new table: the table counts. Under an empty one, it does.
  run("sfdisk", ["-q", "--wipe", "never", at("ext4")], { input: Buffer.from("label: dos\n") });
  assert.equal(await opened(at("ext4"), async ({ table }) => table), undefined);
  run("sfdisk", ["-q", "--wipe", "never", at("ext4")], { input: Buffer.from("label: dos\n4M,4M,83\n") });
  assert.equal(await opened(at("ext4"), async ({ table }) => table?.kind), "mbr");
});

test("gaps are what neither the table nor a partition has, and say where data begins", async (t) => {
  if (lacks(t, "sgdisk")) return;
  const image = path.join(temporaryFolder(t), "disk");
  fs.writeFileSync(image, "");
  fs.truncateSync(image, 16 * MiB);
  run("sgdisk", ["-n1:2048:6143", "-t1:ef00", "-n2:8192:12287", image]);
  flip(image, 3 * MiB + 77);
  await opened(image, async (disk) => {
    const gaps = gapsOf(disk);
    const sectors = gaps.map(({ start, end }) => [start / 512, end / 512]);
    assert.deepEqual(sectors, [
      [34, 2048],
      [6144, 8192],
      [12_288, 32_768 - 33],
    ]);
    assert.deepEqual(await Promise.all(gaps.map((gap) => firstData(disk.device, gap))), [
      undefined,
      3 * MiB + 77,
      undefined,
    ]);
    assert.deepEqual(
      disk.volumes.map(({ partition }) => typeName(disk.table!, partition!)),
      ["esp", "linux"],
    );
  });
});

test("what is no image is refused with words that help, and a broken table as one", async () => {
  const refusal = async (bytes: Uint8Array) =>
    openImage(new MemoryDevice(bytes)).then(
      () => assert.fail("it should have been refused"),
      ({ code, message }) => `${code}: ${message}`,
    );
  assert.match(await refusal(new Uint8Array(0)), /^source-unsupported: .*zeros/);
  assert.match(await refusal(new Uint8Array(4096)), /^source-unsupported: .*zeros/);
  assert.match(
    await refusal(new TextEncoder().encode("text\n".repeat(2000))),
    /^source-unsupported: .*no partition table/,
  );
  const gpt = new Uint8Array(2 ** 16);
  gpt.set(new TextEncoder().encode("EFI PART"), 512);
  assert.match(await refusal(gpt), /^image-corrupt: .*55 AA is missing/);
});

test("a file system that cannot be read is not called sound", async (t) => {
  if (lacks(t, "mke2fs")) return;
  const image = path.join(temporaryFolder(t), "journal");
  run("mke2fs", ["-q", "-F", "-O", "journal_dev", image, "8M"]);
  const { findings } = await opened(image, (disk) => verifyImage(disk));
  assert.deepEqual(
    findings.map(({ severity }) => severity),
    ["error"],
  );
  assert.match(findings[0]!.message, /journal_dev/);
});
