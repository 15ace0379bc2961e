/** What overlayctl asks for and preinit carries out at the next boot: booted with both shells, and looked at from outside. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { FileReader } from "../../src/bytes/file-device.js";
import { openExt4 } from "../../src/ext4/index.js";
import { lookup } from "../../src/tree/tree.js";
import { lacks, lacksRoot, mounted, run } from "../support/tools.js";
import { device, put, type Shell, TOOLS } from "./device.js";

const SHELLS: readonly Shell[] = ["busybox", "dash"];

/** The names in an overlay's folder on UserData, as our own reader sees them. */
async function folders(userdata: string, name = "home-root"): Promise<string[]> {
  const reader = new FileReader(userdata);
  try {
    const tree = await (await openExt4(reader)).tree();
    const node = lookup(tree, fromText(`overlay/${name}`));
    assert.ok(node?.type === "directory");
    return [...node.entries.keys()].sort();
  } finally {
    reader.close();
  }
}

const SHOW = "cd /home/root; for f in *; do echo $f=$(cat $f); done";

for (const shell of SHELLS) {
  test(`snapshot, restore forth and back, delete, by ${shell}`, async (t) => {
    if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
    const { boot, userdata } = await device(t, { shell });
    boot("echo 1 >/home/root/a; rm /home/root/deleted; overlayctl snapshot one");
    boot("echo 2 >/home/root/a; echo 2 >/home/root/b; overlayctl snapshot two");
    assert.equal(
      boot(`echo 3 >/home/root/a; rm /home/root/b; ${SHOW}; overlayctl restore one`),
      `a=3\nchanged=shipped\nkept=kept\nIt is done at the next boot.\n`,
    );
    assert.equal(
      boot(`${SHOW}; overlayctl restore two`),
      "a=1\nchanged=shipped\nkept=kept\nIt is done at the next boot.\n",
    );
    assert.equal(
      boot(`${SHOW}; echo 4 >/home/root/d; overlayctl delete one`),
      "a=2\nb=2\nchanged=shipped\nkept=kept\nIt is done at the next boot.\n",
    );
    const folded = "a=2\nb=2\nchanged=shipped\nd=4\nkept=kept\n";
    assert.equal(boot(`${SHOW}; overlayctl merge`), `${folded}It is done at the next boot.\n`);
    assert.equal(boot(SHOW), folded);
    assert.deepEqual((await folders(userdata)).filter((name) => name.startsWith("upper")).length, 1);
    assert.match(
      boot("cat /userdata/overlay/home-root/state"),
      /^state ready\nroot \w{32}\ntop upper\.\d -\ndone \S+ 2\nend\n$/,
    );
  });

  test(`a reset carries over what is to be kept, and no snapshot, by ${shell}`, async (t) => {
    if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
    const { boot, userdata, debugfs } = await device(t, {
      shell,
      paths: ["/etc", "/home/root"],
      keep: ["/home/root/*.conf", "/home/root/.ssh", "/etc/a b/*"],
    });
    boot(`cd /home/root; echo c >x.conf; chmod 640 x.conf; chown 5:6 x.conf; mkdir -m 700 .ssh; echo k >.ssh/key; echo lost >lost
      mkdir -m 750 "/etc/a b"; echo "e  f" >"/etc/a b/it's \\ *"; ln -s /etc/passwd "/etc/a b/link"; rm deleted kept; overlayctl snapshot old`);
    boot("echo lost >/home/root/lost2; overlayctl reset");
    const shown =
      boot(`find /home/root /etc | sort | grep -v init; cat "/etc/a b/it's \\ *" /home/root/.ssh/key /home/root/x.conf
      stat -c '%a %u:%g %n' /home/root /home/root/.ssh /home/root/x.conf "/etc/a b"; readlink "/etc/a b/link"; overlayctl reset --keep "/home/root/.s*" --no-keep`);
    assert.equal(
      shown,
      `/etc
/etc/a b
/etc/a b/it's \\ *
/etc/a b/link
/home/root
/home/root/.ssh
/home/root/.ssh/key
/home/root/changed
/home/root/deleted
/home/root/kept
/home/root/x.conf
e  f
k
c
710 1000:100 /home/root
700 0:0 /home/root/.ssh
640 5:6 /home/root/x.conf
750 0:0 /etc/a b
/etc/passwd
It is done at the next boot.
`,
    );
    assert.match(debugfs("cat /overlay/home-root/state"), /\nlayer upper\.\d - 0 \+kept\n/);
    assert.equal(
      boot("ls -A /home/root /etc; overlayctl reset --no-keep"),
      "/etc:\n\n/home/root:\n.ssh\nchanged\ndeleted\nkept\nIt is done at the next boot.\n",
    );
    assert.equal(boot("ls -A /home/root; ls /run/imgbuild"), "changed\ndeleted\nkept\n");
    assert.equal((await folders(userdata)).length, 3);
  });
}

/** What a reset by these patterns leaves below /home/root, and whether the boot after it is as whole as ever. */
async function keptBy(t: TestContext, shell: Shell, keep: readonly string[], written: string): Promise<string[]> {
  const { boot, userdata } = await device(t, { shell, paths: ["/etc", "/home/root"], keep });
  boot(`cd /home/root; rm *; ${written}; overlayctl reset`);
  boot("true");
  const shown = boot("cat /run/imgbuild/degraded 2>/dev/null; cd /home/root; find . -type f | sort");
  assert.deepEqual(
    (await folders(userdata)).filter((name) => !/^(upper|work)(\.\d)?$/.test(name)),
    ["state"],
  );
  return shown.split("\n").filter((name) => !["./changed", "./deleted", "./kept", ""].includes(name));
}

test("what a pattern with a dot matches has neither . nor .. in it, whichever the shell", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const written =
    "mkdir -p .config/.deep d; for f in .profile .config/.deep/x d/.hidden d/plain plain; do echo 1 >$f; done";
  for (const shell of SHELLS) {
    assert.deepEqual(await keptBy(t, shell, ["/home/root/.*", "/etc/.?*"], written), [
      "./.config/.deep/x",
      "./.profile",
    ]);
    const deep = ["/home/root/*/.*", "/home/root/.*/.*/x", "/home/root/.*/plain"];
    assert.deepEqual(await keptBy(t, shell, deep, written), ["./.config/.deep/x", "./d/.hidden"]);
  }
});

test("a pattern may end with slashes, and name the overlay's own folder or one above it", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const written = "mkdir ssh .x; for f in ssh/key .x/f a ..b; do echo 1 >$f; done";
  const all = ["./..b", "./.x/f", "./a", "./ssh/key"];
  for (const [keep, kept] of [
    ["/home/root/ssh//", ["./ssh/key"]],
    ["//home/*//[a]", ["./a"]],
    ["/home/root/", all],
    ["/home", all],
    ["/home/roo", []],
  ] as const) {
    assert.deepEqual(await keptBy(t, "busybox", ["/root/ssh", keep], written), kept, keep);
  }
  // As a request by hand may have it, or by an overlayctl of before.
  const { boot } = await device(t);
  boot(
    `cd /home/root; ${written}; printf 'id 1\nkeep -\nkeep etc\nkeep /home/root/ssh/\nreset home-root\n' >/userdata/request`,
  );
  assert.equal(boot("cd /home/root; ls -A; ls ssh"), "changed\ndeleted\nkept\nssh\nkey\n");
});

test("a folder in the place of the state before is removed", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const on = await device(t);
  on.boot("echo 1 >/home/root/mine");
  await mounted(on.userdata, { type: "ext4", writable: true }, (folder) =>
    fs.mkdirSync(path.join(folder, "overlay/home-root/before/home"), { recursive: true }),
  );
  const see = "cat /home/root/mine /run/imgbuild/degraded 2>&1; ls /userdata/overlay/home-root";
  assert.match(on.boot(see), /^1\ncat: .* No such file or directory\nstate\nupper\nwork\n$/);
});

test("a reset is asked for by the kernel's arguments or by a file, of all or of some", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, userdata } = await device(t, { paths: ["/etc", "/home/root"] });
  const write = "touch /etc/new /home/root/new";
  const see = "ls /etc/new /home/root/new 2>/dev/null";
  boot(write);
  assert.equal(boot(`${see}; true`, { arguments: "ro imgbuild.reset=/etc quiet" }), "/home/root/new\n");
  boot(write);
  assert.equal(
    boot(`${see}; true`, { arguments: "imgbuild.reset=home-root,nowhere" }),
    "imgbuild: there is no overlay nowhere: no reset\n/etc/new\n",
  );
  boot(write);
  assert.equal(boot(`${see}; true`, { arguments: "imgbuild.reset" }), "");
  boot(`${write}; echo /etc >/userdata/factory-reset`);
  assert.equal(boot(`${see}; true`), "/home/root/new\n");
  boot(write);
  await mounted(userdata, { type: "ext4", writable: true }, (folder) =>
    fs.writeFileSync(path.join(folder, "factory-reset"), ""),
  );
  assert.equal(boot(`${see}; true`), "");
  assert.equal(boot(`${write}; ls /userdata`), "lost+found\noverlay\n");
  // Without a line feed at its end, and as Windows's editors write it.
  for (const text of ["/etc", "/etc\r\n", "\r\n/etc\r\n\r\n"]) {
    boot(`${write}; printf '${text}' >/userdata/factory-reset`);
    assert.equal(boot(`${see}; ls /userdata`), "/home/root/new\nlost+found\noverlay\n", JSON.stringify(text));
  }
  boot(`${write}; mkdir /userdata/factory-reset; touch /userdata/factory-reset/file`);
  assert.equal(boot(`${see}; ${write}`), "");
  assert.equal(boot(see), "/etc/new\n/home/root/new\n", "one reset, not one at every boot");
});

test("a reset that a saved variable asks for is done once for each value, a full UserData or not", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  for (const shell of SHELLS) {
    const { boot } = await device(t, { shell, paths: ["/etc", "/home/root"], keep: ["/etc/new"] });
    const write = "touch /etc/new /home/root/new";
    const see = `cd /; ls /etc/new /home/root/new 2>/dev/null; ${write}`;
    const once = (value: string) => ({ arguments: `ro imgbuild.resetonce=${value} quiet` });
    boot(write);
    assert.equal(boot(see, once("all")), "/etc/new\n");
    assert.equal(boot(see, once("all")), "/etc/new\n/home/root/new\n", "not a second time");
    assert.equal(boot(see), "/etc/new\n/home/root/new\n");
    assert.equal(boot(see, once("/etc,imgbuild.nokeep:2")), "/home/root/new\n");
    assert.equal(boot(see, once("/etc,imgbuild.nokeep:2")), "/etc/new\n/home/root/new\n");
    boot(
      "cd /home/root; (yes | head -c 20000000 >big; i=0; while : >$i; do i=$((i + 1)); done; yes >small) 2>/dev/null",
    );
    assert.equal(boot(`${see}; ls /userdata`, once("/home/root:3")), "/etc/new\nlost+found\noverlay\nreset-once\n");
    assert.equal(boot(see, once("/home/root:3")), "/etc/new\n/home/root/new\n");
  }
});

test("a file factory-reset may say that nothing is carried over", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { paths: ["/etc", "/home/root"], keep: ["/etc/new", "/home/root/new"] });
  const write = "touch /etc/new /home/root/new";
  const see = `ls /etc/new /home/root/new 2>/dev/null; ${write}`;
  boot(`${write}; printf 'imgbuild.nokeep\n/etc\n' >/userdata/factory-reset`);
  assert.equal(boot(`${see}; echo imgbuild.nokeep >/userdata/factory-reset`), "/home/root/new\n");
  assert.equal(boot(see), "");
});

test("wishes from several sides are carried out each as it is: what one does not keep, another may", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, {
    shell: "dash",
    paths: ["/etc", "/home/root"],
    keep: ["/etc/new", "/home/root/new"],
  });
  const wish = (file: string, kernel: string) => {
    boot(
      `cd /; rm -f etc/* home/root/*; for d in etc home/root; do touch $d/new $d/lost; done; printf '${file}' >/userdata/factory-reset`,
    );
    return boot("cd /; ls etc/new etc/lost home/root/new home/root/lost 2>/dev/null; ls /userdata", {
      arguments: kernel,
    })
      .replace(/\n/g, " ")
      .replace("lost+found overlay ", "")
      .trim();
  };
  assert.equal(wish("/home/root", "imgbuild.reset=/etc imgbuild.nokeep"), "home/root/new");
  assert.equal(wish("imgbuild.nokeep\\n/etc\\n", "imgbuild.reset=/home/root"), "home/root/new");
  assert.equal(wish("/etc", "imgbuild.resetonce=imgbuild.nokeep:1"), "reset-once");
  assert.equal(
    wish("/etc", "imgbuild.reset=home-root,imgbuild.nokeep imgbuild.resetonce=/etc:2"),
    "etc/new reset-once",
  );
  assert.equal(
    wish("/etc,imgbuild.nokeep\\nhome-root", "imgbuild.resetonce=/home/root:3 imgbuild.nokeep"),
    "reset-once",
  );
  assert.equal(wish("", "imgbuild.reset=/etc imgbuild.nokeep"), "home/root/new reset-once");
});

test("what the image was built with comes back with a reset, and outlives merging", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, userdata } = await device(t);
  const { factoryState } = await import("../../src/overlay/index.js");
  await mounted(userdata, { type: "ext4", writable: true }, (folder) => {
    const upper = path.join(folder, "overlay/home-root/upper");
    fs.mkdirSync(upper, { recursive: true });
    fs.chmodSync(upper, 0o700);
    fs.writeFileSync(path.join(upper, "seed"), "seed\n");
    fs.writeFileSync(path.join(folder, "overlay/home-root/state"), factoryState());
  });
  assert.equal(
    boot("cat /home/root/seed; stat -c %a /home/root; echo x >/home/root/seed; overlayctl snapshot s"),
    "seed\n700\nIt is done at the next boot.\n",
  );
  boot("overlayctl merge");
  assert.equal(boot("cat /home/root/seed; overlayctl snapshot s"), "x\nIt is done at the next boot.\n");
  assert.equal(boot("rm /home/root/seed; overlayctl restore factory"), "It is done at the next boot.\n");
  assert.equal(boot("cat /home/root/seed; overlayctl restore s"), "seed\nIt is done at the next boot.\n");
  assert.equal(boot("cat /home/root/seed; overlayctl reset"), "x\nIt is done at the next boot.\n");
  assert.equal(
    boot("cat /home/root/seed; overlayctl restore s 2>&1; true"),
    "seed\noverlayctl: no overlay has a snapshot s\n",
  );
});

test("what cannot be done is refused, and changes nothing", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { paths: ["/etc", "/home/root"] });
  const tried =
    boot(`for c in "restore none" "delete factory" "snapshot a/b" "snapshot" "snapshot x --overlay /nowhere" "reset --keep etc" frobnicate \\
    "status --bad" "restore" "snapshot x y z" "export none" "import /nowhere" "reset /etc" "snapshot x y" "cancel x" \
    "reset --keep /etc/../x" "reset --keep /etc/./x" "reset --keep /etc/.."; do overlayctl $c 2>&1; echo "$c: $?"; done; overlayctl cancel; ls /userdata`);
  const statuses = [...tried.matchAll(/^(.*): (\d)$/gm)].map(([, command, status]) => `${command} ${status}`);
  assert.deepEqual(statuses, [
    "restore none 1",
    "delete factory 2",
    "snapshot a/b 2",
    "snapshot 0",
    "snapshot x --overlay /nowhere 2",
    "reset --keep etc 2",
    "frobnicate 2",
    "status --bad 2",
    "restore 2",
    "snapshot x y z 2",
    "export none 1",
    "import /nowhere 1",
    "reset /etc 2",
    "snapshot x y 2",
    "cancel x 2",
    "reset --keep /etc/../x 2",
    "reset --keep /etc/./x 2",
    "reset --keep /etc/.. 2",
  ]);
  assert.match(tried, /\nlost\+found\noverlay\n$/);
  // Two snapshots over one: it can go when one of them has gone.
  boot("overlayctl snapshot base");
  boot("echo 1 >/etc/one; overlayctl snapshot one");
  boot("overlayctl restore base");
  assert.match(boot("echo 2 >/etc/two; overlayctl delete base"), /done at the next/);
  assert.match(
    boot("ls /etc; overlayctl snapshot one 2>&1; overlayctl delete one"),
    /^imgbuild: \/etc: no delete \(base\): more than one [\s\S]*\ntwo\noverlayctl: \/etc has a snapshot one already\n/,
  );
  boot("overlayctl delete base");
  assert.match(
    boot("ls /etc; cat /userdata/overlay/etc/state"),
    /^two\nstate ready\nroot \w+\ntop upper\S* -\ndone \S+ \d\nend\n$/,
  );
});

test("what is not said, or said to the wrong command, is refused", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { paths: ["/etc", "/home/root"] });
  assert.equal(
    boot(`for words in "merge ''" "snapshot ''" "cancel --overlay /etc" "status --keep /a" "restore s --copy" "snapshot --json" \\
        "reset --keep /opt/x" "reset --keep '/a '"; do eval "overlayctl $words" 2>&1 | head -n 1; done
      overlayctl reset --keep "/a
/b" 2>&1 | head -n 1; ls /userdata
      exec 2>&1; overlayctl snapshot s; overlayctl snapshot s; overlayctl export`),
    `overlayctl: an empty argument says nothing: leave it out
overlayctl: an empty argument says nothing: leave it out
overlayctl: cancel takes no --overlay
overlayctl: status takes no --keep
overlayctl: restore takes no --copy
overlayctl: snapshot takes no --json
overlayctl: no overlay has anything of /opt/x; overlayctl status lists them
overlayctl: --keep takes no line break, and no blank at the end; ? stands for either: not "/a "
overlayctl: --keep takes no line break, and no blank at the end; ? stands for either: not "/a
lost+found
overlay
It is done at the next boot.
overlayctl: /etc: a snapshot s is to be taken at the next boot already
overlayctl: export needs the name of a snapshot; overlayctl status lists them
overlayctl: overlayctl help says how it is called
`,
  );
});

test("what is kept may have several blanks in its name, and diff has a line for each", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, {});
  assert.equal(
    boot(`cd /home/root; echo 1 >"a  b"; echo 2 >"c
d"; overlayctl diff; overlayctl reset --keep "/home/root/a  b"`),
    "A /home/root/a  b\nA /home/root/c?d\nIt is done at the next boot.\n",
  );
  assert.match(boot("ls /home/root"), /^a {2}b\n/);
});

test("without root's rights, or where preinit has not been, it says so at once", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { programs: ["setpriv"] });
  assert.equal(
    boot(`/usr/libexec/setpriv --reuid 1000 --regid 1000 --clear-groups overlayctl snapshot 2>&1
      umount /run; overlayctl status 2>&1; overlayctl help | head -n 1`),
    `overlayctl: only root can do that
overlayctl: there is no /run/imgbuild: this system was not started by /usr/lib/imgbuild/preinit
usage: overlayctl COMMAND [OPTION]...
`,
  );
});

test("a request whose lines nobody understands, or for overlays that are not there, is dropped", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, userdata } = await device(t);
  boot("echo x >/home/root/x");
  await mounted(userdata, { type: "ext4", writable: true }, (folder) =>
    fs.writeFileSync(
      path.join(folder, "request"),
      "id 1\nexplode home-root\nreset nowhere\nrestore home-root none\nsnapshot home-root 5 good\n",
    ),
  );
  assert.equal(
    boot("cat /home/root/x; ls /userdata; grep good /userdata/overlay/home-root/state"),
    `imgbuild: the request has a line that is not understood: explode
imgbuild: there is no overlay nowhere: no reset
imgbuild: /home/root: no restore (none): there is none; it stays as it is
x
lost+found
overlay
layer upper - 5 good
`,
  );
});

test("pending: a first boot that does not complete is made again, once; ready: it stays", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { hook: true });
  const see = "ls /home/root/half /run/imgbuild 2>/dev/null";
  assert.equal(boot(`touch /home/root/half; ls /run/imgbuild`), "pending\n");
  assert.match(
    boot(`${see}; touch /home/root/half`),
    /^imgbuild: the first boot with \/home\/root was not completed; it begins anew\n.*pending\n$/s,
  );
  assert.match(boot(see), /not completed twice; what it wrote stays\n\/home\/root\/half\n/);
  assert.doesNotMatch(boot(`${see}; overlayctl reset`), /pending/);
  const ready = "/etc/init.d/S99imgbuild-ready start";
  assert.equal(
    boot(`${ready}; touch /home/root/kept2; ls /run/imgbuild; overlayctl status | grep ready`),
    "  in userdata, ready\n",
  );
  assert.equal(boot("ls /home/root; ls /run/imgbuild"), "changed\ndeleted\nkept\nkept2\n");
});

test("odd names in a state's folder, and what cannot be written below /run, do not end process 1", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, userdata } = await device(t, { shell: "dash", hook: true });
  boot("true");
  await mounted(userdata, { type: "ext4", writable: true }, (folder) => {
    for (const name of ["upper.08", "upper.99999999999999999999", "upper.", "upper.x", "work.09"])
      fs.mkdirSync(path.join(folder, "overlay/home-root", name));
  });
  // Something else where preinit makes its folder.
  const sys = "mount -t tmpfs tmpfs run; echo x >run/imgbuild";
  assert.match(boot("ls /home/root", { arguments: "imgbuild.reset", sys }), /changed\ndeleted\nkept\n$/);
  // Numbers are ours; the others are somebody's.
  const left = boot("overlayctl ready; cd /userdata/overlay/home-root; ls -d upper*");
  assert.match(left, /\nupper\.\nupper\.\d\nupper\.x\n$/);
});

test("a damaged state is not guessed at: memory, until it is reset", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, userdata, debugfs } = await device(t);
  boot("echo x >/home/root/x");
  for (const damage of ["", "\0".repeat(100), "state ready\ntop upper -\n"]) {
    await mounted(userdata, { type: "ext4", writable: true }, (folder) =>
      fs.writeFileSync(path.join(folder, "overlay/home-root/state"), damage),
    );
    assert.match(
      boot("ls /home/root; overlayctl status"),
      /state is damaged[\s\S]*degraded: [\s\S]*\/home\/root is in memory\n[\s\S]*\n {2}in memory; there is no sound state/,
    );
    assert.equal(debugfs("cat /overlay/home-root/upper/x"), "x\n");
  }
  assert.equal(boot("ls /home/root", { arguments: "imgbuild.reset" }), "changed\ndeleted\nkept\n");
});

test("what is asked for in one boot is carried out in order: a snapshot can be gone back to before it is taken", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { paths: ["/etc", "/home/root"] });
  assert.equal(
    boot(`exec 2>&1; echo 1 >/etc/one; overlayctl snapshot --overlay /etc a; echo 2 >/etc/two
      overlayctl export a - ; overlayctl restore a; overlayctl delete a; overlayctl snapshot --overlay /etc a; overlayctl restore none`),
    `It is done at the next boot.
overlayctl: the snapshot a is taken at the next boot, and can be exported then
It is done at the next boot.
It is done at the next boot.
It is done at the next boot.
overlayctl: no overlay has a snapshot none
`,
  );
  assert.equal(
    boot("ls /etc; overlayctl status | grep -c ': a$'; overlayctl reset; overlayctl restore a 2>&1"),
    "one\ntwo\n1\nIt is done at the next boot.\noverlayctl: no overlay has a snapshot a\n",
  );
});

test("what a request leaves nothing of is not asked for after it, and what it leaves is", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  for (const shell of SHELLS) {
    const { boot } = await device(t, { shell });
    for (const name of ["one", "two", "three"]) boot(`touch /home/root/${name}; overlayctl snapshot ${name}`);
    const done = "It is done at the next boot.\n";
    const none = (name: string) => `overlayctl: no overlay has a snapshot ${name}\n`;
    const asked = (...commands: string[]) =>
      boot(
        `exec 2>&1; ls /userdata/request; ${commands.map((command) => `overlayctl ${command}`).join(";")}; overlayctl cancel`,
      )
        .replace(/^ls: .*\n/, "")
        .split(done)
        .join("+");
    assert.equal(asked("merge two", "restore one", "restore two", "restore three"), `+${none("one")}++`);
    assert.equal(asked("merge", "restore three", "snapshot one"), `+${none("three")}+`);
    // It is not deleted, for the present state and three are both over it.
    assert.equal(asked("restore two", "delete two", "delete one", "restore two"), "++++");
    assert.equal(
      asked("snapshot a", "restore two", "merge", "snapshot a", "delete a", "snapshot a", "restore a"),
      "+++overlayctl: /home/root: a snapshot a is to be taken at the next boot already\n+++",
    );
    assert.equal(asked("reset", "restore factory", "restore one"), `+${none("factory")}${none("one")}`);
    assert.equal(boot("overlayctl status | grep -c 'snapshot of'"), "3\n");
  }
});

test("what could not be done is shown for as long as the boot lasts", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t);
  boot(
    "printf 'id 1\\nrestore home-root none\\nexplode \"x\\n' >/userdata/request; echo /nowhere >/userdata/factory-reset",
  );
  const shown = boot(`overlayctl status | grep Not; overlayctl status --json`)
    .split("\n")
    .filter((line) => !line.startsWith("imgbuild"));
  assert.deepEqual(shown.slice(0, 3), [
    "Not done at this boot: there is no overlay /nowhere: no reset",
    "Not done at this boot: /home/root: no restore (none): there is none; it stays as it is",
    "Not done at this boot: the request has a line that is not understood: explode",
  ]);
  assert.deepEqual(
    JSON.parse(shown[3]!).notDone,
    shown.slice(0, 3).map((line) => line.replace("Not done at this boot: ", "")),
  );
  assert.doesNotMatch(boot("overlayctl status"), /Not done/);
});

test("a reset while the first boot has not completed keeps what is below it, and what overlayctl was told to keep", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { hook: true, keep: ["/home/root/*.key"] });
  boot("echo whole >/home/root/a.key; overlayctl ready; overlayctl reset");
  boot("echo half >/home/root/b.key");
  assert.match(boot("cd /home/root; cat *.key", { arguments: "imgbuild.reset" }), /^whole\n$/);
  boot("echo mine >/home/root/c.key; overlayctl reset");
  assert.match(boot("cd /home/root; cat *.key"), /^whole\nmine\n$/);
});

/** What somebody put before the path: from the count in /dev/fails on, a program fails. */
const failing = (program: string) => `#!/bin/busybox sh
if [ -e /dev/fails ]; then
  read -r left </dev/fails
  echo $((left - 1)) >/dev/fails
  [ "$left" -gt 0 ] || exit 1
fi
exec /bin/busybox ${program} "$@"
`;

const FILES = "cd /home/root; for f in $(find . -type f | sort); do echo $f=$(cat $f); done";

test("a fold that fails half-way: what is seen stays, the snapshot that goes cannot be gone back to, a later boot ends it", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  for (const commands of ["overlayctl delete one", "overlayctl merge"]) {
    const { boot, userdata } = await device(t, {
      shell: "dash",
      root: (tree) => put(tree, "usr/sbin/mv", failing("mv"), 0o755),
    });
    boot("cd /home/root; mkdir -p d/e; for f in a b c d/e/f; do echo 1 >$f; done; rm kept; overlayctl snapshot one");
    boot("cd /home/root; echo 2 >a; rm -r d; mkdir d; echo 2 >d/g; overlayctl snapshot two");
    const before = boot(`${FILES}; ${commands} >/dev/null`);
    const saved = `${userdata}.saved`;
    fs.copyFileSync(userdata, saved);
    let half = 0;
    for (let fails = 1; ; fails++) {
      fs.copyFileSync(saved, userdata);
      const shown = boot(`rm -f /dev/fails; ${FILES}; overlayctl status --json`, { sys: `echo ${fails} >dev/fails` });
      const [json] = shown.split("\n").slice(-2);
      assert.equal(shown.replace(/^imgbuild.*\n/gm, "").replace(/\{".*\n/, ""), before, `${commands}, ${fails}`);
      const { notDone, overlays } = JSON.parse(json!);
      const going = overlays[0].layers.filter((layer: { use: string }) => layer.use === "going");
      if (notDone.length === 0) break;
      if (/no (delete|merge)/.test(notDone[0])) {
        assert.deepEqual(going, [], "old");
        continue;
      }
      assert.match(notDone[0], /cannot be moved/);
      half++;
      assert.match(going[0].name, /one|two/);
      // Its name is free, it is not to be had, and what is above it is.
      const tried = boot(
        `exec 2>&1; rm -f /dev/fails; cd /home/root; overlayctl restore ${going[0].name}; overlayctl export ${going[0].name}
        [ "${commands}" != "overlayctl delete one" ] || overlayctl export two - | tar -t -f - | grep -c files/b; overlayctl snapshot one`,
        { sys: `echo 0 >dev/fails` },
      );
      assert.equal(
        tried.replace(/^imgbuild.*\n/gm, ""),
        `overlayctl: no overlay has a snapshot ${going[0].name}\noverlayctl: there is no snapshot ${going[0].name}\n${
          commands === "overlayctl merge" ? "" : "1\n"
        }It is done at the next boot.\n`,
      );
      assert.equal(boot(FILES), before);
      assert.equal(
        boot("grep going /userdata/overlay/home-root/state; overlayctl status | grep -c 'snapshot of'"),
        commands === "overlayctl merge" ? "1\n" : "2\n",
      );
      run("e2fsck", ["-fn", userdata]);
    }
    assert.ok(half >= 2, `${half}`);
  }
});

test("restore, snapshot and reset on the way: what is going goes with what is above it", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, userdata } = await device(t, {
    shell: "dash",
    root: (tree) => put(tree, "usr/sbin/mv", failing("mv"), 0o755),
  });
  boot("cd /home/root; echo 0 >z; overlayctl snapshot base");
  boot("cd /home/root; for f in a b c; do echo 1 >$f; done; overlayctl snapshot one");
  boot("echo 2 >/home/root/y; overlayctl delete one");
  const stuck = { sys: "echo 3 >dev/fails" };
  const failed = /^imgbuild: \/home\/root: a snapshot .* cannot be moved/;
  assert.match(boot("rm /dev/fails; overlayctl restore base", stuck), failed);
  assert.equal(boot(FILES), "./changed=shipped\n./deleted=shipped\n./kept=kept\n./z=0\n");
  assert.deepEqual((await folders(userdata)).filter((name) => name.startsWith("upper")).length, 2);
  // A mark that no layer has, as scripts that know nothing of marks may leave it.
  await mounted(userdata, { type: "ext4", writable: true }, (folder) =>
    fs.appendFileSync(path.join(folder, "overlay/home-root/state"), "going  upper.77 upper upper\nend\n"),
  );
  assert.equal(
    boot("cd /home/root; echo $(ls); grep -c going /userdata/overlay/home-root/state"),
    "changed deleted kept z\n0\n",
  );
});

test("a medium that fails when it is written out leaves the old state", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, {
    shell: "dash",
    root: (tree) => put(tree, "usr/sbin/sync", failing("sync"), 0o755),
  });
  boot("echo 1 >/home/root/a; overlayctl snapshot one");
  assert.match(
    boot("cat /home/root/a; overlayctl snapshot two 2>&1; ls /userdata", { sys: "echo 0 >dev/fails" }),
    /^imgbuild: \/home\/root: no snapshot \(\d+ one\): it failed[^\n]*\n1\noverlayctl: the request cannot be written to UserData[^\n]*\nlost\+found\noverlay\n$/,
  );
  assert.equal(boot("cat /home/root/a; overlayctl status | grep -c snapshot; true"), "1\n0\n");
  // The rename is done, and nobody knows whether it lasts: what either state names stays.
  boot("overlayctl snapshot two");
  const folders = "echo $(ls -d /userdata/overlay/home-root/upper*); cat /home/root/a";
  boot(`${folders}; overlayctl restore two`);
  assert.match(boot(folders, { sys: "echo 1 >dev/fails" }), /no restore \(two\): [^\n]*\n(\S+ ){2}\S+\n1\n$/);
});
