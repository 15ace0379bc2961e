/**
 * The power fails while preinit is at work, before a program that it starts, and what ext4 has not written is lost. The next
 * boot ends in the old state or the new one, as if nothing had happened, and e2fsck finds nothing.
 *
 * POWER_CUTS=all cuts before every program, some 150 in all; otherwise it is every fifth.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { type TestContext, test } from "node:test";
import { lacks, lacksRoot, run } from "../support/tools.js";
import { type BootOptions, type Device, device, put, TOOLS } from "./device.js";

const STEP = process.env.POWER_CUTS === "all" ? 1 : 5;

const SHOW = `cd /home/root; for f in $(find . -type f | sort); do echo "$f: $(cat $f)"; done
  cat /run/imgbuild/degraded 2>/dev/null; ls /userdata`;

/**
 * Boots `from` its UserData with the power failing at a program, and then again. The second boot has to show `states`, one
 * of them. Returns how many programs there were to cut at, or somewhat more.
 */
function cutEverywhere(from: Device, states: readonly string[], first: BootOptions = {}): number {
  const saved = `${from.userdata}.saved`;
  fs.copyFileSync(from.userdata, saved);
  for (let cutAt = 1; ; cutAt += STEP) {
    fs.copyFileSync(saved, from.userdata);
    const end = from.boot("echo done >/dev/power", { ...first, cutAt });
    if (end.trimEnd().endsWith("done")) return cutAt - 1;
    assert.ok(end.trimEnd().endsWith("cut"), end);
    const shown = from.boot(SHOW);
    const seen = withoutNotice(shown);
    assert.ok(
      states.includes(seen),
      `cut before program ${cutAt}, it shows:\n${shown}\nand not:\n${states.join("\nnor:\n")}`,
    );
    run("e2fsck", ["-fn", from.userdata]);
    if (STEP === 1) assert.equal(withoutNotice(from.boot(SHOW)), seen, "and the boot after that shows the same");
  }
}

/** A first boot that has not completed is said to begin anew, and shows the same. */
const withoutNotice = (shown: string) => shown.replace(/^imgbuild: the first boot .*\n/, "");

/** What a boot shows that nothing disturbs, from the same UserData. */
function undisturbed(from: Device, options: BootOptions = {}): string {
  const saved = `${from.userdata}.undisturbed`;
  fs.copyFileSync(from.userdata, saved);
  const shown = from.boot(SHOW, options);
  fs.copyFileSync(saved, from.userdata);
  return shown;
}

const skipped = (t: TestContext) => lacks(t, ...TOOLS, "perl", "e2fsck") || lacksRoot(t);
const CUTTABLE = { shell: "dash", cuttable: true } as const;

test("the first boot", async (t) => {
  if (skipped(t)) return;
  const from = await device(t, { ...CUTTABLE, hook: true });
  assert.ok(cutEverywhere(from, [undisturbed(from)]) >= 10);
});

test("a reset that carries files over; asked for by the kernel's arguments it may also not have begun", async (t) => {
  if (skipped(t)) return;
  const from = await device(t, { ...CUTTABLE, keep: ["/home/root/*.conf", "/home/root/sub/x"] });
  from.boot("cd /home/root; echo 1 >a.conf; mkdir sub; echo 1 >sub/x; echo 1 >sub/y; rm kept; overlayctl snapshot s");
  from.boot("echo 2 >/home/root/b.conf; sync");
  const old = undisturbed(from);
  const reset = { arguments: "imgbuild.reset" };
  assert.ok(cutEverywhere(from, [old, undisturbed(from, reset)], reset) >= 20);
  from.boot("overlayctl reset");
  assert.ok(cutEverywhere(from, [undisturbed(from)]) >= 20);
});

test("snapshot, restore, delete and merge, and all in one request", async (t) => {
  if (skipped(t)) return;
  const from = await device(t, CUTTABLE);
  let cuts = 0;
  for (const commands of [
    "echo 1 >a; mkdir -p d/e; echo 1 >d/e/f; rm kept; overlayctl snapshot one",
    "echo 2 >a; rm -r d; mkdir d; echo 2 >d/g; overlayctl snapshot two",
    "echo 3 >d/h; rm d/g; overlayctl delete one; overlayctl snapshot three; overlayctl restore two; overlayctl merge",
  ]) {
    from.boot(`cd /home/root; ${commands}; sync`);
    cuts += cutEverywhere(from, [undisturbed(from)]);
  }
  assert.ok(cuts > 60, `${cuts}`);
});

test("a refresh over a new root", async (t) => {
  if (skipped(t)) return;
  const from = await device(t, {
    ...CUTTABLE,
    newRoot: "refresh",
    root: (tree) => {
      for (const name of ["one", "two", "sub/three"]) put(tree, `home/root/${name}`, "shipped\n");
    },
  });
  from.boot("cd /home/root; touch one sub/three; echo mine >two; sync");
  await from.flash((tree) => {
    for (const name of ["one", "two", "sub/three"]) put(tree, `home/root/${name}`, "shipped later\n");
  });
  const shown = undisturbed(from);
  assert.match(shown, /one: shipped later\n.*three: shipped later\n.*two: mine\n/s);
  assert.ok(cutEverywhere(from, [shown]) > 20);
});

test("a merge in the first boot after a reset is done whole, or again", async (t) => {
  if (skipped(t)) return;
  const from = await device(t, { ...CUTTABLE, hook: true, keep: ["/home/root/sub"] });
  from.boot("mkdir /home/root/sub; echo 1 >/home/root/sub/a; echo 2 >/home/root/sub/b; overlayctl reset");
  from.boot("echo 3 >/home/root/sub/c; overlayctl merge");
  const saved = `${from.userdata}.merge`;
  fs.copyFileSync(from.userdata, saved);
  for (let cutAt = 1; ; cutAt += 2) {
    fs.copyFileSync(saved, from.userdata);
    if (from.boot("echo done >/dev/power", { cutAt }).trimEnd().endsWith("done")) break;
    assert.equal(
      from.boot(
        "cat /home/root/sub/*; grep -c ^layer /userdata/overlay/home-root/state; ls /userdata | grep request; :",
      ),
      "1\n2\n3\n0\n",
      `cut before program ${cutAt}`,
    );
  }
});
