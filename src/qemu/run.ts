/** Boots an image in the emulator, with the guest's console on this terminal. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { ImgbuildError } from "../errors.js";
import { diskSize, type QemuCommand, type QemuDisk, type QemuMachine, type QemuStart, qemuCommand } from "./command.js";
import { emptyQcow2 } from "./qcow2.js";

export interface BootOptions {
  readonly machine: QemuMachine;
  /** Path of the raw image. */
  readonly image: string;
  readonly start: QemuStart;
  /**
   * Whether what the guest writes stays in the image. Where the machine wants a larger disk than the image, the image grows
   * by a hole. Default: false, and the image is only read.
   */
  readonly write?: boolean;
  /** Whether a guest that reboots starts again. Default: false, and it ends the emulator. */
  readonly reboots?: boolean;
}

/**
 * Makes a snapshot of `image` in the new file `snapshot`: a disk of the size that the machine wants, which shows the image
 * and takes what the guest writes. It is good for as many boots as wanted, while the image stays as it is.
 */
export function createSnapshot(machine: QemuMachine, image: string, snapshot: string): QemuDisk {
  const size = diskSize(machine, fs.statSync(image).size);
  fs.writeFileSync(snapshot, emptyQcow2(path.resolve(image), size), { flag: "wx" });
  return { path: snapshot, format: "qcow2" };
}

/** The image itself, grown to the size that the machine wants. */
function writableDisk(machine: QemuMachine, image: string): QemuDisk {
  const { size } = fs.statSync(image);
  const wanted = diskSize(machine, size);
  if (wanted > size) fs.truncateSync(image, wanted);
  return { path: image, format: "raw" };
}

/** The error for an emulator that could not be started. */
function cannotStart(machine: QemuMachine, error: NodeJS.ErrnoException): ImgbuildError {
  if (error.code !== "ENOENT") {
    return new ImgbuildError("io-failed", `cannot start ${machine.program}: ${error.message}`, { cause: error });
  }
  return new ImgbuildError("tool-missing", `cannot boot: ${machine.program} is not installed`, {
    hint: `Debian and Ubuntu have it in the package ${machine.package}: apt-get install ${machine.package}`,
    data: { program: machine.program, package: machine.package },
    cause: error,
  });
}

/** The exit status or the signal that a process ended with. */
function ending(child: ChildProcess, machine: QemuMachine): Promise<number | NodeJS.Signals | null> {
  return new Promise((resolve, reject) => {
    child.once("error", (error) => reject(cannotStart(machine, error)));
    child.once("exit", (code, signal) => resolve(code ?? signal));
  });
}

/** Whether the emulator, which is there, does not know the machine. Asked only after it has failed: asking takes a moment. */
function lacksMachine({ program, machine }: QemuMachine): boolean {
  const { status, stdout } = spawnSync(program, ["-machine", "help"], { encoding: "utf8" });
  return status === 0 && !stdout.split("\n").some((line) => line.startsWith(`${machine} `));
}

const STOPPING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Boots the image and returns when the guest has powered off, or rebooted and is not to, or the user ended it with Ctrl-A X. On a terminal
 * Ctrl-C goes to the guest. A signal that would end this process ends the emulator first, and its temporary files go.
 *
 * Throws "tool-missing" when the emulator is not installed, "guest-failed" when it gives up.
 */
export async function bootImage(options: BootOptions): Promise<void> {
  const { machine, image, start, write = false, reboots = false } = options;
  const temporary = fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-boot-"));
  const remove = () => fs.rmSync(temporary, { recursive: true, force: true });
  process.once("exit", remove);
  try {
    const disk = write
      ? writableDisk(machine, image)
      : createSnapshot(machine, image, path.join(temporary, "snapshot.qcow2"));
    await run(machine, qemuCommand(machine, disk, start, reboots));
  } finally {
    process.removeListener("exit", remove);
    remove();
  }
}

async function run(machine: QemuMachine, { program, args }: QemuCommand): Promise<void> {
  let child: ChildProcess | undefined;
  let received: NodeJS.Signals | undefined;
  const stop = (signal: NodeJS.Signals) => {
    received = signal;
    child?.kill("SIGTERM");
  };
  // Before the emulator starts: a signal that came in between would leave it without its parent.
  for (const signal of STOPPING) process.on(signal, stop);
  let ended: number | NodeJS.Signals | null;
  try {
    child = spawn(program, args, { stdio: "inherit" });
    ended = await ending(child, machine);
  } finally {
    for (const signal of STOPPING) process.removeListener(signal, stop);
  }
  // Handled here only to let the emulator go first: the process still ends the way the signal asks for.
  if (received !== undefined) {
    setImmediate(() => process.kill(process.pid, received));
    return;
  }
  if (ended !== 0) {
    if (lacksMachine(machine)) {
      throw new ImgbuildError("tool-missing", `cannot boot: this ${program} has no machine ${machine.machine}`, {
        hint: `A later version of QEMU may have it. \`${program} -machine help\` lists what this one emulates.`,
        data: { program, machine: machine.machine },
      });
    }
    throw new ImgbuildError("guest-failed", `${program} ended with ${ended}`, {
      hint: "What it said is above.",
      data: { program, args, ended },
    });
  }
}
