/** The power is cut while a machine is at work: where it has come to the end of it by then, there is nothing to be seen. */
import { setTimeout } from "node:timers/promises";
import type { Guest } from "../support/guest.js";
import { cutPower, END } from "./gate.js";
import { moments } from "./steps.js";

/** How often one cut is drawn. Each draw that came too late halves, on the average, the time that the next is of. */
const DRAWS = 12;

export interface Cut {
  /** What had been said since the gate opened. */
  readonly said: string;
  /** When it was, in ms since then. */
  readonly moment: number;
}

/** Of GatedMachine, what a cut takes. */
interface Machine {
  write(disk: Buffer): void;
  /** Returns when the gate has opened. */
  boot(commands: string): Promise<Pick<Guest, "log" | "kill" | "end">>;
}

interface Work {
  /** The disk's content before. */
  readonly from: Buffer;
  readonly commands: string;
  /** How long they usually take, from the gate's opening on, in ms. */
  readonly duration: number;
  /** When in that time the power is cut: from 0 to 1. */
  readonly moment: number;
}

/**
 * Boots, and cuts the power. A boot that had printed END by then is none that was cut: `late` is called, and an earlier moment drawn,
 * which is the same for the same `moment`. Rejects when that does not help.
 */
export async function cutAtWork(
  machine: Machine,
  { from, commands, duration, moment }: Work,
  late: () => void,
): Promise<Cut> {
  const again = moments(Math.round(moment * 2 ** 31));
  let range = duration;
  let at = Math.round(moment * range);
  for (let draw = 0; draw < DRAWS; draw++) {
    machine.write(from);
    const guest = await machine.boot(commands);
    const begun = guest.log.length;
    await setTimeout(at);
    await cutPower(guest);
    const said = guest.log.slice(begun);
    if (!said.includes(END)) return { said, moment: at };
    late();
    range = at;
    at = Math.round(again.next().value * range);
  }
  throw new Error(
    `${commands}: ${DRAWS} draws came too late, the last one of up to ${range} ms after the gate had opened`,
  );
}
