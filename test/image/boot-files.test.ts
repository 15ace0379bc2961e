import assert from "node:assert/strict";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { filesInTree } from "../../src/image/boot-files.js";
import { contentOf, newDirectory, newFile, newMetadata } from "../../src/tree/node.js";
import { addNode, type Tree } from "../../src/tree/tree.js";

test("boot files are those of the folder, and what symlinks in it lead to on the device", () => {
  const tree: Tree = { root: newDirectory() };
  const kernel = contentOf(Buffer.from("kernel"));
  const link = (path: string, target: string) =>
    addNode(tree, fromText(path), { type: "symlink", ...newMetadata(0o777), target: fromText(target) });
  addNode(tree, fromText("usr/lib/kernel"), newFile(kernel));
  addNode(tree, fromText("boot/board.dtb"), newFile(contentOf(Buffer.from("tree"))));
  link("boot/vmlinuz", "../usr/lib/kernel");
  link("boot/größe", "/usr/lib/kernel");
  link("boot/dangling", "nowhere");
  const { files } = filesInTree(tree, "boot", "here");
  assert.deepEqual(new Set(files.keys()), new Set(["board.dtb", "vmlinuz", fromText("größe")]));
  assert.equal(files.get(fromText("größe")), kernel);
});
