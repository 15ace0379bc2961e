/**
 * The part of the boot script about two slots, run by a POSIX shell: slot-disk.ts.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type BootScript, bootScript } from "../../src/uboot/index.js";
import { lacks } from "../support/tools.js";
import { BEFORE, CURRENT, type Environment, SlotDisk } from "./slot-disk.js";

const SCRIPT: BootScript = {
  kernel: { file: "zImage", command: "bootz" },
  rootPartition: 2,
  slots: { environmentAt: 0x7f0 * 512, sectorSize: 512, partitions: [2, 3] },
  arguments: ["ro"],
  console: "ttymxc0",
};

class Disk extends SlotDisk {
  constructor(t: TestContext, ...blocks: (Environment | undefined)[]) {
    super(t, bootScript(SCRIPT), ...blocks);
  }
}

/** One where the kernel checks the root, by this hash in slot A. */
class CheckedDisk extends SlotDisk {
  static readonly built = "b".repeat(64);

  constructor(t: TestContext, ...blocks: (Environment | undefined)[]) {
    super(t, bootScript({ ...SCRIPT, slots: { ...SCRIPT.slots!, rootHash: CheckedDisk.built } }), ...blocks);
  }
}

const TRIAL = { root_part: "3", root_old: "2", upgrade_available: "1", bootcount: "0", bootlimit: "3" };
const skipped = (t: TestContext) => lacks(t, "sh");

test("a root that was confirmed, and no environment at all: nothing is written", (t) => {
  if (skipped(t)) return;
  for (const [blocks, root] of [
    [[{ root_part: "3", upgrade_available: "0" }], "3"],
    [[undefined, { root_part: "3", upgrade_available: "0" }], "3"],
    [[undefined, undefined], "2"],
  ] as const) {
    const disk = new Disk(t, ...blocks);
    const before = [disk.read(CURRENT), disk.read(BEFORE)];
    assert.equal(disk.boot().root, root);
    assert.deepEqual([disk.read(CURRENT), disk.read(BEFORE)], before);
  }
});

test("an environment of an earlier installation counts for nothing: the first slot is booted, and nothing written", (t) => {
  if (skipped(t)) return;
  const CONFIRMED = { root_part: "3", upgrade_available: "0" };
  for (const [current, before, root] of [
    [{ ...CONFIRMED, slots_id: "earlier-02" }, { ...CONFIRMED, slots_id: "earlier-02" }, "2"],
    [{ ...TRIAL, slots_id: "earlier-02" }, undefined, "2"],
    [undefined, { ...TRIAL, slots_id: "earlier-02" }, "2"],
    // As one is that was written before there were any ids.
    [{ ...CONFIRMED, slots_id: "" }, undefined, "2"],
    // What the first one says must not be mixed with the second.
    [{ ...CONFIRMED, slots_id: "earlier-02" }, { upgrade_available: "0" }, "2"],
  ] as const) {
    const disk = new Disk(t, current, before);
    const blocks = [disk.read(CURRENT), disk.read(BEFORE)];
    assert.equal(disk.boot().root, root);
    assert.deepEqual([disk.read(CURRENT), disk.read(BEFORE)], blocks);
  }
  // A device whose table is made anew.
  const disk = new Disk(t, TRIAL);
  assert.equal(disk.boot({ DISK: "new" }).root, "2");
  assert.equal(disk.boot().root, "3");
});

test("an older copy of this installation is counted with, over one of another's", (t) => {
  if (skipped(t)) return;
  const disk = new Disk(t, { root_part: "3", slots_id: "earlier-02" }, TRIAL);
  for (let i = 0; i < 3; i++) assert.equal(disk.boot().root, "3");
  assert.equal(disk.boot().root, "2");
  assert.equal(disk.read()!.root_failed, "3");
});

test("Linux is told what the environment has to be known by, and whether the root is on trial", (t) => {
  if (skipped(t)) return;
  const told = (disk: Disk, environment: Environment = {}) =>
    / ro imgbuild\.slots=ours-02 imgbuild\.trial=(\S*) console=/.exec(disk.boot(environment).log)?.[1];
  for (const block of [undefined, { root_part: "3" }, { ...TRIAL, slots_id: "earlier-02" }]) {
    assert.equal(told(new Disk(t, block)), "0");
  }
  // Which slot it is that somebody chose, and whether it is on trial, the environment knows.
  assert.equal(told(new Disk(t, TRIAL), { root_part: "7", boot_trial: "1/3" }), "");
  assert.equal(told(new Disk(t, TRIAL), { WRITES: "none" }), "0", "the old root");
  const disk = new Disk(t, TRIAL);
  assert.deepEqual(
    Array.from({ length: 5 }, () => told(disk)),
    ["1/3", "2/3", "3/3", "0", "0"],
  );
});

test("what only Linux has use for stays while the tries are counted, and goes with the trial", (t) => {
  if (skipped(t)) return;
  const kept = { trial_note: "back,01234567,89abcdef" };
  const disk = new Disk(t, { ...TRIAL, ...kept, bootcount: "2" });
  disk.boot();
  assert.deepEqual(disk.read(), { ...TRIAL, ...kept, bootcount: "3" });
  disk.boot();
  assert.deepEqual(Object.keys(disk.read()!).sort(), [
    "bootcount",
    "bootlimit",
    "root_failed",
    "root_part",
    "upgrade_available",
  ]);
});

test("a new root is tried so often, then the old one is back for good; confirmed, it stays", (t) => {
  if (skipped(t)) return;
  const often = new Disk(t, { ...TRIAL, bootlimit: "9" });
  for (let count = 1; count <= 9; count++) assert.equal(often.boot().root, "3", `${count} of 9`);
  assert.equal(often.boot().root, "2");

  const disk = new Disk(t, TRIAL);
  for (const count of ["1", "2", "3"]) {
    assert.equal(disk.boot().root, "3");
    assert.equal(disk.read()!.bootcount, count);
  }
  const { root, log } = disk.boot();
  assert.equal(root, "2");
  assert.match(log, /partition 3 did not come up: back to partition 2/);
  assert.deepEqual(disk.read(), {
    root_part: "2",
    root_failed: "3",
    upgrade_available: "0",
    bootcount: "0",
    bootlimit: "3",
  });
  assert.equal(disk.boot().root, "2");

  const confirmed = new Disk(t, TRIAL);
  confirmed.boot();
  confirmed.write(CURRENT, { ...confirmed.read()!, upgrade_available: "0" });
  for (let i = 0; i < 5; i++) assert.equal(confirmed.boot().root, "3");
});

test("altbootcmd is run when the tries are used up, once that is on the disk; should it return, the old root is booted", (t) => {
  if (skipped(t)) return;
  const used = { ...TRIAL, bootcount: "3" };
  // biome-ignore lint/suspicious/noTemplateCurlyInString: hush's
  const alternative = 'echo "alternative for ${boot_root}, root_part=${root_part}"';
  for (const [end, root] of [
    ["", "2"],
    ["; exit", ""],
  ] as const) {
    const disk = new Disk(t, used);
    const { root: booted, log } = disk.boot({ altbootcmd: `${alternative}${end}` });
    assert.match(log, /^alternative for 2, root_part=$/m);
    assert.equal(/^boots (\S+)$/m.exec(log)?.[1] ?? "", root);
    assert.equal(booted === "2", root === "2");
    assert.deepEqual([disk.read()!.root_part, disk.read()!.upgrade_available], ["2", "0"]);
    assert.doesNotMatch(disk.boot({ altbootcmd: alternative }).log, /alternative/);
  }
  // What was looked at last is not where the old root is.
  const looked = new Disk(t, used).boot({ altbootcmd: "devtype=usb; devnum=1; distro_bootpart=3" });
  assert.equal(looked.root, "2", looked.log);
  // One that boots anew would go on for ever otherwise.
  for (const WRITES of ["none", "ignored"]) {
    const { root, log } = new Disk(t, used).boot({ altbootcmd: alternative, WRITES });
    assert.equal(root, "2");
    assert.match(log, /cannot be noted on the disk/);
    assert.doesNotMatch(log, /alternative/);
  }
  assert.doesNotMatch(new Disk(t, TRIAL).boot({ altbootcmd: alternative }).log, /alternative/, "there are tries left");
  // The hash is known still.
  const checked = new CheckedDisk(t, { ...used, root_part: "2", root_old: "3", root_hash_3: "c3" });
  assert.match(
    checked.boot({ altbootcmd: alternative }).log,
    /^alternative for 3, [\s\S]*^told .* imgbuild\.verity=c3 /m,
  );
});

test("a root_part of U-Boot's own is booted, and nothing counted: somebody else does", (t) => {
  if (skipped(t)) return;
  const disk = new Disk(t, TRIAL);
  assert.equal(disk.boot({ root_part: "7", upgrade_available: "1", bootcount: "2" }).root, "7");
  assert.deepEqual(disk.read(), TRIAL);
});

test("where it cannot be counted, the new root is never booted", (t) => {
  if (skipped(t)) return;
  for (const broken of [{ WRITES: "none" }, { WRITES: "ignored" }] as Environment[]) {
    const disk = new Disk(t, TRIAL);
    for (let i = 0; i < 2; i++) {
      const { root, log } = disk.boot(broken);
      assert.equal(root, "2");
      assert.match(log, /not tried/);
    }
  }
  const disk = new Disk(t, TRIAL);
  assert.equal(disk.boot({ NO_SETEXPR: "1" }).root, "2");
  const used = new Disk(t, { ...TRIAL, bootcount: "3" });
  assert.equal(used.boot({ WRITES: "none" }).root, "2");
  assert.equal(used.boot({ WRITES: "none" }).root, "2");
});

test("with dm-verity each root has its hash: slot A the image's until it is updated, the others what the update noted", (t) => {
  if (skipped(t)) return;
  const [a, b] = ["a1".repeat(32), "b2".repeat(32)];
  const booted = (disk: SlotDisk, environment: Environment = {}) => {
    const { root, log } = disk.boot(environment);
    return [root, /^told .* imgbuild\.verity=(\S*) /m.exec(log)?.[1]];
  };
  assert.deepEqual(booted(new CheckedDisk(t)), ["2", CheckedDisk.built]);
  const disk = new CheckedDisk(t, { ...TRIAL, root_hash_3: b, bootlimit: "1" });
  assert.deepEqual(booted(disk), ["3", b]);
  assert.equal(disk.read()!.root_hash_3, b, "kept while it counts");
  assert.deepEqual(booted(disk), ["2", CheckedDisk.built]);
  assert.equal(disk.read()!.root_hash_3, b);

  const both = { root_hash_2: a, root_hash_3: b, upgrade_available: "0" };
  for (const [root, hash] of [
    ["2", a],
    ["3", b],
  ] as const) {
    assert.deepEqual(booted(new CheckedDisk(t, { ...both, root_part: root })), [root, hash]);
    // Chosen at the prompt, by either copy.
    assert.deepEqual(booted(new CheckedDisk(t, { ...both, root_part: "2" }), { root_part: root }), [root, hash]);
    const older = new CheckedDisk(t, { slots_id: "earlier-02", root_hash_3: "c" }, { ...both, root_part: "2" });
    assert.deepEqual(booted(older, { root_part: root }), [root, hash]);
  }
  // What U-Boot still has from an earlier attempt is nobody's.
  const stale = new CheckedDisk(t).boot({ root_part: "3", root_hash_3: b, boot_hash: b });
  assert.match(stale.log, /Missing: root-hash-of-partition-3$/m);
  assert.doesNotMatch(stale.log, /^told/m);
});

test("the power fails at any write: no try is lost count of by more than one, and the end is the old root", (t) => {
  if (skipped(t)) return;
  let cuts = 0;
  for (let at = 1; at <= 2; at++) {
    for (let boot = 0; boot < 4; boot++) {
      const disk = new Disk(t, { ...TRIAL, bootcount: `${boot}` }, { root_part: "2", upgrade_available: "0" });
      const { log } = disk.boot({ CUT: `${at}` });
      if (!log.includes("cut")) continue;
      cuts++;
      const roots = Array.from({ length: 5 }, () => disk.boot().root);
      assert.deepEqual(roots, [...Array(3 - boot).fill("3"), ...Array(2 + boot).fill("2")], `cut ${at}, boot ${boot}`);
    }
  }
  assert.equal(cuts, 8);
});
