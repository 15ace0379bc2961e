/**
 * Runs the script as process 1 of its own namespaces, on a real SquashFS root and a real ext4 UserData, by busybox. Only
 * /sys is made up: two loop devices play the partitions of a disk. What it left on UserData is read by debugfs.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { makeDirectories } from "../../src/tree/tree.js";
import { lacks, lacksRoot, mounted, run } from "../support/tools.js";
import { device, put, TOOLS } from "./device.js";

const SCRIPTS = path.resolve(import.meta.dirname, "../../../src/overlay");

test("the scripts are clean under shellcheck, dash and busybox ash", (t) => {
  if (lacks(t, "shellcheck", "dash", "busybox")) return;
  const scripts = fs.readdirSync(SCRIPTS).filter((name) => name.endsWith(".sh"));
  assert.ok(scripts.length > 5);
  for (const name of scripts) {
    run("dash", ["-n", path.join(SCRIPTS, name)]);
    run("busybox", ["sh", "-n", path.join(SCRIPTS, name)]);
  }
  // With what they source. SC2015: in `A && B || C` C is for when B fails too. SC2034: results of functions.
  const strict = ["--shell=sh", "--severity=style", "--exclude=SC2015,SC2034", "--external-sources", "--check-sourced"];
  for (const name of ["preinit.sh", "overlayctl.sh", "imgbuild-ready.sh", "deadline.sh"]) {
    run("shellcheck", [...strict, path.join(SCRIPTS, name)], { cwd: path.resolve(SCRIPTS, "../..") });
  }
});

const STATE = "cat /run/imgbuild/degraded 2>/dev/null || echo whole";

test("what is written survives, and the root does not change", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, debugfs } = await device(t);
  const first = boot(`
    ${STATE}; echo $$; stat -c '%u:%g %a' /home/root; echo new >/home/root/new; echo changed >>/home/root/changed
    rm /home/root/deleted; touch /etc-is-read-only 2>/dev/null || echo read-only; grep -c ' / squashfs ro' /proc/mounts`);
  assert.equal(first, "whole\n1\n1000:100 710\nread-only\n1\n");
  const second = boot(`${STATE}; cd /home/root; ls; cat kept changed new`);
  assert.equal(second, "whole\nchanged\nkept\nnew\nkept\nshipped\nchanged\nnew\n");

  assert.match(debugfs("stat /overlay/home-root/upper"), /Mode: +0710 [\s\S]*User: +1000 +Group: +100 /);
  assert.match(
    debugfs("stat /overlay/home-root/upper/deleted"),
    /Type: character special[\s\S]*Device major\/minor number: 00:00/,
  );
  assert.equal(debugfs("cat /overlay/home-root/upper/changed"), "shipped\nchanged\n");
  assert.match(debugfs("stat /overlay/home-root/upper/kept"), /^$/);
});

test("UserData is mounted for data only, and the kernel's file systems are there", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { paths: ["/home", "/home/root", "/etc"] });
  const mounts = boot("cat /proc/mounts");
  assert.match(mounts, /^\S+ \/userdata ext4 rw,nosuid,nodev,noatime/m);
  assert.match(mounts, /^tmpfs \/run tmpfs rw,nosuid,nodev,.*mode=755/m);
  assert.match(mounts, /^proc \/proc proc /m);
  const overlays = [...mounts.matchAll(/^overlay (\S+) overlay rw,noatime,/gm)].map(([, at]) => at);
  assert.deepEqual(overlays, ["/etc", "/home", "/home/root"]);
});

test("only the options that this kernel knows are turned off", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t);
  const ask = ". /usr/lib/imgbuild/mounts.sh; features; echo $options";
  assert.equal(boot(ask), ",index=off,xino=off,redirect_dir=off,metacopy=off\n");
  const old = "rm sys/module/overlay/parameters/xino_auto sys/module/overlay/parameters/metacopy";
  assert.equal(boot(ask, { sys: old }), ",index=off,redirect_dir=off\n");
});

test("a kernel that knows none of the options refuses them, and is not asked", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const old = `#!/bin/sh
case "$*" in *index=* | *xino=* | *redirect_dir=* | *metacopy=*) echo "unknown option: $*" >&2; exit 1 ;; esac
exec /bin/mount "$@"
`;
  const { boot } = await device(t, {
    shell: "dash",
    paths: ["/etc", "/home/root"],
    newRoot: "refresh",
    root: (tree) => {
      put(tree, "usr/sbin/mount", old, 0o755);
      put(tree, "etc/shipped", "shipped\n");
    },
  });
  const sys = "rm -r sys/module/overlay/parameters";
  const at = (commands: string) => boot(`${STATE}; cd /etc; ${commands}`, { sys });
  assert.equal(at("mkdir d; echo 1 >d/a; echo 1 >b; overlayctl snapshot one >/dev/null"), "whole\n");
  assert.equal(at("rm -r d; mkdir d; echo 2 >b; rm shipped; overlayctl merge >/dev/null"), "whole\n");
  assert.equal(
    at("ls . d; cat b; overlayctl diff --overlay /etc"),
    "whole\n.:\nb\nd\n\nd:\n2\nA /etc/b\nA /etc/d\nD /etc/shipped\n",
  );
  // It is the wrapper that decides: with the parameters there, the options are used, and refused.
  assert.match(boot("cat /run/imgbuild/degraded"), /no overlay can be mounted on \/etc; it is read-only/);
});

const FAILURES: Record<string, { sys?: string; damage?: boolean; reason: RegExp }> = {
  "UserData destroyed": { damage: true, reason: /UserData \(\/dev\/data\) cannot be mounted/ },
  "no such partition": { sys: "rm -r sys/devices/disk/p3", reason: /no partition 3 on the root's disk/ },
  "no node for it": { sys: "rm dev/data", reason: /no partition 3/ },
  "a root that is on no partition": { sys: "rm sys/dev/block/*", reason: /no partition 3/ },
};

for (const [name, { sys = "", damage = false, reason }] of Object.entries(FAILURES)) {
  test(`it boots without UserData, and says so: ${name}`, async (t) => {
    if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
    const { boot, userdata } = await device(t);
    if (damage) fs.writeFileSync(userdata, Buffer.alloc(8 * 2 ** 20, 0xa5));
    const printed = boot(`${STATE}; cd /home/root; stat -c '%u:%g %a' .; echo x >new; rm deleted; ls; echo done`, {
      sys,
    });
    const lines = printed.trimEnd().split("\n");
    const message = lines.find((line) => line.startsWith("imgbuild: degraded: "))!;
    assert.match(message, reason);
    assert.ok(lines.includes(message.slice("imgbuild: degraded: ".length)), printed);
    assert.deepEqual(lines.slice(-5), ["1000:100 710", "changed", "kept", "new", "done"]);
  });
}

test("an overlay that cannot be had on UserData is in memory; the others are not", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, userdata } = await device(t, { paths: ["/etc", "/home/root"] });
  await mounted(userdata, { type: "ext4", writable: true }, (folder) => {
    fs.mkdirSync(path.join(folder, "overlay/home-root/upper"), { recursive: true });
    fs.writeFileSync(path.join(folder, "overlay/home-root/work"), "in the way of a folder");
    run("chattr", ["+i", path.join(folder, "overlay/home-root/work")]);
  });
  const printed = boot("cat /run/imgbuild/degraded; echo x >/home/root/new && echo y >/etc/new && echo written");
  assert.match(printed, /^the overlay of \/home\/root on UserData cannot be mounted; \/home\/root is in memory$/m);
  assert.match(printed, /\nwritten\n$/);
  assert.equal(boot("ls /home/root/new /etc/new 2>/dev/null || true").trimEnd().split("\n").at(-1), "/etc/new");
});

function hasRoom(file: string): boolean {
  try {
    fs.writeFileSync(file, "");
    return true;
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
    return false;
  }
}

test("a full UserData does not stop the boot", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, userdata } = await device(t);
  await mounted(userdata, { type: "ext4", writable: true }, (folder) => {
    // Of blocks the kernel keeps some for folders; of inodes it does not.
    for (let i = 0; hasRoom(path.join(folder, `${i}`)); i++);
  });
  const printed = boot(`${STATE}; echo x >/home/root/new && echo written`);
  assert.match(printed, /\/home\/root is in memory\nwritten\n$/);
});

test("the usual boot starts few programs", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, {
    shell: "dash",
    cuttable: true,
    paths: ["/etc", "/home/root"],
    volatile: ["/tmp"],
  });
  const count = "read -r left </dev/cut; echo $((1000 - left)); echo done >/dev/power";
  const started = () => Number(boot(count, { cutAt: 1000 }).split("\n")[0]);
  assert.ok(started() < 40, "the first boot");
  // mount: /proc, /run, UserData, /tmp and two overlays; mkdir: /run/imgbuild.
  assert.equal(started(), 7);
  boot("overlayctl snapshot one");
  started();
  assert.equal(started(), 7, "with a frozen layer");
});

test("a UserData without a free inode: what was written shows, and requests change nothing", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, userdata } = await device(t);
  boot("cd /home/root; echo x >x; rm kept; overlayctl snapshot s");
  boot("echo later >/home/root/later");
  await mounted(userdata, { type: "ext4", writable: true }, (folder) => {
    fs.writeFileSync(path.join(folder, "request"), "id 1\nsnapshot home-root 0 t\n");
    for (let i = 0; hasRoom(path.join(folder, `${i}`)); i++);
    // The one that the request leaves is not enough for a new layer, and the kernel wants more for the overlay.
  });
  const see = `${STATE}; cd /home/root; ls; cat x later; echo y >y && echo in memory`;
  const shown =
    "the overlay of /home/root on UserData cannot be mounted; /home/root is in memory\nchanged\ndeleted\nlater\nx\nx\nlater\nin memory\n";
  const first = boot(see);
  assert.match(
    first,
    /^imgbuild: \/home\/root: no snapshot \(0 t\): it failed, perhaps for want of room; it stays as it is$/m,
  );
  assert.ok(first.endsWith(shown), first);
  assert.ok(boot(see).endsWith(shown));
  run("e2fsck", ["-fn", userdata]);
  await mounted(userdata, { type: "ext4", writable: true }, (folder) => {
    for (const name of fs.readdirSync(folder)) if (/^\d+$/.test(name)) fs.rmSync(path.join(folder, name));
  });
  assert.equal(boot(`${STATE}; ls /home/root`), "whole\nchanged\ndeleted\nlater\nx\n");
});

test("a full UserData can be reset, in one go or interrupted", async (t) => {
  if (lacks(t, ...TOOLS, "perl") || lacksRoot(t)) return;
  const { boot, userdata } = await device(t, { shell: "dash", cuttable: true });
  boot("echo x >/home/root/x");
  boot("cd /home/root; overlayctl snapshot s >/dev/null");
  boot(
    "cd /home/root; rm changed; (yes | head -c 20000000 >big; i=0; while : >$i; do i=$((i + 1)); done; yes >small) 2>/dev/null",
  );
  assert.equal(boot("echo y 2>/dev/null >/home/root/y || echo full"), "full\n");
  const full = `${userdata}.full`;
  fs.copyFileSync(userdata, full);
  const reset = { arguments: "imgbuild.reset" };
  const usual = "changed\ndeleted\nkept\n";
  assert.equal(
    boot("ls /home/root; ls /userdata/overlay/home-root | grep -c upper", reset).slice(-usual.length - 2),
    `${usual}1\n`,
  );
  for (let cutAt = 1; ; cutAt += 3) {
    fs.copyFileSync(full, userdata);
    if (boot("echo done >/dev/power", { ...reset, cutAt }).endsWith("done\n")) break;
    const after = boot("ls /home/root; cat /run/imgbuild/degraded 2>/dev/null");
    assert.ok(after === usual || /\nbig\n/.test(after), `cut before program ${cutAt}: ${after}`);
    run("e2fsck", ["-fn", userdata]);
  }
});

test("a full UserData with files to be kept is reset when the kernel is told to keep none", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { keep: ["/home/root/key"] });
  boot("cd /home/root; echo k >key; (i=0; while : >$i; do i=$((i + 1)); done; yes >small) 2>/dev/null");
  assert.match(
    boot("cat /home/root/key", { arguments: "imgbuild.reset" }),
    /^imgbuild: \/home\/root: no reset: what is to be kept cannot .*; overlayctl reset --no-keep gives it up, or imgbuild\.reset with imgbuild\.nokeep; it stays as it is\n[\s\S]*k\n$/m,
  );
  assert.equal(
    boot("ls /home/root", { arguments: "imgbuild.reset imgbuild.nokeep" }).slice(-21),
    "changed\ndeleted\nkept\n",
  );
});

/** The mount of util-linux 2.39 and later with a kernel's limit: FSCONFIG_SET_STRING takes 255 bytes (fs/fsopen.c). */
const NEWER_MOUNT = `#!/bin/busybox sh
[ "$LIBMOUNT_FORCE_MOUNT2" = always ] || [ "$1 $2" != "-t overlay" ] || {
  IFS=,
  for option in $4; do [ \${#option} -le 264 ] || exit 32; done
  unset IFS
}
exec /bin/busybox mount "$@"
`;

test("many layers are mounted, by a mount that uses the new system calls too; init does not see of it", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { shell: "dash", root: (tree) => put(tree, "usr/sbin/mount", NEWER_MOUNT, 0o755) });
  boot("echo x >/home/root/x; i=0; while [ $i -lt 12 ]; do i=$((i + 1)); overlayctl snapshot s$i >/dev/null; done");
  assert.equal(
    boot(`${STATE}; cat /home/root/x; overlayctl diff; echo $LIBMOUNT_FORCE_MOUNT2`),
    "whole\nx\nA /home/root/x\n\n",
  );
});

test("no snapshot is taken that would make more of the layers than the kernel mounts", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  for (const length of [200, 223]) {
    const long = `srv/${"x".repeat(length - 5)}`;
    const { boot } = await device(t, {
      paths: [`/${long}`],
      root: (tree) => makeDirectories(tree, fromText(long)),
    });
    boot(`echo x >/${long}/x; for i in $(seq 20); do overlayctl snapshot s$i >/dev/null; done`);
    const printed = boot(`cat /${long}/x; overlayctl status | grep -c in.userdata`);
    assert.match(printed, /no snapshot \(\d+ s\d+\): there are too many layers[\s\S]*\nx\n1\n$/);
    assert.doesNotMatch(printed, /is in memory/);
    // As many as there is room for: with one more, the path, upperdir and workdir it would not have been mounted.
    const taken = Number(/\(\d+ s(\d+)\)/.exec(printed)![1]) - 1;
    assert.ok((taken + 4) * (length + 28) + 150 > 4095, `${taken}`);
  }
});

test("what a power cut left half-made is made again; initial content is used as it is", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, userdata, debugfs } = await device(t, { paths: ["/etc", "/home/root"] });
  await mounted(userdata, { type: "ext4", writable: true }, (folder) => {
    fs.mkdirSync(path.join(folder, "overlay/home-root+new/upper/half"), { recursive: true });
    fs.mkdirSync(path.join(folder, "overlay/etc/upper"), { recursive: true, mode: 0o750 });
    fs.writeFileSync(path.join(folder, "overlay/etc/upper/seed"), "from the build\n");
  });
  assert.equal(
    boot(`${STATE}; stat -c %a /home/root /etc; ls /home/root; cat /etc/seed`),
    "whole\n710\n750\nchanged\ndeleted\nkept\nfrom the build\n",
  );
  assert.doesNotMatch(debugfs("ls /overlay"), /\+new/);
});

test("state without an upper layer is put out of the way, not deleted", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, userdata, debugfs } = await device(t, { paths: ["/etc", "/home/root"] });
  await mounted(userdata, { type: "ext4", writable: true }, (folder) => {
    fs.mkdirSync(path.join(folder, "overlay/home-root/frozen"), { recursive: true });
    fs.writeFileSync(path.join(folder, "overlay/home-root/frozen/precious"), "from a later version\n");
    fs.mkdirSync(path.join(folder, "overlay/home-root+lost1"));
    fs.writeFileSync(path.join(folder, "overlay/etc"), "a file\n");
  });
  const printed = boot(`${STATE}; echo x >/home/root/new; echo y >/etc/new`);
  assert.match(printed, /^imgbuild: \S*\/home-root is no overlay's state; it becomes home-root\+lost2$/m);
  assert.match(printed, /\nwhole\n$/);
  assert.equal(debugfs("cat /overlay/home-root+lost2/frozen/precious"), "from a later version\n");
  assert.equal(debugfs("cat /overlay/etc+lost1"), "a file\n");
  assert.equal(debugfs("cat /overlay/home-root/upper/new"), "x\n");
  assert.match(boot(`${STATE}; cat /home/root/new /etc/new`), /^whole\nx\ny\n$/);
});

test("what the kernel left in work is not in the way", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot, userdata, debugfs } = await device(t);
  boot("echo new >/home/root/new");
  // A mount that was volatile and not ended well: the kernel refuses this work folder from then on.
  await mounted(userdata, { type: "ext4", writable: true }, (folder) => {
    fs.mkdirSync(path.join(folder, "overlay/home-root/work/work/incompat/volatile"), { recursive: true });
  });
  assert.equal(boot(`${STATE}; cat /home/root/new`), "whole\nnew\n");
  assert.doesNotMatch(debugfs("ls /overlay/home-root/work/work"), /incompat/);
});

test("e2fsck: -p, and -fy once where -p gives up; what that cannot mend is not written to", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { e2fsck: true });
  const calls = (p: number, fy: number) =>
    boot(`cat /run/imgbuild/e2fsck.log; ${STATE}`, { env: { STATUS_P: `${p}`, STATUS_FY: `${fy}` } });
  assert.equal(calls(0, 0), "e2fsck -p\nwhole\n");
  assert.equal(calls(3, 0), "e2fsck -p\nwhole\n");
  const mended = /^imgbuild: e2fsck -p \/dev\/data ended with 4; see .*\ne2fsck -p\ne2fsck -fy\nwhole\n$/;
  assert.match(calls(4, 1), mended);
  for (const status of [4, 8]) {
    assert.match(
      calls(status, status),
      new RegExp(
        `e2fsck -fy /dev/data ended with ${status}; see .*\n.*\ne2fsck -p\ne2fsck -fy\nUserData .* cannot be mended by e2fsck; it is read-only, .*\n$`,
      ),
    );
  }
  // One that cannot be run.
  assert.match(calls(127, 127), /e2fsck -p \/dev\/data ended with 127; see .*\ne2fsck -p\nwhole\n$/);
});
