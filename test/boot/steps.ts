/**
 * What a device does when its power is cut, step by step, and what may be seen after it. Each step begins where the one before
 * has ended. A step for updates of the root belongs here as well.
 */
import assert from "node:assert/strict";

/** What the boot after a cut has shown, and what had been said before it. */
export interface Outcome {
  readonly shown: string;
  readonly said: string;
  /** What is shown where nothing was cut. */
  readonly whole: string;
  /** What was shown before. */
  readonly before: string;
}

export interface Step {
  readonly name: string;
  /** Boots one after another that bring UserData to where the step begins, after the step before. */
  readonly prepare: readonly string[];
  /** What the boot does that is cut. */
  readonly commands: string;
  readonly check: (outcome: Outcome) => void;
}

/** Requests are carried out by the boot after the cut at the latest. */
export const finished = ({ shown, whole }: Outcome) => assert.equal(shown, whole);

/** Everything, or nothing; everything when it was said to be done. */
const oldOrNew = ({ shown, said, whole, before }: Outcome) =>
  assert.ok(shown === whole || (shown === before && !said.includes("done")), `${said}\nthen:\n${shown}`);

export const STEPS: readonly Step[] = [
  {
    name: "first boot",
    prepare: [],
    commands: "ready; sync; say completed; echo mine >/home/root/mine; echo mine >/opt/mine; sync; say written",
    check({ shown, said, whole, before }) {
      const mine = /mine: (?:mine)?$/;
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
    prepare: ["ready; echo mine >/home/root/mine; echo mine >/opt/mine; sync"],
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
      assert.match(shown, /\/home\/root\/mine: mine\n[\s\S]*\/opt\/mine: mine\n/);
    },
  },
  {
    name: "asking for a snapshot",
    prepare: ["write 2; mkdir -p /opt/d/e; echo 1 >/opt/d/e/f; rm /home/root/readme.txt; sync"],
    commands: "overlayctl snapshot one && say done",
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
export function* moments(seed: number): Generator<number, never> {
  let state = Math.imul(seed, 0x9e3779b9) | 1;
  for (;;) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield (state >>> 0) / 2 ** 32;
  }
}
