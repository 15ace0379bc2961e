/** overlayctl export and import, status and diff. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { makeDirectories } from "../../src/tree/tree.js";
import { lacks, lacksRoot, run } from "../support/tools.js";
import { device, put, type Shell, TOOLS } from "./device.js";

const SHELLS: readonly Shell[] = ["busybox", "dash"];

const WRITE = `cd /home/root; echo new >new; rm deleted; echo x >>changed; mkdir -m 750 sub; echo "a b" >"sub/it's
two lines"; ln -s new link; rm -r folder; mkdir folder; echo own >folder/own; chown 5:6 new; ln new hard`;
const SHOW = "cd /home/root; find . | sort; cat changed sub/*; stat -c '%a %u:%g %h %n' new sub; readlink link";

for (const shell of SHELLS) {
  test(`a snapshot goes to a tar and comes back on another device, by ${shell}`, async (t) => {
    if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
    const options = {
      shell,
      paths: ["/etc", "/home/root"],
      root: (tree: Parameters<typeof put>[0]) => {
        makeDirectories(tree, fromText("home/root/folder"));
        put(tree, "home/root/folder/shipped", "shipped\n");
      },
    };
    const one = await device(t, options);
    const shown = one.boot(`${WRITE}; overlayctl snapshot --overlay /home/root s >/dev/null; ${SHOW}`);
    one.boot("echo later >/home/root/later");
    one.boot(
      "overlayctl export s /userdata/s.tar; overlayctl export s | cmp - /userdata/s.tar; ls /run/imgbuild; cut -d' ' -f2 /proc/mounts | grep imgbuild",
    );
    const tar = `${one.userdata}.tar`;
    run("debugfs", ["-R", `dump /s.tar ${tar}`, one.userdata]);
    assert.doesNotMatch(run("tar", ["-tvf", tar]), /^c/m);
    assert.equal(run("tar", ["-xOf", tar, "./home-root/deleted"]), "/folder/shipped\n/deleted\n");

    const two = await device(t, options);
    run("debugfs", ["-w", "-R", `write ${tar} s.tar`, two.userdata]);
    assert.equal(
      two.boot(
        "echo other >/home/root/other; overlayctl import /userdata/s.tar; overlayctl import - t </userdata/s.tar; overlayctl import /userdata/s.tar 2>&1; overlayctl restore t; ls /userdata",
      ),
      `Imported as s, for /home/root. Go back to it: overlayctl restore s
Imported as t, for /home/root. Go back to it: overlayctl restore t
overlayctl: /home/root has a snapshot s already; overlayctl import FILE NAME gives this one another name
It is done at the next boot.
lost+found
overlay
request
s.tar
`,
    );
    assert.equal(two.boot(SHOW), shown);
    assert.match(two.boot("overlayctl restore s; overlayctl delete t"), /next boot/);
    assert.equal(
      two.boot(`${SHOW}; overlayctl diff`),
      `${shown}M /home/root/changed\nA /home/root/folder/own\nD /home/root/folder/shipped\nA /home/root/hard\nA /home/root/link\nA /home/root/new\nA /home/root/sub\nD /home/root/deleted\n`,
    );
  });
}

test("an import of a snapshot that was made over another root says so; another one adds what the first did not get to", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, flash } = await device(t, { paths: ["/etc", "/home/root"] });
  boot("echo 1 >/home/root/one; echo 2 >/etc/two; overlayctl snapshot s");
  boot("overlayctl export s /userdata/s.tar");
  await flash((tree) => put(tree, "etc/new", "new\n"));
  assert.equal(
    boot(`exec 2>&1; overlayctl import /userdata/s.tar --overlay /home/root a; overlayctl import /userdata/s.tar a
      overlayctl restore a`),
    `Imported as a, for /home/root. Go back to it: overlayctl restore a
overlayctl: note: /etc: the snapshot was made over another root than this one; overlayctl diff tells what it hides once it is restored
overlayctl: /home/root has a snapshot a already; overlayctl import FILE NAME gives this one another name
Imported as a, for /etc. Go back to it: overlayctl restore a
It is done at the next boot.
`,
  );
  assert.equal(boot("cat /home/root/one /etc/two /etc/new"), "1\n2\nnew\n");
});

test("a tar that was cut short is no snapshot; an export goes to - as well, and says what failed", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { paths: ["/etc", "/home/root"] });
  boot("echo 1 >/home/root/one; echo 2 >/etc/two; overlayctl snapshot s");
  assert.equal(
    boot(`cd /run; overlayctl export s ./-s.tar; overlayctl export s - | cmp - ./-s.tar; tar -t -f ./-s.tar | tail -n 1
      cut=$(($(wc -c <./-s.tar) / 512))
      while [ $((cut -= 1)) -gt 0 ]; do
        head -c $((cut * 512)) ./-s.tar >cut.tar
        overlayctl import cut.tar c$cut >/dev/null 2>&1 && tar -t -f cut.tar | grep -c imgbuild-snapshot
      done | sort -u
      overlayctl export s /nowhere/s.tar 2>&1 | tail -n 1; rm -f ./-s.tar; overlayctl export s -s.tar; ls ./-s.tar`),
    "./imgbuild-snapshot\n1\noverlayctl: the snapshot cannot be written to /nowhere/s.tar\n./-s.tar\n",
  );
});

test("layers and exported snapshots are root's alone, whatever folder they are of", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t);
  boot("overlayctl snapshot s");
  assert.equal(
    boot("cd /userdata; overlayctl export s s.tar; stat -c '%a %n' overlay s.tar; cd /home/root; umask; stat -c %a ."),
    "700 overlay\n600 s.tar\n0022\n710\n",
  );
});

test("deleted files of any name stay deleted, or the export says that it cannot tell them", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const names = ["foo", "foo ", " foo", "foo\t", "back\\\\slash", "back\\slash", "-n", "*"];
  for (const shell of SHELLS) {
    const { boot } = await device(t, {
      shell,
      root: (tree) => {
        for (const name of [...names, "two\nlines"]) put(tree, `home/root/odd/${name}`, "");
      },
    });
    const see = "cd /home/root/odd; for f in *; do printf '[%s]\n' \"$f\"; done";
    boot("cd /home/root/odd; rm 'foo ' ' foo' 'foo\t' 'back\\slash' -- -n '*'; overlayctl snapshot s");
    const left = "[back\\\\slash]\n[foo]\n[two\nlines]\n";
    assert.equal(
      boot(`${see}; overlayctl export s | overlayctl import - t >/dev/null; overlayctl restore t`),
      `${left}It is done at the next boot.\n`,
    );
    assert.equal(boot(see), left, shell);
    boot("rm /home/root/odd/two*; overlayctl snapshot u");
    assert.equal(
      boot("exec 2>&1; overlayctl diff | tail -n 1; overlayctl export u /run/u.tar; echo $?; ls /run"),
      "D /home/root/odd/two?lines\noverlayctl: there is a line break in the name of a file that was deleted: no export can say this: D /home/root/odd/two?lines\n1\nimgbuild\n",
    );
  }
});

test("an export fails where there is no room to list what was deleted", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  for (const shell of SHELLS) {
    const { boot } = await device(t, {
      shell,
      root: (tree) => {
        for (let i = 0; i < 200; i++) put(tree, `home/root/many/${"x".repeat(100)}${i}`, "");
      },
    });
    boot("rm /home/root/many/*; echo mine >/home/root/mine; overlayctl snapshot s");
    boot("overlayctl export s /userdata/s.tar");
    assert.equal(
      boot(`exec 2>&1; used=$(df -k /run | awk 'END { print $3 }'); mount -o remount,size=$((used + 8))k /run
        overlayctl export s /userdata/t.tar 2>&1 | tail -n 1; mount -o remount,size=1m /run; ls /userdata`),
      "overlayctl: what the snapshot holds cannot be looked at\nlost+found\noverlay\ns.tar\n",
    );
  }
});

test("an import whose state cannot be written leaves nothing", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  for (const shell of SHELLS) {
    const { boot } = await device(t, { shell });
    boot("echo mine >/home/root/mine; overlayctl snapshot s");
    boot("overlayctl export s /userdata/s.tar");
    const printed = boot(
      `cd /userdata/overlay/home-root; mkdir state+new; overlayctl import /userdata/s.tar t 2>&1; ls`,
    );
    assert.equal(
      printed.replace(/^.*state\+new.*\n/gm, ""),
      "overlayctl: /home/root: the import failed, perhaps for want of room\nstate\nupper\nupper.1\nwork.1\n",
      shell,
    );
  }
});

test("an import deletes nothing outside of its layer, and takes no symlink for one", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { paths: ["/etc", "/home/root"] });
  assert.equal(
    boot(`cd /run; mkdir -p s/home-root/files s/etc; echo "snapshot s 1" >s/imgbuild-snapshot; touch /userdata/safe
      ln -s /userdata s/home-root/files/link; ln -s /home s/etc/files
      printf '/link/safe\n/../../../userdata/safe\n/kept\n' >s/home-root/deleted
      tar -c -f s.tar -C s .; overlayctl import s.tar; ls /userdata; overlayctl restore s; overlayctl status | grep -c snapshot`),
    `Imported as s, for /home/root. Go back to it: overlayctl restore s
lost+found
overlay
safe
It is done at the next boot.
1
`,
  );
  assert.equal(boot("ls /home/root; readlink /home/root/link"), "changed\ndeleted\nlink\n/userdata\n");
});

test("status tells layers, sizes, changes, requests and what does not work", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { paths: ["/etc", "/home/root"] });
  boot("cd /home/root; yes | head -c 102400 >big; overlayctl snapshot --overlay home-root s");
  const [plain, json] = boot(
    "cd /home/root; rm kept; chmod 600 changed; overlayctl restore --overlay /home/root s >/dev/null; overlayctl status; echo ----; overlayctl status --json",
  ).split("----\n") as [string, string];
  assert.match(
    plain,
    /^UserData: \/dev\/\S+ on \/userdata, \d+ of \d+ KiB used\nAt the next boot: restore s of \/home\/root\n\/etc\n {2}in userdata, ready\n {2}from the root differ: 0 added, 0 changed, 0 deleted\n {2}\d+ KiB {2}what was written last\n\/home\/root\n {2}in userdata, ready\n {2}from the root differ: 1 added, 1 changed, 1 deleted\n {2}\d+ KiB {2}what was written last\n {2}10\d KiB {2}snapshot of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d: s\n$/,
  );
  const status = JSON.parse(json);
  assert.deepEqual(status.degraded, []);
  assert.equal(status.requests.length, 2);
  assert.ok(status.userdata.size > status.userdata.available);
  const [etc, home] = status.overlays;
  assert.equal(etc.path, "/etc");
  assert.deepEqual(
    [home.name, home.path, home.in, home.state, home.shadowing],
    ["home-root", "/home/root", "userdata", "ready", []],
  );
  assert.deepEqual(home.differs, { added: 1, changed: 1, deleted: 1 });
  assert.equal(home.root.begunOver, home.root.present);
  assert.deepEqual(
    home.layers.map((layer: Record<string, unknown>) => [layer.folder, layer.parent, layer.use, layer.name]),
    [
      ["upper.1", "upper", "top", undefined],
      ["upper", "-", "below", "s"],
    ],
  );
  assert.ok(home.layers[1].size >= 100 * 1024);
  const degraded = JSON.parse(
    boot("overlayctl status --json | sed 's/^imgbuild.*//'", { sys: "rm sys/devices/disk/p3/partition" })
      .split("\n")
      .at(-2)!,
  );
  assert.equal(degraded.userdata, null);
  assert.match(degraded.degraded[0], /no partition 3/);
  assert.equal(degraded.overlays[0].in, "memory");
});

test("an export goes to names of any kind, and not over a folder; an import takes no pipe for a file", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t);
  boot("echo 1 >/home/root/one; overlayctl snapshot s");
  assert.equal(
    boot(`cd /run; exec 2>&1; overlayctl export s host:s.tar && overlayctl import host:s.tar a; overlayctl export s "-a b
c" && overlayctl import "-a b
c" b; mkdir folder; overlayctl export s folder; ls folder; overlayctl import nowhere
      mkfifo pipe; overlayctl export s pipe & tar -t -f pipe | tail -n 1; wait
      mkdir -p t/home-root/files; mkfifo t/home-root/deleted; echo "snapshot p 1" >t/imgbuild-snapshot; tar -c -f t.tar -C t .; overlayctl import t.tar
      rm t/imgbuild-snapshot; mkfifo t/imgbuild-snapshot; tar -c -f t.tar -C t .; overlayctl import t.tar
      ls /userdata /run/imgbuild`),
    `Imported as a, for /home/root. Go back to it: overlayctl restore a
Imported as b, for /home/root. Go back to it: overlayctl restore b
overlayctl: folder is a folder; name a file in it
overlayctl: there is no file nowhere
./imgbuild-snapshot
overlayctl: /home/root: the list of deleted files is no file
overlayctl: t.tar is no snapshot or not all of one, or there is no room for it
/run/imgbuild:

/userdata:
lost+found
overlay
`,
  );
});

test("two at once do not meet, and one that is interrupted leaves nothing mounted, half-written or locked", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  for (const shell of SHELLS) {
    const { boot } = await device(t, { shell, paths: ["/etc", "/home/root"] });
    boot("cd /home/root; for i in 1 2 3 4 5 6 7 8 9; do echo $i >$i; done; overlayctl snapshot s");
    assert.equal(
      boot(`cd /run; for i in 1 2 3; do overlayctl status >status$i & done; wait; cmp status1 status2; cmp status1 status3
        grep -c '9 added' status1
        mounts=$(grep -c . /proc/mounts)
        for signal in INT TERM HUP; do
          for command in "export s out.tar" diff "status --json" "import in.tar"; do
            for pause in 0.02 0.1 0.3; do
              overlayctl $command >/dev/null 2>&1 &
              sleep $pause; kill -$signal $! 2>/dev/null; wait
            done
          done
        done
        rm -f out.tar
        mkfifo full; { overlayctl export s full & sleep 0.3; head -c 1 <full >/dev/null; wait; } 2>/dev/null
        overlayctl diff | head -n 1 >/dev/null
        [ "$(grep -c . /proc/mounts)" = "$mounts" ] || cat /proc/mounts; ls /run /run/imgbuild /userdata`),
      `1
/run:
full
imgbuild
status1
status2
status3

/run/imgbuild:

/userdata:
lost+found
overlay
`,
      shell,
    );
  }
});

test("the command says how it is called", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t);
  const help = boot(
    "overlayctl help; overlayctl --help | cmp - /dev/null >/dev/null || echo same; overlayctl status --help | head -n 1",
  );
  for (const command of [
    "status",
    "diff",
    "snapshot",
    "restore",
    "delete",
    "merge",
    "reset",
    "export",
    "import",
    "cancel",
    "ready",
  ])
    assert.match(help, new RegExp(`^  ${command} `, "m"));
  assert.match(help, /\nusage: overlayctl COMMAND \[OPTION\]\.\.\.\n$/);
});
