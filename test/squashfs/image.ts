/** Writing images to files for the tests of this folder, and comparing what others read from them. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { FileDevice } from "../../src/bytes/file-device.js";
import { type SquashfsOptions, type SquashfsSummary, writeSquashfs } from "../../src/squashfs/index.js";
import { type Content, contentOf, newDirectory, newFile, type RegularFile } from "../../src/tree/node.js";
import { addNode, type Tree } from "../../src/tree/tree.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import { mounted, run } from "../support/tools.js";

export type Options = Partial<SquashfsOptions>;

/** More than any test needs; the part that is not written is a hole. */
const WINDOW = 2 ** 36;

/** Writes an image into `folder`, cut to its size. */
export async function writeImage(
  folder: string,
  tree: Tree,
  options: Options = {},
): Promise<{ image: string; summary: SquashfsSummary }> {
  const image = path.join(folder, "image.squashfs");
  const device = new FileDevice(image, WINDOW);
  try {
    const summary = await writeSquashfs(device, tree, { time: 0, ...options });
    device.resize(summary.size);
    return { image, summary };
  } finally {
    device.close();
  }
}

/** The image's bytes. */
export async function imageBytes(tree: Tree, options: Options = {}): Promise<Uint8Array> {
  const device = new MemoryDevice(2 ** 24);
  const { size } = await writeSquashfs(device, tree, { time: 0, ...options });
  return device.bytes.slice(0, size);
}

/** Asserts that the kernel shows exactly `tree`. */
export async function assertKernelShows(image: string, tree: Tree): Promise<void> {
  const expected = await describeTree(tree);
  const found = await mounted(image, { type: "squashfs" }, (folder) => describeDirectory(folder));
  assert.deepEqual(found, expected);
}

/** Asserts that unsquashfs extracts exactly `tree` into a new folder in `folder`. */
export async function assertExtracts(folder: string, image: string, tree: Tree): Promise<void> {
  const target = path.join(folder, "extracted");
  run("unsquashfs", ["-no-progress", "-strict-errors", "-d", target, image]);
  try {
    assert.deepEqual(describeDirectory(target), await describeTree(tree));
  } finally {
    fs.rmSync(target, { recursive: true });
  }
}

export const name = (text: string): ByteString => fromText(text);

/** A tree of regular files. Paths may have folders in them. */
export function treeOf(files: Readonly<Record<string, Uint8Array | Content | RegularFile>>): Tree {
  const tree = { root: newDirectory() };
  for (const [at, what] of Object.entries(files)) {
    const node = what instanceof Uint8Array ? newFile(contentOf(what)) : "open" in what ? newFile(what) : what;
    addNode(tree, fromText(at), node);
  }
  return tree;
}

/** Bytes without order, the same ones for the same seed. */
export function noise(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

/** Bytes that compress well and repeat nowhere. */
export function text(length: number, seed = 1): Uint8Array {
  const lines: string[] = [];
  for (let i = 0, total = 0; total < length; i++) {
    lines.push(`${seed}: line ${i} of some text\n`);
    total += lines.at(-1)!.length;
  }
  return new TextEncoder().encode(lines.join("")).slice(0, length);
}
