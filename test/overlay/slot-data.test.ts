/** What becomes of what was written when a root is tried in the other slot, and is confirmed or gives way to the one before it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { type TestContext, test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import type { NewRootPolicy } from "../../src/overlay/index.js";
import { addNode, makeDirectories, type Tree } from "../../src/tree/tree.js";
import { lacks, lacksRoot } from "../support/tools.js";
import { type BootOptions, type DeviceOptions, put, TOOLS } from "./device.js";
import { link } from "./sample.js";
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

  /** `change`: what the new root has otherwise than the old one; `newRoot`: its policy, where that is another. */
  static async make(
    t: TestContext,
    options: DeviceOptions,
    change = (tree: Tree) => put(tree, "home/root/new", "new\n"),
    newRoot?: NewRootPolicy,
  ): Promise<Roots> {
    const slots = await TwoSlots.make(t, { newRoot: "reset", ...options });
    const old = slots.image;
    await slots.device.flash(change, newRoot);
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

/** But for what is said of a trial. */
const quiet = (printed: string) => printed.replace(/^imgbuild: this root is on trial.*\n/gm, "");

/** What a maker tells everybody to set in the old root, and ships in the new one. */
function shipsWhatWasAdvised(tree: Tree): void {
  put(tree, "home/root/ntp", "B\n");
  put(tree, "home/root/added", "B\n");
  put(tree, "home/root/untouched", "B\n");
  put(tree, "home/root/other", "B\n");
  addNode(tree, fromText("home/root/link"), link("B"));
  makeDirectories(tree, fromText("home/root/closed")).mode = 0o700;
  makeDirectories(tree, fromText("home/root/open")).mode = 0o711;
  makeDirectories(tree, fromText("home/root/empty")).mode = 0o700;
}

const REFRESH: DeviceOptions = {
  newRoot: "refresh",
  root: (tree) => {
    for (const name of ["ntp", "untouched", "other"]) put(tree, `home/root/${name}`, "A\n");
    addNode(tree, fromText("home/root/link"), link("A"));
    for (const name of ["closed", "open"]) {
      makeDirectories(tree, fromText(`home/root/${name}`), { mode: 0o755 });
      put(tree, `home/root/${name}/file`, "A\n");
    }
  },
};
const ADVISED = `cd /home/root; echo B >ntp; echo B >added; touch untouched; echo mine >other; ln -sf B link
  chmod 700 closed; touch open/own; mkdir -m 700 empty`;
const SEE = `cd /home/root; for f in ntp added untouched other; do echo "$f $(cat $f)"; done
  readlink link; stat -c '%n %a' closed open empty; overlayctl status | grep hides; ls -d /userdata/overlay/home-root/manifest.* | wc -l`;
const OVER_OLD = `ntp B
added B
untouched A
other mine
B
closed 700
open 755
empty 700
`;
const OVER_NEW = OVER_OLD.replace("untouched A", "untouched B").replace("open 755", "open 711");
/** What was edited and hides what the other root has otherwise. */
const HIDES = (...names: string[]) =>
  names.map((name) => `  hides what the new root has: /home/root/${name}\n`).join("");
const NEW_SHOWN = `${OVER_NEW}${HIDES("other")}1\n`;
const OLD_SHOWN = `${OVER_OLD}${HIDES("link", "ntp", "other")}1\n`;

test("refresh: what somebody had made as the new root has it is there again after a trial, and after going back", async (t) => {
  if (skipped(t)) return;
  const roots = await Roots.make(t, { shell: "dash", ...REFRESH }, shipsWhatWasAdvised);
  roots.old(ADVISED);
  assert.equal(quiet(roots.new("1/3", SEE)), NEW_SHOWN, "on trial");
  assert.equal(quiet(roots.new("2/3", SEE)), NEW_SHOWN, "on trial again");
  assert.equal(roots.old(SEE), OLD_SHOWN, "the trial has failed");
  // Another trial, a confirmed one; what it only touches gives way to the old root's.
  roots.new("1/3", "cd /home/root; echo theirs >other; touch untouched");
  roots.new("0", "true");
  const late = OLD_SHOWN.replace("other mine", "other theirs");
  assert.equal(roots.old(SEE), late, "rolled back by hand");
  roots.new("1/3", "overlayctl snapshot s");
  roots.new("2/3", "overlayctl delete s");
  assert.equal(quiet(roots.new("3/3", "overlayctl status | grep -c ': s$'")), "0\n");
  assert.equal(roots.old(SEE), late, "frozen, and folded into what lies over it, during the trial");
});

test("refresh: a cut before the new root counts does not have what it changed pass for edited; a reset forgets", async (t) => {
  if (skipped(t)) return;
  const mutation = {
    script: "usr/lib/imgbuild/root-change.sh",
    from: "refresh && adopt_root",
    to: "refresh && { [ -e $mount/cut ] || ! true >$mount/cut; } && adopt_root",
  };
  const roots = await Roots.make(t, { ...REFRESH, mutation }, shipsWhatWasAdvised);
  roots.old(ADVISED);
  assert.match(roots.new("1/3", "true"), /stays as it was over the former root/);
  assert.equal(quiet(roots.new("2/3", SEE)), NEW_SHOWN);
  assert.equal(roots.old(SEE), OLD_SHOWN);

  roots.new("0", "overlayctl reset");
  roots.new("0", "touch /home/root/ntp");
  assert.equal(roots.old("cat /home/root/ntp"), "A\n");
});

test("a root on trial that refreshes, over one that resets: it makes nothing its own before it is confirmed", async (t) => {
  if (skipped(t)) return;
  const roots = await Roots.make(t, { newRoot: "reset" }, undefined, "refresh");
  const requests = "overlayctl snapshot s; overlayctl restore s";
  roots.old(`echo 1 >/home/root/mine; ${requests}`);
  const tried = roots.new("1/3", `${LOOK}; overlayctl status | grep -E -o ': s$|Not done.*'`);
  assert.match(tried, /\nmine\nnew\nNot done.*no restore \(s\).*another root\n: s\n$/);
  assert.equal(roots.old(LOOK), "mine\n");
  roots.new("1/3", "true");
  assert.match(roots.new("0", LOOK), /none are refreshed\nmine\nnew\n$/);
  assert.equal(roots.new("0", LOOK), "mine\nnew\n");
});

test("refresh: what becomes of another kind in the new root, and of the former one again", async (t) => {
  if (skipped(t)) return;
  const at = (name: string) => fromText(`home/root/${name}`);
  const roots = await Roots.make(
    t,
    {
      newRoot: "refresh",
      root: (tree) => {
        addNode(tree, at("wasLink"), link("nowhere"));
        addNode(tree, at("myLink"), link("nowhere"));
        put(tree, "home/root/wasFolder/file", "A\n");
        put(tree, "home/root/myFolder/file", "A\n");
        put(tree, "home/root/wasFile", "A\n");
        put(tree, "home/root/linked", "A\n");
      },
    },
    (tree) => {
      const { entries } = makeDirectories(tree, fromText("home/root"));
      for (const name of ["wasLink", "myLink", "wasFolder", "myFolder", "wasFile"]) entries.delete(fromText(name));
      put(tree, "home/root/wasLink/file", "B\n");
      put(tree, "home/root/myLink/file", "B\n");
      put(tree, "home/root/wasFolder", "B\n");
      put(tree, "home/root/myFolder", "B\n");
      addNode(tree, at("wasFile"), link("linked"));
      put(tree, "home/root/linked", "B\n");
    },
  );
  const look = `cd /home/root; for f in wasLink myLink wasFolder myFolder wasFile linked mine; do
    if [ -L $f ]; then echo "$f -> $(readlink $f)"; elif [ -d $f ]; then echo "$f/ $(cd $f; echo $(ls; cat *))"; else echo "$f $(cat $f)"; fi; done`;
  roots.old(
    "cd /home/root; chown -h 0:0 wasLink; touch wasFolder wasFolder/file myFolder/own wasFile linked; ln linked mine; ln -sfn mine myLink",
  );
  const old = `wasLink -> nowhere
myLink -> mine
wasFolder/ file A
myFolder/ file own A
wasFile A
linked A
mine A
`;
  assert.equal(
    quiet(roots.new("1/3", `${look}; touch wasLink/file wasFolder linked; chown -h 0:0 wasFile`)),
    `wasLink/ file B
myLink -> mine
wasFolder B
myFolder/ own
wasFile -> linked
linked B
mine A
`,
  );
  assert.equal(roots.old(look), old);
});

test("refresh on a full UserData: nothing is changed that the old root would show otherwise; with room it is done", async (t) => {
  if (skipped(t)) return;
  const roots = await Roots.make(t, { ...REFRESH, mke2fs: ["-m", "0"], size: "2M" }, shipsWhatWasAdvised);
  // No copy that would make room when it goes. What is left of the blocks in the end goes to small files.
  roots.old(ADVISED.replace("touch untouched; ", ""));
  roots.old(`cd /home/root; cat /dev/zero >full 2>/dev/null; sync
    i=0; while echo >full$i; do i=$((i + 1)); done 2>/dev/null; sync`);
  assert.match(roots.new("1/3", "true"), /stays as it was over the former root/);
  assert.equal(roots.old(SEE), `${OVER_OLD}1\n`);
  assert.match(roots.new("1/3", "rm /home/root/full*"), /stays as it was/);
  assert.equal(quiet(roots.new("2/3", SEE)), NEW_SHOWN);
  assert.equal(roots.old(SEE), OLD_SHOWN);
});
