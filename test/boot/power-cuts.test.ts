/**
 * The emulator is killed while a device is at work: at its first boot, while programs write, and while what was asked for is
 * carried out. After each cut UserData and the root slots are looked at from outside, by e2fsck, debugfs and the project's reader,
 * and booted, and looked at again.
 *
 * CUTS says how many cuts there are, SEED which moments are chosen; a failure says which seed it was and leaves what was on
 * the disk. The moments are times, so that the same seed cuts near the same place, not at it. `make powercut` cuts often.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { lacks } from "../support/tools.js";
import { cutPower, GatedMachine } from "./gate.js";
import { finished, moments, STEPS } from "./steps.js";

const CUTS = Number(process.env.CUTS ?? 18);
const SEED = Number(process.env.SEED ?? 1);

test(`${CUTS} power cuts, of seed ${SEED}`, async (t) => {
  if (lacks(t, "qemu-system-aarch64", "e2fsck")) return;
  const machine = await GatedMachine.create(t);
  const random = moments(SEED);
  let cut = 0;
  for (const [number, step] of STEPS.entries()) {
    for (const commands of step.prepare) await machine.run(commands);
    const from = machine.read();
    // What the step begins with is shown without what is carried out at a boot, by way of the step before.
    const before = step.check === finished ? "" : await machine.show();
    machine.write(from);
    const started = Date.now();
    await machine.run(step.commands);
    const duration = Date.now() - started;
    const whole = await machine.show();
    const after = machine.read();
    const last = Math.round((CUTS * (number + 1)) / STEPS.length);
    for (; cut < last; cut++) {
      const moment = Math.round(random.next().value * duration);
      const what = `seed ${SEED}, cut ${cut + 1}: ${step.name} (${number}), ${moment} of ${duration} ms`;
      machine.write(from);
      const guest = await machine.boot(step.commands);
      const begun = guest.log.length;
      await setTimeout(moment);
      await cutPower(guest);
      const left = machine.read();
      try {
        await machine.check(left);
        step.check({ shown: await machine.show(), said: guest.log.slice(begun), whole, before });
      } catch (error) {
        const saved = path.join(os.tmpdir(), `imgbuild-cut-${SEED}-${cut + 1}.img`);
        fs.writeFileSync(saved, left);
        throw new Error(`${what}; what was left is in ${saved}: ${(error as Error).message}`, { cause: error });
      }
      t.diagnostic(what);
    }
    machine.write(after);
  }
});
