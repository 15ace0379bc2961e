/** Running a command and measuring it as a whole process, with GNU time. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
}

export interface Measurement {
  /** Seconds. */
  readonly wall: number;
  readonly cpu: number;
  /** The largest resident set of any of its processes, in bytes. */
  readonly memory: number;
}

/** Runs `command` once. Throws with what it printed when it fails. */
export function measure({ program, args }: Command, scratch: string): Measurement {
  const report = path.join(scratch, "time");
  const result = spawnSync("/usr/bin/time", ["-q", "-o", report, "-f", "%e %U %S %M", program, ...args], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    env: { ...process.env, SOURCE_DATE_EPOCH: "1700000000" },
  });
  if (result.error) throw new Error(`cannot run /usr/bin/time (Debian package time): ${result.error.message}`);
  if (result.status !== 0) throw new Error(`${program} ${args.join(" ")}:\n${result.stdout}${result.stderr}`);
  const [wall, user, system, kilobytes] = fs.readFileSync(report, "utf8").trim().split(" ").map(Number);
  return { wall: wall!, cpu: user! + system!, memory: kilobytes! * 1024 };
}

/** The best of several runs: what the machine can do when nothing else is going on. */
export function best(measurements: readonly Measurement[]): Measurement {
  const least = (key: keyof Measurement) => Math.min(...measurements.map((measurement) => measurement[key]));
  return { wall: least("wall"), cpu: least("cpu"), memory: Math.max(...measurements.map(({ memory }) => memory)) };
}
