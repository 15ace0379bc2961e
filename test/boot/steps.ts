/**
 * What a device does when its power is cut, step by step, and what may be seen after it. Each step begins where the one before
 * has ended.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";

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
  /** In front of the commands of the boots that look at the outcome: the root that they have. Default: the first slot's. */
  readonly lookFrom?: string;
  readonly check: (outcome: Outcome) => void;
}

/** fixtures/powercut: in front of commands, has the second slot be the root, with another identity and this policy for a new root. */
const otherRoot = (policy: "refresh" | "reset") => `other-root ${policy} `;

/** Whether the step, or what shows its outcome, takes the root of the emulated machine's second slot. */
export const hasOtherRoot = ({ commands }: Step): boolean => commands.startsWith("other-root ");

/** Requests are carried out by the boot after the cut at the latest. */
export const finished = ({ shown, whole }: Outcome) => assert.equal(shown, whole);

/** Everything, or nothing; everything when it was said to be done. */
const oldOrNew = ({ shown, said, whole, before }: Outcome) =>
  assert.ok(shown === whole || (shown === before && !said.includes("done")), `${said}\nthen:\n${shown}`);

/** Everything that was there before, and of what is new some, everything when it was said to be done. */
const growing = ({ shown, said, whole, before }: Outcome) => {
  const [seen, old, all] = [shown, before, whole].map((text) => new Set(text.split("\n"))) as [
    Set<string>,
    Set<string>,
    Set<string>,
  ];
  for (const line of old) assert.ok(seen.has(line), `${line} is not there any more:\n${shown}`);
  for (const line of seen) assert.ok(all.has(line), `${line} should not be there:\n${shown}`);
  if (said.includes("done")) assert.equal(shown, whole);
};

/** Of what `write` of fixtures/powercut has in the large file, by number. */
const LARGE = Array.from({ length: 6 }, (_, i) =>
  createHash("sha256")
    .update(`number ${i + 1}\n`.repeat(30_000).slice(0, 200_000))
    .digest("hex"),
);

export const STEPS: readonly Step[] = [
  {
    name: "first boot",
    prepare: [],
    commands: "ready; sync; say completed; echo mine >/home/root/mine; echo mine >/opt/mine; sync; say written",
    check({ shown, said, whole, before }) {
      const mine = /\/mine(?:: (?:mine)?| regular file 644 0:0)$/;
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
    commands: "write 6",
    check({ shown, said }) {
      const last = Number(/written (\d+)\n(?![\s\S]*written \d+\n)/.exec(said)?.[1] ?? 0);
      const counter = Number(/^\/home\/root\/counter: number (\d+)$/m.exec(shown)?.[1] ?? 0);
      assert.ok(counter === last || counter === last + 1, `${last} were written, the counter is ${counter}`);
      const large = /^([0-9a-f]{64}) {2}\/home\/root\/large$/m.exec(shown)?.[1];
      const number = large === undefined ? 0 : 1 + LARGE.indexOf(large);
      assert.ok(
        (large === undefined || number > 0) && (number === counter || number === counter + 1),
        `the counter is ${counter}, and the large file is of number ${number}, or none that was written`,
      );
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
    name: "an import",
    prepare: ["overlayctl snapshot three", "overlayctl export three /userdata/three.tar"],
    commands: "overlayctl import /userdata/three.tar copied && say done",
    // Each overlay gets its part by itself.
    check: growing,
  },
  {
    name: "an update of the root",
    prepare: [],
    commands: "overlayctl update - </dev/vda2 && say done",
    check: oldOrNew,
  },
  {
    // The update before has it on trial. Nobody confirms it: the root before is back, and what was written with it.
    name: "another root's reset, which does not stay",
    prepare: [],
    commands: `${otherRoot("reset")}ready; echo lost >/opt/lost; echo lost >/home/root/lost; sync`,
    check({ shown, whole, before }) {
      assert.equal(whole, before);
      assert.equal(shown, before);
    },
  },
  {
    name: "another root, with copies that are refreshed",
    prepare: ["touch /home/root/.config/logger.conf; echo mine >/home/root/calibration.txt; echo 6 >/opt/six; sync"],
    commands: `${otherRoot("refresh")}ready`,
    lookFrom: otherRoot("refresh"),
    check(outcome) {
      assert.match(outcome.whole, /^home-root hides \/home\/root\/calibration\.txt\n/m);
      assert.doesNotMatch(outcome.whole, /hides .*logger\.conf/);
      finished(outcome);
    },
  },
  {
    name: "a reset that keeps a file",
    prepare: ["overlayctl reset"],
    commands: "ready",
    check: finished,
  },
  {
    name: "a reset by a file, of one overlay, that keeps nothing",
    prepare: ["ready; echo mine >/opt/mine; sync; echo /opt >/userdata/factory-reset; sync"],
    commands: "ready",
    check: finished,
  },
  {
    name: "a reset of a full UserData, that keeps nothing",
    prepare: [
      "ready; overlayctl reset --no-keep; dd if=/dev/zero of=/opt/full bs=64k 2>/dev/null; echo 1 >/home/root/more; sync",
    ],
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
