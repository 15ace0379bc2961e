/**
 * A machine that stands still before preinit, as often as wanted. It boots once up to there, and its state is written down; from
 * then on a boot is that state read back, with any content of UserData and of the other slot, which nothing has looked at by then. What a boot
 * costs is what preinit and the real init do. fixtures/powercut has what runs in it.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import type { TestContext } from "node:test";
import type { QemuCommand } from "../../src/qemu/command.js";
import { Guest } from "../support/guest.js";
import { temporaryFolder } from "../support/tools.js";
import { bootCommand, buildImage, DEMO, PROJECT, partition, type TestImage } from "./image.js";
import { checkSlots } from "./slots-check.js";
import { checkSettled, checkUserdata, shownIn } from "./userdata-check.js";

/** QEMU's multiplexed console: Ctrl-A C goes to its monitor. */
const TO_MONITOR = "\x01c";

const PROFILE = `extends: qemu-arm64
storage: { size: 70MiB }
partitions:
  bootfs: { size: 40MiB }
  rootfs: { size: 5MiB }
  rootfs-b: { filesystem: squashfs, size: 5MiB, role: rootfs }
  userdata: null
  data: { filesystem: ext4, size: 16MiB, role: userdata }
overlay: { paths: [/home/root, /opt], keep: [/home/root/mine], newRoot: refresh }
slots: { confirm: manual }
emulator: { memory: 128MiB }
`;

/** A boot may have to wait for a processor. */
export const PATIENCE = 120_000;

/** What the real init prints when the commands are done: it is at work no longer. */
export const END = "<end>\n";

/** Kills the emulator, and waits until it writes no more. */
export async function cutPower(guest: Pick<Guest, "kill" | "end">): Promise<void> {
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
    const profile = path.join(folder, "gate.yaml");
    fs.writeFileSync(profile, PROFILE);
    const built = buildImage(folder, profile, [
      ...[path.join(demo, "rootfs"), path.join(PROJECT, "fixtures/powercut"), "--boot-files", path.join(demo, "boot")],
      ...["--devices", path.join(PROJECT, "fixtures/demo/devices.txt")],
    ]);
    // What the boot script would tell the kernel.
    const slots = `imgbuild.slots=${partition(built, "rootfs").partuuid}`;
    const command = await bootCommand(built, built.image, ["init=/sbin/gate", slots, ...more]);
    const machine = new GatedMachine(t, built, command);
    const guest = Guest.start(t, machine.#command);
    await guest.waitFor("waiting", PATIENCE);
    guest.type(`${TO_MONITOR}migrate "exec:cat >${machine.#state}"`);
    await guest.waitFor(/\(qemu\)[\s\S]*\(qemu\) $/, PATIENCE);
    guest.type("quit");
    assert.equal(await guest.end(), 0);
    return machine;
  }

  /** The disk's content. */
  read(): Buffer {
    return fs.readFileSync(this.built.image);
  }

  /** Replaces the disk's content. */
  write(content: Uint8Array): void {
    fs.writeFileSync(this.built.image, content);
  }

  /** What of the disk's content is UserData. */
  userdata(disk: Buffer): Buffer {
    const { offset, size } = this.built.userdata;
    return disk.subarray(offset, offset + size);
  }

  /**
   * Fails unless UserData is in order, slot A is what was flashed, and the slots' environment is whole and says what is so.
   * Returns a line that tells which slot is the root.
   */
  async check(disk: Buffer): Promise<string> {
    await checkUserdata(this.userdata(disk));
    return this.slots(disk);
  }

  /** Of `check`, what is about the slots. */
  slots(disk: Buffer): string {
    return checkSlots(disk, this.built.manifest.partitions);
  }

  /**
   * Boots with what is on the disk now; fails unless that leaves it in order, and returns what is seen, from inside and outside.
   * `from` comes in front of the commands, and may say which root is booted.
   */
  async show(from = ""): Promise<string> {
    const shown = shownIn(await this.run(`${from}show; sync`));
    const disk = this.read();
    await checkSettled(this.userdata(disk));
    return shown + (await this.check(disk));
  }

  /**
   * Boots with what is on the disk now, and returns when the gate has opened. `disk` are arguments that take the place of
   * the one that names the image.
   */
  async boot(commands: string, disk: (args: readonly string[]) => readonly string[] = (args) => args): Promise<Guest> {
    const { program, args } = this.#command;
    const guest = Guest.start(this.#t, { program, args: [...disk(args), "-incoming", `exec:cat ${this.#state}`] });
    await guest.waitFor("waiting\n", PATIENCE);
    guest.type(commands);
    // Neither the echo of what was typed, nor the gate's own lines between it.
    await guest.waitFor("<open>\n", PATIENCE);
    return guest;
  }

  /** Boots, has the commands done and switches the power off. Returns what was printed meanwhile. */
  async run(commands: string): Promise<string> {
    const guest = await this.boot(commands);
    const printed = await guest.waitFor(END, PATIENCE);
    await cutPower(guest);
    return printed;
  }
}
