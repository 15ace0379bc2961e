/** The upper halves of numbers, where the kernel takes them by a feature: without it, whatever is there means nothing. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { openExt4 } from "../../src/ext4/index.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { mke2fs } from "./reading.js";

/** i_size_high, and l_i_file_acl_high. */
const SIZE_HIGH = 0x6c;
const XATTR_BLOCK_HIGH = 0x76;

/** A file system with a folder, and a file whose attributes have a block; without checksums, so that it can be changed. */
async function makeSmall(t: TestContext, features: string): Promise<{ image: string; bytes: Buffer }> {
  const image = path.join(temporaryFolder(t), "image");
  mke2fs(image, 4096, [
    "-t",
    "ext4",
    "-b",
    "1024",
    "-I",
    "128",
    "-O",
    `^has_journal,^metadata_csum,^uninit_bg,${features}`,
  ]);
  await mounted(image, { type: "ext4", writable: true }, (folder) => {
    fs.mkdirSync(`${folder}/folder`);
    fs.writeFileSync(`${folder}/folder/file`, "content");
    run("setfattr", ["-n", "user.name", "-v", "value", `${folder}/folder/file`]);
  });
  return { image, bytes: fs.readFileSync(image) };
}

async function inodeAt(bytes: Buffer, name: string): Promise<number> {
  const reader = await openExt4(new MemoryDevice(bytes));
  return (await reader.lookup(fromText(name)))!.at;
}

test("without large_dir and 64bit, as the kernel has it", async (t) => {
  if (lacks(t, "mke2fs", "setfattr", "getfattr") || lacksRoot(t)) return;
  const { image, bytes } = await makeSmall(t, "^64bit,^large_dir");
  const options = { ignore: ["lost+found"] };
  const before = await describeTree(await (await openExt4(new MemoryDevice(bytes))).tree(), options);
  bytes.writeUInt32LE(1, (await inodeAt(bytes, "folder")) + SIZE_HIGH);
  bytes.writeUInt16LE(1, (await inodeAt(bytes, "folder/file")) + XATTR_BLOCK_HIGH);
  fs.writeFileSync(image, bytes);
  assert.deepEqual(await describeTree(await (await openExt4(new MemoryDevice(bytes))).tree(), options), before);
  assert.deepEqual(await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, options)), before);
});

test("with large_dir and 64bit, they count", async (t) => {
  if (lacks(t, "mke2fs", "setfattr") || lacksRoot(t)) return;
  const { bytes } = await makeSmall(t, "64bit,large_dir");
  const folder = await inodeAt(bytes, "folder");
  const file = await inodeAt(bytes, "folder/file");
  bytes.writeUInt16LE(1, file + XATTR_BLOCK_HIGH);
  const tree = async () => (await openExt4(new MemoryDevice(bytes))).tree();
  await assert.rejects(tree(), { code: "image-corrupt", message: /attributes in block 4294\d{6}/ });
  bytes.writeUInt16LE(0, file + XATTR_BLOCK_HIGH);
  bytes.writeUInt32LE(1, folder + SIZE_HIGH);
  const reader = await openExt4(new MemoryDevice(bytes));
  assert.equal((await reader.lookup(fromText("folder")))!.size, 2 ** 32 + 1024);
});
