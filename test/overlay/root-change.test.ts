/** A new root under what was written over the old one, with each policy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { addNode, makeDirectories, type Tree } from "../../src/tree/tree.js";
import { lacks, lacksRoot } from "../support/tools.js";
import { device, put, type Shell, TOOLS } from "./device.js";
import { link } from "./sample.js";

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
  hides what the new root has: /etc/mine
  hides what the new root has: /etc/mode
  hides what the new root has: /etc/replaced/file
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

test("refresh leaves alone what lies in a folder that was made anew and is frozen: the root's would not show", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, flash } = await device(t, { paths: ["/etc"], newRoot: "refresh", root: oldRoot });
  boot("cd /etc; rm -r replaced; mkdir replaced; touch replaced/own untouched; overlayctl snapshot s");
  boot("echo one >/etc/replaced/file");
  await flash(newRoot);
  assert.equal(boot("cat /etc/replaced/file"), "one\n");
});

test("refresh: names with backslashes are what they are", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  // What echo makes of the first in dash is the second.
  const names = ["a\\\\b", "a\\b", "x\\tab", "\\", "-n"];
  const every = names.map((name) => `'${name}'`).join(" ");
  const ship = (text: string) => (tree: Tree) => {
    for (const name of names) put(tree, `etc/${name}`, text);
  };
  for (const shell of SHELLS) {
    const { boot, flash } = await device(t, { shell, paths: ["/etc"], newRoot: "refresh", root: ship("one\n") });
    boot(`cd /etc; for f in ${every}; do touch ./"$f"; done; echo edited >'a\\b'; echo edited >'x\\tab'`);
    await flash(ship("two\n"));
    assert.equal(
      boot(
        `cd /etc; for f in ${every}; do cat ./"$f"; done; overlayctl status | grep hides; overlayctl status --json`,
      ).replace(/\{.*"shadowing":(\[.*?\]).*/, "$1"),
      `two
edited
edited
two
two
  hides what the new root has: /etc/a\\b
  hides what the new root has: /etc/x\\tab
["/etc/a\\\\b","/etc/x\\\\tab"]
`,
      shell,
    );
  }
});

test("a snapshot that the first boot over a new root takes is refreshed before; what it hides is listed", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  for (const shell of SHELLS) {
    const { boot, flash } = await device(t, { shell, paths: ["/etc"], newRoot: "refresh", root: oldRoot });
    boot("cd /etc; echo edited >edited; touch untouched; echo mine >frozen; overlayctl snapshot before-update");
    await flash((tree) => {
      newRoot(tree);
      put(tree, "etc/frozen", "one\n");
    });
    const see =
      "cd /etc; cat edited untouched frozen; overlayctl status | grep -o -E 'hides.*|: before.*'; ls /run/imgbuild";
    assert.equal(
      boot(see),
      "edited\ntwo\nmine\nhides what the new root has: /etc/edited\n: before-update\n",
      `${shell}: the policy comes first`,
    );
    // Nothing of it is in the topmost layer.
    await flash((tree) => {
      newRoot(tree);
      put(tree, "etc/edited", "three\n");
    });
    assert.equal(
      boot(see),
      "edited\ntwo\nmine\nhides what the new root has: /etc/edited\nhides what the new root has: /etc/frozen\n: before-update\n",
      shell,
    );
  }
});

test("where a new root resets, what was asked for over the former one is refused, and said", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, flash } = await device(t, { paths: ["/etc"], newRoot: "reset", root: oldRoot });
  boot("echo mine >/etc/mine; overlayctl snapshot s");
  await flash(newRoot);
  assert.equal(
    boot("cat /etc/mine; overlayctl status | grep -E 'Not done|: s$'").replace(/\d{10}/g, "TIME"),
    `imgbuild: /etc: no snapshot (TIME s): the root has changed, and with it all that was written is reset
imgbuild: /etc is reset, because the root has changed
theirs
Not done at this boot: /etc: no snapshot (TIME s): the root has changed, and with it all that was written is reset
`,
  );
  assert.equal(boot("overlayctl status | grep -E 'Not done|: s$'; ls /userdata"), "lost+found\noverlay\n");
});

test("refresh: the overlay's own folder gets the new root's owner and mode, unless somebody changed them", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const own = (mode: number, uid: number) => (tree: Tree) => {
    Object.assign(makeDirectories(tree, fromText("opt/app")), { mode, uid });
    Object.assign(makeDirectories(tree, fromText("etc")), { mode, uid });
  };
  const { boot, flash } = await device(t, { paths: ["/etc", "/opt/app"], newRoot: "refresh", root: own(0o755, 0) });
  boot("chmod 700 /etc; overlayctl snapshot s");
  boot("true");
  await flash(own(0o750, 7));
  assert.equal(boot("stat -c '%a %u' /etc /opt/app"), "700 0\n750 7\n");
});

test("refresh: a copy of which only an ACL or an extended attribute was changed counts as edited", async (t) => {
  if (lacks(t, ...TOOLS, "getfattr", "setfattr", "setfacl") || lacksRoot(t)) return;
  const programs = ["getfattr", "setfattr", "setfacl"];
  const { boot, flash } = await device(t, {
    paths: ["/etc"],
    newRoot: "refresh",
    programs,
    root: (tree) => {
      oldRoot(tree);
      for (const name of programs) addNode(tree, fromText(`usr/bin/${name}`), link(`../libexec/${name}`));
    },
  });
  boot(
    "cd /etc; touch same closed; setfacl -m u:7:rw same; chmod 644 same; setfattr -n user.x -v 1 edited; setfacl -m u:7:rx closed; touch untouched",
  );
  await flash((tree) => {
    newRoot(tree);
    put(tree, "etc/same", "two\n");
  });
  assert.equal(
    boot(`cd /etc; cat same edited untouched; getfattr -d -m - same edited closed | grep -c -E '^(user.x|system.posix_acl_access)='
      overlayctl status | grep hides`),
    "one\none\ntwo\n3\n  hides what the new root has: /etc/edited\n  hides what the new root has: /etc/same\n",
  );
});

test("refresh: a factory reset leaves nothing that hides what the root has", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, flash } = await device(t, { paths: ["/etc"], newRoot: "refresh", root: oldRoot });
  boot("echo edited >/etc/edited");
  await flash(newRoot);
  assert.match(boot("overlayctl status; overlayctl reset"), /hides what the new root has: \/etc\/edited\n/);
  assert.doesNotMatch(boot("overlayctl status"), /hides/);
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
