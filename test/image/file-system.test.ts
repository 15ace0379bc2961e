/** What the image layer sees of a file system is the same for every format. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { writeExt4 } from "../../src/ext4/index.js";
import { writeFat } from "../../src/fat/index.js";
import { detectFileSystem, type FileSystem, openFileSystem } from "../../src/image/file-system.js";
import { writeSquashfs } from "../../src/squashfs/index.js";
import { readContent } from "../../src/tree/node.js";
import { resolvePath } from "../../src/tree/real-path.js";
import type { Tree } from "../../src/tree/tree.js";
import { deepTree } from "../support/deep-tree.js";

const MiB = 2 ** 20;
const ID = "5d3f1c9e-0b1a-4c53-9a7e-0f1e2d3c4b5a";

/** Counts how often it is read. */
class CountingDevice extends MemoryDevice {
  reads = 0;

  override read(at: number, length: number): Promise<Uint8Array> {
    this.reads++;
    return super.read(at, length);
  }
}

const WRITERS: readonly (readonly [string, (device: MemoryDevice, tree: Tree) => Promise<unknown>])[] = [
  ["ext4", (device, tree) => writeExt4(device, tree, { uuid: ID, hashSeed: ID, time: 0 })],
  ["squashfs", (device, tree) => writeSquashfs(device, tree, { time: 0 })],
  ["fat", (device, tree) => writeFat(device, tree, { volumeId: 1, time: 0 })],
];

async function opened(device: MemoryDevice): Promise<FileSystem> {
  return openFileSystem(device, (await detectFileSystem(device))!);
}

for (const [kind, write] of WRITERS) {
  test(`${kind}: a deep path costs a few reads a folder`, async () => {
    const depth = 1000;
    const device = new CountingDevice(64 * MiB);
    await write(device, deepTree(depth));
    const { root } = await opened(device);
    device.reads = 0;
    const { path, found } = await resolvePath(root, fromText(`${"d/".repeat(depth)}f`));
    assert.equal(path, `/${"d/".repeat(depth)}f`);
    const node = await found!.node();
    assert.ok(node.type === "file");
    assert.equal(Buffer.from(await readContent(node.content)).toString(), "bottom");
    assert.ok(device.reads <= 4 * depth, `${device.reads} reads`);
  });

  test(`${kind}: names are looked up in a folder, and in nothing else`, async () => {
    const device = new MemoryDevice(16 * MiB);
    await write(device, deepTree(2));
    const { root } = await opened(device);
    const folder = await root.lookup(fromText("d"));
    assert.equal(folder?.type, "directory");
    const file = await (await folder!.lookup(fromText("d")))!.lookup(fromText("f"));
    assert.equal(file?.type, "file");
    assert.equal(await folder!.lookup(fromText("f")), undefined);
    assert.equal(await file!.lookup(fromText("f")), undefined);
    assert.deepEqual([...(await folder!.tree()).root.entries.keys()], ["d"]);
    assert.equal((await root.lookup(fromText("D")))?.type, kind === "fat" ? "directory" : undefined);
    const { path, found } = await resolvePath(root, fromText("d/../d/d/x/.."));
    assert.deepEqual([path, found?.type], ["/d/d", "directory"]);
  });
}
