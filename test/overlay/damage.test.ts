/** State, layers and file systems that are damaged or lost: nothing is guessed at, nothing that may be somebody's is removed. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { factoryState } from "../../src/overlay/index.js";
import { lacks, lacksRoot, mounted } from "../support/tools.js";
import { type Device, device, put, TOOLS } from "./device.js";

/** Changes the folder of the overlay of /home/root, in which a device keeps its state. */
const inState = ({ userdata }: Device, change: (folder: string) => void) =>
  mounted(userdata, { type: "ext4", writable: true }, (folder) => change(path.join(folder, "overlay/home-root")));

/** Has a device begin with content from the image, as the build makes it. */
const ship = (on: Device, seed: string) =>
  inState(on, (folder) => {
    fs.mkdirSync(path.join(folder, "upper"), { recursive: true });
    fs.writeFileSync(path.join(folder, "upper/seed"), seed);
    fs.writeFileSync(path.join(folder, "state"), factoryState());
    fs.writeFileSync(path.join(folder, "factory"), "");
  });

test("a state that is lost beside several layers is not taken for an old overlay, and all of them stay", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const on = await device(t);
  on.boot("echo 1 >/home/root/one; overlayctl snapshot one");
  on.boot("echo 2 >/home/root/two");
  await inState(on, (folder) => fs.rmSync(path.join(folder, "state")));
  for (let boots = 0; boots < 2; boots++) {
    assert.match(
      on.boot("overlayctl status; overlayctl snapshot x"),
      /^imgbuild: \S+\/state is lost: reset it, or see to it$[\s\S]*\n {2}in memory; there is no sound state on UserData$/m,
    );
  }
  assert.equal(on.debugfs("cat /overlay/home-root/upper/one"), "1\n");
  assert.equal(on.debugfs("cat /overlay/home-root/upper.1/two"), "2\n");
  assert.equal(on.boot("ls /home/root", { arguments: "imgbuild.reset" }), "changed\ndeleted\nkept\n");
  assert.doesNotMatch(on.debugfs("ls /overlay/home-root"), / upper /);
});

test("a reset of a state that is damaged or lost keeps what the image was built with, and nothing else", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const on = await device(t);
  await ship(on, "seed\n");
  on.boot("echo 1 >/home/root/one; overlayctl snapshot one");
  on.boot("echo 2 >/home/root/two");
  const state = on.debugfs("cat /overlay/home-root/state");
  // Without the last lines, without a byte, and without the file.
  for (const left of [state.slice(0, state.indexOf(" one\n") + 5), "", undefined]) {
    await inState(on, (folder) => {
      fs.rmSync(path.join(folder, "state"));
      if (left !== undefined) fs.writeFileSync(path.join(folder, "state"), left);
    });
    const shown = "changed\ndeleted\nkept\nseed\n";
    assert.equal(on.boot("cd /home/root; ls; echo 1 >one", { arguments: "imgbuild.reset" }), shown);
    assert.equal(
      on.boot("ls /home/root; cat /run/imgbuild/degraded 2>&1"),
      `${shown.replace("seed", "one\nseed")}cat: can't open '/run/imgbuild/degraded': No such file or directory\n`,
    );
  }
});

test("what somebody put beside the layers is not removed", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const on = await device(t);
  on.boot("true");
  const own = ["upper.bak", "upper.1.bak", "upper.", "work.old"];
  await inState(on, (folder) => {
    for (const name of [...own, "upper.7", "work.7"]) fs.mkdirSync(path.join(folder, name));
  });
  assert.equal(
    on.boot("ls /userdata/overlay/home-root"),
    `${["state", "upper", ...own.filter((name) => name.startsWith("upper")), "work", "work.old"].sort().join("\n")}\n`,
  );
});

/** Has a first boot fill UserData, but for folders: the kernel keeps some blocks for those, of inodes it keeps none. */
const FILL = "echo mine >/home/root/mine; yes 2>/dev/null >/home/root/big; yes 2>/dev/null >/home/root/small";
const SEE = "ls /home/root; cat /run/imgbuild/degraded 2>/dev/null || echo whole";
const KEPT = "changed\ndeleted\nkept\nmine\nwhole\n";

/** Makes room as the documentation says. */
const makeRoom = ({ userdata }: Device) =>
  mounted(userdata, { type: "ext4", writable: true }, (folder) => {
    for (const top of fs.readdirSync(path.join(folder, "overlay/home-root")).filter((name) => name.startsWith("upper")))
      for (const name of ["big", "small"])
        fs.rmSync(path.join(folder, "overlay/home-root", top, name), { force: true });
  });

test("a first boot that completes is noted on a full UserData, too, and what it wrote stays", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const on = await device(t, { hook: true });
  assert.equal(
    on.boot(`${FILL}; { echo x >/userdata/x; } 2>/dev/null || echo full; overlayctl ready; echo $?; ls /run/imgbuild`),
    "full\n0\n",
  );
  const filled = "big\nchanged\ndeleted\nkept\nmine\nsmall\nwhole\n";
  assert.equal(on.boot(SEE), filled);
  assert.equal(on.boot("overlayctl status | sed -n 's/^  in //p'"), "userdata, ready\n");
  await makeRoom(on);
  assert.equal(on.boot(SEE), KEPT);
});

test("a first boot that did not complete on a full UserData goes on with what there is, degraded, and can complete", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const on = await device(t, { hook: true });
  on.boot(`${FILL}; (i=0; while : >/userdata/$i; do i=$((i + 1)); done) 2>/dev/null; sync`);
  // An inode for what the kernel makes in work.
  const room = (commands: string) =>
    on.boot(commands, { sys: "mount dev/data userdata; rm -f userdata/0; umount userdata" });
  const again = room(`${SEE}; overlayctl status | sed -n 's/^  in //p'`);
  assert.match(
    again,
    /^the first boot with \/home\/root was not completed and cannot begin anew[^\n]*\nuserdata, pending$/m,
  );
  assert.match(again, /^big\nchanged\ndeleted\nkept\nmine\nsmall\n/m);
  room("overlayctl ready");
  await makeRoom(on);
  assert.equal(on.boot(SEE), KEPT);
});

test("what a cut reset had still to remove gives the room for what comes after it", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const on = await device(t, { hook: true });
  const cut = (pending: boolean) =>
    inState(on, (folder) => {
      const state = fs.readFileSync(path.join(folder, "state"), "latin1");
      const top = /^top upper(\S*) /m.exec(state)![1]!;
      for (const name of ["upper", "work"]) fs.mkdirSync(path.join(folder, `${name}.77`), { mode: 0o755 });
      if (pending) fs.writeFileSync(path.join(folder, "pending.77"), "");
      fs.writeFileSync(
        path.join(folder, "state"),
        state
          .replace(`top upper${top} `, "top upper.77 ")
          .replace(/^state .*$/m, `state ${pending ? "pending" : "ready"}`),
      );
      if (!pending) fs.writeFileSync(path.join(folder, "../../request"), "id 9\nsnapshot home-root 1 one\n");
      const inOld = path.join(folder, `upper${top}`);
      const full = /ENOSPC/;
      const big = fs.openSync(path.join(inOld, "big"), "a");
      assert.throws(() => {
        for (;;) fs.writeSync(big, Buffer.alloc(4096));
      }, full);
      fs.closeSync(big);
      assert.throws(() => {
        for (let i = 0; ; i++) fs.writeFileSync(path.join(inOld, `${i}`), "");
      }, full);
    });
  on.boot("overlayctl ready");
  await cut(true);
  assert.match(
    on.boot(SEE),
    /^imgbuild: the first boot with \/home\/root was not completed; it begins anew\nchanged\ndeleted\nkept\nwhole\n$/m,
  );
  on.boot("overlayctl ready; echo mine >/home/root/mine");
  await cut(false);
  assert.match(
    on.boot(`${SEE}; overlayctl status`),
    /^changed\ndeleted\nkept\nwhole\n[\s\S]* snapshot of \S+ \S+: one$/m,
  );
});

test("a state that is lost on a full UserData can be reset, with free inodes and without, in one go or interrupted", async (t) => {
  if (lacks(t, ...TOOLS, "perl") || lacksRoot(t)) return;
  const on = await device(t, { shell: "dash", cuttable: true, mke2fs: ["-m", "0"] });
  await ship(on, "seed\n");
  on.boot("echo 1 >/home/root/one; overlayctl snapshot one");
  on.boot("yes 2>/dev/null >/home/root/big; yes 2>/dev/null >/home/root/small");
  const sound = fs.readFileSync(on.userdata);
  const reset = { arguments: "imgbuild.reset" };
  const see = `${SEE}; ls /userdata/overlay/home-root | sed 's/[.].*//'`;
  const shown = "changed\ndeleted\nkept\nseed\nwhole\nfactory\nstate\nupper\nupper\nwork\n";
  for (const { inodes, work, step } of [
    { inodes: true, work: true, step: 100 },
    { inodes: false, work: true, step: 5 },
    { inodes: false, work: false, step: 100 },
  ]) {
    fs.writeFileSync(on.userdata, sound);
    await inState(on, (folder) => {
      fs.rmSync(path.join(folder, "state"));
      fs.rmSync(path.join(folder, "factory"));
      fs.linkSync(path.join(folder, "upper/seed"), path.join(folder, "factory"));
      // What e2fsck finds no name for.
      if (!work) fs.renameSync(path.join(folder, "work.2"), path.join(folder, "../../lost+found/#12"));
      const full = /ENOSPC/;
      const last = fs.openSync(path.join(folder, "upper.2/last"), "a");
      assert.throws(() => {
        for (;;) fs.writeSync(last, Buffer.alloc(1024));
      }, full);
      fs.closeSync(last);
      if (!inodes)
        assert.throws(() => {
          for (let i = 0; ; i++) fs.writeFileSync(path.join(folder, `upper.2/.${i}`), "");
        }, full);
    });
    const full = fs.readFileSync(on.userdata);
    assert.match(on.boot("true"), /state is lost/);
    fs.writeFileSync(on.userdata, full);
    assert.ok(on.boot(see, reset).endsWith(shown), JSON.stringify({ inodes, work }));
    for (let cutAt = 1; ; cutAt += step) {
      fs.writeFileSync(on.userdata, full);
      if (on.boot("echo done >/dev/power", { ...reset, cutAt }).endsWith("done\n")) break;
      assert.ok(on.boot(see, reset).endsWith(shown), `cut before program ${cutAt}`);
    }
  }
});

test("a completed first boot that cannot be noted is an error", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const on = await device(t, { hook: true });
  assert.equal(
    on.boot("mount -o remount,ro /userdata; overlayctl ready 2>&1 | grep -v '^\\(rm\\|/\\)'; ls /run/imgbuild"),
    "overlayctl: it cannot be noted on UserData that the first boot has completed: the next one may begin it anew\npending\n",
  );
});

test("a UserData that e2fsck cannot mend is not written to: what it has shows, and changes are in memory", async (t) => {
  if (lacks(t, ...TOOLS, "perl") || lacksRoot(t)) return;
  // A medium that takes no writes: the kernel mounts what has a journal to be replayed with noload alone.
  const protect = `#!/bin/busybox sh
case "$PROTECTED $*" in "yes -t ext4 -o ro,noload,"*) ;; "yes -t ext4 "*) exit 32 ;; esac
exec /bin/busybox mount "$@"
`;
  const on = await device(t, {
    ...{ shell: "dash", cuttable: true, e2fsck: true, paths: ["/etc", "/home/root"] },
    root: (tree) => put(tree, "usr/sbin/mount", protect, 0o755),
  });
  const sound = { STATUS_P: "0", STATUS_FY: "0" };
  const unmendable = { STATUS_P: "4", STATUS_FY: "4" };
  on.boot("echo 1 >/home/root/one; overlayctl snapshot one", { env: sound });
  // The power fails: the journal has to be replayed.
  on.boot("echo 2 >/home/root/two; sync; touch /userdata/request; echo cut >/dev/power; sleep 9", {
    env: sound,
    cutAt: 1000,
    left: "journal",
  });
  const see = `echo 3 >/home/root/three; echo 3 >/etc/three; cat /home/root/one /home/root/two /home/root/three
    touch /userdata/x 2>/dev/null || echo read-only; cat /run/imgbuild/degraded; overlayctl status | sed -n 's/^  in //p'`;
  const shown =
    /\n1\n2\n3\nread-only\nUserData \(\/dev\/data\) cannot be mended by e2fsck; it is read-only, and changes are kept in memory\nmemory, ready\nmemory, ready\n$/;
  const saved = fs.readFileSync(on.userdata);
  const reset = { arguments: "imgbuild.reset" };
  assert.match(on.boot(see, { env: { ...unmendable, PROTECTED: "yes" }, ...reset }), shown);
  assert.deepEqual(fs.readFileSync(on.userdata), saved);
  assert.match(on.boot(see, { env: unmendable, ...reset }), shown);
  assert.equal(
    on.boot("cat /run/imgbuild/degraded; ls /home/root /etc; true", { env: sound }).includes("three"),
    false,
  );
});

test("a topmost layer that is lost is said to be, and the boot is degraded", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const on = await device(t);
  on.boot("echo 1 >/home/root/one; overlayctl snapshot one");
  on.boot("echo 2 >/home/root/two");
  await inState(on, (folder) => fs.renameSync(path.join(folder, "upper.1"), path.join(folder, "../../lost+found/#12")));
  assert.match(
    on.boot(SEE),
    /\nchanged\ndeleted\nkept\none\n\/home\/root has lost what was written [^\n]*\/upper\.1\); it may be in lost\+found on UserData\n$/,
  );
  assert.equal(on.debugfs("cat /lost+found/#12/two"), "2\n");
});
