/**
 * The emulator is killed while a device is at work: at its first boot, while programs write, and while what was asked for is
 * carried out. Where it had come to the end of its work by then, nothing was cut: that is drawn again, and counts as none. After
 * each cut UserData and the root slots are looked at from outside, by e2fsck, debugfs and the project's reader, and booted, and
 * looked at again.
 *
 * CUTS says how many cuts there are, SEED which moments are chosen; a failure says which seed it was and leaves what was on
 * the disk. The moments are times, so that the same seed cuts near the same place, not at it. `make powercut` cuts often.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { lacks } from "../support/tools.js";
import { cutAtWork } from "./cut-at-work.js";
import { cutPower, END, GatedMachine, PATIENCE } from "./gate.js";
import { finished, moments, STEPS } from "./steps.js";

const CUTS = Number(process.env.CUTS ?? 14);
const SEED = Number(process.env.SEED ?? 1);

test(`${CUTS} power cuts, of seed ${SEED}`, async (t) => {
  if (lacks(t, "qemu-system-aarch64", "e2fsck")) return;
  const machine = await GatedMachine.create(t);
  const random = moments(SEED);
  let cut = 0;
  let late = 0;
  for (const [number, step] of STEPS.entries()) {
    for (const commands of step.prepare) await machine.run(commands);
    const from = machine.read();
    // What the step begins with is shown without what is carried out at a boot, by way of the step before.
    const before = step.check === finished ? "" : await machine.show(step.lookFrom);
    machine.write(from);
    const guest = await machine.boot(step.commands);
    const opened = Date.now();
    await guest.waitFor(END, PATIENCE);
    const duration = Date.now() - opened;
    await cutPower(guest);
    const whole = await machine.show(step.lookFrom);
    const after = machine.read();
    const last = Math.round((CUTS * (number + 1)) / STEPS.length);
    for (; cut < last; cut++) {
      const { said, moment } = await cutAtWork(
        machine,
        { from, commands: step.commands, duration, moment: random.next().value },
        () => late++,
      );
      const what = `seed ${SEED}, cut ${cut + 1}: ${step.name} (${number}), ${moment} of ${duration} ms`;
      const left = machine.read();
      try {
        await machine.check(left);
        step.check({ shown: await machine.show(step.lookFrom), said, whole, before });
      } catch (error) {
        const saved = path.join(os.tmpdir(), `imgbuild-cut-${SEED}-${cut + 1}.img`);
        fs.writeFileSync(saved, left);
        throw new Error(`${what}; what was left is in ${saved}: ${(error as Error).message}`, { cause: error });
      }
      t.diagnostic(what);
    }
    machine.write(after);
  }
  t.diagnostic(`${cut} cuts while the machine was at work; ${late} came too late, and were drawn again`);
});

/** A machine whose every boot is at work for `work` ms. */
function madeUp(work: number) {
  let boots = 0;
  return {
    boots: () => boots,
    write: () => {},
    async boot() {
      boots++;
      const guest = { log: "waiting\n", kill: () => clearTimeout(timer), end: async () => 0 };
      const timer = setTimeout(() => {
        guest.log += END;
      }, work);
      return guest;
    },
  };
}

test("what was cut too late is no cut: it is drawn again, and not for ever", async () => {
  // It takes a tenth of what it is thought to take: nine of ten moments are too late.
  const work = { from: Buffer.alloc(0), commands: "work", duration: 200 };
  for (const moment of [0.01, 0.5, 0.999]) {
    const machine = madeUp(20);
    let late = 0;
    const cut = await cutAtWork(machine, { ...work, moment }, () => late++);
    assert.equal(cut.said, "");
    assert.ok(cut.moment <= 20, `${cut.moment} ms`);
    assert.equal(machine.boots(), late + 1);
    if (moment > 0.1) assert.ok(late > 0);
  }
  // It has always ended by then.
  const idle = madeUp(0);
  await assert.rejects(
    cutAtWork(idle, { ...work, moment: 0.5 }, () => {}),
    /draws came too late/,
  );
  assert.ok(idle.boots() < 100);
});
