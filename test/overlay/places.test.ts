/** Which folders are writable, and where: the whole root, folders in memory, several with their own layers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { makeDirectories } from "../../src/tree/tree.js";
import { lacks, lacksRoot } from "../support/tools.js";
import { device, put, type Shell, TOOLS } from "./device.js";

const SHELLS: readonly Shell[] = ["busybox", "dash"];

for (const shell of SHELLS) {
  test(`the whole root: all is writable, the read-only root is at /rom, by ${shell}`, async (t) => {
    if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
    const { boot, debugfs } = await device(t, { shell, paths: ["/"], volatile: ["/tmp"] });
    const first =
      boot(`echo $$; cat /run/imgbuild/degraded 2>/dev/null; echo new >/etc/new; rm /home/root/deleted; echo x >/bin/x; echo t >/tmp/t
      ls /rom/home/root; touch /rom/x 2>/dev/null || echo read-only; pwd; awk '{print $2, $3}' /proc/mounts`);
    const [head, mounts] = [first.slice(0, first.indexOf("/\n")), first.slice(first.indexOf("/\n") + 2)];
    assert.equal(head, "1\nchanged\ndeleted\nkept\nread-only\n");
    assert.deepEqual(mounts.trim().split("\n").sort(), [
      "/ overlay",
      "/dev tmpfs",
      "/proc proc",
      "/rom squashfs",
      "/run tmpfs",
      "/sys tmpfs",
      "/tmp tmpfs",
      "/userdata ext4",
    ]);
    assert.equal(
      boot("ls /home/root /tmp; cat /etc/new /bin/x; overlayctl diff; overlayctl snapshot s"),
      "/home/root:\nchanged\nkept\n\n/tmp:\nnew\nx\nA /bin/x\nA /etc/new\nD /home/root/deleted\nIt is done at the next boot.\n",
    );
    assert.equal(debugfs("cat /overlay/%2f/upper/etc/new"), "new\n");
    assert.match(boot("rm /etc/new; overlayctl diff; overlayctl restore s"), /^A \/bin\/x\nD /);
    assert.match(boot("cat /etc/new; overlayctl reset"), /^new\n/);
    assert.equal(boot("overlayctl diff; stat -c '%a %u:%g' /"), "755 0:0\n");
  });
}

test("the whole root in memory, where UserData cannot be had", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, { paths: ["/"] });
  const printed = boot("echo x >/etc/new && cat /etc/new; ls /rom/home; overlayctl status; overlayctl reset 2>&1", {
    sys: "rm sys/devices/disk/p3/partition",
  }).split("\n");
  assert.match(printed[0]!, /degraded: there is no partition 3/);
  assert.deepEqual(printed.slice(1), [
    "x",
    "root",
    "UserData: not mounted",
    "Degraded: there is no partition 3 on the root's disk; changes are kept in memory",
    "/",
    "  in memory; there is no sound state on UserData",
    "overlayctl: UserData is not mounted; see overlayctl status",
    "",
  ]);
});

test("without overlay in the kernel the root is read-only, and it boots", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const mount =
    '#!/bin/sh\ncase "$*" in *overlay*) echo "mount: unknown filesystem type" >&2; exit 1 ;; esac\nexec /bin/mount "$@"\n';
  for (const paths of [["/"], ["/etc", "/home/root"]]) {
    const { boot, debugfs } = await device(t, {
      paths,
      shell: "dash",
      volatile: ["/tmp", "/bin"],
      root: (tree) => put(tree, "usr/sbin/mount", mount, 0o755),
    });
    const printed = boot(
      "ls /home/root; touch /etc/x 2>/dev/null || echo read-only; touch /tmp/x && echo in memory; cat /run/imgbuild/degraded; ls /userdata",
    );
    const degraded = ["/bin", ...paths]
      .sort()
      .map((path) => `${path === "/bin" ? "nothing" : "no overlay"} can be mounted on ${path}; it is read-only`);
    assert.equal(
      printed.slice(printed.indexOf("changed\n")),
      `changed\ndeleted\nkept\nread-only\nin memory\n${degraded.join("\n")}\nlost+found\noverlay\n`,
    );
    assert.match(debugfs("ls /overlay"), /home-root|%2f/);
  }
});

test("folders in memory begin as the root has them, and hold nothing over a boot", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { boot } = await device(t, {
    paths: ["/home/root", "/var"],
    volatile: ["/var/log", "/var/tmp"],
    root: (tree) => {
      makeDirectories(tree, fromText("var/log/app"), { mode: 0o750, uid: 3, gid: 4 });
      makeDirectories(tree, fromText("var")).mode = 0o755;
      Object.assign(makeDirectories(tree, fromText("var/log")), { mode: 0o2775, uid: 0, gid: 5 });
      makeDirectories(tree, fromText("var/tmp"), { mode: 0o1777, uid: 6, gid: 7 });
    },
  });
  const see = "cd /var; stat -c '%a %u:%g %n' log log/app tmp; ls log tmp; cat /run/imgbuild/degraded 2>/dev/null";
  const usual = "2775 0:5 log\n750 3:4 log/app\n1777 6:7 tmp\nlog:\napp\n\ntmp:\n";
  assert.equal(boot(`${see}; touch log/x tmp/y kept; ls log tmp`), `${usual}log:\napp\nx\n\ntmp:\ny\n`);
  assert.equal(boot(`${see}; ls`), `${usual}kept\nlog\ntmp\n`);
});
