/**
 * A whole Debian with systemd. Three boots of an image with overlays of /etc, /root and /var, and two of one whose whole root is
 * an overlay: nothing fails, the machine id of the first boot stays, and after each shutdown UserData is in order without a
 * replay of its journal.
 *
 * The parts come from Debian, and no script of a package has run: `make parts`.
 */
import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { assertClean } from "../ext4/support.js";
import { Guest } from "../support/guest.js";
import { lacks, temporaryFolder } from "../support/tools.js";
import { bootCommand, buildImage, DEMO, PROJECT, readUserdata } from "./image.js";

/** systemd takes half a minute on a quiet machine. */
const PATIENCE = 600_000;

/** What is done on the device in each boot, and what has to be seen there after it was done. */
interface Step {
  readonly command: string;
  readonly shows: string;
}

const VARIANTS: Readonly<Record<string, { overlays: string; upper: string; steps: readonly Step[] }>> = {
  "/etc, /root and /var": {
    overlays: "[/etc, /root, /var]",
    upper: "overlay/etc/upper",
    steps: [
      { command: "echo 1 >/root/boots; cat /root/boots", shows: "1" },
      { command: "echo 2 >>/root/boots; cat /root/boots", shows: "1\n2" },
      { command: "cat /root/boots", shows: "1\n2" },
    ],
  },
  "the whole root": {
    overlays: "[/]",
    upper: "overlay/%2f/upper/etc",
    steps: [
      { command: "mkdir /new && echo 1 >/new/boots; ls -d /rom/usr; test ! -e /rom/new", shows: "/rom/usr" },
      { command: "cat /new/boots", shows: "1" },
    ],
  },
};

for (const [name, { overlays, upper, steps }] of Object.entries(VARIANTS)) {
  test(`Debian with systemd, overlays of ${name}: nothing fails, machine-id stays, UserData is clean`, async (t) => {
    if (lacks(t, "qemu-system-aarch64", "e2fsck")) return;
    const folder = temporaryFolder(t);
    const built = buildImage(folder, "qemu-arm64", [
      ...[path.join(DEMO, "systemd"), "--boot-files", path.join(DEMO, "arm64/boot")],
      ...["--devices", path.join(PROJECT, "fixtures/systemd/devices.txt")],
      ...["--set", "storage.size=256MiB", "--set", `overlay.paths=${overlays}`],
    ]);
    // A busy machine must not make units fail.
    const command = await bootCommand(built, built.image, ["systemd.default_timeout_start_sec=900"]);
    const ids = new Set<string>();
    for (const { command: line, shows } of steps) {
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
      guest.type("systemctl reboot");
      assert.equal(await guest.end(PATIENCE), 0);
      assert.doesNotMatch(guest.log, /FAILED|Failed to unmount|imgbuild: /);
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
