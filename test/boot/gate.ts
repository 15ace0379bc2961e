/**
 * A machine that stands still before preinit, as often as wanted. It boots once up to there, and its state is written down; from
 * then on a boot is that state read back, with any content of UserData, which nothing has looked at by then. What a boot
 * costs is what preinit and the real init do. fixtures/powercut has what runs in it.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import type { TestContext } from "node:test";
import type { QemuCommand } from "../../src/qemu/command.js";
import { Guest } from "../support/guest.js";
import { temporaryFolder } from "../support/tools.js";
import { bootCommand, buildImage, DEMO, PROJECT, type TestImage } from "./image.js";

/** QEMU's multiplexed console: Ctrl-A C goes to its monitor. */
const TO_MONITOR = "\x01c";

/** A boot may have to wait for a processor. */
const PATIENCE = 120_000;

/** Kills the emulator, and waits until it writes no more. */
export async function cutPower(guest: Guest): Promise<void> {
  guest.kill();
  await guest.end();
}

export class GatedMachine {
  readonly built: TestImage;
  readonly #t: TestContext;
  readonly #command: QemuCommand;
  readonly #state: string;

  private constructor(t: TestContext, built: TestImage, command: QemuCommand) {
    this.#t = t;
    this.built = built;
    this.#command = command;
    this.#state = path.join(built.folder, "machine");
  }

  /** Builds the image and boots it up to the gate, with further arguments for the kernel. */
  static async create(t: TestContext, ...more: readonly string[]): Promise<GatedMachine> {
    const folder = temporaryFolder(t);
    const demo = path.join(DEMO, "arm64");
    const built = buildImage(folder, "qemu-arm64", [
      ...[path.join(demo, "rootfs"), path.join(PROJECT, "fixtures/powercut"), "--boot-files", path.join(demo, "boot")],
      ...["--devices", path.join(PROJECT, "fixtures/demo/devices.txt")],
      ...[
        ...["storage.size=128MiB", "partitions.bootfs.size=40MiB", "partitions.rootfs.size=60MiB"],
        ...["partitions.userdata.size=16MiB", "overlay.paths=[/home/root, /opt]", "overlay.keep=[/home/root/mine]"],
        "emulator.memory=128MiB",
      ].flatMap((value) => ["--set", value]),
    ]);
    const machine = new GatedMachine(t, built, await bootCommand(built, built.image, ["init=/sbin/gate", ...more]));
    const guest = Guest.start(t, machine.#command);
    await guest.waitFor("waiting", PATIENCE);
    guest.type(`${TO_MONITOR}migrate "exec:cat >${machine.#state}"`);
    await guest.waitFor(/\(qemu\)[\s\S]*\(qemu\) $/, PATIENCE);
    guest.type("quit");
    assert.equal(await guest.end(), 0);
    return machine;
  }

  /** UserData's content. */
  read(): Buffer {
    const { offset, size } = this.built.userdata;
    const content = Buffer.alloc(size);
    this.#open((file) => fs.readSync(file, content, 0, size, offset));
    return content;
  }

  /** Replaces UserData's content. */
  write(content: Uint8Array): void {
    this.#open((file) => fs.writeSync(file, content, 0, content.length, this.built.userdata.offset));
  }

  #open(use: (file: number) => void): void {
    const file = fs.openSync(this.built.image, "r+");
    try {
      use(file);
    } finally {
      fs.closeSync(file);
    }
  }

  /**
   * Boots with what is on UserData now, and returns when the gate has opened. `disk` are arguments that take the place of
   * the one that names the image.
   */
  async boot(commands: string, disk: (args: readonly string[]) => readonly string[] = (args) => args): Promise<Guest> {
    const { program, args } = this.#command;
    const guest = Guest.start(this.#t, { program, args: [...disk(args), "-incoming", `exec:cat ${this.#state}`] });
    await guest.waitFor("waiting\n", PATIENCE);
    guest.type(commands);
    // The echo of what was typed.
    await guest.waitFor("\n", PATIENCE);
    return guest;
  }

  /** Boots, has the commands done and switches the power off. Returns what was printed meanwhile. */
  async run(commands: string): Promise<string> {
    const guest = await this.boot(commands);
    const printed = await guest.waitFor("<end>\n", PATIENCE);
    await cutPower(guest);
    return printed;
  }
}
