/** Trees with something in them that cannot be stored: refused by name, before anything is read or written. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryDevice } from "../../src/bytes/device.js";
import { openSquashfs, type SquashfsOptions, writeSquashfs } from "../../src/squashfs/index.js";
import { type Content, contentOf, type Node, newDirectory, newFile, newMetadata } from "../../src/tree/node.js";
import { addNode } from "../../src/tree/tree.js";
import { imageBytes, name, noise, text, treeOf } from "./image.js";

const unread: Content = {
  size: 10,
  open: () => Promise.reject(new Error("this file should not have been read")),
};

async function refusalOf(node: Node | undefined, root = newDirectory(), options: Partial<SquashfsOptions> = {}) {
  const tree = { root };
  addNode(tree, name("aaa"), newFile(unread));
  if (node !== undefined) addNode(tree, name("folder/bad"), node);
  const device = new MemoryDevice(new Uint8Array(4096).fill(0xa5));
  const error = await writeSquashfs(device, tree, { time: 0, ...options }).then(
    () => assert.fail("it was written"),
    (thrown) => thrown,
  );
  assert.equal(error.code, "not-representable", error.stack);
  assert.ok(error.hint);
  assert.ok(
    device.bytes.every((byte) => byte === 0xa5),
    "nothing is written",
  );
  return error.message as string;
}

test("modes, owners, times and sizes that are none", async () => {
  const file = (values: Partial<ReturnType<typeof newMetadata>>) => newFile(contentOf(text(3)), values);
  for (const mode of [0o100644, 0o040644, 0o10000, -1, 1.5, Number.NaN, 2 ** 32]) {
    assert.match(await refusalOf(file({ mode })), /^folder\/bad has the mode /);
  }
  assert.match(await refusalOf(file({ mode: 0o100644 })), /the mode 0o100644/);
  for (const id of [2 ** 32, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.match(await refusalOf(file({ uid: id })), /^folder\/bad has the user id /);
    assert.match(await refusalOf(file({ gid: id })), /^folder\/bad has the group id /);
  }
  for (const seconds of [0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.match(
      await refusalOf(file({ mtime: { seconds, nanoseconds: 0 } })),
      /^folder\/bad has the modification time/,
    );
  }
  for (const size of [-1, 1.5, Number.NaN, 2 ** 53]) {
    assert.match(await refusalOf(newFile({ ...unread, size })), /^folder\/bad has .* bytes/);
  }
  assert.match(await refusalOf(undefined, newDirectory({ uid: -1 })), /^the root folder has the user id -1/);
});

test("targets and device numbers are looked at before the data, too", async () => {
  const link = (target: string): Node => ({ type: "symlink", ...newMetadata(0o777), target: name(target) });
  assert.match(await refusalOf(link("")), /folder\/bad has a target of 0 bytes/);
  assert.match(await refusalOf(link("t".repeat(4096))), /folder\/bad has a target of 4096 bytes/);
  assert.match(await refusalOf(link("a\0b")), /folder\/bad has a target with a NUL/);
  for (const [major, minor] of [
    [4096, 0],
    [0, 2 ** 20],
    [-1, 0],
    [1.5, 0],
  ] as const) {
    assert.match(await refusalOf({ type: "block", ...newMetadata(0o600), major, minor }), /folder\/bad has the device/);
  }
  const long = newDirectory();
  long.entries.set(name("n".repeat(256)), newFile(unread));
  assert.match(await refusalOf(undefined, long), /^the root folder cannot have a file named "n{256}"/);
});

test("attributes that Linux refuses are left out, and strict attributes refuse them", async () => {
  const value = text(5);
  const wrong: Record<string, [string, Uint8Array]> = {
    "a value of more than 64 KiB": ["user.large", noise(65_537)],
    "a name of more than 255 bytes": [`user.${"n".repeat(251)}`, value],
    "a NUL in a name": ["user.a\0b", value],
    "a prefix without a name": ["user.", value],
  };
  // Together longer than a listing may be: 256 names of 255 bytes and a NUL fill it.
  const many = Array.from({ length: 257 }, (_, i) => [`trusted.${i}`.padEnd(255, "n"), value] as const);
  for (const [what, [key, bytes]] of Object.entries(wrong)) {
    const xattrs = new Map([
      [name(key), bytes],
      [name("user.kept"), value],
    ]);
    const node = () => newFile(contentOf(text(5)), { xattrs });
    assert.match(await refusalOf(node(), newDirectory(), { strictXattrs: true }), /folder\/bad has user\./, what);
    const notices: string[] = [];
    const observer = { notice: (line: string) => notices.push(line) };
    const reader = await openSquashfs(new MemoryDevice(await imageBytes(treeOf({ file: node() }), { observer })));
    assert.match(notices.join("\n"), /^Linux reads no extended attributes.*: 1 left out/, what);
    const found = await reader.xattrs((await reader.lookup(name("file")))!);
    assert.deepEqual([...found.keys()], ["user.kept"], what);
  }
  const allowed = new Map([
    [name(`user.${"n".repeat(250)}`), value],
    [name("user.value"), noise(65_536)],
  ]);
  const most = new Map(many.map(([key, bytes]) => [name(key), bytes]));
  const tree = treeOf({
    allowed: newFile(contentOf(text(5)), { xattrs: allowed }),
    most: newFile(contentOf(text(5)), { xattrs: most }),
  });
  const reader = await openSquashfs(new MemoryDevice(await imageBytes(tree)));
  assert.deepEqual(await reader.xattrs((await reader.lookup(name("allowed")))!), allowed);
  assert.equal((await reader.xattrs((await reader.lookup(name("most")))!)).size, 256);
});
