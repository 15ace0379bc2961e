/**
 * What the kernel's overlayfs does, as preinit mounts it, and what it leaves on UserData: the facts that the scripts, merging layers and
 * snapshots build on (Documentation/filesystems/overlayfs.rst). UserData is read with the project's ext4 reader.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { openExt4 } from "../../src/ext4/index.js";
import { type Directory, type Node, readContent } from "../../src/tree/node.js";
import { addNode, lookup, makeDirectories, type Tree } from "../../src/tree/tree.js";
import { lacks, lacksRoot, run } from "../support/tools.js";
import { type Device, device, put, TOOLS } from "./device.js";

const ROOT = (tree: Tree) => {
  for (const folder of ["opt/app/old", "opt/app/moved/below", "opt/app/remade"])
    makeDirectories(tree, fromText(folder));
  for (const name of [
    "copied",
    "deleted",
    "one",
    "untouched",
    "replaced",
    "old/file",
    "moved/below/file",
    "remade/file",
  ])
    put(tree, `opt/app/${name}`, `${name}\n`);
  addNode(tree, fromText("opt/app/two"), lookup(tree, fromText("opt/app/one"))!);
};

/** What the topmost layer of /opt/app has by a name, as it is on UserData. */
async function upper({ userdata }: Device): Promise<(name: string) => Promise<Node | undefined>> {
  const content = fs.readFileSync(userdata);
  const reader = await openExt4({
    size: content.length,
    read: async (at, length) => Uint8Array.from(content.subarray(at, at + length)),
  });
  return async (name) => {
    const inode = await reader.lookup(fromText(`overlay/opt-app/upper/${name}`));
    return inode && reader.node(inode);
  };
}

const attribute = (node: Node | undefined, name: string) => {
  const value = node?.xattrs.get(fromText(name));
  return value && Buffer.from(value).toString("latin1");
};

async function text(node: Node | undefined): Promise<string> {
  assert.equal(node?.type, "file");
  return node?.type === "file" ? Buffer.from(await readContent(node.content)).toString("latin1") : "";
}

const isWhiteout = (node: Node | undefined) => node?.type === "character" && node.major === 0 && node.minor === 0;

test("copy-up, whiteouts, opaque folders, renamed folders, hard links, xattrs, and another root below", async (t) => {
  if (lacks(t, ...TOOLS, "setfattr") || lacksRoot(t)) return;
  const options = { paths: ["/opt/app"], root: ROOT, programs: ["setfattr"] } as const;
  const made = await device(t, options);
  const printed = made.boot(`cat /run/imgbuild/degraded 2>/dev/null; cd /opt/app
    echo more >>copied; rm deleted; rm -r old; rm -r remade; mkdir remade; echo own >remade/own; mv moved elsewhere
    echo changed >>one; cat two; stat -c %h one two; /usr/libexec/setfattr -n user.note -v kept replaced; ls . remade elsewhere/below`);
  assert.equal(
    printed,
    "one\n1\n2\n.:\ncopied\nelsewhere\none\nremade\nreplaced\ntwo\nuntouched\n\nelsewhere/below:\nfile\n\nremade:\nown\n",
  );

  const layer = await upper(made);
  assert.equal(await text(await layer("copied")), "copied\nmore\n", "a file is copied up whole");
  for (const name of ["deleted", "old", "moved"]) assert.ok(isWhiteout(await layer(name)), name);
  assert.equal(await layer("old/file"), undefined, "one whiteout hides all of a folder");
  const remade = await layer("remade");
  assert.equal(attribute(remade, "trusted.overlay.opaque"), "y");
  assert.equal(await layer("remade/file"), undefined, "an opaque folder needs no whiteouts");
  // rename(2) of a folder from below is EXDEV, and mv copies: nothing in a layer refers to the name that something has in the root.
  const elsewhere = await layer("elsewhere");
  assert.equal(elsewhere?.type, "directory");
  assert.equal(attribute(elsewhere, "trusted.overlay.redirect"), undefined);
  assert.equal(await text(await layer("elsewhere/below/file")), "moved/below/file\n");
  assert.equal(await text(await layer("one")), "one\nchanged\n");
  assert.equal(await layer("two"), undefined, "the other name of the file still is the root's");
  assert.equal(attribute(await layer("replaced"), "user.note"), "kept");
  assert.equal(await text(await layer("replaced")), "replaced\n", "for an attribute the content is copied up too");
  assert.equal(await layer("untouched"), undefined);

  await made.flash((tree) => {
    const app = lookup(tree, fromText("opt/app")) as Directory;
    for (const name of ["untouched", "replaced", "copied", "deleted"]) app.entries.delete(fromText(name));
    for (const name of ["untouched", "replaced", "copied", "deleted", "added", "old/new", "remade/new"])
      put(tree, `opt/app/${name}`, "of the new root\n");
  });
  assert.equal(
    made.boot("cat /run/imgbuild/degraded 2>/dev/null; cd /opt/app; ls . remade; cat untouched replaced copied added"),
    `.:
added
copied
elsewhere
one
remade
replaced
two
untouched

remade:
own
of the new root
replaced
copied
more
of the new root
`,
  );
  run("e2fsck", ["-fn", made.userdata]);
});
