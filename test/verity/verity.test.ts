/** Hash trees of ours, as veritysetup reads them; and veritysetup's, as we do. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { MemoryDevice } from "../../src/bytes/device.js";
import { FileDevice, FileReader } from "../../src/bytes/file-device.js";
import { checkVerity, openVerity, type VerityFacts, veritySize, writeVerity } from "../../src/verity/index.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const BLOCK = 4096;
const UUID = "01234567-89ab-4def-8123-456789abcdef";
const SALT = Uint8Array.from({ length: 32 }, (_, i) => 7 * i);

/** Blocks that all differ. */
function blocksOf(count: number): Uint8Array {
  const bytes = new Uint8Array(count * BLOCK);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) view.setUint32(i * BLOCK + 100, i);
  return bytes;
}

async function makeTree(t: TestContext, count: number) {
  const file = path.join(temporaryFolder(t), "image");
  const size = count * BLOCK;
  const device = new FileDevice(file, size + veritySize(size));
  await device.write(0, blocksOf(count));
  const tree = await writeVerity(device, size, { salt: SALT, uuid: UUID });
  device.close();
  return { file, tree };
}

const verify = (file: string, hashOffset: number, rootHash: string) =>
  run("veritysetup", ["verify", file, file, rootHash, `--hash-offset=${hashOffset}`]);

async function withTree<T>(file: string, at: number, use: (reader: FileReader, facts: VerityFacts) => Promise<T>) {
  const reader = new FileReader(file);
  try {
    const facts = await openVerity(reader, at);
    assert.ok(typeof facts === "object", String(facts));
    return await use(reader, facts);
  } finally {
    reader.close();
  }
}

const findingsOf = (file: string, at: number) =>
  withTree(file, at, async (reader, facts) => {
    const findings = [];
    for await (const finding of checkVerity(reader, facts)) findings.push(finding);
    return findings;
  });

test("veritysetup accepts trees of every number of levels, and finds the same facts", async (t) => {
  if (lacks(t, "veritysetup")) return;
  // One block has no level; 128 fill one block of digests, 16384 a second level.
  for (const count of [1, 2, 127, 128, 129, 1000, 16384, 16385]) {
    const { file, tree } = await makeTree(t, count);
    assert.deepEqual([tree.hashOffset, tree.dataBlocks], [count * BLOCK, count]);
    assert.equal(tree.size, fs.statSync(file).size);
    verify(file, tree.hashOffset, tree.rootHash);
    const dump = run("veritysetup", ["dump", file, `--hash-offset=${tree.hashOffset}`]);
    assert.match(dump, new RegExp(`UUID:\\s+${UUID}`));
    assert.match(dump, new RegExp(`Data blocks:\\s+${count}\\n`));
    assert.match(dump, new RegExp(`Salt:\\s+${Buffer.from(SALT).toString("hex")}`));
    assert.deepEqual(await findingsOf(file, tree.hashOffset), []);
    assert.equal(await withTree(file, tree.hashOffset, async (_, facts) => facts.rootHash), tree.rootHash);
  }
});

test("the bytes are those of veritysetup format", async (t) => {
  if (lacks(t, "veritysetup")) return;
  for (const count of [1, 300, 20_000]) {
    const { file, tree } = await makeTree(t, count);
    const theirs = path.join(temporaryFolder(t), "theirs");
    fs.writeFileSync(theirs, blocksOf(count));
    const said = run("veritysetup", [
      "format",
      ...[theirs, theirs, `--hash-offset=${count * BLOCK}`, `--data-blocks=${count}`],
      ...[`--salt=${Buffer.from(SALT).toString("hex")}`, `--uuid=${UUID}`],
    ]);
    assert.match(said, new RegExp(`Root hash:\\s+${tree.rootHash}`));
    const [a, b] = [fs.readFileSync(file), fs.readFileSync(theirs)];
    assert.ok(a.subarray(0, b.length).equals(b));
    assert.ok(a.subarray(b.length).every((byte) => byte === 0));
  }
});

test("a flipped bit is noticed, in data and in the tree, and its place is named", async (t) => {
  if (lacks(t, "veritysetup")) return;
  const count = 1000;
  for (const [at, what] of [
    [0, "the data"],
    [555 * BLOCK + 4095, "the data"],
    [(count - 1) * BLOCK, "the data"],
    [(count + 1 + 1) * BLOCK, "the hash tree"],
  ] as const) {
    const { file, tree } = await makeTree(t, count);
    const bytes = fs.readFileSync(file);
    bytes[at]! ^= 1;
    fs.writeFileSync(file, bytes);
    assert.throws(() => verify(file, tree.hashOffset, tree.rootHash));
    const [first] = await findingsOf(file, tree.hashOffset);
    const start = at - (at % BLOCK);
    assert.ok(first?.message.startsWith(`${what} is not what its digests say at bytes ${start} to ${start + BLOCK}`));
    assert.equal(first?.offset, start);
  }
  // In the highest block the root hash is another.
  const { file, tree } = await makeTree(t, count);
  const bytes = fs.readFileSync(file);
  bytes[(count + 1) * BLOCK]! ^= 1;
  fs.writeFileSync(file, bytes);
  assert.notEqual(await withTree(file, tree.hashOffset, async (_, facts) => facts.rootHash), tree.rootHash);
});

test("a device that is too short is refused, with what is needed", async () => {
  const device = new MemoryDevice(101 * BLOCK);
  await assert.rejects(
    writeVerity(device, 100 * BLOCK, { salt: SALT, uuid: UUID }),
    (error: { code?: string; data?: object }) => {
      assert.equal(error.code, "does-not-fit");
      assert.deepEqual(error.data, { needed: 102 * BLOCK, available: 101 * BLOCK });
      return true;
    },
  );
});

test("what is no superblock is none; what is one that is not known says why", async () => {
  const size = 10 * BLOCK;
  const device = new MemoryDevice(size + veritySize(size));
  assert.equal(await openVerity(device, size), undefined);
  assert.equal(await openVerity(device, size + 1), undefined);
  assert.equal(await openVerity(device, device.size), undefined);
  await writeVerity(device, size, { salt: SALT, uuid: UUID });
  const changed = (at: number, ...values: number[]) => {
    const copy = new MemoryDevice(device.bytes.slice());
    copy.bytes.set(values, size + at);
    return openVerity(copy, size);
  };
  assert.match(String(await changed(8, 2)), /version is 2/);
  assert.match(String(await changed(32, 0x78)), /digests are xha256/);
  assert.match(String(await changed(65, 2)), /blocks have 512 and 4096 bytes/);
  assert.match(String(await changed(72, 11)), /about 11 blocks/);
  assert.match(String(await changed(72, 0)), /about 0 blocks/);
  assert.match(String(await changed(79, 0xff)), /damaged/);
  assert.match(String(await changed(80, 0, 2)), /salt would have 512 bytes/);
});
