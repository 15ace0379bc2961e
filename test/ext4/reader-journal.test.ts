/**
 * File systems that were not unmounted: images of mounted ones, as a power cut leaves them. The kernel and e2fsck replay the
 * journal of a copy, and what is found then has to be what our reader finds without writing a byte.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { openExt4 } from "../../src/ext4/index.js";
import { verifyFile } from "../image/image-files.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { describeImage, mke2fs, noise, reading } from "./reading.js";

const OPTIONS = { nanoseconds: true, ignore: ["lost+found"] };
const JOURNAL_MAGIC = Uint8Array.of(0xc0, 0x3b, 0x39, 0x98);

function writeAndSync(file: string, bytes: Uint8Array): void {
  const fd = fs.openSync(file, "w");
  fs.writeSync(fd, bytes);
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/**
 * Many transactions, with blocks that are freed and become another's: a journal of 1024 blocks is gone around several times.
 * A commit writes the journal alone; the blocks themselves follow when the kernel finds time.
 */
function work(folder: string): void {
  for (let i = 0; i < 60; i++) {
    fs.mkdirSync(`${folder}/d${i}`);
    for (let k = 0; k < 30; k++) fs.symlinkSync(`${i} ${k} `.repeat(40), `${folder}/d${i}/link ${k}`);
    writeAndSync(`${folder}/d${i}/file`, noise(i * 100, i + 1));
    if (i % 3 === 2) fs.rmSync(`${folder}/d${i - 1}`, { recursive: true });
    // Blocks of what was just removed become data, which goes past the journal unless it has all data in it.
    if (i % 3 === 2) writeAndSync(`${folder}/data ${i}`, noise(40_000, i));
    if (i % 10 === 0)
      writeAndSync(
        `${folder}/magic ${i}`,
        Uint8Array.from({ length: 20_000 }, (_, k) => JOURNAL_MAGIC[k % 4]!),
      );
    if (i % 7 === 0) fs.renameSync(`${folder}/d${i}/file`, `${folder}/moved ${i}`);
  }
}

/** Mounts with `options`, works, and copies the image while it is mounted. */
async function crash(image: string, copy: string, options: string): Promise<void> {
  await crashWhen(image, copy, options, work);
}

/** As `crash`, with other work. Returns what that returned. */
async function crashWhen<T>(image: string, copy: string, options: string, use: (folder: string) => T): Promise<T> {
  const folder = `${image}.mount`;
  fs.mkdirSync(folder, { recursive: true });
  run("mount", ["-t", "ext4", "-o", `loop,${options}`, image, folder]);
  try {
    const result = use(folder);
    fs.copyFileSync(image, copy);
    return result;
  } finally {
    run("umount", [folder]);
  }
}

/** e2fsck replays; it ends with 1 when it has changed something. */
function replayWithE2fsck(image: string): void {
  run("sh", ["-c", 'e2fsck -E journal_only -y "$0" || [ $? -le 1 ]', image]);
}

const KINDS: readonly (readonly [name: string, options: readonly string[], mount: string])[] = [
  ["ext3", ["-t", "ext3", "-b", "1024", "-J", "size=1"], "commit=600"],
  ["ext4", ["-t", "ext4", "-b", "1024", "-J", "size=1"], "commit=600"],
  ["ext4, 4 KiB", ["-t", "ext4", "-b", "4096", "-J", "size=4"], "commit=600"],
  ["data in the journal", ["-t", "ext4", "-b", "1024", "-J", "size=2"], "data=journal"],
  [
    "data in a journal without 64bit",
    ["-t", "ext4", "-b", "1024", "-J", "size=2", "-O", "^64bit,^metadata_csum"],
    "data=journal",
  ],
  ["checksums of commits", ["-t", "ext4", "-b", "1024", "-J", "size=2", "-O", "^metadata_csum"], "journal_checksum"],
  [
    "commits that nobody waits for",
    ["-t", "ext4", "-b", "1024", "-J", "size=2"],
    "journal_async_commit,data=writeback",
  ],
  ["inline data", ["-t", "ext4", "-b", "4096", "-J", "size=4", "-O", "inline_data"], "commit=600"],
];

for (const [name, options, mount] of KINDS) {
  test(`not unmounted: ${name}`, async (t) => {
    if (lacks(t, "mke2fs", "e2fsck", "getfattr") || lacksRoot(t)) return;
    const folder = temporaryFolder(t);
    const [image, copy, replayed] = ["image", "copy", "replayed"].map((file) => path.join(folder, file)) as [
      string,
      string,
      string,
    ];
    mke2fs(image, 12 * 1024, options);
    await crash(image, copy, mount);
    fs.copyFileSync(copy, replayed);
    const before = fs.readFileSync(copy);

    const found = await describeImage(copy, OPTIONS);
    await reading(copy, async ({ facts }) => {
      assert.equal(facts.state, "recovered");
      assert.ok(facts.features.includes("needs_recovery"));
      assert.ok(facts.recovery!.transactions > 3 && facts.recovery!.blocks > 10, JSON.stringify(facts.recovery));
      assert.equal(facts.recovery!.fastCommits, false);
    });
    assert.ok(before.equals(fs.readFileSync(copy)), "nothing was written");

    replayWithE2fsck(replayed);
    await reading(replayed, async ({ facts }) => assert.deepEqual([facts.state, facts.recovery], ["clean", undefined]));
    assert.deepEqual(found, await describeImage(replayed, OPTIONS));
    const shown = await mounted(copy, { type: "ext4", writable: true }, (at) => describeDirectory(at, OPTIONS));
    assert.deepEqual(found, shown);
    assert.ok(found.has("data 59") && !found.has("d58"));
  });
}

/** Where blocks of this kind are in the image: those of the journal, whatever turn of the ring they are from. */
function journalBlocks(image: Buffer, kind: number, blockSize: number): number[] {
  const found: number[] = [];
  const head = Buffer.from([...JOURNAL_MAGIC, 0, 0, 0, kind]);
  for (let at = image.indexOf(head); at >= 0; at = image.indexOf(head, at + 1))
    if (at % blockSize === 0) found.push(at);
  return found;
}

test("a journal ends where a commit is missing or damaged, as it does for e2fsck", async (t) => {
  if (lacks(t, "mke2fs", "e2fsck") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const [image, copy, damaged] = ["image", "copy", "damaged"].map((file) => path.join(folder, file)) as [
    string,
    string,
    string,
  ];
  for (const features of ["metadata_csum", "^metadata_csum"]) {
    mke2fs(image, 12 * 1024, ["-t", "ext4", "-b", "1024", "-J", "size=4", "-O", features]);
    await crash(image, copy, features === "metadata_csum" ? "commit=600" : "journal_checksum");
    const whole = fs.readFileSync(copy);
    const all = await reading(copy, async ({ facts }) => facts.recovery!.transactions);
    const commits = journalBlocks(whole, 2, 1024).sort((a, b) => whole.readUInt32BE(a + 8) - whole.readUInt32BE(b + 8));
    for (const [back, field] of [
      [1, 0],
      [2, 8],
      [4, 16],
    ] as const) {
      const bytes = Buffer.from(whole);
      bytes[commits.at(-back)! + field]! ^= 0x40;
      fs.writeFileSync(damaged, bytes);
      const found = await describeImage(damaged, OPTIONS);
      const { facts } = await openExt4(new MemoryDevice(bytes));
      assert.equal(facts.recovery!.transactions, all - back);
      replayWithE2fsck(damaged);
      assert.deepEqual(found, await describeImage(damaged, OPTIONS), `${features} ${back} ${field}`);
    }
    fs.rmSync(`${image}.mount`, { recursive: true });
    fs.rmSync(image);
  }
});

test("a committed transaction that is damaged is an error, with the block's place", async (t) => {
  if (lacks(t, "mke2fs") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "image");
  const copy = path.join(folder, "copy");
  mke2fs(image, 12 * 1024, ["-t", "ext4", "-b", "1024", "-J", "size=4"]);
  await crash(image, copy, "commit=600");
  const whole = fs.readFileSync(copy);
  const sequence = (at: number) => whole.readUInt32BE(at + 8);
  const last = Math.max(...journalBlocks(whole, 2, 1024).map(sequence));
  const first = journalBlocks(whole, 1, 1024).find((at) => sequence(at) === last)!;
  const damage = async (at: number) => {
    const bytes = Buffer.from(whole);
    bytes[at]! ^= 1;
    return openExt4(new MemoryDevice(bytes));
  };
  // The kernel does not mount these.
  await assert.rejects(damage(first + 500), {
    code: "image-corrupt",
    data: { offset: first },
    message: /was committed, and is damaged/,
  });
  await assert.rejects(damage(first + 1024 + 7), {
    code: "image-corrupt",
    data: { offset: first + 1024 },
    message: /copy of block/,
  });
  for (const at of [first + 500, first + 1024 + 7]) {
    const bytes = Buffer.from(whole);
    bytes[at]! ^= 1;
    fs.writeFileSync(copy, bytes);
    await assert.rejects(mounted(copy, { type: "ext4", writable: true }, () => {}));
  }
});

for (const version of [1, 2, 3]) {
  test(`transactions that debugfs wrote, with checksums of version ${version}`, async (t) => {
    if (lacks(t, "mke2fs", "e2fsck", "debugfs")) return;
    const folder = temporaryFolder(t);
    const image = path.join(folder, "image");
    fs.mkdirSync(`${folder}/source`);
    for (const name of ["one", "two", "three"])
      fs.writeFileSync(`${folder}/source/${name}`, noise(9 * 4096, name.length));
    for (const wide of ["64bit", "^64bit"]) {
      mke2fs(image, 20 * 1024, ["-t", "ext4", "-b", "4096", "-O", wide], `${folder}/source`);
      const blocks = (name: string) =>
        run("debugfs", ["-R", `blocks /${name}`, image])
          .trim()
          .split(" ");
      fs.writeFileSync(
        `${folder}/new`,
        Buffer.concat([Buffer.from(JOURNAL_MAGIC), noise(4092, 77), noise(8 * 4096, 78)]),
      );
      const commands = [
        `jo -c -v ${version}`,
        `jw -b ${blocks("one").join(",")} ${folder}/new`,
        `jw -b ${blocks("two").join(",")} ${folder}/new`,
        `jw -r ${blocks("two").slice(2, 5).join(",")}`,
        `jw -b ${blocks("three").slice(0, 3).join(",")} ${folder}/new`,
        "jc",
      ];
      fs.writeFileSync(`${folder}/commands`, commands.join("\n"));
      run("debugfs", ["-w", "-f", `${folder}/commands`, image]);
      const found = await reading(image, async (reader) => {
        assert.ok(reader.facts.recovery!.transactions >= 3);
        return describeTree(await reader.tree());
      });
      const clean = await reading(image, async (reader) => reader.lookup(fromText("one")));
      assert.equal(clean?.size, 9 * 4096);
      replayWithE2fsck(image);
      assert.deepEqual(found, await describeImage(image, { ignore: [] }));
      const hash = (name: string) => found.get(name)!.split(" ").at(-1);
      assert.notEqual(hash("one"), hash("two"));
    }
  });
}

/** Without the times of directories: when the kernel replays a name, it is the time of the replay. */
async function describeFastCommits(description: Promise<Map<string, string>>): Promise<Map<string, string>> {
  return new Map([...(await description)].map(([name, text]) => [name, text.replace(/^(directory.*) @\S+/, "$1")]));
}

/** How many transactions the kernel has committed in full since the file system was mounted at `folder`. */
function fullCommits(folder: string): number {
  const device = path.basename(run("findmnt", ["-n", "-o", "SOURCE", folder]).trim());
  const journal = fs.readdirSync("/proc/fs/jbd2").find((name) => name.startsWith(`${device}-`))!;
  return Number.parseInt(fs.readFileSync(`/proc/fs/jbd2/${journal}/info`, "latin1"), 10);
}

/**
 * Of everything that a fast commit can have. Each fsync makes one, with what came before it, unless the kernel chooses to
 * commit in full, as it may when it has much else to do. Returns whether it never did.
 */
function quickWork(at: string): boolean {
  writeAndSync(`${at}/base`, noise(100_000, 1));
  fs.mkdirSync(`${at}/old`);
  writeAndSync(`${at}/old/a`, noise(5000, 2));
  writeAndSync(`${at}/gone`, noise(100, 3));
  run("sync", ["-f", at]);
  const before = fullCommits(at);
  for (let i = 0; i < 3; i++) {
    writeAndSync(`${at}/new ${i}`, noise(3000 * i + 1, i + 10));
    fs.mkdirSync(`${at}/folder ${i}`);
    writeAndSync(`${at}/folder ${i}/in it`, noise(9000, i + 50));
  }
  const change = (file: string, position: number, bytes: Uint8Array) => {
    const fd = fs.openSync(file, "r+");
    fs.writeSync(fd, bytes, 0, bytes.length, position);
    fs.fsyncSync(fd);
    fs.closeSync(fd);
  };
  change(`${at}/base`, 3 * 8192, noise(8192, 9));
  change(`${at}/base`, 200_000, noise(5000, 10));
  fs.linkSync(`${at}/new 1`, `${at}/old/hard link`);
  fs.renameSync(`${at}/old/a`, `${at}/folder 0/moved`);
  fs.rmSync(`${at}/gone`);
  change(`${at}/new 2`, 5, noise(10, 5));
  return fullCommits(at) === before;
}

/** An image that was not unmounted after `quickWork`, all of which is in fast commits. */
async function crashWithFastCommits(image: string, copy: string, blockSize: number): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt++) {
    fs.rmSync(image, { force: true });
    mke2fs(image, 40 * 1024, ["-t", "ext4", "-b", `${blockSize}`, "-O", "fast_commit", "-J", "size=8"]);
    if (await crashWhen(image, copy, "commit=600", quickWork)) return;
  }
  assert.fail("the kernel always chose to commit in full");
}

test("fast commits are replayed as the kernel does", async (t) => {
  if (lacks(t, "mke2fs", "e2fsck", "findmnt") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "image");
  const copy = path.join(folder, "copy");
  for (const blockSize of [1024, 4096]) {
    await crashWithFastCommits(image, copy, blockSize);
    await reading(copy, async ({ facts }) => assert.equal(facts.recovery?.fastCommits, true));
    const { findings } = await verifyFile(copy);
    assert.ok(
      findings.every(({ severity }) => severity === "warning"),
      JSON.stringify(findings),
    );
    const told = findings.map(({ message }) => message).join("\n");
    assert.match(told, /the fast commits behind them, are applied/);
    assert.match(told, /which blocks and inodes are in use is not checked/);
    const found = await describeFastCommits(describeImage(copy, { ignore: ["lost+found"] }));
    assert.ok(found.has("folder 0/moved") && found.has("old/hard link") && !found.has("gone") && !found.has("old/a"));

    // A fast commit that is damaged is none, and neither is what follows it.
    const whole = fs.readFileSync(copy);
    const head = Buffer.from([9, 0, 8, 0, 0, 0, 0, 0]);
    const first = Array.from({ length: whole.length / blockSize }, (_, block) => block * blockSize).find((at) =>
      whole.subarray(at, at + 8).equals(head),
    )!;
    const names = async (bytes: Uint8Array) => {
      const { root } = await (await openExt4(new MemoryDevice(bytes))).tree();
      return [...root.entries.keys()].sort();
    };
    const early = Buffer.from(whole);
    early[first + 20]! ^= 1;
    assert.deepEqual(await names(early), ["base", "gone", "lost+found", "old"]);
    const late = Buffer.from(whole);
    late[first + blockSize + 20]! ^= 1;
    assert.deepEqual(await names(late), ["base", "gone", "lost+found", "new 0", "old"]);

    const broken = path.join(folder, "broken");
    for (const [bytes, isRefused] of [
      [early, true],
      [late, false],
    ] as const) {
      fs.writeFileSync(broken, bytes);
      const warnings = (await verifyFile(broken)).findings.map(({ message }) => message).join("\n");
      assert.equal(/Linux does not mount it before e2fsck has run/.test(warnings), isRefused, warnings);
      const use = mounted(broken, { type: "ext4", writable: true }, () => {});
      if (isRefused) await assert.rejects(use);
      else await use;
    }

    const kernel = mounted(copy, { type: "ext4", writable: true }, (at) =>
      describeDirectory(at, { ignore: ["lost+found"] }),
    );
    assert.deepEqual(found, await describeFastCommits(kernel));
    // Unmounted by the kernel, it is a file system like any other.
    assert.deepEqual(await describeFastCommits(describeImage(copy, { ignore: ["lost+found"] })), found);
  }
});

test("a journal on another device is refused", async (t) => {
  if (lacks(t, "mke2fs", "debugfs")) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "image");
  mke2fs(path.join(folder, "journal"), 8 * 1024, ["-O", "journal_dev", "-b", "4096"]);
  await assert.rejects(
    reading(path.join(folder, "journal"), async () => {}),
    { code: "source-unsupported", message: /journal_dev/ },
  );
  mke2fs(image, 30 * 1024, ["-t", "ext4", "-b", "4096", "-O", "^has_journal,^metadata_csum"]);
  assert.equal(await reading(image, async ({ facts }) => facts.state), "clean");
  run("debugfs", ["-w", "-R", "feature has_journal needs_recovery", image]);
  await assert.rejects(
    reading(image, async () => {}),
    { code: "source-unsupported", message: /another device/ },
  );
});
