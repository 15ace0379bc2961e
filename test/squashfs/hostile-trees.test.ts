/** What is at the format's limits, or has broken other writers, as the kernel and unsquashfs read it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { type ByteString, fromBytes } from "../../src/bytes/bytestring.js";
import {
  contentOf,
  type Directory,
  type Metadata,
  type Node,
  newDirectory,
  newFile,
  newMetadata,
} from "../../src/tree/node.js";
import type { Tree } from "../../src/tree/tree.js";
import { deepTree, descend } from "../support/deep-tree.js";
import { describeTree } from "../support/describe.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { assertExtracts, assertKernelShows, name, noise, text, treeOf, writeImage } from "./image.js";

const empty = () => newFile(contentOf(new Uint8Array(0)));

function folderOf(entries: Iterable<readonly [ByteString, Node]>): Directory {
  const folder = newDirectory();
  for (const [entryName, node] of entries) folder.entries.set(entryName, node);
  return folder;
}

const numbered = (count: number, nameOf: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => [name(nameOf(i)), empty()] as const);

test("names of any bytes", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
  const root = newDirectory();
  const every = Array.from({ length: 255 }, (_, i) => i + 1).filter((byte) => byte !== 0x2f);
  const names = [
    ...every.filter((byte) => byte !== 0x2e).map((byte) => fromBytes(Uint8Array.of(byte))),
    fromBytes(Uint8Array.from(every)),
    fromBytes(new Uint8Array(255).fill(0xff)),
    ...["...", ".hidden", "..a", "-rf", " ", "a\nb", "back\\slash", "ü", "u\u0308"].map(name),
  ];
  for (const [i, entryName] of names.entries()) {
    root.entries.set(entryName, i % 3 === 0 ? newDirectory() : newFile(contentOf(text(i))));
  }
  const folder = temporaryFolder(t);
  const { image } = await writeImage(folder, { root });
  await assertKernelShows(image, { root });
  await assertExtracts(folder, image, { root });
});

test("folders of tens of thousands of entries, and links across them", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
  const many = folderOf(numbered(30_000, (i) => `entry-${i}`));
  const longNames = folderOf(numbered(3000, (i) => `${i}`.padStart(255, "x")));
  const first = many.entries.get(name("entry-0"))!;
  const last = longNames.entries.get(name("2999".padStart(255, "x")))!;
  const tree: Tree = {
    root: folderOf([
      [name("many"), many],
      [name("long-names"), longNames],
      // Their inode numbers are further apart than an entry below one header can be from another.
      [
        name("links"),
        folderOf([
          [name("a"), first],
          [name("b"), last],
          [name("c"), first],
        ]),
      ],
    ]),
  };
  const folder = temporaryFolder(t);
  const { image, summary } = await writeImage(folder, tree);
  assert.equal(summary.inodes, 33_004);
  // Looking up every name goes through the directory index.
  await assertKernelShows(image, tree);
  const listed = run("unsquashfs", ["-l", "-d", "", image]).split("\n");
  assert.equal(listed.filter((line) => line.startsWith("/many/")).length, 30_000);
});

test("every number of entries around what one header and one metadata block hold", async (t) => {
  if (lacksRoot(t) || lacks(t, "getfattr")) return;
  const root = newDirectory();
  for (const count of [0, 1, 2, 255, 256, 257, 511, 512, 513]) {
    root.entries.set(name(`short-${count}`), folderOf(numbered(count, (i) => `${i}`.padStart(4, "0"))));
  }
  // 8 bytes and 248 of name: 32 entries and a header reach just beyond 8 KiB, and 256 entries beyond 64 KiB.
  for (const count of [30, 31, 32, 33, 63, 64, 255, 256, 257]) {
    root.entries.set(name(`long-${count}`), folderOf(numbered(count, (i) => `${i}`.padStart(248, "y"))));
  }
  const { image } = await writeImage(temporaryFolder(t), { root });
  await assertKernelShows(image, { root });
});

test("deep folders", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs")) return;
  const root = newDirectory();
  let folder = root;
  for (let depth = 0; depth < 1500; depth++) {
    const next = newDirectory();
    folder.entries.set(name("d"), next);
    folder = next;
  }
  folder.entries.set(name("file"), newFile(contentOf(text(10))));
  const { image, summary } = await writeImage(temporaryFolder(t), { root });
  assert.equal(summary.inodes, 1502);
  await mounted(image, { type: "squashfs" }, (mount) => {
    assert.equal(run("find", [mount, "-type", "d", "-links", "3"]).split("\n").length - 1, 1500);
  });
});

test("folders deeper than a stack of calls", async (t) => {
  if (lacksRoot(t)) return;
  const { image } = await writeImage(temporaryFolder(t), deepTree(20_000));
  await mounted(image, { type: "squashfs" }, (folder) => {
    assert.equal(
      descend(folder, () => assert.equal(fs.readFileSync("f", "utf8"), "bottom")),
      20_000,
    );
  });
});

test("extended attributes on every type of inode", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
  const xattrs = (values: Record<string, Uint8Array>) =>
    new Map(Object.entries(values).map(([key, value]) => [name(key), value]));
  // A version 2 capability set: cap_net_raw, permitted and effective.
  const capability = Uint8Array.from([1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  const large = noise(60_000);
  const trusted = (value: string): Partial<Metadata> => ({
    xattrs: xattrs({ "trusted.overlay.opaque": Buffer.from(value) }),
  });
  const file = (values: Record<string, Uint8Array>) =>
    newFile(contentOf(text(50)), { mode: 0o755, xattrs: xattrs(values) });
  const special = (type: "fifo" | "socket"): Node => ({ type, ...newMetadata(0o600), ...trusted(type) });
  const device = (type: "block" | "character"): Node => ({
    type,
    major: 8,
    minor: 1,
    ...newMetadata(0o600),
    ...trusted(type),
  });
  const root = newDirectory(trusted("root"));
  const entries: Record<string, Node> = {
    ping: file({ "security.capability": capability }),
    "ping-too": file({ "security.capability": capability }),
    "large-1": file({ "user.large": large, "user.small": Uint8Array.of(1) }),
    "large-2": file({ "user.other": large, "trusted.same": large }),
    "same-but-order": file({ "user.small": Uint8Array.of(1), "user.large": large }),
    binary: file({ "user.empty": new Uint8Array(0), "user.bytes": Uint8Array.from({ length: 256 }, (_, i) => i) }),
    name: file({ [`user.${"n".repeat(250)}`]: Uint8Array.of(0) }),
    many: file(Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`user.number-${i}`, noise(20, i + 1)]))),
    folder: newDirectory(trusted("y")),
    link: { type: "symlink", target: name("somewhere"), ...newMetadata(0o777), ...trusted("link") },
    fifo: special("fifo"),
    socket: special("socket"),
    block: device("block"),
    character: device("character"),
  };
  for (const [key, node] of Object.entries(entries)) root.entries.set(name(key), node);
  const folder = temporaryFolder(t);
  const { image, summary } = await writeImage(folder, { root });
  await assertKernelShows(image, { root });
  assert.equal(summary.omittedXattrs, 0);
  // ping and ping-too share a set, and so do the two whose order alone differs.
  assert.equal(summary.xattrSets, Object.keys(entries).length + 1 - 2);
  // Noise does not shrink: the large value is stored once, though three sets have it.
  assert.ok(summary.size > 60_000 && summary.size < 80_000, `${summary.size}`);
  // Few file systems have room for the larger sets, to extract them to.
  for (const key of ["large-1", "large-2", "same-but-order", "many"]) root.entries.delete(name(key));
  const small = await writeImage(folder, { root });
  await assertExtracts(folder, small.image, { root });
});

test("attributes that the format cannot hold are counted in one notice", async (t) => {
  if (lacksRoot(t) || lacks(t, "getfattr")) return;
  const acl = Uint8Array.from([2, 0, 0, 0]);
  const withAcl = (kind: string, also: readonly [ByteString, Uint8Array][] = []) =>
    newFile(contentOf(text(5)), { xattrs: new Map([[name(`system.posix_acl_${kind}`), acl], ...also]) });
  const kept = [name("user.kept"), acl] as const;
  const tree = treeOf({ a: withAcl("access"), b: withAcl("access", [[...kept]]), c: withAcl("default") });
  const notices: string[] = [];
  const observer = { notice: (line: string) => notices.push(line) };
  const { image, summary } = await writeImage(temporaryFolder(t), tree, { observer });
  assert.equal(summary.omittedXattrs, 3);
  assert.equal(notices.length, 1);
  assert.match(notices[0]!, /\b3\b.*system\.posix_acl_access 2.*system\.posix_acl_default 1/);
  for (const node of tree.root.entries.values()) {
    node.xattrs = new Map([...node.xattrs].filter(([key]) => !key.startsWith("system.")));
  }
  await assertKernelShows(image, tree);
});

test("device numbers, owners, modes and times to their limits", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
  const root = newDirectory({ mode: 0o1777, uid: 2 ** 32 - 2, gid: 65_536 });
  for (const major of [0, 1, 255, 256, 4095]) {
    for (const minor of [0, 255, 256, 65_535, 1_048_575]) {
      root.entries.set(name(`${major}-${minor}`), { type: "block", major, minor, ...newMetadata(0o660) });
    }
  }
  for (const [i, seconds] of [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1].entries()) {
    const mtime = { seconds, nanoseconds: 0 };
    root.entries.set(
      name(`time-${i}`),
      newFile(contentOf(text(i)), { mtime, mode: [0, 0o7777, 0o4755, 0o2755, 1][i]! }),
    );
  }
  const folder = temporaryFolder(t);
  const { image } = await writeImage(folder, { root });
  await assertKernelShows(image, { root });
  await assertExtracts(folder, image, { root });
});

test("the last id, which Linux shows as nobody, is stored as it is", async (t) => {
  if (lacks(t, "unsquashfs")) return;
  const root = newDirectory({ uid: 2 ** 32 - 1, gid: 2 ** 32 - 1 });
  const { image } = await writeImage(temporaryFolder(t), { root });
  assert.match(run("unsquashfs", ["-lln", image]), /4294967295\/4294967295/);
});

test("as many ids as the format holds, and not one more", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs")) return;
  const withIds = (count: number): Tree => ({
    root: folderOf(
      Array.from({ length: Math.ceil(count / 2) }, (_, i) => [
        name(`${i}`),
        newFile(contentOf(new Uint8Array(0)), { uid: 1000 + 2 * i, gid: Math.min(1001 + 2 * i, 999 + count) }),
      ]),
    ),
  });
  const most = withIds(65_534);
  most.root.uid = most.root.gid = 7;
  const { image, summary } = await writeImage(temporaryFolder(t), most);
  assert.equal(summary.ids, 65_535);
  assert.match(run("unsquashfs", ["-lln", image]), /66532\/66533 .*squashfs-root\/32766\n/);
  await assert.rejects(writeImage(temporaryFolder(t), withIds(65_535)), {
    code: "not-representable",
    message: /65535/,
  });
});

test("times outside of the format's are moved to the nearest, with one notice", async (t) => {
  if (lacksRoot(t) || lacks(t, "getfattr")) return;
  const at = (seconds: number) => newFile(contentOf(text(3)), { mtime: { seconds, nanoseconds: 5 } });
  const notices: string[] = [];
  const observer = { notice: (line: string) => notices.push(line) };
  const { image, summary } = await writeImage(
    temporaryFolder(t),
    treeOf({ before: at(-1), long: at(-(2 ** 40)), after: at(2 ** 32), fine: at(7) }),
    { observer },
  );
  assert.equal(summary.clampedTimes, 3);
  assert.equal(notices.length, 1);
  assert.match(notices[0]!, /\b3\b/);
  await assertKernelShows(image, treeOf({ before: at(0), long: at(0), after: at(2 ** 32 - 1), fine: at(7) }));
});

test("hard links of every type of inode", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
  const nodes: Node[] = [
    newFile(contentOf(text(300_000))),
    empty(),
    { type: "symlink", target: name("x"), ...newMetadata(0o777) },
    { type: "character", major: 1, minor: 3, ...newMetadata(0o666) },
    { type: "fifo", ...newMetadata(0o600) },
    { type: "socket", ...newMetadata(0o600) },
  ];
  const named = (prefix: string) => nodes.map((node, i) => [name(`${prefix}${i}`), node] as const);
  const root = folderOf([...named("z"), ...named("a"), [name("folder"), folderOf(named("m"))]]);
  const folder = temporaryFolder(t);
  const { image, summary } = await writeImage(folder, { root });
  assert.equal(summary.inodes, nodes.length + 2);
  await assertKernelShows(image, { root });
  await assertExtracts(folder, image, { root });
  await mounted(image, { type: "squashfs" }, (mount) => {
    assert.equal(run("stat", ["-c", "%h", `${mount}/a0`, `${mount}/folder/m2`, `${mount}/z5`]), "3\n3\n3\n");
  });
});

test("names and targets that no directory can hold are refused by name", async (t) => {
  const folder = temporaryFolder(t);
  for (const bad of ["", ".", "..", "a/b", "nul\0", "n".repeat(256)]) {
    const root = folderOf([[name("fine"), folderOf([[name(bad), empty()]])]]);
    await assert.rejects(writeImage(folder, { root }), { code: "not-representable", message: /^fine cannot/ }, bad);
  }
  for (const target of ["", "t".repeat(4096), "a\0b"]) {
    const root = folderOf([[name("link"), { type: "symlink", target: name(target), ...newMetadata(0o777) }]]);
    await assert.rejects(writeImage(folder, { root }), { code: "not-representable", message: /link/ });
  }
});

test("a folder with two names is refused", async (t) => {
  const shared = newDirectory();
  const root = folderOf([
    [name("one"), shared],
    [name("two"), shared],
  ]);
  await assert.rejects(writeImage(temporaryFolder(t), { root }), { code: "not-representable", message: /two.*one/ });
  shared.entries.set(name("self"), shared);
  root.entries.delete(name("two"));
  await assert.rejects(writeImage(temporaryFolder(t), { root }), { code: "not-representable" });
});

test("images without fragments, attributes or any file", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
  const folder = temporaryFolder(t);
  for (const tree of [
    { root: newDirectory() },
    treeOf({ empty: new Uint8Array(0) }),
    treeOf({ "a/b/c": noise(131_072) }),
  ]) {
    const { image, summary } = await writeImage(folder, tree);
    assert.equal(summary.fragments, 0);
    assert.equal((await describeTree(tree)).size - 1, summary.inodes - 1);
    await assertKernelShows(image, tree);
    await assertExtracts(folder, image, tree);
  }
});
