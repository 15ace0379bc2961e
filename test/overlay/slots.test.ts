/**
 * Two root slots on the device, without an emulator: preinit and overlayctl as they are, loop devices for the disk with the
 * slots' environment and for the other slot. What they leave is read from outside, as U-Boot would.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import type { Tree } from "../../src/tree/tree.js";
import { lacks, lacksRoot, run } from "../support/tools.js";
import { type DeviceOptions, device, put, TOOLS } from "./device.js";
import { BLOCK, ID, OLD, SIZE, SLOT, SLOTS, TRIAL, TwoSlots, type Variables } from "./two-slots.js";

/** POWER_CUTS=all cuts an update before every program. */
const STEP = process.env.POWER_CUTS === "all" ? 1 : 4;

const skipped = (t: TestContext) => lacks(t, ...TOOLS) || lacksRoot(t);
const digest = (bytes: Uint8Array) => run("sha256sum", [], { input: bytes }).slice(0, 64);

test("update, trial, confirm, and rollback both ways", async (t) => {
  if (skipped(t)) return;
  const slots = await TwoSlots.make(t);
  slots.file("new", slots.image);
  assert.match(slots.boot("overlayctl status"), /^Root: partition 2, confirmed$/m);
  const printed = slots.boot("overlayctl update /dev/new && overlayctl status");
  assert.match(printed, /tried at the next boot, 3 times/);
  assert.match(printed, /^Root: partition 2; partition 4 is tried at the next boot, 3 tries$/m);
  assert.ok(slots.holds(slots.image));
  assert.deepEqual(slots.environment, TRIAL);

  // As the boot script counts.
  slots.environment = { ...TRIAL, bootcount: "1" };
  const trial = slots.boot("overlayctl status; overlayctl update /dev/new; ls /run/imgbuild/trial", 4);
  assert.match(trial, /^Root: partition 4, on trial, tries left: 2/m);
  assert.match(trial, /^\/run\/imgbuild\/trial$/m);
  assert.equal(slots.environment.upgrade_available, "1", "what it falls back to was not written over");
  const json = slots.boot("overlayctl confirm; overlayctl status --json; ls /run/imgbuild/trial 2>/dev/null", 4);
  const { slots: told } = JSON.parse(json.slice(json.indexOf("{")));
  assert.deepEqual(told, {
    running: 4,
    other: 2,
    otherDevice: "/dev/other",
    state: "confirmed",
    triesLeft: 0,
    old: 2,
    failed: null,
  });
  assert.deepEqual(slots.environment, { root_part: "4", root_old: "2", upgrade_available: "0" });

  // The one before may no longer come up: it is tried as an update is, and this one is what it falls back to.
  const back: Variables = { ...TRIAL, root_part: "2", root_old: "4", trial_note: "back" };
  assert.match(
    slots.boot("overlayctl rollback; overlayctl status", 4),
    /^Partition 2 is tried.*^Root: partition 4; partition 2 is tried at the next boot, 3 tries$/ms,
  );
  assert.deepEqual(slots.environment, back);
  assert.match(
    slots.boot("overlayctl rollback; overlayctl status", 4),
    /Partition 4 stays.*partition 2 holds the root/s,
  );
  assert.deepEqual(slots.environment, { root_part: "4", root_old: "2", upgrade_available: "0" });
  slots.environment = { ...back, bootcount: "1" };
  assert.match(slots.boot("overlayctl rollback"), /Partition 4 is the root from the next boot on/);
  assert.deepEqual(slots.environment, { root_part: "4", root_old: "2", upgrade_available: "0" });
  slots.environment = { ...back, bootcount: "1" };
  assert.match(slots.boot("overlayctl status; overlayctl confirm"), /^Root: partition 2, on trial, tries left: 2/m);
  assert.deepEqual(slots.environment, { root_part: "2", root_old: "4", upgrade_available: "0" });

  slots.environment = { ...TRIAL, bootcount: "1" };
  slots.boot("overlayctl rollback", 4);
  assert.deepEqual(slots.environment, OLD, "what was on trial is not gone back to");
  assert.match(slots.boot("overlayctl rollback 2>&1"), /holds no root to go back to/);
  slots.environment = { ...OLD, root_failed: "4" };
  assert.match(slots.boot("overlayctl status"), /the root in partition 4 did not come up/);
});

test("two slots cost a boot no program, where the boot script says whether the root is on trial", async (t) => {
  if (skipped(t)) return;
  // Of the root's /proc: in a namespace of its own it is how many processes there have been.
  const count = "read -r _ _ _ _ last </proc/loadavg; echo $last";
  const one = await device(t);
  one.boot("true", { arguments: "quiet" });
  const usual = Number(one.boot(count, { arguments: "quiet" }));
  assert.ok(usual > 1);
  const slots = await TwoSlots.make(t);
  slots.environment = { ...TRIAL, bootcount: "2" };
  slots.boot("true", 4);
  const look = `${count}; ls /run/imgbuild/trial 2>/dev/null`;
  const said = (trial: string, running = 4) =>
    slots.boot(look, running, { arguments: `imgbuild.slots=${ID} ${trial} rw` }).split("\n");
  assert.deepEqual(said("imgbuild.trial=0", 2), [`${usual}`, ""]);
  const [message, programs, file] = said("imgbuild.trial=2/3");
  assert.deepEqual([message, file], ["imgbuild: this root is on trial, 2 of 3", "/run/imgbuild/trial"]);
  assert.ok(Number(programs) <= usual + 2, "a shell that waits for the deadline, and its sleep");
  // A boot script from before it did: the environment says so, at a price.
  for (const trial of ["imgbuild.trial=", "imgbuild.trial=x", ""]) {
    const [message, programs, file] = said(trial);
    assert.deepEqual([message, file], ["imgbuild: this root is on trial, 2 of 3", "/run/imgbuild/trial"]);
    assert.ok(Number(programs) > usual + 5, programs);
  }
  // What overlayctl does goes by the environment in any case.
  slots.environment = OLD;
  slots.boot("overlayctl confirm", 2, { arguments: `imgbuild.slots=${ID} imgbuild.trial=1/3` });
  assert.deepEqual(slots.environment, OLD);
});

/** Looks for the process that waits for the deadline. */
const LOOK =
  "for p in /proc/[0-9]*; do tr '\\000' ' ' 2>/dev/null <$p/cmdline; done | grep -o '[s]h [^ ]*deadline.sh 2 [^ ]*' || echo none";
const HANG = "i=0; while [ $i -lt 30 ]; do i=$((i + 1)); sleep 1; done";
const ON_TRIAL = { arguments: `quiet imgbuild.slots=${ID} imgbuild.trial=1/3` };

async function onTrial(t: TestContext, deadline: number, options: DeviceOptions = {}): Promise<TwoSlots> {
  const slots = await TwoSlots.make(t, { ...options, slots: { ...SLOTS, confirm: "manual", deadline } });
  slots.environment = { ...TRIAL, bootcount: "1" };
  return slots;
}

test("a root on trial that hangs is restarted at the deadline: in order where its init can, by force where not", async (t) => {
  if (skipped(t)) return;
  const slots = await onTrial(t, 1, { shell: "busybox" });
  // busybox's reboot asks process 1 by a SIGTERM.
  assert.match(slots.boot(`trap 'echo in order; exit 0' TERM; ${HANG}`, 4, ON_TRIAL), /^in order$/m);
  // Of its own namespace process 1 gets none that it does not trap; for reboot -f the kernel ends it.
  const impatient = `while sleep 1; do
    for p in /proc/[0-9]*; do
      case $(tr '\\000' ' ' 2>/dev/null <$p/cmdline) in "sleep 100 ") kill \${p#/proc/} ;; esac
    done
  done &`;
  assert.throws(() => slots.boot(`${impatient} ${HANG}`, 4, ON_TRIAL), /unshare/);
  // Nobody waits for an init that could not be asked.
  const reboot = '#!/bin/sh\n[ "$1" = -f ] || exit 1\nexec /bin/busybox reboot -f\n';
  const root = (tree: Tree) => put(tree, "usr/sbin/reboot", reboot, 0o755);
  const unasked = await onTrial(t, 1, { shell: "dash", root });
  assert.throws(() => unasked.boot(HANG, 4, ON_TRIAL), /unshare/);
});

test("a root that is confirmed, given up, or on no trial is not restarted at the deadline", async (t) => {
  if (skipped(t)) return;
  for (const [shell, end] of [
    ["busybox", "confirm"],
    ["dash", "rollback"],
  ] as const) {
    const slots = await onTrial(t, 2, { shell });
    // It waits, with nothing open but its own text and /dev/null (and perhaps a pipe of whoever runs this test), and goes by itself.
    const open =
      "for p in /proc/[0-9]*; do ! grep -q '^sh.*deadline' $p/cmdline || ls -l $p/fd; done | sed -n 's/.* -> //p' | sort -u";
    // Somebody ends its sleep, and means another: that is no reason to restart.
    const ended = `for p in /proc/[0-9]*; do
      case $(tr '\\000' ' ' 2>/dev/null <$p/cmdline) in "sleep 2 ") kill \${p#/proc/} ;; esac
    done`;
    assert.match(
      slots.boot(`${LOOK}; ${open}; ${ended}; overlayctl ${end} >/dev/null; ${LOOK}; sleep 4; ${LOOK}`, 4, ON_TRIAL),
      /^(sh \/usr\/lib\/imgbuild\/deadline\.sh 2 \/run\/imgbuild\/trial\n)\/dev\/null\n(?:\/usr\/lib\/imgbuild\/deadline\.sh\n)?(?:pipe:.*\n)?\1none\n$/m,
    );
    const arguments_ = `quiet imgbuild.slots=${ID} imgbuild.trial=0`;
    assert.equal(slots.boot(LOOK, 4, { arguments: arguments_ }), "none\n");
    slots.environment = { ...TRIAL, bootcount: "1" };
    // Who wants the restart at once has it, even from an init that does not carry it out.
    const asked = slots.boot("(overlayctl rollback --reboot); ls /run/imgbuild/trial", 4, ON_TRIAL);
    assert.match(asked, /^\/run\/imgbuild\/trial$/m);
    assert.deepEqual(slots.environment, OLD);
  }
  const never = await onTrial(t, 0);
  assert.match(never.boot(LOOK, 4, ON_TRIAL), /^none$/m);
});

test("an environment with a flag byte stays one", async (t) => {
  if (skipped(t)) return;
  const slots = await TwoSlots.make(t);
  slots.write({ ...TRIAL, bootcount: "1" }, 1);
  slots.boot("overlayctl confirm", 4);
  assert.deepEqual(slots.read("redundant"), { root_part: "4", root_old: "2", upgrade_available: "0" });
  // Without any valid one the device goes on with the slot that runs.
  fs.writeFileSync(slots.disk, new Uint8Array(65536));
  assert.match(
    slots.boot("overlayctl rollback 2>&1; overlayctl status 2>/dev/null", 4),
    /no root to go back to.*Root: partition 4, confirmed/s,
  );
});

test("an environment of an earlier installation, or none: the slot that runs counts, and an update makes one", async (t) => {
  if (skipped(t)) return;
  for (const redundant of [false, true]) {
    const slots = await TwoSlots.make(t, { slots: { ...SLOTS, redundant, confirm: "manual" } });
    slots.file("new", slots.image);
    const blank = () => fs.writeFileSync(slots.disk, new Uint8Array(65536));
    // Of a U-Boot that was the other kind, in both places.
    const earlier = () => {
      const stale = { ...TRIAL, root_failed: "4", slots_id: "5ca1ab1e-02" };
      slots.write(stale, redundant ? undefined : 1);
      const bytes = fs.readFileSync(slots.disk);
      bytes.copyWithin((BLOCK + 1) * SIZE, BLOCK * SIZE, (BLOCK + 1) * SIZE);
      fs.writeFileSync(slots.disk, bytes);
    };
    for (const leave of [blank, earlier]) {
      leave();
      const before = fs.readFileSync(slots.disk);
      const printed = slots.boot(
        "overlayctl status 2>&1; overlayctl rollback 2>&1; ls /run/imgbuild/trial 2>/dev/null",
      );
      assert.match(
        printed,
        /no environment of this installation yet.*^Root: partition 2, confirmed$.*no root to go back to/ms,
      );
      assert.doesNotMatch(printed, /did not come up|trial/);
      assert.ok(before.equals(fs.readFileSync(slots.disk)), "looking writes nothing");
      slots.boot("overlayctl update /dev/new");
      assert.deepEqual(slots.read(redundant ? "redundant" : "single"), TRIAL);
      assert.match(slots.boot("overlayctl status", 4), /^Root: partition 4, on trial/m);
    }
  }
});

test("an older copy of this installation counts over one of another's", async (t) => {
  if (skipped(t)) return;
  const slots = await TwoSlots.make(t);
  slots.environment = { root_part: "2", root_old: "4", slots_id: "5ca1ab1e-02" };
  assert.match(slots.boot("overlayctl status"), /^Root: partition 2; partition 9 from the next boot on$/m);
});

test("without what the boot script says nothing is updated: it would not take the environment for its own", async (t) => {
  if (skipped(t)) return;
  const slots = await TwoSlots.make(t);
  slots.file("new", slots.image);
  const printed = slots.boot("overlayctl update /dev/new 2>&1; overlayctl status", 2, { arguments: "quiet" });
  assert.match(printed, /no boot script with slots has started this kernel: updates do not work/);
  assert.match(printed, /the slots have not been found at boot/);
  assert.deepEqual(slots.environment, OLD);
});

test("a boot that completes confirms, unless it is degraded or an application is to", async (t) => {
  if (skipped(t)) return;
  for (const shell of ["busybox", "dash"] as const) {
    const slots = await TwoSlots.make(t, { shell, hook: true, slots: { ...SLOTS, confirm: "automatic" } });
    slots.environment = { ...TRIAL, bootcount: "2" };
    slots.boot("echo reason >/run/imgbuild/degraded; /etc/init.d/S99imgbuild-ready start 2>/dev/null", 4);
    assert.equal(slots.environment.upgrade_available, "1");
    slots.boot("/etc/init.d/S99imgbuild-ready start", 4);
    assert.deepEqual(slots.environment, { root_part: "4", root_old: "2", upgrade_available: "0" });
  }
  // What did not work with the root before either is not the new one's fault; what else does not may be.
  const layers = [{ path: "/opt", from: { kind: "userdata", file: fromText("apps.squashfs") } }] as const;
  const missing = await TwoSlots.make(t, { hook: true, layers, slots: { ...SLOTS, confirm: "automatic" } });
  missing.file("new", missing.image);
  missing.boot("cat /run/imgbuild/degraded; overlayctl update /dev/new");
  const { trial_note, ...rest }: Variables = missing.environment;
  assert.deepEqual(rest, TRIAL);
  assert.match(trial_note!, /^[0-9a-f]{8}$/);
  missing.environment = { ...missing.environment, bootcount: "1" };
  const more =
    "echo 'the overlay of /x: \\backslash' >>/run/imgbuild/degraded; /etc/init.d/S99imgbuild-ready start 2>&1; true";
  assert.match(missing.boot(more, 4), /is not confirmed: the overlay of \/x: \\backslash; overlayctl confirm/);
  assert.equal(missing.environment.upgrade_available, "1");
  missing.boot("/etc/init.d/S99imgbuild-ready start", 4);
  assert.deepEqual(missing.environment, { root_part: "4", root_old: "2", upgrade_available: "0" });
  // The other way round as well.
  missing.boot("overlayctl rollback", 4);
  assert.equal((missing.environment as Variables).trial_note, `back,${trial_note}`);
  // A UserData that is dead with every root.
  fs.writeFileSync(missing.device.userdata, new Uint8Array(8 * 2 ** 20));
  missing.environment = { ...TRIAL, bootcount: "1" };
  assert.match(
    missing.boot("/etc/init.d/S99imgbuild-ready start 2>&1; true", 4),
    /not confirmed: UserData \(\/dev\/data\) cannot/,
  );
  missing.environment = OLD;
  missing.boot("overlayctl update /dev/new");
  missing.environment = { ...missing.environment, bootcount: "1" };
  missing.boot("/etc/init.d/S99imgbuild-ready start", 4);
  assert.equal((missing.environment as Variables).upgrade_available, "0");
  const unnoticed = TwoSlots.make(t, { slots: { ...SLOTS, confirm: "automatic" } });
  await assert.rejects(unnoticed, { code: "profile-invalid", message: /nothing would confirm a new root/ });
  const manual = await TwoSlots.make(t, { hook: true });
  manual.environment = { ...TRIAL, bootcount: "2" };
  manual.boot("/etc/init.d/S99imgbuild-ready start", 4);
  assert.equal(manual.environment.upgrade_available, "1");
  assert.match(manual.boot("overlayctl confirm 2>&1"), /does not run yet/);
});

test("the end of the first boot is noted while an update is written", async (t) => {
  if (skipped(t)) return;
  const slots = await TwoSlots.make(t, { hook: true });
  slots.file("new", slots.image);
  const printed =
    slots.boot(`mkfifo /run/slow; overlayctl update - </run/slow & exec 9>/run/slow; head -c 200 /dev/new >&9
    until [ -d /run/imgbuild/update ]; do sleep 1; done; overlayctl ready; echo "ready: $?"; ls /run/imgbuild | grep lock
    tail -c +201 /dev/new >&9; exec 9>&-; wait; ls -d /run/imgbuild/lock* 2>/dev/null; grep ^state /userdata/overlay/*/state`);
  assert.match(printed, /^ready: 0\nlock-slots\n[\s\S]*3 times at most\.\nstate ready\n$/m);
});

test("what is packed, and what comes on standard input", async (t) => {
  if (skipped(t) || lacks(t, "gzip", "xz")) return;
  const slots = await TwoSlots.make(t, { shell: "dash" });
  const { image } = slots;
  slots.file("gz", fs.readFileSync(pack(slots, "gzip")));
  slots.file("xz", fs.readFileSync(pack(slots, "xz")));
  slots.file("plain", image);
  for (const command of [
    "update /dev/gz",
    "update - </dev/gz",
    "update /dev/xz",
    `update - --sha256 ${digest(image)} </dev/plain`,
  ]) {
    slots.environment = OLD;
    fs.writeFileSync(slots.other, new Uint8Array(SLOT));
    slots.boot(`overlayctl ${command}`);
    assert.deepEqual(slots.environment, TRIAL, command);
    assert.ok(slots.holds(image), command);
  }
});

function pack(slots: TwoSlots, program: string): string {
  const file = `${slots.device.squashfs}.${program}`;
  fs.copyFileSync(slots.device.squashfs, `${file}.in`);
  run("sh", ["-c", `${program} -c <${file}.in >${file}`]);
  return file;
}

test("what is no root for this device is refused, and nothing is switched", async (t) => {
  if (skipped(t) || lacks(t, "gzip")) return;
  const slots = await TwoSlots.make(t);
  const { image } = slots;
  const used = Number(Buffer.from(image).readBigUInt64LE(40));
  const changed = (at: number) => image.map((byte, i) => (i === at ? byte ^ 1 : byte));
  const large = Buffer.from(image);
  large.writeBigUInt64LE(BigInt(SLOT + 1), 40);
  const packed = fs.readFileSync(pack(slots, "gzip"));
  slots.file("image", image);
  slots.file("text", "no file system");
  slots.file("empty", "");
  slots.file("short", image.subarray(0, used - 1));
  slots.file("large", large);
  slots.file("longer", Buffer.concat([image, new Uint8Array(SLOT)]));
  slots.file("cut.gz", packed.subarray(0, packed.length - 1000));
  slots.file("table", changed(used - 20).fill(0xff, used - 40, used));
  slots.file("listed", image);
  slots.file("listed.sha256", `${"0".repeat(64)}  listed\n`);
  slots.file("cut", image);
  slots.file("cut.sha256", "");
  slots.file(
    "manifest.json",
    JSON.stringify({ artifacts: [{ file: "image", size: 1, sha256: "1".repeat(64) }] }, null, 2),
  );
  for (const [command, reason] of [
    ["update /dev/text", /no SquashFS, plain or packed/],
    ["update /dev/empty", /no SquashFS/],
    ["update /dev/missing", /there is no file/],
    ["update /dev/other", /is a device, and not a file; what it holds can come on standard input/],
    ["update", /needs a file/],
    ["update - </dev/short", /ends after \d+ bytes/],
    ["update /dev/large", /the slot, partition 4, has room for 8388608/],
    ["update - </dev/longer", /cannot be written/],
    ["update - </dev/cut.gz", /^overlayctl: it is cut short or damaged: it cannot be unpacked$|ends after/m],
    ["update - </dev/table", /the kernel cannot mount it/],
    ["update /dev/listed", /its SHA-256 is .*, and should be 0000/],
    ["update /dev/image", /its SHA-256 is .*, and should be 1111/],
    [`update - --sha256 ${"2".repeat(64)} </dev/image`, /should be 2222/],
    ["update /dev/cut", /nothing is no SHA-256/],
    ['update - --sha256 "" </dev/image', /nothing is no SHA-256/],
    ["update - --sha256 abc </dev/image", /abc is no SHA-256/],
  ] as const) {
    slots.environment = OLD;
    const printed = slots.boot(`overlayctl ${command} 2>&1 || echo "failed"`);
    assert.match(printed, reason, command);
    assert.match(printed, /failed\n$/, command);
    assert.deepEqual(slots.environment, OLD, command);
  }
  // What waits for its first try, and the root before, are given up when their slot is written to, and not for what cannot be good.
  slots.file("short", image.subarray(0, used - 1));
  for (const kept of [TRIAL, { ...OLD, root_old: "4" }]) {
    slots.environment = kept;
    fs.writeFileSync(slots.other, image);
    fs.truncateSync(slots.other, SLOT);
    for (const file of ["text", "large", "short", "longer", "cut.gz", "listed", "image"]) {
      const printed = slots.boot(`overlayctl update /dev/${file} 2>&1 || echo "failed"`);
      assert.match(printed, /^overlayctl: (?:this|the root|it|its) [^\n]*\nfailed\n$/, file);
      assert.deepEqual(slots.environment, kept, file);
      assert.ok(slots.holds(image), file);
    }
    slots.boot("overlayctl update - </dev/short 2>/dev/null");
    assert.deepEqual(slots.environment, OLD);
  }
});

test("a root that is none of ours, and one without modules for the kernel", async (t) => {
  if (skipped(t)) return;
  const release = run("uname", ["-r"]).trim();
  const slots = await TwoSlots.make(t, { root: (tree) => put(tree, `lib/modules/${release}/x`, "module") });
  const folder = path.dirname(slots.device.squashfs);
  const image = (make: string) => {
    run(
      "sh",
      ["-c", `rm -rf tree other.squashfs; mkdir tree; cd tree; ${make}; mksquashfs . ../other.squashfs -quiet`],
      { cwd: folder },
    );
    slots.file("image", fs.readFileSync(path.join(folder, "other.squashfs")));
  };
  image("touch x");
  assert.match(slots.boot("overlayctl update /dev/image --force 2>&1"), /has no \/usr\/lib\/imgbuild\/preinit/);
  const built = "mkdir -p usr/lib/imgbuild; cd usr/lib/imgbuild; touch preinit; echo userdata 3 >preinit.conf";
  for (const others of [
    "",
    "echo slots 2 3 3 4 3 manual >>preinit.conf",
    "echo slots 2 4 7 4 3 manual >>preinit.conf",
  ]) {
    image(`${built}; ${others || "true"}; cd ../../..`);
    assert.match(
      slots.boot("overlayctl update /dev/image --force 2>&1"),
      /was built for other slots than this device has/,
    );
  }
  image(`${built}; echo slots 2 4 3 5 9 automatic >>preinit.conf; cd ../../..`);
  assert.match(slots.boot("overlayctl update /dev/image 2>&1"), /no modules for the kernel/);
  assert.deepEqual(slots.environment, OLD);
  slots.boot("overlayctl update /dev/image --force");
  assert.deepEqual(slots.environment, TRIAL);
});

test("where the root is checked by dm-verity, the update's root hash is noted: veritysetup's", async (t) => {
  if (skipped(t) || lacks(t, "veritysetup", "gzip")) return;
  for (const shell of ["busybox", "dash"] as const) {
    const slots = await TwoSlots.make(t, { shell });
    const { image } = slots;
    const file = `${slots.device.squashfs}.tree`;
    const offset = Math.ceil(Number(Buffer.from(image).readBigUInt64LE(40)) / 4096) * 4096;
    fs.writeFileSync(file, image);
    fs.truncateSync(file, offset);
    const salt = shell === "dash" ? "-" : "00ff".repeat(100);
    const made = run("veritysetup", ["format", file, file, `--hash-offset=${offset}`, `--salt=${salt}`]);
    const [rootHash] = /(?<=^Root hash:\s*)[0-9a-f]{64}$/m.exec(made)!;
    const whole = fs.readFileSync(file);
    run("sh", ["-c", `gzip -c ${file} >${file}.gz`]);
    slots.file("packed", fs.readFileSync(`${file}.gz`));
    slots.file("cut", whole.subarray(0, whole.length - 4096));
    slots.file(
      "other",
      whole.map((byte, i) => (i === offset + 32 ? byte ^ 1 : byte)),
    );
    slots.file("plain", image);
    const checked = { arguments: `imgbuild.slots=${ID} imgbuild.verity=${"0".repeat(64)} rw` };
    for (const [name, reason] of [
      ["plain", /has no hash tree, and this device checks its root by one/],
      ["other", /has no hash tree/],
      ["cut", /ends after \d+ bytes, and with its hash tree it has \d+/],
    ] as const) {
      assert.match(slots.boot(`overlayctl update - </dev/${name} 2>&1`, 2, checked), reason);
      assert.deepEqual(slots.environment, OLD);
    }
    slots.boot("overlayctl update /dev/packed", 2, checked);
    assert.deepEqual(slots.environment, { ...TRIAL, root_hash_4: rootHash });
    // It stays beside the other one's, whatever becomes of the slot.
    slots.environment = { ...TRIAL, bootcount: "1", root_hash_2: "a", root_hash_4: rootHash };
    slots.boot("overlayctl confirm", 4, checked);
    slots.boot("overlayctl rollback", 4, checked);
    const { root_hash_2, root_hash_4 }: Variables = slots.environment;
    assert.deepEqual([root_hash_2, root_hash_4], ["a", rootHash]);
    // Nobody asks for it where the root is not checked.
    slots.environment = OLD;
    slots.boot("overlayctl update /dev/packed");
    assert.deepEqual(slots.environment, TRIAL);
  }
});

test("the power fails at any program of update, confirm and rollback: the old state or the new one, and what is booted is whole", async (t) => {
  if (skipped(t) || lacks(t, "perl")) return;
  const slots = await TwoSlots.make(t, { shell: "dash", cuttable: true });
  const { image } = slots;
  slots.file("new", image);
  const trial = { ...TRIAL, bootcount: "1" };
  const confirmed = { root_part: "4", root_old: "2", upgrade_available: "0" };
  const back = { ...TRIAL, root_part: "2", root_old: "4", trial_note: "back" };
  const runs: [command: string, running: number, before: Variables, states: Variables[]][] = [
    ["update /dev/new", 2, OLD, [OLD, TRIAL]],
    ["update /dev/new", 2, { ...OLD, root_old: "4" }, [{ ...OLD, root_old: "4" }, OLD, TRIAL]],
    ["confirm", 4, trial, [trial, confirmed]],
    ["rollback", 4, confirmed, [confirmed, back]],
  ];
  let cuts = 0;
  for (const [command, running, before, states] of runs) {
    const seen = new Set<string>();
    for (let cutAt = 1; ; cutAt += command.startsWith("update") ? STEP : 1) {
      slots.environment = before;
      // Rollback needs the other root to be there; update begins with something else.
      fs.writeFileSync(slots.other, command.startsWith("update") ? new Uint8Array(SLOT).fill(7) : image);
      fs.truncateSync(slots.other, SLOT);
      const text = `echo \${cutAt:-${cutAt}} >/dev/cut; overlayctl ${command}; rm -f /dev/cut; echo done >/dev/power`;
      const end = slots.boot(text, running, { cutAt: 1_000_000 });
      const now = slots.environment;
      assert.ok(
        states.some((state) => same(state, now)),
        `${command}, cut ${cutAt}: ${JSON.stringify(now)}`,
      );
      seen.add(JSON.stringify(now));
      if (now.root_part === "4" && running === 2) assert.ok(slots.holds(image), `${command}, cut ${cutAt}`);
      if (end.trimEnd().endsWith("done")) {
        assert.ok(same(now, states.at(-1)!));
        break;
      }
      cuts++;
    }
    assert.ok(seen.size > 1, command);
  }
  assert.ok(cuts >= 25, `${cuts}`);
});

const same = (a: Variables, b: Variables) =>
  JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
