/** A new root under what was written over the old one, with each policy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { makeDirectories, type Tree } from "../../src/tree/tree.js";
import { lacks, lacksRoot } from "../support/tools.js";
import { device, put, type Shell, TOOLS } from "./device.js";

const SHELLS: readonly Shell[] = ["busybox", "dash"];

function oldRoot(tree: Tree): void {
  for (const name of ["edited", "untouched", "same", "mode", "gone", "a name  with blanks", "x[1]*", "frozen"])
    put(tree, `etc/${name}`, "one\n");
  makeDirectories(tree, fromText("etc/emptied"), { mode: 0o755 });
  put(tree, "etc/emptied/file", "one\n");
  makeDirectories(tree, fromText("etc/replaced"), { mode: 0o755 });
  put(tree, "etc/replaced/file", "one\n");
  makeDirectories(tree, fromText("etc/closed"), { mode: 0o755 });
  put(tree, "etc/closed/file", "one\n");
}

function newRoot(tree: Tree): void {
  for (const name of [
    "edited",
    "untouched",
    "mode",
    "a name  with blanks",
    "x[1]*",
    "frozen",
    "emptied/file",
    "replaced/file",
    "closed/file",
    "deleted",
  ])
    put(tree, `etc/${name}`, "two\n");
  (tree.root.entries.get(fromText("etc")) as ReturnType<typeof makeDirectories>).entries.delete(fromText("gone"));
  makeDirectories(tree, fromText("etc/closed")).mode = 0o700;
  put(tree, "etc/mine", "theirs\n");
}

/** Copies everything up as it is, then edits some of it. */
const EDIT = `cd /etc; echo frozen >frozen; chmod 600 mode; echo edited >edited; echo mine >mine; ln -s /nowhere dangling
  for f in untouched same gone "a name  with blanks" "x[1]*" emptied/file closed/file; do touch "$f"; done
  rm -r replaced; mkdir replaced; echo one >replaced/file; touch closed/own`;

for (const shell of SHELLS) {
  test(`refresh: copies that nobody edited give way to the new root's, by ${shell}`, async (t) => {
    if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
    const { boot, flash, debugfs } = await device(t, { shell, paths: ["/etc"], newRoot: "refresh", root: oldRoot });
    boot(`${EDIT}; overlayctl snapshot s`);
    boot("overlayctl merge");
    boot("overlayctl snapshot t; echo frozen >/etc/frozen");
    // Edited, frozen, and then edited back: the root's must not show, what is frozen must neither.
    boot("echo one >/etc/frozen; overlayctl merge");
    boot("true");
    await flash(newRoot);
    const shown =
      boot(`cd /etc; for f in edited untouched same mode gone "a name  with blanks" "x[1]*" emptied/file closed/file replaced/file mine deleted; do echo "$f: $(cat "$f" 2>/dev/null)"; done
      stat -c '%a %n' mode closed; overlayctl status | grep -E 'hides|begun'; cat /run/imgbuild/degraded 2>/dev/null`);
    assert.equal(
      shown,
      `edited: edited
untouched: two
same: one
mode: one
gone: 
a name  with blanks: two
x[1]*: two
emptied/file: two
closed/file: two
replaced/file: one
mine: mine
deleted: two
600 mode
700 closed
  hides what the new root has: /etc/edited
  hides what the new root has: /etc/mode
  hides what the new root has: /etc/mine
`,
    );
    assert.match(debugfs("cat /overlay/etc/state"), /^state ready\n/);
    // From now on this root's files are what counts.
    await flash((tree) => {
      newRoot(tree);
      put(tree, "etc/untouched", "three\n");
    });
    assert.equal(
      boot("cat /etc/untouched; ls /etc/closed; ls -d /userdata/overlay/etc/manifest.* | wc -l"),
      "three\nfile\nown\n1\n",
    );
  });
}

test("refresh leaves alone what a frozen layer has", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, flash } = await device(t, { paths: ["/etc"], newRoot: "refresh", root: oldRoot });
  boot("echo frozen >/etc/frozen; echo f >/etc/closed/own; chmod 711 /etc/closed; overlayctl snapshot s");
  boot("echo one >/etc/frozen; chmod 755 /etc/closed; touch /etc/untouched");
  await flash(newRoot);
  assert.equal(boot("cat /etc/frozen /etc/untouched; stat -c %a /etc/closed"), "one\ntwo\n755\n");
});

test("reset: another root, another beginning, but what is to be kept; keep: all stays", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const see = "cat /etc/edited /etc/mine 2>/dev/null; overlayctl status | grep begun";
  const reset = await device(t, {
    paths: ["/etc", "/home/root"],
    newRoot: "reset",
    keep: ["/etc/mine"],
    root: oldRoot,
  });
  reset.boot(`${EDIT}; touch /home/root/x`);
  await reset.flash(newRoot);
  assert.equal(
    reset.boot(`${see}; ls /home/root/x`),
    "imgbuild: /etc is reset, because the root has changed\ntwo\nmine\n/home/root/x\n",
  );
  assert.equal(reset.boot(`echo 2 >/etc/edited; ${see}; true`), "2\nmine\n");
  assert.equal(reset.boot(`${see}; true`), "2\nmine\n");
  const keep = await device(t, { paths: ["/etc"], root: oldRoot });
  keep.boot(EDIT);
  await keep.flash(newRoot);
  assert.equal(keep.boot(`${see}; true`), "edited\nmine\n  begun over another root than this one\n");
});

test("an overlay of which no root is known is taken over as it is", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { paths: ["/etc"], newRoot: "reset", root: oldRoot });
  boot("echo mine >/etc/mine");
  boot("rm /userdata/overlay/etc/state");
  assert.equal(boot("cat /etc/mine; grep -c 'root [0-9a-f]' /userdata/overlay/etc/state"), "mine\n1\n");
});
