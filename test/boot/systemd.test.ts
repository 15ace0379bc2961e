/**
 * A whole Debian with systemd. Three boots of an image with overlays of /etc, /root and /var, and two of one whose whole root is
 * an overlay: nothing fails, the machine id of the first boot stays, and after each shutdown UserData is in order without a
 * replay of its journal. The first of them are of a root on trial: what waits for its deadline outlives the start of systemd, does
 * nothing once the root is confirmed, and holds up no shutdown.
 *
 * The parts come from Debian, and no script of a package has run: `make parts`.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { assertClean } from "../ext4/support.js";
import { Guest } from "../support/guest.js";
import { lacks, temporaryFolder } from "../support/tools.js";
import { bootCommand, buildImage, DEMO, PROJECT, partition, readUserdata } from "./image.js";
import { writeSlotVariables } from "./slots-check.js";

/** systemd takes half a minute on a quiet machine. */
const PATIENCE = 600_000;

/** What is done on the device in each boot, and what has to be seen there after it was done. */
interface Step {
  readonly command: string;
  readonly shows: string;
  /** Whether the root is on trial, and whether it is confirmed then. */
  readonly trial?: "confirmed" | "left";
}

/** Two slots, of which the second stays empty: the root in the first is said to be on trial. */
const PROFILE = `extends: qemu-arm64
storage: { size: 256MiB }
partitions:
  rootfs: { size: 64MiB }
  rootfs-b: { filesystem: squashfs, size: 64MiB, role: rootfs }
  userdata: null
  data: { filesystem: ext4, size: rest, role: userdata }
slots: { confirm: manual, deadline: 3600 }
`;

/** The processes that wait for the deadline: terminal and command line. */
const WAITING = "pid=$(pgrep -f /deadline.sh) && ps -o tty=,args= $pid $(pgrep -P $pid) && cat /proc/$pid/cgroup";

const VARIANTS: Readonly<Record<string, { overlays: string; upper: string; steps: readonly Step[] }>> = {
  "/etc, /root and /var": {
    overlays: "[/etc, /root, /var]",
    upper: "overlay/etc/upper",
    steps: [
      { command: "echo 1 >/root/boots; cat /root/boots", shows: "1", trial: "left" },
      { command: "echo 2 >>/root/boots; cat /root/boots", shows: "1\n2", trial: "confirmed" },
      { command: "cat /root/boots", shows: "1\n2" },
    ],
  },
  "the whole root": {
    overlays: "[/]",
    upper: "overlay/%2f/upper/etc",
    steps: [
      {
        command: "mkdir /new && echo 1 >/new/boots; ls -d /rom/usr; test ! -e /rom/new",
        shows: "/rom/usr",
        trial: "left",
      },
      { command: "cat /new/boots", shows: "1" },
    ],
  },
};

for (const [name, { overlays, upper, steps }] of Object.entries(VARIANTS)) {
  test(`Debian with systemd, overlays of ${name}: nothing fails, machine-id stays, UserData is clean`, async (t) => {
    if (lacks(t, "qemu-system-aarch64", "e2fsck")) return;
    const folder = temporaryFolder(t);
    const profile = path.join(folder, "slots.yaml");
    fs.writeFileSync(profile, PROFILE);
    // What overlayctl reads the slots' environment with.
    const layer = path.join(folder, "layer");
    fs.mkdirSync(path.join(layer, "usr/bin"), { recursive: true });
    fs.symlinkSync("busybox", path.join(layer, "usr/bin/gzip"));
    const built = buildImage(path.join(folder, "out"), profile, [
      ...[path.join(DEMO, "systemd"), layer, "--boot-files", path.join(DEMO, "arm64/boot")],
      ...["--devices", path.join(PROJECT, "fixtures/systemd/devices.txt")],
      ...["--set", `overlay.paths=${overlays}`],
    ]);
    const { number, partuuid } = partition(built, "rootfs");
    const root_part = number.toString(16);
    writeSlotVariables(built, { root_part, upgrade_available: "1", bootcount: "1", bootlimit: "3" });
    const ids = new Set<string>();
    for (const { command: line, shows, trial } of steps) {
      const command = await bootCommand(built, built.image, [
        // A busy machine must not make units fail.
        "systemd.default_timeout_start_sec=900",
        ...[`imgbuild.slots=${partuuid}`, `imgbuild.trial=${trial ? "1/3" : "0"}`],
      ]);
      const guest = Guest.start(t, command);
      await guest.logIn(PATIENCE);
      assert.deepEqual(await guest.try("systemctl is-system-running --wait", PATIENCE), {
        output: "running",
        status: 0,
      });
      assert.equal(await guest.run("systemctl --failed --no-legend --plain | cat"), "");
      // The unit that tells that the first boot has completed comes after all else.
      await guest.run("until [ ! -e /run/imgbuild/pending ]; do sleep 1; done", PATIENCE);
      assert.match(await guest.run("overlayctl status"), /in userdata, ready/);
      assert.equal((await guest.try("test -e /run/imgbuild/degraded")).status, 1);
      assert.equal(await guest.run(line), shows);
      ids.add(await guest.run("cat /etc/machine-id"));
      const waiting = await guest.try(WAITING);
      if (trial) assert.match(waiting.output, /^\? +sh .*\/deadline.sh 3600 .*\n\? +sleep 3600\n0::\/init.scope$/);
      else assert.deepEqual(waiting, { output: "", status: 1 });
      if (trial === "confirmed") {
        // The deadline passes: what is gone by is set forward.
        await guest.run("overlayctl confirm; echo 99999.99 0 >/run/later; mount --bind /run/later /proc/uptime");
        await guest.run("kill $(pgrep -P $pid); while pgrep -f /deadline.sh; do sleep 1; done; umount /proc/uptime");
        assert.match(await guest.run("overlayctl status"), /^Root: .*, confirmed$/m);
      }
      // That systemd-shutdown waits for a process is a warning.
      await guest.run("dmesg -n 5");
      guest.type("systemctl reboot");
      assert.equal(await guest.end(PATIENCE), 0);
      assert.doesNotMatch(
        guest.log,
        /FAILED|Failed to unmount|stop job|Waiting for process|imgbuild: (?!this root is on trial)/,
      );
      assertClean(`${built.image}?offset=${built.userdata.offset}`);
      await readUserdata(built, async ({ reader, text }) => {
        assert.equal(reader.facts.state, "clean", "it was unmounted");
        ids.add((await text(`${upper}/machine-id`)).trim());
      });
    }
    assert.equal(ids.size, 1);
    assert.match([...ids][0]!, /^[0-9a-f]{32}$/);
  });
}
