/**
 * What the emulated disk was told to write is recorded while a device does the steps that power cuts are tried on, and replayed
 * up to many points: after each flush, and between flushes with any part of what a disk had not promised to keep. Each point
 * is looked at from outside, by e2fsck, debugfs and the project's reader, and preinit runs over it on this machine's kernel. Those
 * where the state of an overlay or a slot has just changed are booted in the emulator besides.
 *
 * POINTS says how many points there are, SEED which of those between flushes are chosen. BOOTED=all boots points of every step.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { newDirectory } from "../../src/tree/node.js";
import { addNode, lookup } from "../../src/tree/tree.js";
import { device, TOOLS } from "../overlay/device.js";
import { afterCut, type LoggedWrite, readLog, recorded } from "../support/log-writes.js";
import { lacks, lacksRoot } from "../support/tools.js";
import { cutPower, END, GatedMachine } from "./gate.js";
import { DEMO, PROJECT, partition } from "./image.js";
import { hasOtherRoot, moments, STEPS } from "./steps.js";
import { checkSettled, checkUserdata, shownIn, stateTexts } from "./userdata-check.js";

const POINTS = Number(process.env.POINTS ?? 24);
const SEED = Number(process.env.SEED ?? 1);

/** The steps of which points are booted. Another root is in the emulator alone. */
const BOOTED = STEPS.filter(
  (step) => process.env.BOOTED === "all" || hasOtherRoot(step) || /update|full|^a snapshot$/.test(step.name),
);

/** What the device has said so far, which it wrote to a sector of BootFS: fixtures/powercut. */
function saidIn(writes: readonly LoggedWrite[], at: number): string {
  return writes
    .filter((write) => write.at <= at && at < write.at + write.bytes.length)
    .map((write) => {
      const text = Buffer.from(write.bytes.subarray(at - write.at, at - write.at + 512)).toString("latin1");
      return text.slice(0, text.indexOf("\n") + 1);
    })
    .join("");
}

/** The flushes right before and right after which a state of an overlay or the chosen slot is another, two of them at most. */
async function decisive(machine: GatedMachine, flushes: readonly number[], at: (count: number) => Buffer) {
  let last: string | undefined;
  for (const [i, count] of flushes.entries()) {
    const disk = at(count);
    const decided = (await stateTexts(machine.userdata(disk))) + machine.slots(disk);
    if (last !== undefined && last !== decided) return [flushes[i - 1]!, count];
    last = decided;
  }
  return [flushes.at(-1)!];
}

test(`${POINTS} points of what was written, of seed ${SEED}`, async (t) => {
  if (lacks(t, "qemu-system-aarch64", "e2fsck", ...TOOLS) || lacksRoot(t)) return;
  const machine = await GatedMachine.create(t);
  const { folder } = machine.built;
  const bootfs = partition(machine.built, "bootfs");
  const superblock = machine.built.userdata.offset + 1024;
  const script = fs.readFileSync(path.join(PROJECT, "fixtures/powercut/sbin/init"), "utf8");
  const host = await device(t, {
    paths: ["/home/root", "/opt"],
    keep: ["/home/root/mine"],
    hook: true,
    root(tree) {
      addNode(tree, fromText("opt"), newDirectory());
      // As the demonstration has it.
      Object.assign(lookup(tree, fromText("home/root"))!, { mode: 0o700, uid: 0, gid: 0 });
    },
  });
  assert.ok(fs.existsSync(path.join(DEMO, "arm64/rootfs/home/root/readme.txt")));
  // The same functions, of the script that the device has.
  const functions = script.slice(script.indexOf("show() {"), script.indexOf("# say TEXT"));
  const show = async (disk: Buffer) => {
    fs.writeFileSync(host.userdata, machine.userdata(disk));
    const shown = shownIn(host.boot(`${functions}\nshow`));
    const after = fs.readFileSync(host.userdata);
    await checkUserdata(after);
    await checkSettled(after);
    return shown + (await machine.check(disk));
  };
  const random = moments(SEED);
  let points = 0;
  for (const [number, step] of STEPS.entries()) {
    for (const commands of step.prepare) await machine.run(commands);
    const from = machine.read();
    const log = path.join(folder, `log-${number}`);
    fs.writeFileSync(log, "");
    const guest = await machine.boot(step.commands, recorded(log));
    await guest.waitFor(END);
    await cutPower(guest);
    const writes = readLog(log);
    fs.rmSync(log);
    const after = machine.read();
    const replayed = afterCut(from, 0, writes, writes.length, () => true);
    assert.ok(replayed.equals(after), "the log has all that was written");
    const [before, whole] = hasOtherRoot(step) ? ["", ""] : [await show(from), await show(after)];

    const said = (count: number) => saidIn(writes.slice(0, count), bootfs.offset + 81919 * 512);
    // The next steps get those of a step that has none.
    const wanted = hasOtherRoot(step) ? 0 : Math.round((POINTS * (number + 1)) / STEPS.length) - points;
    const flushes = writes.flatMap(({ flush }, i) => (flush ? [i + 1] : []));
    for (let point = 0; point < wanted; point++) {
      // Half of them after a flush, with nothing lost; the others anywhere, with all, nothing or half of the rest lost.
      const afterFlush = point % 2 === 0;
      const of = afterFlush ? flushes.length : writes.length + 1;
      const chosen = Math.floor(random.next().value * of);
      const count = afterFlush ? flushes[chosen]! : chosen;
      const share = [1, 0, 0.5][point % 3]!;
      const what = `seed ${SEED}: ${step.name} (${number}), ${count} of ${writes.length} writes, ${share} of what is not flushed`;
      // ext4 takes for granted that its superblock, two sectors, is not torn: with halves of different writes neither the kernel
      // nor e2fsck -p takes the file system.
      let survived = true;
      const left = afterCut(from, 0, writes, count, (at) => {
        if (at !== superblock + 512) survived = random.next().value < share;
        return survived;
      });
      try {
        step.check({ shown: await show(left), said: said(count), whole, before });
      } catch (error) {
        const saved = path.join(os.tmpdir(), `imgbuild-point-${SEED}-${number}-${count}.img`);
        fs.writeFileSync(saved, left);
        throw new Error(`${what}; what was left is in ${saved}: ${(error as Error).message}`, { cause: error });
      }
      points++;
    }
    let booted = 0;
    if (BOOTED.includes(step)) {
      machine.write(from);
      const shown = { before: await machine.show(step.lookFrom), whole: "" };
      machine.write(after);
      shown.whole = await machine.show(step.lookFrom);
      for (const count of await decisive(machine, flushes, (to) => afterCut(from, 0, writes, to, () => false))) {
        machine.write(afterCut(from, 0, writes, count, () => false));
        step.check({ shown: await machine.show(step.lookFrom), said: said(count), ...shown });
        booted++;
      }
      machine.write(after);
    }
    t.diagnostic(
      `${step.name}: ${writes.length} writes, ${flushes.length} flushes, ${wanted} points, ${booted} of them booted`,
    );
  }
});
