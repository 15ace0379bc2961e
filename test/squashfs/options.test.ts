/** Options of the writer: what stays uncompressed, what comes first, what is refused; and all of them beside each other. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { inflateSync } from "node:zlib";
import { PARTS, type Part, type SquashfsOptions } from "../../src/squashfs/index.js";
import { workersFor } from "../../src/squashfs/workers.js";
import { contentOf, type Node, newDirectory, newFile } from "../../src/tree/node.js";
import type { Tree } from "../../src/tree/tree.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import {
  assertExtracts,
  assertKernelShows,
  imageBytes,
  name,
  noise,
  type Options,
  text,
  treeOf,
  writeImage,
} from "./image.js";

const BLOCK = 16_384;
const OTHER = [name("user.second"), name("user.first")] as const;

/** A tree of which every part shrinks. */
function sample(): Tree {
  const tree = treeOf({
    "large/text": text(5 * BLOCK + 100),
    "large/twin": text(5 * BLOCK + 100),
    hole: new Uint8Array(3 * BLOCK),
  });
  for (let i = 0; i < 200; i++) {
    const xattrs = new Map(OTHER.map((key) => [key, text(40, i % 7)]));
    const file = newFile(contentOf(text(i * 5, i)), { uid: 1000 + i, gid: 2000 + i, xattrs });
    tree.root.entries.set(name(`entry-${i}`), file);
  }
  return tree;
}

/** squashfs_fs.h: SQUASHFS_NOI, NOD, NOF, NOX and NOID are bits 0, 1, 3, 8 and 11 of the flags. */
const BITS: Readonly<Record<Part, number>> = { inodes: 0x1, data: 0x2, fragments: 0x8, xattrs: 0x100, ids: 0x800 };
const ALL_BITS = 0x90b;

/** Which parts of an image are compressed, from the headers and sizes that are in it. */
function compressedParts(bytes: Uint8Array) {
  const image = Buffer.from(bytes);
  const at64 = (at: number) => Number(image.readBigUInt64LE(at));
  const block = (at: number) => {
    const header = image.readUInt16LE(at);
    const stored = image.subarray(at + 2, at + 2 + (header & 0x7fff));
    return header & 0x8000 ? { compressed: false, bytes: stored } : { compressed: true, bytes: inflateSync(stored) };
  };
  const indexed = (at: number) => block(at64(at));
  const xattrs = at64(56);
  const fragments = indexed(at64(80));
  // The first inode is that of the first entry of the deepest folder, "large/text", whose block sizes follow 32 bytes.
  const inodes = block(at64(64));
  return {
    inodes: inodes.compressed,
    directories: block(at64(72)).compressed,
    fragmentTable: fragments.compressed,
    fragments: (fragments.bytes.readUInt32LE(8) & (1 << 24)) === 0,
    data: (inodes.bytes.readUInt32LE(32) & (1 << 24)) === 0,
    exports: indexed(at64(88)).compressed,
    ids: indexed(at64(48)).compressed,
    xattrs: block(at64(xattrs)).compressed,
    xattrSets: indexed(xattrs + 16).compressed,
    flags: image.readUInt16LE(24),
  };
}

/** What mksquashfs leaves uncompressed with -noI, -noD, -noF, -noX and -noId. */
const COVERS: Readonly<Record<Part, readonly (keyof ReturnType<typeof compressedParts>)[]>> = {
  inodes: ["inodes", "directories", "exports", "ids"],
  data: ["data"],
  fragments: ["fragments", "fragmentTable"],
  xattrs: ["xattrs", "xattrSets"],
  ids: ["ids"],
};
const MKSQUASHFS: Readonly<Record<Part, string>> = {
  inodes: "-noI",
  data: "-noD",
  fragments: "-noF",
  xattrs: "-noX",
  ids: "-noIdTableCompression",
};

test("each part that stays uncompressed, and nothing else", async () => {
  for (const uncompressed of [[], ...PARTS.map((part) => [part]), ["ids", "data"], PARTS] as (readonly Part[])[]) {
    const image = await imageBytes(sample(), { uncompressed, exports: true, blockSize: BLOCK });
    const { flags, ...compressed } = compressedParts(image);
    assert.equal(
      flags & ALL_BITS,
      uncompressed.reduce((bits, part) => bits | BITS[part], 0),
    );
    const stored = new Set(uncompressed.flatMap((part) => COVERS[part]));
    for (const [part, is] of Object.entries(compressed)) {
      assert.equal(is, !stored.has(part as keyof typeof compressed), `${part} with [${uncompressed}]`);
    }
  }
});

test("mksquashfs leaves the same parts uncompressed", async (t) => {
  if (lacks(t, "mksquashfs", "unsquashfs")) return;
  const folder = temporaryFolder(t);
  const { image: source } = await writeImage(folder, sample());
  run("unsquashfs", ["-no-progress", "-d", `${folder}/source`, source]);
  for (const part of PARTS) {
    const args = ["-exports", "-b", `${BLOCK}`, "-quiet", "-no-progress", "-noappend", MKSQUASHFS[part]];
    // Where a file's inode is, and with it the size of a block of data, is another place in theirs.
    run("mksquashfs", [`${folder}/source`, `${folder}/theirs`, ...args]);
    const theirs = compressedParts(fs.readFileSync(`${folder}/theirs`));
    const ours = compressedParts(await imageBytes(sample(), { uncompressed: [part], exports: true, blockSize: BLOCK }));
    for (const key of [
      "inodes",
      "directories",
      "fragmentTable",
      "fragments",
      "exports",
      "ids",
      "xattrs",
      "xattrSets",
    ] as const) {
      assert.equal(ours[key], theirs[key], `${key} with ${MKSQUASHFS[part]}`);
    }
    assert.equal(ours.flags & ALL_BITS, theirs.flags & ALL_BITS);
  }
});

test("unsquashfs names the parts that are uncompressed", async (t) => {
  if (lacks(t, "unsquashfs")) return;
  const folder = temporaryFolder(t);
  const say = async (uncompressed: readonly Part[]) =>
    run("unsquashfs", ["-s", (await writeImage(folder, sample(), { uncompressed })).image]);
  assert.doesNotMatch(await say([]), /uncompressed/);
  assert.match(await say(["inodes"]), /Inodes are uncompressed\n(.*\n)*Uids\/Gids \(Id table\) are uncompressed/);
  assert.match(await say(["data"]), /Data is uncompressed/);
  assert.match(await say(["fragments"]), /Fragments are uncompressed/);
  assert.match(await say(["xattrs"]), /Xattrs are uncompressed/);
  assert.match(await say(["ids"]), /Uids\/Gids \(Id table\) are uncompressed/);
});

test("blocks that stay as they are need no worker, and the image is the same with any number of jobs", async () => {
  const tree = () => treeOf({ a: text(3_000_000), b: text(50, 2), c: noise(300_000) });
  const resources = () => process.getActiveResourcesInfo().filter((resource) => /Message|Worker/.test(resource)).length;
  let most = 0;
  const observer = {
    progress() {
      most = Math.max(most, resources());
    },
  };
  const uncompressed = ["data", "fragments"] as const;
  const expected = await imageBytes(tree(), { uncompressed, jobs: 2, observer });
  assert.equal(most, 0, "no worker was there");
  assert.deepEqual(await imageBytes(tree(), { uncompressed, jobs: 5 }), expected);
  await imageBytes(tree(), { jobs: 2, observer });
  assert.ok(most > 0, "a worker would have been seen");
});

test("all combinations of what decides where bytes go are read by the kernel, and the extremes by unsquashfs", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
  const folder = temporaryFolder(t);
  const tree = sample();
  for (const fragments of [true, false, "always"] as const) {
    for (const uncompressed of [[], ["data"], ["fragments"], PARTS] as (readonly Part[])[]) {
      for (const rest of [
        { exports: true, pad: 4096, sparse: false },
        { dedupe: false, pad: 65_536 },
      ] as Options[]) {
        const { image, summary } = await writeImage(folder, tree, {
          fragments,
          uncompressed,
          ...rest,
          blockSize: BLOCK,
        });
        assert.equal(summary.size % rest.pad!, 0);
        await assertKernelShows(image, tree);
        if (uncompressed === PARTS) await assertExtracts(folder, image, tree);
      }
    }
  }
});

test("the data of files with a higher priority is stored earlier", async (t) => {
  if (lacksRoot(t) || lacks(t, "getfattr")) return;
  const names = ["a", "b", "c/d", "e", "f"];
  const tree = treeOf(Object.fromEntries(names.map((path, i) => [path, noise(BLOCK, i + 1)])));
  const nodeAt = (path: string): Node =>
    path === "c/d"
      ? (tree.root.entries.get(name("c")) as ReturnType<typeof newDirectory>).entries.get(name("d"))!
      : tree.root.entries.get(name(path))!;
  const orderOf = async (given: Readonly<Record<string, number>>) => {
    const priorities = new Map(Object.entries(given).map(([path, priority]) => [nodeAt(path), priority]));
    const image = Buffer.from(await imageBytes(tree, { priorities, blockSize: BLOCK }));
    const positions = names.map((path, i) => [path, image.indexOf(noise(BLOCK, i + 1))] as const);
    for (const [path, position] of positions) assert.ok(position > 0, path);
    const { image: file } = await writeImage(temporaryFolder(t), tree, { priorities, blockSize: BLOCK });
    await assertKernelShows(file, tree);
    return positions.sort((a, b) => a[1] - b[1]).map(([path]) => path);
  };
  assert.deepEqual(await orderOf({}), ["a", "b", "e", "f", "c/d"]);
  assert.deepEqual(await orderOf({ e: 1 }), ["e", "a", "b", "f", "c/d"]);
  assert.deepEqual(await orderOf({ "c/d": 32_767, a: -32_768, e: -1, b: 5 }), ["c/d", "b", "f", "e", "a"]);
  assert.deepEqual(await orderOf({ f: 7, b: 7, a: 0 }), ["b", "f", "a", "e", "c/d"]);
});

test("with strict attributes, those that the format cannot hold are refused before anything is written", async (t) => {
  const bytes = Uint8Array.from([2, 0, 0, 0]);
  const having = (...keys: string[]) =>
    newFile(contentOf(text(5)), { xattrs: new Map(keys.map((key) => [name(key), bytes])) });
  const acl = "system.posix_acl_access";
  const folder = temporaryFolder(t);
  const strict = (tree: Tree, options: Options = {}) => writeImage(folder, tree, { strictXattrs: true, ...options });
  await assert.rejects(
    strict(treeOf({ a: having("user.kept"), "m/x": having(acl), "m/y": having(acl, "btrfs.compression") })),
    {
      code: "not-representable",
      message: /^m\/x has system\.posix_acl_access.*\b3 attributes.*POSIX ACLs/,
    },
  );
  assert.equal(fs.statSync(`${folder}/image.squashfs`).blocks, 0);
  await assert.rejects(strict(treeOf({ one: having("user.kept", acl) })), {
    message: /^one has system\.posix_acl_access: .*POSIX ACLs$/,
  });
  const root = newDirectory({ xattrs: new Map([[name("system.posix_acl_default"), bytes]]) });
  await assert.rejects(strict({ root }), { message: /^the root folder has system\.posix_acl_default/ });
  const kept = treeOf({ a: having("user.kept", "trusted.kept", "security.kept") });
  assert.equal((await strict(kept)).summary.xattrSets, 1);
  // Who asks for no attributes at all has asked for these to be left out too.
  assert.equal((await strict({ root }, { xattrs: false })).summary.omittedXattrs, 0);
});

test("the notice of attributes that were left out names POSIX ACLs where it was these", async () => {
  const noticeOf = async (...keys: string[]) => {
    const notices: string[] = [];
    const xattrs = new Map(keys.map((key) => [name(key), text(4)]));
    await imageBytes(treeOf({ a: newFile(contentOf(text(5)), { xattrs }) }), {
      observer: { notice: (line) => notices.push(line) },
    });
    assert.equal(notices.length, 1);
    return notices[0]!;
  };
  assert.match(await noticeOf("system.posix_acl_access", "user.kept"), /^SquashFS has no POSIX ACLs: 1 left out/);
  assert.match(await noticeOf("btrfs.compression"), /^(?!.*ACL).*user, trusted and security only: 1 left out/);
  assert.match(await noticeOf("btrfs.compression", "system.posix_acl_default"), /only, and no POSIX ACLs: 2 left out/);
});

test("sets of attributes do not depend on the order of maps, and long values are stored once", async (t) => {
  if (lacksRoot(t) || lacks(t, "getfattr", "unsquashfs")) return;
  const value = noise(700);
  const build = (order: readonly number[]) => {
    const keys = ["user.z", "user.a", "trusted.m", "security.b"].map(name);
    const set = (own: string) =>
      new Map([
        ...order.map((i) => [keys[i]!, i % 2 === 0 ? value : text(20, i)] as const),
        [name(`user.${own}`), value],
      ]);
    return treeOf(
      Object.fromEntries(
        ["a", "b", "c"].map((key) => [key, newFile(contentOf(text(9)), { xattrs: set(key === "c" ? "a2" : "b2") })]),
      ),
    );
  };
  const expected = await imageBytes(build([0, 1, 2, 3]));
  for (const order of [
    [3, 2, 1, 0],
    [2, 0, 3, 1],
  ])
    assert.deepEqual(await imageBytes(build(order)), expected);
  const tree = build([0, 1, 2, 3]);
  const folder = temporaryFolder(t);
  const { image, summary } = await writeImage(folder, tree);
  assert.equal(summary.xattrSets, 2);
  assert.ok(summary.bytesUsed < 3 * value.length, "six times the value, stored once");
  await assertKernelShows(image, tree);
  await assertExtracts(folder, image, tree);
});

test("many workers with large blocks are fewer, so that they take no more than 256 MiB for blocks", () => {
  for (const blockSize of [4096, 131_072, 2 ** 20]) {
    for (const jobs of [1, 2, 64, 256]) {
      const workers = workersFor(jobs, blockSize)!;
      assert.ok(workers >= 1 && workers <= jobs);
      // Three blocks for each, and a result for each of these.
      assert.ok(6 * workers * blockSize <= 2 ** 28);
      if (workers < jobs) assert.ok(6 * (workers + 1) * blockSize > 2 ** 28);
    }
  }
  assert.equal(workersFor(64, 2 ** 20), 42);
});

test("options that cannot be are refused by name", async () => {
  const node = newFile(contentOf(text(5)));
  const wrong: [Partial<Record<keyof SquashfsOptions, unknown>>, RegExp][] = [
    [{ uncompressed: ["inode"] }, /"inode"/],
    [{ priorities: new Map([[node, 32_768]]) }, /priority of 32768/],
    [{ priorities: new Map([[node, -32_769]]) }, /priority of -32769/],
    [{ priorities: new Map([[node, 0.5]]) }, /priority of 0.5/],
    [{ fragments: "sometimes" }, /fragments cannot be "sometimes"/],
    [{ dedupe: "no" }, /dedupe cannot be "no"/],
    [{ sparse: 0 }, /sparse cannot be 0/],
    [{ exports: "always" }, /exports cannot be "always"/],
    [{ xattrs: null }, /xattrs cannot be null/],
    [{ strictXattrs: 1 }, /strictXattrs cannot be 1/],
    [{ jobs: 257 }, /jobs of 257/],
  ];
  for (const [options, message] of wrong) {
    await assert.rejects(imageBytes(treeOf({ node }), options as Options), { code: "usage", message });
  }
});
