/** What becomes of what was written when a root is tried in the other slot, and is confirmed or gives way to the one before it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { type TestContext, test } from "node:test";
import type { Tree } from "../../src/tree/tree.js";
import { lacks, lacksRoot } from "../support/tools.js";
import { type BootOptions, type DeviceOptions, put, TOOLS } from "./device.js";
import { ID, TRIAL, TwoSlots } from "./two-slots.js";

const skipped = (t: TestContext) => lacks(t, ...TOOLS) || lacksRoot(t);
/** POWER_CUTS=all cuts before every program. */
const STEP = process.env.POWER_CUTS === "all" ? 1 : 3;

interface TrialOptions extends BootOptions {
  /** More of the kernel's arguments. */
  readonly reset?: string;
}

/** Boots the old root in 2 or the new one in 4, as the boot script does: on a trial, or on none. */
class Roots {
  readonly slots: TwoSlots;
  readonly #images: { readonly old: Uint8Array; readonly new: Uint8Array };

  static async make(t: TestContext, options: DeviceOptions): Promise<Roots> {
    const slots = await TwoSlots.make(t, { newRoot: "reset", ...options });
    const old = slots.image;
    await slots.device.flash((tree: Tree) => put(tree, "home/root/new", "new\n"));
    return new Roots(slots, { old, new: slots.image });
  }

  private constructor(slots: TwoSlots, images: { old: Uint8Array; new: Uint8Array }) {
    this.slots = slots;
    this.#images = images;
  }

  old(commands: string, options: TrialOptions = {}): string {
    return this.#boot("old", 2, "0", commands, options);
  }

  new(trial: string, commands: string, options: TrialOptions = {}): string {
    return this.#boot("new", 4, trial, commands, options);
  }

  #boot(root: "old" | "new", running: number, trial: string, commands: string, options: TrialOptions): string {
    fs.writeFileSync(this.slots.device.squashfs, this.#images[root]);
    const { reset = "", ...more } = options;
    const told = `imgbuild.slots=${ID} imgbuild.trial=${trial} ${reset}`;
    return this.slots.boot(commands, running, { arguments: told, ...more });
  }
}

const LOOK = "cd /home/root; ls mine theirs keep new 2>/dev/null";
/** Of UserData's folder what is there by name, but for work. */
const FOLDER = "ls /userdata/overlay/home-root | grep -v work";

test("reset: what was written over the old root is back with it, and goes once the new one is confirmed", async (t) => {
  if (skipped(t)) return;
  for (const shell of ["busybox", "dash"] as const) {
    const roots = await Roots.make(t, { shell, keep: ["/home/root/keep"] });
    roots.old("cd /home/root; echo 1 >mine; echo 1 >keep; overlayctl snapshot monday");
    roots.old("echo 2 >/home/root/mine");
    const tried = roots.new("1/3", `${LOOK}; echo 1 >theirs; echo 2 >keep; overlayctl status | grep 'root before'`);
    assert.match(
      tried,
      /is reset, because the root has changed\n(?:.*\n)?keep\nnew\n.*is kept until this one is confirmed\n$/,
    );
    assert.match(roots.new("2/3", `${LOOK}; overlayctl restore monday 2>&1`), /\nkeep\nnew\ntheirs\n.*no overlay has/);

    const back = roots.old(`${LOOK}; cat mine keep; overlayctl status | grep -c monday; ${FOLDER}`);
    assert.match(back, /is again what it was.*\nkeep\nmine\n2\n1\n1\nstate\nupper\nupper\.1\n$/);
    assert.equal(roots.old(`${LOOK}; overlayctl restore monday`), "keep\nmine\nIt is done at the next boot.\n");
    assert.equal(roots.old("cat /home/root/mine"), "1\n");

    roots.new("1/3", "echo 1 >/home/root/theirs");
    roots.slots.environment = { ...TRIAL, bootcount: "2" };
    roots.new("2/3", `overlayctl confirm; ls /userdata/overlay/home-root/before 2>/dev/null`);
    const kept = roots.new("0", `${LOOK}; ${FOLDER}`).split("\n");
    assert.deepEqual(kept.slice(0, 4), ["keep", "new", "theirs", "state"]);
    assert.equal(kept.filter((name) => name.startsWith("upper")).length, 2, "this one's, and what the reset has kept");
    // From now on it is the new root's that comes back.
    assert.match(roots.old(LOOK), /reset, because the root has changed\nkeep\n$/);
  }
});

test("a trial that was confirmed by an application of its own, and a reset on trial: nothing comes back", async (t) => {
  if (skipped(t)) return;
  const roots = await Roots.make(t, {});
  roots.old("echo 1 >/home/root/mine");
  roots.new("1/3", "true");
  assert.match(roots.new("0", `${FOLDER}`), /^state\nupper\.1\n$/);
  roots.old("echo 1 >/home/root/mine");
  roots.new("1/3", "overlayctl reset");
  roots.new("2/3", "true");
  assert.match(roots.old(`${LOOK}; ${FOLDER}`), /reset, because the root has changed\nstate\nupper/);
});

test("a reset on trial that is refused leaves what the old root has; one that makes room first leaves nothing", async (t) => {
  if (skipped(t)) return;
  const roots = await Roots.make(t, { mke2fs: ["-m", "0"], keep: ["/home/root/keep"] });
  roots.old("echo 1 >/home/root/mine");
  const fill = "cd /home/root; cat /dev/zero 2>/dev/null >full; sync";
  roots.new("1/3", `head -c 200000 /dev/zero >/home/root/keep; overlayctl reset; ${fill}`);
  const { userdata } = roots.slots.device;
  fs.copyFileSync(userdata, `${userdata}.full`);
  assert.match(
    roots.new("2/3", "cd /home/root; ls full keep new"),
    /no reset: what is to be kept cannot be copied.*; it stays as it is\nfull\nkeep\nnew\n$/,
  );
  assert.match(roots.old(LOOK), /is again what it was.*\nmine\n$/);

  fs.copyFileSync(`${userdata}.full`, userdata);
  assert.match(
    roots.new("2/3", `${LOOK}; ${FOLDER}`, { reset: "imgbuild.reset imgbuild.nokeep" }),
    /\nnew\nstate\nupper/,
  );
  assert.match(roots.old(`${LOOK}; cat /run/imgbuild/degraded 2>/dev/null`), /reset, because the root has changed\n$/);
});

test("a reset on trial was cut between its being done and what it ends with: nothing comes back", async (t) => {
  if (skipped(t)) return;
  const roots = await Roots.make(t, {});
  roots.old("echo 1 >/home/root/mine");
  const state = "/userdata/overlay/home-root";
  // A line after the reset that is done as well tells nothing of it: it may have been refused.
  for (const [later, left] of [
    [":", ""],
    ["overlayctl snapshot s", "before\n"],
  ] as const) {
    roots.new("1/3", `overlayctl reset; ${later}; cp ${state}/before /userdata/request /userdata/overlay`);
    roots.new("2/3", `cp /userdata/overlay/before ${state}; cp /userdata/overlay/request /userdata`);
    assert.equal(
      roots
        .new("3/3", `cd ${state}; ls -d before 2>/dev/null; cd /userdata; ls -d request 2>/dev/null; true`)
        .replace(/^imgbuild.*\n/gm, ""),
      left,
    );
    roots.old("echo 1 >/home/root/mine");
  }
});

test("what the old root is asked for while the new one is on trial is done to what comes back", async (t) => {
  if (skipped(t)) return;
  const roots = await Roots.make(t, {});
  roots.old("echo 1 >/home/root/mine");
  roots.new("1/3", "overlayctl snapshot late");
  assert.match(roots.old(`${LOOK}; overlayctl status | grep -c late`), /is again what it was.*\nmine\n1\n$/);
});

test("a UserData that is full: the new root is tried over what there is", async (t) => {
  if (skipped(t)) return;
  const roots = await Roots.make(t, { mke2fs: ["-m", "0"] });
  roots.old("echo 1 >/home/root/mine; cat /dev/zero >/home/root/full 2>/dev/null; sync");
  assert.match(roots.new("1/3", LOOK), /stays as it was over the former root\n(?:.*\n)?mine\nnew\n$/);
  assert.match(roots.old(LOOK), /\bmine\n$/);
});

test("the power fails at any program of a trial's first boot, and of the boot that falls back", async (t) => {
  if (skipped(t) || lacks(t, "perl")) return;
  const roots = await Roots.make(t, { shell: "dash", cuttable: true });
  const done = "rm -f /dev/cut; echo done >/dev/power";
  let cuts = 0;
  for (const which of ["new", "old"] as const) {
    for (let cutAt = 1; ; cutAt += STEP) {
      roots.new("0", "rm -f /home/root/*");
      roots.old("rm -f /home/root/*; echo 1 >/home/root/mine; sync");
      if (which === "old") roots.new("1/3", "echo 1 >/home/root/theirs; sync");
      const end = which === "new" ? roots.new("1/3", done, { cutAt }) : roots.old(done, { cutAt });
      if (which === "new" && cutAt % 2 === 0) assert.match(roots.new("2/3", LOOK), /^new\n$/m, `${which}, ${cutAt}`);
      const back = roots
        .old(LOOK)
        .split("\n")
        .filter((line) => !line.startsWith("imgbuild"));
      assert.deepEqual(back, ["mine", ""], `${which}, cut ${cutAt}`);
      if (end.trimEnd().endsWith("done")) break;
      cuts++;
    }
  }
  assert.ok(cuts >= 20 / STEP, `${cuts}`);
});
