/**
 * The power fails while preinit is at work, before a program that it starts, and what ext4 has not written is lost: all of it, or
 * all but the journal, by turns. The next boot ends in the old state or the new one, as if nothing had happened, and e2fsck finds
 * nothing. Scripts with a mistake in them show that the cuts would find it.
 *
 * POWER_CUTS=all cuts before every program, in both ways, some 300 in all; otherwise it is every fifth.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { type TestContext, test } from "node:test";
import { lacks, lacksRoot, run } from "../support/tools.js";
import {
  type BootOptions,
  type Device,
  type DeviceOptions,
  device,
  type Left,
  type Mutation,
  put,
  TOOLS,
} from "./device.js";

const STEP = process.env.POWER_CUTS === "all" ? 1 : 5;

const SHOW = `cd /home/root; for f in $(find . -type f | sort); do echo "$f: $(cat $f)"; done
  find . -exec stat -c '%n %F %a %u:%g' {} + | sort; ls /userdata/overlay/home-root | sed 's/[.][0-9]*$//'
  sed -n 's/^layer.* //p' /userdata/overlay/home-root/state
  cat /run/imgbuild/degraded 2>/dev/null; ls /userdata`;

/** What cuts leave: one or the other by turns, or each of both. */
const bySteps = (cutAt: number): readonly Left[] =>
  STEP === 1 ? ["synced", "journal"] : [cutAt % 2 === 1 ? "synced" : "journal"];

/**
 * Boots `from` its UserData with the power failing at a program, and then again. The second boot has to show `states`, one
 * of them. Returns how many programs there were to cut at, or somewhat more.
 */
function cutEverywhere(
  from: Device,
  states: readonly string[],
  first: BootOptions = {},
  step = STEP,
  leaves = bySteps,
): number {
  const saved = `${from.userdata}.saved`;
  fs.copyFileSync(from.userdata, saved);
  for (let cutAt = 1; ; cutAt += step) {
    for (const left of leaves(cutAt)) {
      fs.copyFileSync(saved, from.userdata);
      const end = from.boot("echo done >/dev/power", { ...first, cutAt, left });
      if (end.trimEnd().endsWith("done")) return cutAt - 1;
      assert.ok(end.trimEnd().endsWith("cut"), end);
      const shown = from.boot(SHOW);
      const seen = withoutNotice(shown);
      assert.ok(
        states.includes(seen),
        `cut before program ${cutAt}, with ${left} left, it shows:\n${shown}\nand not:\n${states.join("\nnor:\n")}`,
      );
      run("e2fsck", ["-fn", from.userdata]);
      if (STEP > 1) continue;
      const after = from.boot(SHOW);
      // The third first boot that nobody calls completed counts as such.
      const counts = /^imgbuild: the first boot with .* was not completed twice/m.test(after);
      const same = counts ? seen.replace(/^pending\n/m, "") : seen;
      assert.equal(withoutNotice(after), same, "and the boot after that shows the same");
    }
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

test("a reset by the kernel's arguments, given for one boot: all of it, or not begun", async (t) => {
  if (skipped(t)) return;
  const from = await device(t, { ...CUTTABLE, paths: ["/etc", "/home/root"], keep: ["/etc/kept"] });
  from.boot("touch /etc/kept /etc/written /home/root/written; sync");
  const saved = `${from.userdata}.saved`;
  fs.copyFileSync(from.userdata, saved);
  const see = "ls /etc /home/root/written 2>&1; ls /userdata";
  for (const [how, after] of [
    ["imgbuild.reset", undefined],
    ["imgbuild.reset imgbuild.nokeep", undefined],
    ["imgbuild.resetonce=all:1", "imgbuild.resetonce=all:1"],
  ] as const) {
    const shown = (cutAt?: number) => {
      fs.copyFileSync(saved, from.userdata);
      const end = from.boot("echo done >/dev/power", { arguments: how, cutAt: cutAt ?? 10_000 });
      const seen = from.boot(see, after === undefined ? {} : { arguments: after });
      return { seen, cut: end.trimEnd().endsWith("cut") };
    };
    const reset = shown().seen;
    assert.doesNotMatch(reset, /^(written|\/home\/root\/written)$/m);
    fs.copyFileSync(saved, from.userdata);
    const old = from.boot(see);
    const seen = new Set<string>();
    for (let cutAt = 1; ; cutAt += STEP === 1 ? 1 : 4) {
      const one = shown(cutAt);
      if (!one.cut) break;
      assert.ok(one.seen === reset || (after === undefined && one.seen === old), `${how}, ${cutAt}: ${one.seen}`);
      seen.add(one.seen);
    }
    assert.equal(seen.size, after === undefined ? 2 : 1, "with a saved variable it goes on in any case");
  }
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

for (const [name, command] of [
  ["a refresh over a new root", "sync"],
  ["the same, and a snapshot that was asked for before", "overlayctl snapshot s"],
] as const) {
  test(name, async (t) => {
    if (skipped(t)) return;
    const from = await device(t, {
      ...CUTTABLE,
      newRoot: "refresh",
      root: (tree) => {
        for (const name of ["one", "two", "sub/three"]) put(tree, `home/root/${name}`, "shipped\n");
      },
    });
    from.boot(`cd /home/root; touch one sub/three; echo mine >two; ${command}; sync`);
    await from.flash((tree) => {
      for (const name of ["one", "two", "sub/three"]) put(tree, `home/root/${name}`, "shipped later\n");
    });
    const shown = undisturbed(from);
    assert.match(shown, /one: shipped later\n.*three: shipped later\n.*two: mine\n/s);
    assert.ok(cutEverywhere(from, [shown]) > 20);
  });
}

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

test("what a command has done when it ends is on the disk", async (t) => {
  if (skipped(t)) return;
  const from = await device(t, CUTTABLE);
  from.boot("echo 1 >/home/root/mine; overlayctl snapshot s");
  from.boot("echo 2 >/home/root/later; overlayctl export s /userdata/s.tar; sync");
  keepsPromises(from);
});

/** Commands, each with what prints 1 in the next boot where it has been done. */
const PROMISES = {
  "overlayctl snapshot t": "grep -c ' t$' /userdata/overlay/home-root/state",
  "overlayctl restore s": "[ -e /home/root/later ] || echo 1",
  "overlayctl reset": "grep -q ' s$' /userdata/overlay/home-root/state || echo 1",
  "overlayctl import /userdata/s.tar copied": "grep -c ' copied$' /userdata/overlay/home-root/state",
  "overlayctl export s /userdata/t.tar": "tar -tf /userdata/t.tar | grep -c imgbuild-snapshot",
  "overlayctl snapshot t; sync; overlayctl cancel": "grep -q ' t$' /userdata/overlay/home-root/state || echo 1",
};

function keepsPromises(from: Device): void {
  const saved = `${from.userdata}.saved`;
  fs.copyFileSync(from.userdata, saved);
  for (const [command, check] of Object.entries(PROMISES)) {
    fs.copyFileSync(saved, from.userdata);
    from.boot(`${command}; echo cut >/dev/power; while :; do sleep 9; done`, { cutAt: 1_000_000 });
    run("e2fsck", ["-p", from.userdata]);
    assert.equal(from.boot(check), "1\n", command);
  }
}

/**
 * Mistakes that a script could have, and what notices them. Each boots an otherwise sound device, cut at every program, until
 * something is found; where nothing is, the cuts above prove nothing.
 */
interface Mistake extends Mutation {
  readonly name: string;
  readonly options?: DeviceOptions;
  /** Boots that lead to the one that is cut. */
  readonly prepare: readonly string[];
}

const STATE = "usr/lib/imgbuild/state.sh";
const MISTAKES: readonly Mistake[] = [
  {
    name: "the state is removed and then replaced, rather than replaced by a rename",
    script: STATE,
    from: 'mv -f "$folder/state+new" "$folder/state"',
    to: 'rm -f "$folder/state" && mv "$folder/state+new" "$folder/state"',
    prepare: ["echo 1 >/home/root/mine; overlayctl snapshot one", "overlayctl snapshot two"],
  },
  {
    name: "the state counts before what it names is on the disk",
    script: STATE,
    from: '"$folder/state+new" &&\n\t\tflush "$folder" &&',
    to: '"$folder/state+new" &&',
    options: { keep: ["/home/root/mine"] },
    prepare: ["echo 1 >/home/root/mine; overlayctl reset"],
  },
  {
    name: "what a reset was to carry over is removed before the new state counts",
    script: "usr/lib/imgbuild/reset.sh",
    from: 'if new_top "$below" && keep_manifest && write_state; then',
    to: 'if new_top "$below" && keep_manifest && rm -rf "$folder/upper" && write_state; then',
    options: { keep: ["/home/root/mine"] },
    prepare: ["echo 1 >/home/root/mine; overlayctl reset"],
  },
  {
    name: "a request is removed before it is carried out",
    script: "usr/lib/imgbuild/requests.sh",
    from: 'carry_out_file "$mount/request"\n\t\trm -f "$mount/request"',
    to: 'mv "$mount/request" "$run/request" && carry_out_file "$run/request"',
    prepare: ["echo 1 >/home/root/mine; overlayctl reset"],
  },
];

for (const { name, options, prepare, ...mutation } of MISTAKES) {
  test(`a mistake is found: ${name}`, async (t) => {
    if (skipped(t)) return;
    const from = await device(t, { ...CUTTABLE, ...options, mutation });
    for (const commands of prepare) from.boot(`${commands}; sync`);
    const whole = undisturbed(from);
    assert.throws(() => cutEverywhere(from, [whole], {}, 1, () => ["journal"]), /it shows:/);
  });
}

test("a mistake is found: overlayctl says that it is done when it is not on the disk yet", async (t) => {
  if (skipped(t)) return;
  const mutation = {
    script: "usr/lib/imgbuild/ask.sh",
    from: 'mv -f "$mount/request+new" "$mount/request" && flush "$mount" ||',
    to: 'mv -f "$mount/request+new" "$mount/request" ||',
  };
  const from = await device(t, { ...CUTTABLE, mutation });
  assert.throws(() => keepsPromises(from), { message: /snapshot t/ });
});
