/** Several overlayctl at once, and what one leaves that was killed. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import { device, put, type Shell, TOOLS } from "./device.js";
import { BLOCK, TRIAL, TwoSlots } from "./two-slots.js";

const SHELLS: readonly Shell[] = ["busybox", "dash"];
const LOCKS = path.resolve(import.meta.dirname, "../../../src/overlay/locks.sh");

test("a root is confirmed, or that fails, whatever overlayctl status reads meanwhile", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const slots = await TwoSlots.make(t);
  slots.environment = { ...TRIAL, bootcount: "1" };
  const printed = slots.boot(
    `dd if=/dev/disk of=/run/before bs=4096 count=16 2>/dev/null
    for i in 1 2; do while [ ! -e /run/stop ]; do overlayctl status 2>&1; done >/run/status$i & done
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
      dd if=/run/before of=/dev/disk bs=4096 conv=fsync 2>/dev/null; true >/run/imgbuild/trial
      overlayctl confirm || echo "failed $?"
      dd if=/dev/disk bs=4096 skip=${BLOCK} count=1 2>/dev/null | tr '\\000' '\\n' | grep upgrade_available
    done
    true >/run/stop; wait; cat /run/status? | grep -e '^overlayctl:' -e ^Root: | sort -u; ls /run/imgbuild`,
    4,
  );
  const lines = printed.trimEnd().split("\n").slice(1);
  assert.deepEqual(lines.slice(0, 30), Array(30).fill("upgrade_available=0"), printed);
  for (const line of lines.slice(30)) {
    assert.match(line, /^(?:Root: partition 4, (?:confirmed|on trial, tries left: 2.*)|slots|environment)$/, printed);
  }
});

test("a root on trial without a readable environment is not said to be confirmed", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const slots = await TwoSlots.make(t);
  fs.writeFileSync(slots.disk, new Uint8Array(65536));
  const printed = slots.boot("overlayctl confirm 2>&1; echo $?; ls /run/imgbuild/trial", 4, {
    arguments: "imgbuild.slots=0badcafe-02 imgbuild.trial=1/3",
  });
  assert.match(printed, /root on trial is not confirmed: .* cannot be read.*\n1\n\/run\/imgbuild\/trial\n$/);
});

test("what a killed one left mounted is not emptied by the next of the same process number; the root is seen read-only", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  for (const shell of SHELLS) {
    const { boot } = await device(t, { shell, paths: ["/"] });
    boot("overlayctl snapshot s");
    assert.equal(
      boot(`mkdir /mnt; mount --make-shared /; mkfifo /run/slow
        sh -c 'mkdir -p /run/imgbuild/overlayctl.$$/rom; mount --bind / /run/imgbuild/overlayctl.$$/rom; exec overlayctl diff'
        cat /home/root/kept; umount /run/imgbuild/overlayctl.*/rom; ls /run/imgbuild | grep -c overlayctl
        rm -r /run/imgbuild/overlayctl.*
        overlayctl export s /run/slow & until [ -e /run/imgbuild/overlayctl.*/export/imgbuild-snapshot ]; do sleep 0.1; done
        touch "$(echo /run/imgbuild/overlayctl.*/rom)/x" 2>/dev/null || echo read-only
        mount -t tmpfs tmpfs /mnt; cat /run/slow >/dev/null; wait; grep -q ' /mnt ' /proc/mounts && echo mounted; ls /run/imgbuild`),
      "A /mnt\nkept\n1\nread-only\nmounted\n",
      shell,
    );
  }
});

test("the lock of a killed one is taken over, by one at a time", (t) => {
  if (lacks(t, "busybox", "dash")) return;
  for (const shell of [["busybox", "sh"], ["dash"]]) {
    const folder = temporaryFolder(t);
    const text = `run=${folder} locks=
      fail() { echo "$*" >&2; exit 1; }
      . ${LOCKS}
      sh -c 'exit' & dead=$!
      wait
      cat >one <<'END'
        run=$1 locks=
        fail() { echo "$*"; exit 1; }
        . ${LOCKS}
        # What was read may be out of date by the time that something is done about it.
        readlink() { command readlink "$@"; sleep 0.1; }
        take_lock x 60
        mkdir inside || echo "two at once"
        sleep 0.1
        rmdir inside
        # Half of them are killed while they have it.
        case $2 in *[02468]) kill -9 $$ ;; esac
        drop_lock x
        echo done
END
      take_lock y 0
      echo 'run=$1 locks=; fail() { echo "$*"; exit 1; }; . ${LOCKS}; take_lock y 1' >other
      ${shell.join(" ")} ./other . | sed "s/process $$$/process of the first/"
      rm other; drop_lock y
      ln -s $dead.1 lock-x
      for i in 0 1 2 3 4 5; do ${shell.join(" ")} ./one . $i & done
      wait
      ls`;
    const log = run(shell[0]!, [...shell.slice(1), "-c", text], { cwd: folder });
    assert.equal(log.match(/^done$/gm)?.length, 3);
    assert.doesNotMatch(log, /two at once/);
    assert.deepEqual(log.match(/.*at work.*/g), ["another overlayctl is at work, process of the first"]);
  }
});

test("the end of the boot is noted beside a slow import, and after one that was killed", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  for (const shell of SHELLS) {
    const { boot } = await device(t, { shell, hook: true });
    boot("overlayctl ready; overlayctl snapshot s");
    boot("overlayctl ready");
    boot("overlayctl reset");
    const printed = boot(`mkfifo /run/slow; overlayctl snapshot again >/dev/null; overlayctl cancel
      overlayctl import /run/slow 2>/dev/null & i=0; until [ -L /run/imgbuild/lock-import ] || [ $i = 50 ]; do i=$((i + 1)); sleep 0.1; done
      overlayctl ready; grep ^state /userdata/overlay/home-root/state
      kill -9 $!; true >/run/slow; wait; ls /run/imgbuild
      overlayctl import /dev/null 2>&1 | grep ^overlayctl; ls /run/imgbuild
      ln -s 99999.1 /run/imgbuild/lock-overlays; overlayctl snapshot new`);
    assert.equal(
      printed,
      `state ready
lock-import
overlayctl: /dev/null is no snapshot or not all of one, or there is no room for it
It is done at the next boot.
`,
      shell,
    );
  }
});

/** The medium loses what is written to it, as a worn-out one does: what the kernel remembers is not what is there. */
const LOSING = `#!/bin/busybox sh
/bin/busybox dd "$@" || exit
case $* in
*of=/dev/disk*seek=${BLOCK}*) exec /bin/busybox dd if=/dev/zero of=/dev/medium bs=4096 seek=${BLOCK} count=1 conv=fsync 2>/dev/null ;;
esac
`;

test("what is written is read back from the medium, also without blockdev", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const failing = "#!/bin/sh\nexit 1\n";
  for (const blockdev of [undefined, failing]) {
    const slots = await TwoSlots.make(t, {
      shell: "dash",
      root: (tree) => {
        put(tree, "usr/sbin/dd", LOSING, 0o755);
        if (blockdev !== undefined) put(tree, "usr/sbin/blockdev", blockdev, 0o755);
      },
    });
    slots.environment = { ...TRIAL, bootcount: "1" };
    slots.medium = true;
    // Somebody has the disk open, as its mounted partitions have: or the kernel would forget by itself.
    assert.match(
      slots.boot("exec 7</dev/disk; overlayctl confirm 2>&1; echo $?", 4),
      /environment cannot be written to \/dev\/disk\n1\n$/,
    );
    slots.medium = false;
    slots.environment = { ...TRIAL, bootcount: "1" };
    assert.match(slots.boot("overlayctl confirm 2>&1; echo $?", 4), /\n0\n$/);
    const neither =
      "true >/run/none; for how in bind remount,bind,ro; do mount -o $how /run/none /proc/sys/vm/drop_caches; done";
    slots.environment = { ...TRIAL, bootcount: "1" };
    assert.equal(
      slots.boot(`${neither} 2>/dev/null; overlayctl confirm >/dev/null 2>&1; echo $?`, 4).trimEnd().split("\n").at(-1),
      blockdev === undefined ? "0" : "1",
    );
  }
});
