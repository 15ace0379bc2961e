/** What is in our file systems, read by libext2fs as compiled to WebAssembly: neither the kernel nor a host tool. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fromText, toBytes } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { writeExt4 } from "../../src/ext4/index.js";
import { contentOf, newDirectory, newFile, newMetadata } from "../../src/tree/node.js";
import { MiB, OPTIONS } from "./support.js";

interface Stats {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly nlink: number;
  readonly mtime: Date;
}

interface Ext2fs {
  withMountedDisk<T>(disk: object, offset: number, use: (fs: { promises: FileSystem }) => Promise<T>): Promise<T>;
}

interface FileSystem {
  readdir(path: string): Promise<string[]>;
  /** Always as UTF-8. */
  readFile(path: string): Promise<string>;
  readlink(path: string): Promise<string>;
  lstat(path: string): Promise<Stats>;
}

const ext2fs = createRequire(import.meta.url)("ext2fs") as Ext2fs;

/** The interface of the package's disks, over an array. */
function diskOf(device: MemoryDevice) {
  return {
    async read(buffer: Uint8Array, at: number, length: number, from: number) {
      buffer.set(device.bytes.subarray(from, from + length), at);
      return { bytesRead: length, buffer };
    },
    // It notes when a file was last read.
    async write(buffer: Uint8Array, at: number, length: number, to: number) {
      device.bytes.set(buffer.subarray(at, at + length), to);
      return { bytesWritten: length, buffer };
    },
    async discard() {},
    async flush() {},
  };
}

for (const blockSize of [1024, 4096] as const) {
  test(`libext2fs reads it, with blocks of ${blockSize}`, async () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i % 70_000 < 20_000 ? 0 : i % 127));
    const root = newDirectory();
    const folder = newDirectory({ mode: 0o2751, uid: 1000, gid: 7 });
    root.entries.set(fromText("folder"), folder);
    const file = newFile(contentOf(bytes), { mode: 0o640, mtime: { seconds: 1_600_000_000, nanoseconds: 5 } });
    folder.entries.set(fromText("file"), file);
    folder.entries.set(fromText("same"), file);
    folder.entries.set(fromText("short"), { type: "symlink", ...newMetadata(0o777), target: fromText("file") });
    folder.entries.set(fromText("long"), { type: "symlink", ...newMetadata(0o777), target: fromText("l".repeat(500)) });
    const many = newDirectory();
    root.entries.set(fromText("many"), many);
    for (let i = 0; i < 3000; i++)
      many.entries.set(fromText(`entry ${i}`), newFile(contentOf(toBytes(fromText(`content ${i}`)))));
    const device = new MemoryDevice(40 * MiB);
    await writeExt4(device, { root }, { ...OPTIONS, blockSize });

    await ext2fs.withMountedDisk(diskOf(device), 0, async ({ promises: fs }) => {
      assert.deepEqual((await fs.readdir("/")).sort(), ["folder", "lost+found", "many"]);
      assert.deepEqual((await fs.readdir("/folder")).sort(), ["file", "long", "same", "short"]);
      assert.equal((await fs.readdir("/many")).length, 3000);
      assert.equal(await fs.readFile("/many/entry 1234"), "content 1234");
      assert.ok((await fs.readFile("/folder/same")) === Buffer.from(bytes).toString());
      assert.equal(await fs.readlink("/folder/short"), "file");
      assert.equal(await fs.readlink("/folder/long"), "l".repeat(500));
      const stat = await fs.lstat("/folder/file");
      assert.deepEqual(
        [stat.mode, stat.size, stat.nlink, stat.mtime.getTime() / 1000],
        [0o100640, bytes.length, 2, 1_600_000_000],
      );
      const { mode, uid, gid } = await fs.lstat("/folder");
      assert.deepEqual([mode, uid, gid], [0o042751, 1000, 7]);
    });
  });
}
