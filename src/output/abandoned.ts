/**
 * Who builds in a folder, and whether that build still runs. An output folder may be shared by containers, which do not see
 * one another's processes, and by hosts: only what is certainly dead is abandoned, and what nobody has claimed for a day.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";

const OWNER = "owner.json";
const DAY_MS = 24 * 60 * 60 * 1000;

interface Owner {
  readonly host: string;
  /** Which start of the host; empty where it does not say. */
  readonly boot: string;
  /** Which PID namespace; empty where there are none. */
  readonly namespace: string;
  readonly pid: number;
  /** When the process started, in clock ticks after the host did: PIDs come back. Empty where it does not say. */
  readonly started: string;
}

/** What `read` returns, or "" where the host has no such file. */
function readOrNothing(read: () => string): string {
  try {
    return read().trim();
  } catch {
    return "";
  }
}

/** Field 22 of /proc/PID/stat (proc_pid_stat(5)). The second field is a name in parentheses, with anything in it. */
function startOf(pid: number): string {
  const stat = readOrNothing(() => fs.readFileSync(`/proc/${pid}/stat`, "latin1"));
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

function thisProcess(): Owner {
  return {
    host: os.hostname(),
    boot: readOrNothing(() => fs.readFileSync("/proc/sys/kernel/random/boot_id", "latin1")),
    namespace: readOrNothing(() => fs.readlinkSync("/proc/self/ns/pid")),
    pid: process.pid,
    started: startOf(process.pid),
  };
}

/** Claims `folder` for this process. */
export function markOwner(folder: string): void {
  fs.writeFileSync(path.join(folder, OWNER), JSON.stringify(thisProcess()));
}

/** Whether the process that claimed `folder` is gone. */
export function isAbandoned(folder: string): boolean {
  const file = path.join(folder, OWNER);
  const age = Date.now() - (fs.statSync(file, { throwIfNoEntry: false }) ?? fs.statSync(folder)).mtimeMs;
  if (age > DAY_MS) return true;
  let owner: Owner;
  try {
    owner = JSON.parse(fs.readFileSync(file, "utf8")) as Owner;
  } catch {
    // Not claimed yet, or not any more.
    return false;
  }
  const self = thisProcess();
  if (owner.host !== self.host) return false;
  if (owner.boot !== self.boot) return true;
  if (owner.namespace !== self.namespace) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
  return startOf(owner.pid) !== owner.started;
}
