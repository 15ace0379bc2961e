/** What the check of all blocks, inodes, names and indexes finds, with e2fsck as the judge of what is sound and what is not. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { ImgbuildError } from "../../src/errors.js";
import { nameHasher } from "../../src/ext4/check/name-hash.js";
import { openExt4 } from "../../src/ext4/index.js";
import { attributesInInode } from "../../src/ext4/reader/xattr-entries.js";
import { newDirectory, newFile } from "../../src/tree/node.js";
import { materialise } from "../support/materialise.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { everything, mke2fs, noise, reading } from "./reading.js";

const BLOCK = 1024;
const EXT4 = ["-t", "ext4", "-b", `${BLOCK}`, "-N", "1024"];
const UNCHECKED = [...EXT4, "-O", "^metadata_csum,^uninit_bg,^64bit,^has_journal"];
const EXT2 = ["-t", "ext2", "-b", `${BLOCK}`, "-N", "1024"];

/** All errors that are found: by the tree, and by the check. */
async function errorsOf(image: Uint8Array): Promise<string[]> {
  const found: string[] = [];
  const note = (error: unknown) => {
    assert.ok(error instanceof ImgbuildError, `${(error as Error).stack}`);
    found.push(error.message);
  };
  const reader = await openExt4(new MemoryDevice(image)).catch(note);
  if (reader === undefined) return found;
  await reader.tree().catch(note);
  for await (const { severity, message, offset } of reader.check()) {
    if (severity === "error") found.push(message);
    assert.ok(offset !== undefined && message.includes(`byte ${offset}`), message);
  }
  return found;
}

/** What e2fsck says of an image that it finds broken; undefined of one that it finds sound. */
function e2fsck(image: string): string | undefined {
  const { status, stdout } = spawnSync("e2fsck", ["-fn", image], { encoding: "latin1" });
  return status === 0 ? undefined : stdout;
}

const debugfs = (image: string, ...commands: string[]) =>
  run("debugfs", ["-w", "-f", "-", image], { input: Buffer.from(`${commands.join("\n")}\n`) });

/** A file system with an indexed folder and one of everything else. */
async function makeImage(t: TestContext, options: readonly string[], size = 8192): Promise<string> {
  const folder = temporaryFolder(t);
  const tree = everything(BLOCK, 300);
  const folders = newDirectory();
  folders.entries.set(fromText("outer"), newDirectory());
  tree.root.entries.set(fromText("folders"), folders);
  tree.root.entries.set(
    fromText("plain"),
    newFile({
      size: 5000,
      async open() {
        return {
          read: async (at, into) => into.set(noise(5000).subarray(at, at + into.length)),
          close: async () => {},
        };
      },
    }),
  );
  await materialise(tree, path.join(folder, "source"));
  const image = path.join(folder, "image");
  mke2fs(image, size, options, path.join(folder, "source"));
  // Gives the crowded folder an index.
  run("sh", ["-c", 'e2fsck -fyD "$0" || [ $? -le 1 ]', image]);
  assert.equal(e2fsck(image), undefined);
  assert.deepEqual(await errorsOf(fs.readFileSync(image)), []);
  return image;
}

const lacksTools = (t: TestContext) => lacks(t, "mke2fs", "e2fsck", "debugfs", "setfattr") || lacksRoot(t);

const blockOf = (image: string, name: string, number = 0) =>
  Number(run("debugfs", ["-R", `bmap ${name} ${number}`, image]));
const freeBlock = (image: string) => Number(/\d+/.exec(run("debugfs", ["-R", "ffb 1", image]).replace(/.*: /, ""))![0]);
const inodeOf = (image: string, name: string) =>
  Number(/Inode: (\d+)/.exec(run("debugfs", ["-R", `stat ${name}`, image]))![1]);

/** Damage that debugfs does, with right checksums. */
const DAMAGES: readonly (readonly [what: string, commands: (image: string) => string[], message: RegExp])[] = [
  [
    "a file in another's blocks",
    (i) => [`sif /plain block[5] ${blockOf(i, "/sizes/1025")}`],
    /uses block \d+, which something else uses/,
  ],
  [
    "a file in an inode table",
    (i) => [`sif /plain block[5] ${/Inode table at (\d+)/.exec(run("dumpe2fs", [i]))![1]}`],
    /uses block \d+, which something else uses/,
  ],
  [
    "a block in use marked free, a free one in use",
    (i) => [`freeb ${blockOf(i, "/plain")}`, `setb ${freeBlock(i)}`],
    /has 1 blocks that are in use as free: the first is block \d+.*has 1 blocks as in use that nothing uses/s,
  ],
  ["sectors of a file", () => ["sif /plain blocks 400"], /says that it has 400 sectors, and has \d+/],
  ["names of a folder", () => ["sif /folders links_count 9"], /counts 9 names, and has 3/],
  ["names of the root", () => ["sif / links_count 99"], /inode 2 counts 99 names/],
  ["an inode in use marked free", (i) => [`freei <${inodeOf(i, "/plain")}>`], /has 1 inodes that are in use as free/],
  [
    "a free inode marked in use",
    () => ["seti <1000>"],
    /has 1 inodes as in use that nothing uses: the first is inode 1000/,
  ],
  [
    "a group's free blocks",
    () => ["set_bg 0 free_blocks_count 5", "set_bg 0 checksum calc"],
    /its descriptor counts 5/,
  ],
  [
    "a group's free inodes",
    () => ["set_bg 0 free_inodes_count 5", "set_bg 0 checksum calc"],
    /its descriptor counts 5/,
  ],
  [
    "a group's directories",
    () => ["set_bg 0 used_dirs_count 3", "set_bg 0 checksum calc"],
    /directories, and its descriptor counts 3/,
  ],
  ["a time of deletion", () => ["sif /plain dtime 1500000000"], /is in use, and has a time of deletion/],
  ["no time of deletion", () => ["sif /sizes/0 links_count 0", "unlink /sizes/0"], /has no names, and was not deleted/],
  ["a file without a name", () => ["unlink /plain"], /is in use, and no name leads to it/],
  ["data behind the end", () => ["sif /plain size 10"], /has 10 bytes, and data behind them/],
  [
    "folders within each other",
    () => ["ln /folders /folders/outer/folders", "unlink /folders"],
    /is within itself, and not below the root/,
  ],
  ["a flag of directories", () => ["sif /plain flags 0x81000"], /has the flag index/],
];

test("finds what e2fsck finds: damage with right checksums", async (t) => {
  if (lacksTools(t)) return;
  const image = await makeImage(t, EXT4);
  const sound = fs.readFileSync(image);
  for (const [what, commands, message] of DAMAGES) {
    debugfs(image, ...commands(image));
    assert.notEqual(e2fsck(image), undefined, `${what}: e2fsck finds nothing`);
    assert.match((await errorsOf(fs.readFileSync(image))).join("\n"), message, what);
    fs.writeFileSync(image, sound);
  }
});

test("finds names that their hashes do not lead to", async (t) => {
  if (lacksTools(t)) return;
  const image = await makeImage(t, UNCHECKED);
  const sound = fs.readFileSync(image);
  const root = blockOf(image, "/crowd") * BLOCK;
  const count = sound.readUInt16LE(root + 0x22);
  assert.ok(count >= 3, "the folder has no index");
  const second = root + 0x28;
  const swap = (bytes: Buffer, a: number, b: number) => {
    const [left, right] = [bytes.readUInt32LE(a), bytes.readUInt32LE(b)];
    bytes.writeUInt32LE(right, a);
    bytes.writeUInt32LE(left, b);
  };
  for (const [what, damage, message] of [
    [
      "two leaves swapped",
      (i: Buffer) => swap(i, second + 4, second + 12),
      /names in its block \d+ that its index does not lead to/,
    ],
    ["hashes swapped", (i: Buffer) => swap(i, second, second + 8), /hashes do not ascend/],
    [
      "another hash",
      (i: Buffer) => i.writeUInt32LE(i.readUInt32LE(second) + 0x01000000, second),
      /that its index does not lead to/,
    ],
    ["a leaf twice", (i: Buffer) => i.writeUInt32LE(i.readUInt32LE(second + 4), second + 12), /or twice/],
    [
      "a leaf less",
      (i: Buffer) => i.writeUInt16LE(count - 1, root + 0x22),
      /has a block \d+ that its index does not lead to/,
    ],
    [
      "another limit",
      (i: Buffer) => i.writeUInt16LE(100, root + 0x20),
      /with room for 100 where there is room for 124/,
    ],
    ["another hash function", (i: Buffer) => i.writeUInt8(2, root + 28), /that its index does not lead to/],
    ["an unknown hash function", (i: Buffer) => i.writeUInt8(9, root + 28), /the unknown hash 9/],
    ["more levels", (i: Buffer) => i.writeUInt8(7, root + 30), /an index of 7 levels/],
  ] as const) {
    const broken = Buffer.from(sound);
    damage(broken);
    fs.writeFileSync(image, broken);
    assert.match(`${e2fsck(image)}`, /HTREE/i, what);
    assert.match((await errorsOf(broken)).join("\n"), message, what);
  }
});

test("counts who shares attributes", async (t) => {
  if (lacksTools(t)) return;
  const image = await makeImage(t, UNCHECKED);
  const bytes = fs.readFileSync(image);
  const block = await reading(image, async (reader) => (await reader.lookup(fromText("xattrs/0")))!.stored.xattrBlock);
  bytes.writeUInt32LE(9, block * BLOCK + 4);
  fs.writeFileSync(image, bytes);
  assert.match(`${e2fsck(image)}`, /reference count 9/);
  assert.match(
    (await errorsOf(bytes)).join("\n"),
    /attributes in block \d+ are said to be of 9 inodes, and are of [1-6]/,
  );
});

test("values of attributes in inodes of their own", async (t) => {
  if (lacksTools(t)) return;
  const image = await makeImage(t, [
    "-t",
    "ext4",
    "-b",
    `${BLOCK}`,
    "-I",
    "256",
    "-O",
    "ea_inode,^metadata_csum,^uninit_bg",
  ]);
  const folder = path.dirname(image);
  fs.writeFileSync(
    path.join(folder, "value"),
    noise(3000).map((byte) => byte | 1),
  );
  debugfs(image, `ea_set -f ${path.join(folder, "value")} /plain user.large`);
  // debugfs forgets to count the blocks of the value.
  run("sh", ["-c", 'e2fsck -fy "$0" || [ $? -le 1 ]', image]);
  assert.equal(e2fsck(image), undefined);
  const sound = fs.readFileSync(image);
  assert.deepEqual(await errorsOf(sound), []);
  const inode = await reading(image, async (reader) => (await reader.lookup(fromText("plain")))!);
  const [{ valueInode = 0 } = {}] = attributesInInode(inode);
  debugfs(image, `sif <${valueInode}> version 7`);
  assert.match(`${e2fsck(image)}`, /ref ?count|reference/i);
  assert.match(
    (await errorsOf(fs.readFileSync(image))).join("\n"),
    /the value of an attribute, counts 7 references, and has 1/,
  );
});

const random = (seed: number) => {
  let state = seed;
  return (limit: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
};

/** Fields of inodes that are looked at: offset and length. What e2fsck knows of times and owners is nothing. */
const FIELDS = {
  mode: [0, 2],
  size: [4, 4],
  dtime: [0x14, 4],
  links: [0x1a, 2],
  blocks: [0x1c, 4],
  flags: [0x20, 4],
  map: [0x28, 60],
  xattrs: [0x68, 4],
} as const;

test("says of any flipped bit what e2fsck says, where there are no checksums", async (t) => {
  if (lacksTools(t)) return;
  for (const [options, seed] of [
    [UNCHECKED, 4],
    [EXT2, 2],
  ] as const) {
    const image = await makeImage(t, options);
    const sound = fs.readFileSync(image);
    const next = random(seed);
    const groups = Math.ceil((sound.readUInt32LE(1024 + 4) - 1) / sound.readUInt32LE(1024 + 0x20));
    assert.equal(groups, 1);
    const [blocks, inodes, table] = [0, 4, 8].map((at) => sound.readUInt32LE(2048 + at) * BLOCK);
    const size = sound.readUInt16LE(1024 + 0x58);
    const used = Array.from({ length: 1024 }, (_, i) => table! + i * size).filter(
      (at) => sound.readUInt16LE(at + 0x1a) > 0,
    );
    let broken = 0;
    for (let i = 0; i < 150; i++) {
      const names = Object.values(FIELDS);
      const [field, length] = names[next(names.length)]!;
      const at = [
        () => used[next(used.length)]! + field + next(length),
        () => 2048 + next(0x12),
        () => blocks! + next(BLOCK),
        () => inodes! + next(1024 / 8),
      ][Math.max(0, next(6) - 2)]!();
      const bit = next(8);
      const copy = Buffer.from(sound);
      copy[at]! ^= 1 << bit;
      fs.writeFileSync(image, copy);
      const verdict = e2fsck(image);
      const ours = await errorsOf(copy);
      if (verdict !== undefined) broken++;
      assert.equal(
        ours.length > 0,
        verdict !== undefined,
        `bit ${bit} of byte ${at}: ${verdict}\nand ours: ${ours.join("\n")}`,
      );
    }
    assert.ok(broken > 75, `${broken}`);
  }
});

test("hashes names as debugfs does", (t) => {
  if (lacks(t, "debugfs")) return;
  const seeds = ["01234567-89ab-cdef-fedc-ba9876543210", "00000000-0000-0000-0000-000000000000"];
  const names = ["a", "lost+found", "x".repeat(15), "y".repeat(33), "z".repeat(255), "ä\u00ffß", "naïve—name"];
  const versions = ["legacy", "half_md4", "tea"];
  for (const seed of seeds) {
    const bytes = Buffer.from(seed.replaceAll("-", ""), "hex");
    for (const [version, hash] of versions.entries()) {
      // debugfs takes them as signed; the writer's tests have the kernel look for unsigned ones.
      const hasher = nameHasher(version, bytes, false)!;
      const commands = names.map((name) => `dx_hash -h ${hash} -s ${seed} ${name}\n`).join("");
      const told = run("debugfs", ["-f", "-"], { input: Buffer.from(commands) });
      const hashes = [...told.matchAll(/is (0x[0-9a-f]+)/g)].map(([, hex]) => Number(hex));
      assert.deepEqual(
        names.map((name) => hasher(fromText(name))),
        hashes,
        `${hash} ${seed}`,
      );
    }
  }
});

/** With what mke2fs can make. Those that -d cannot fill are written by the kernel, below. */
const SETS = [
  ["-t", "ext4", "-b", "4096"],
  ["-t", "ext4", "-b", "1024", "-O", "^flex_bg", "-g", "1024"],
  ["-t", "ext4", "-b", "2048", "-O", "^metadata_csum,uninit_bg"],
  ["-t", "ext4", "-O", "bigalloc"],
  ["-t", "ext4", "-b", "1024", "-O", "bigalloc,^resize_inode", "-C", "8192"],
  ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode", "-g", "1024"],
  ["-t", "ext4", "-O", "inline_data,ea_inode,orphan_file", "-I", "512"],
  ["-t", "ext4", "-b", "1024", "-O", "sparse_super2,mmp,large_dir,fast_commit"],
  ["-t", "ext4", "-O", "casefold,encrypt,verity,metadata_csum_seed"],
  ["-t", "ext3", "-b", "1024", "-I", "128"],
  ["-t", "ext2", "-b", "1024", "-O", "^resize_inode,^sparse_super"],
];

test("says nothing on sound file systems of mke2fs", async (t) => {
  if (lacksTools(t)) return;
  const folder = temporaryFolder(t);
  const source = path.join(folder, "source");
  await materialise(everything(1024, 300), source);
  const image = path.join(folder, "image");
  for (const options of SETS) {
    mke2fs(image, 32_768, options, source);
    assert.equal(e2fsck(image), undefined, options.join(" "));
    assert.deepEqual(await errorsOf(fs.readFileSync(image)), [], options.join(" "));
    fs.rmSync(image);
  }
});

test("says nothing on what the kernel has written, unmounted or not", async (t) => {
  if (lacksTools(t)) return;
  const folder = temporaryFolder(t);
  const [image, copy] = [path.join(folder, "image"), path.join(folder, "copy")];
  for (const options of [
    ["-t", "ext4", "-b", "1024"],
    ["-t", "ext4", "-b", "4096", "-O", "inline_data,ea_inode,orphan_file", "-I", "256"],
    ["-t", "ext4", "-b", "1024", "-O", "bigalloc,^resize_inode"],
    ["-t", "ext3", "-b", "1024"],
  ]) {
    fs.rmSync(image, { force: true });
    mke2fs(image, 65_536, options);
    await mounted(image, { type: options[1]!, writable: true }, async (root) => {
      await materialise(everything(1024, 300), path.join(root, "all"));
      const at = (name: string) => path.join(root, name);
      for (let i = 0; i < 600; i++) fs.writeFileSync(at(`all/crowd/later ${i}`), "");
      for (let i = 0; i < 300; i++) fs.rmSync(at(`all/crowd/later ${2 * i}`));
      for (let i = 0; i < 40; i++) fs.mkdirSync(at(`folder ${i}`));
      for (let i = 0; i < 40; i += 3) fs.rmdirSync(at(`folder ${i}`));
      if (options[1] === "ext4") run("fallocate", ["-l", "300000", at("all/sizes/100")]);
      fs.writeFileSync(at("long"), noise(3_000_000));
      fs.truncateSync(at("long"), 1_234_567);
      // Open and without a name: it is an orphan as long as nobody unmounts.
      const open = fs.openSync(at("open"), "w");
      fs.writeSync(open, noise(70_000));
      fs.rmSync(at("open"));
      run("sync", ["-f", root]);
      fs.copyFileSync(image, copy);
      fs.closeSync(open);
    });
    assert.equal(e2fsck(image), undefined);
    assert.deepEqual(await errorsOf(fs.readFileSync(image)), [], options.join(" "));
    assert.deepEqual(await errorsOf(fs.readFileSync(copy)), [], `not unmounted: ${options.join(" ")}`);
  }
});
