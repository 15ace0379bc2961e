/**
 * The emulator is killed while a device is at work: at its first boot, while programs write, and while what was asked for is
 * carried out. After each cut UserData is looked at from outside, by e2fsck and by the project's reader, and booted.
 *
 * CUTS says how many cuts there are, SEED which moments are chosen; a failure says which seed it was and leaves what was on
 * UserData. The moments are times, so that the same seed cuts near the same place, not at it. `make powercut` cuts often.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { lacks } from "../support/tools.js";
import { cutPower, GatedMachine } from "./gate.js";
import { checkUserdata, shownIn } from "./userdata-check.js";

const CUTS = Number(process.env.CUTS ?? 24);
const SEED = Number(process.env.SEED ?? 1);

/** What the boot after a cut has shown, and what had been said before it. */
interface Outcome {
  readonly shown: string;
  readonly said: string;
  /** What is shown where nothing was cut. */
  readonly whole: string;
  /** What was shown before. */
  readonly before: string;
}

interface Step {
  readonly name: string;
  /** Boots one after another that bring UserData to where the step begins, after the step before. */
  readonly prepare: readonly string[];
  /** What the boot does that is cut. */
  readonly commands: string;
  readonly check: (outcome: Outcome) => void;
}

/** Requests are carried out by the boot after the cut at the latest. */
const finished = ({ shown, whole }: Outcome) => assert.equal(shown, whole);

/** Everything, or nothing; everything when it was said to be done. */
const oldOrNew = ({ shown, said, whole, before }: Outcome) =>
  assert.ok(shown === whole || (shown === before && !said.includes("done")), `${said}\nthen:\n${shown}`);

const STEPS: readonly Step[] = [
  {
    name: "first boot",
    prepare: [],
    commands: "ready; sync; echo completed; echo mine >/home/root/kept; echo mine >/opt/mine; sync; echo written",
    check({ shown, said, whole, before }) {
      const mine = /: mine$|kept: *$|mine: *$/;
      const rest = (text: string) =>
        text
          .split("\n")
          .filter((line) => !mine.test(line))
          .join("\n");
      assert.equal(rest(shown), rest(before));
      if (said.includes("written")) assert.equal(shown, whole);
    },
  },
  {
    name: "writes",
    prepare: ["ready; echo mine >/home/root/kept; echo mine >/opt/mine; sync"],
    commands: "write 12",
    check({ shown, said }) {
      const last = Number(/written (\d+)\n(?![\s\S]*written \d+\n)/.exec(said)?.[1] ?? 0);
      const counter = Number(/^\/home\/root\/counter: number (\d+)$/m.exec(shown)?.[1] ?? 0);
      assert.ok(counter === last || counter === last + 1, `${last} were written, the counter is ${counter}`);
      const lines = [...(/\/opt\/log: ([^/]*)\n(?:\/|home|opt)/.exec(shown)?.[1] ?? "").matchAll(/line (\d+)/g)];
      assert.ok(
        lines.length === last || lines.length === last + 1,
        `${last} were written, the log has ${lines.length}`,
      );
      lines.forEach((line, i) => {
        assert.equal(Number(line[1]), i + 1);
      });
      assert.match(shown, /kept: mine\n[\s\S]*\/opt\/mine: mine\n/);
    },
  },
  {
    name: "asking for a snapshot",
    prepare: ["write 2; mkdir -p /opt/d/e; echo 1 >/opt/d/e/f; rm /home/root/readme.txt; sync"],
    commands: "overlayctl snapshot one && echo done",
    check: oldOrNew,
  },
  { name: "a snapshot", prepare: ["overlayctl snapshot one"], commands: "", check: finished },
  {
    name: "a restore",
    prepare: [
      "",
      "rm -r /opt/d; mkdir /opt/d; echo 2 >/opt/d/g; echo 2 >/home/root/two; overlayctl snapshot two",
      "echo 3 >/opt/three; overlayctl restore one",
    ],
    commands: "",
    check: finished,
  },
  {
    name: "a delete",
    prepare: ["overlayctl restore two", "rm /opt/d/g; echo 4 >/opt/d/h; rm /home/root/two; overlayctl delete one"],
    commands: "",
    check: finished,
  },
  { name: "a merge", prepare: ["echo 5 >/opt/five; overlayctl merge"], commands: "", check: finished },
  {
    name: "a reset that keeps a file",
    prepare: ["overlayctl snapshot three", "overlayctl reset"],
    commands: "ready",
    check: finished,
  },
  {
    name: "a reset by a file, of one overlay, that keeps nothing",
    prepare: ["ready; echo mine >/opt/mine; sync; echo /opt >/userdata/factory-reset; sync"],
    commands: "ready",
    check: finished,
  },
];

/** Numbers from 0 to 1, the same for the same seed: xorshift, 32 bits. */
function* moments(seed: number): Generator<number, never> {
  let state = Math.imul(seed, 0x9e3779b9) | 1;
  for (;;) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield (state >>> 0) / 2 ** 32;
  }
}

test(`${CUTS} power cuts, of seed ${SEED}`, async (t) => {
  if (lacks(t, "qemu-system-aarch64", "e2fsck")) return;
  const machine = await GatedMachine.create(t);
  const random = moments(SEED);
  const show = async () => shownIn(await machine.run("show"));
  let cut = 0;
  for (const [number, step] of STEPS.entries()) {
    for (const commands of step.prepare) await machine.run(commands);
    const from = machine.read();
    // What the step begins with is shown without what is carried out at a boot, by way of the step before.
    const before = step.check === finished ? "" : await show();
    machine.write(from);
    const started = Date.now();
    await machine.run(step.commands);
    const duration = Date.now() - started;
    const whole = await show();
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
        await checkUserdata(left);
        const shown = await show();
        step.check({ shown, said: guest.log.slice(begun), whole, before });
        await checkUserdata(machine.read());
      } catch (error) {
        const saved = path.join(os.tmpdir(), `imgbuild-cut-${SEED}-${cut + 1}.ext4`);
        fs.writeFileSync(saved, left);
        throw new Error(`${what}; what was left is in ${saved}: ${(error as Error).message}`, { cause: error });
      }
      t.diagnostic(what);
    }
    machine.write(after);
  }
});
