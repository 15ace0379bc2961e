/** Volumes for the tests: ours in a sparse file, and what fsck.fat and mtools say of them. */
import { createHash } from "node:crypto";
import * as path from "node:path";
import type { TestContext } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { type Device, RecordingDevice } from "../../src/bytes/device.js";
import { FileDevice, FileReader } from "../../src/bytes/file-device.js";
import { type FatOptions, type FatReader, type FatSummary, writeFat } from "../../src/fat/index.js";
import { contentOf, newDirectory, newFile, readContent } from "../../src/tree/node.js";
import { addNode, type Tree, walk } from "../../src/tree/tree.js";
import { run, temporaryFolder } from "../support/tools.js";

export const OPTIONS = { volumeId: 0x1234abcd, time: 1_700_000_000 };

/** A tree of files by path, in folders as they come. A path that ends with "/" is an empty folder. */
export function treeOf(files: Readonly<Record<string, string | Uint8Array>>, seconds = 1_600_000_000): Tree {
  const tree = { root: newDirectory() };
  const mtime = { seconds, nanoseconds: 0 };
  for (const [name, content] of Object.entries(files)) {
    const node = name.endsWith("/")
      ? newDirectory({ mtime })
      : newFile(contentOf(typeof content === "string" ? Buffer.from(content) : content), { mtime });
    addNode(tree, fromText(name), node, { mtime });
  }
  return tree;
}

export interface Volume extends FatSummary {
  readonly image: string;
  /** What the image holds, as extents of written bytes, zeros that are needed included. */
  readonly written: RecordingDevice;
}

/** Writes `tree` into a file of `size` bytes. */
export async function makeVolume(
  t: TestContext,
  size: number,
  tree: Tree,
  options: Partial<FatOptions> = {},
): Promise<Volume> {
  const image = path.join(temporaryFolder(t), "fat.img");
  const device = new FileDevice(image, size);
  const written = new RecordingDevice(device);
  try {
    return { ...(await writeFat(written, tree, { ...OPTIONS, ...options })), image, written };
  } finally {
    device.close();
  }
}

/** A device whose writes go nowhere: what counts here is whether there is room. */
export const discarding = (size: number): Device => ({
  size,
  read: async (_, length) => new Uint8Array(length),
  write: async () => {},
  zero: async () => {},
});

/** Throws with what fsck.fat says when it finds anything. It never writes (-n), and prints its verdict last. */
export function fsck(image: string): string {
  const said = run("fsck.fat", ["-n", "-v", image]);
  for (const complaint of [/differ/i, /wrong/i, /orphan/i, /bad/i, /\bnot\b/i, /invalid/i, /should/i]) {
    const line = said.split("\n").find((text) => complaint.test(text));
    if (line !== undefined) throw new Error(`fsck.fat: ${line}\n${said}`);
  }
  return said;
}

/** Runs one of the mtools on `image`, in UTC, with names as UTF-8. */
export function mtools(command: string, image: string, ...args: string[]): string {
  return run(command, ["-i", image, ...args], { env: { TZ: "UTC", LC_ALL: "C.UTF-8", MTOOLSRC: "/dev/null" } });
}

/** All bytes of a file that has to be there. */
export async function readFile(reader: FatReader, path: ByteString | string): Promise<Uint8Array> {
  const found = await reader.lookup(path as ByteString);
  if (found?.type !== "file") throw new Error(`${path} is ${found?.type ?? "missing"}`);
  return readContent(reader.content(found));
}

/** Names in a folder that has to be there, in the reader's order. */
export async function namesIn(reader: FatReader, path: ByteString | string): Promise<ByteString[]> {
  const found = await reader.lookup(path as ByteString);
  if (found?.type !== "directory") throw new Error(`${path} is ${found?.type ?? "missing"}`);
  const names: ByteString[] = [];
  for await (const { name } of reader.entries(found)) names.push(name);
  return names;
}

/** Every path of a tree as text: files with their hash, folders as such. */
export async function describe(tree: Tree): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const { path: name, node } of walk(tree)) {
    if (name === "") continue;
    const text = Buffer.from(name, "latin1").toString();
    if (node.type === "directory") found.set(text, "folder");
    else if (node.type === "file")
      found.set(
        text,
        createHash("sha256")
          .update(await readContent(node.content))
          .digest("hex"),
      );
    else throw new Error(`${text} is a ${node.type}`);
  }
  return found;
}

export async function withReader<T>(image: string, use: (device: FileReader) => Promise<T>): Promise<T> {
  const device = new FileReader(image);
  try {
    return await use(device);
  } finally {
    device.close();
  }
}
