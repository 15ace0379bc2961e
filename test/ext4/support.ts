/** Making ext4 images for tests, and asking e2fsprogs about them. */
import assert from "node:assert/strict";
import { RecordingDevice } from "../../src/bytes/device.js";
import { FileDevice } from "../../src/bytes/file-device.js";
import { type Ext4Options, type Ext4Summary, writeExt4 } from "../../src/ext4/index.js";
import type { Directory } from "../../src/tree/node.js";
import { type Tree, walk } from "../../src/tree/tree.js";
import { run } from "../support/tools.js";

export const MiB = 2 ** 20;
export const GiB = 2 ** 30;

export const OPTIONS = {
  uuid: "5d3f1c9e-0b1a-4c53-9a7e-0f1e2d3c4b5a",
  hashSeed: "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9",
  time: 1_700_000_000,
} as const satisfies Ext4Options;

/** Sets of features that lay the disk out differently, with both sizes of inodes. */
export const FORMATS = [
  "ext4",
  "ext3",
  "ext2,extent",
  "-flex_bg",
  "-metadata_csum,uninit_bg,64bit",
  "-resize_inode,-sparse_super",
]
  .flatMap((features) => ([128, 256] as const).map((inodeSize) => ({ features, inodeSize })))
  .map((format) => (format.inodeSize === 128 ? { ...format, features: `${format.features},-extra_isize` } : format));

/**
 * Gives every node nanoseconds that follow from its place, which random trees do not have; and times before 2038 where inodes
 * have no room for others.
 */
export function addTimes(root: Directory, inodeSize: 128 | 256): void {
  let count = 1;
  for (const { node } of walk({ root })) {
    const seconds = inodeSize === 128 ? node.mtime.seconds % 2 ** 31 : node.mtime.seconds;
    node.mtime = { seconds, nanoseconds: (count++ * 123_456_789) % 1e9 };
  }
}

/** Writes a file system into a new sparse file. */
export async function makeImage(
  path: string,
  size: number,
  tree?: Tree,
  options: Partial<Ext4Options> = {},
): Promise<Ext4Summary> {
  const device = new FileDevice(path, size);
  try {
    return await writeExt4(new RecordingDevice(device), tree, { ...OPTIONS, ...options });
  } finally {
    device.close();
  }
}

/** Fails unless e2fsck has nothing to say: no more than its version, its passes and its summary. */
export function assertClean(path: string): void {
  const lines = run("e2fsck", ["-fn", path]).split("\n");
  const remarks = lines.filter(
    (line) =>
      line !== "" &&
      !/^Pass [1-5]: /.test(line) &&
      !/: \d+\/\d+ files \(\d+\.\d% non-contiguous\), \d+\/\d+ blocks$/.test(line),
  );
  assert.deepEqual(remarks, []);
}

/** The fields of `dumpe2fs -h`. */
export function superblockFields(path: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of run("dumpe2fs", ["-h", path]).split("\n")) {
    const match = /^([^:]+):\s+(.*)$/.exec(line);
    if (match) fields.set(match[1]!, match[2]!);
  }
  return fields;
}

/** What debugfs prints for one request. */
export function debugfs(path: string, request: string): string {
  return run("debugfs", ["-R", request, path]);
}
