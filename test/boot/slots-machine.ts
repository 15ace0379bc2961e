/** A machine with two root slots that Debian's U-Boot starts, as it is, and whose image is looked at from outside. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import type { TestContext } from "node:test";
import type { Manifest } from "../../src/output/manifest.js";
import { planOfResolved } from "../../src/profile/load.js";
import { type QemuCommand, qemuCommand } from "../../src/qemu/command.js";
import { emulatedMachine, ubootStart } from "../../src/qemu/start.js";
import { imgbuild } from "../support/cli.js";
import { Guest } from "../support/guest.js";
import { run, temporaryFolder } from "../support/tools.js";
import { DEMO, PROJECT } from "./image.js";

const UBOOT = path.join(PROJECT, ".cache/debian/armhf/usr/lib/u-boot");

/** A machine to be, and what its root file systems are made of besides the demonstration's. */
export interface Board {
  readonly architecture: "armhf" | "arm64";
  readonly uboot: string;
  readonly profile: string;
  readonly layer: Readonly<Record<string, string>>;
}

const PROFILE = `extends: qemu-arm64
storage: { size: 160MiB }
partitions:
  rootfs: { size: 16MiB }
  rootfs-b: { filesystem: squashfs, size: 16MiB, role: rootfs }
  userdata: null
  data: { filesystem: ext4, size: rest, role: userdata }
boot: { arguments: [panic=1] }
slots: { tries: 2, confirm: manual }
`;
const ARM64: Board = { architecture: "arm64", uboot: "qemu_arm64", profile: PROFILE, layer: {} };

/** In front of the first partition. */
const ENVIRONMENT_AT = 2 ** 20 - 8192;

/** What is laid over the demonstration's root: each says in /etc/slot which it is. */
const ROOTS = {
  first: {},
  good: {},
  "ends-init": { "sbin/init": "#!/bin/sh\nexit 1\n" },
  panics: { "sbin/init": "#!/bin/sh\necho c >/proc/sysrq-trigger\nsleep 60\n" },
} as const satisfies Record<string, Record<string, string>>;

export class Machine {
  readonly #t: TestContext;
  readonly #folder: string;
  readonly #board: Board;
  readonly manifest: Manifest;
  readonly image: string;
  #command: QemuCommand;
  /** The console of the last boot that came up. */
  log = "";

  /** Builds the image with `updates` as files in /root's home. */
  constructor(t: TestContext, updates: readonly (keyof typeof ROOTS)[], board = ARM64) {
    this.#t = t;
    this.#board = board;
    this.#folder = temporaryFolder(t);
    fs.writeFileSync(path.join(this.#folder, "slots.yaml"), board.profile);
    const home = path.join(this.#folder, "userdata/home/root");
    fs.mkdirSync(home, { recursive: true });
    for (const name of updates) {
      this.#build(name);
      fs.copyFileSync(path.join(this.#folder, name, "rootfs.squashfs"), path.join(home, `${name}.squashfs`));
    }
    this.manifest = this.#build("first", "--userdata", path.join(this.#folder, "userdata"));
    const plan = planOfResolved(this.manifest.profile.name, this.manifest.profile.resolved);
    this.image = path.join(this.#folder, "disk.img");
    fs.copyFileSync(path.join(this.#folder, "first/emmc.img"), this.image);
    const start = ubootStart(plan, path.join(UBOOT, board.uboot, "u-boot.bin"));
    this.#command = qemuCommand(emulatedMachine(plan), { path: this.image, format: "raw" }, start);
  }

  #build(name: keyof typeof ROOTS, ...more: string[]): Manifest {
    const layer = path.join(this.#folder, "layers", name);
    const demo = path.join(DEMO, this.#board.architecture);
    for (const [file, text] of Object.entries({ ...this.#board.layer, ...ROOTS[name], "etc/slot": `${name}\n` })) {
      fs.mkdirSync(path.dirname(path.join(layer, file)), { recursive: true });
      fs.writeFileSync(path.join(layer, file), text, { mode: 0o755 });
    }
    const result = imgbuild([
      ...["--profile", path.join(this.#folder, "slots.yaml"), path.join(demo, "rootfs"), layer],
      ...["--boot-files", path.join(demo, "boot"), "--devices", path.join(PROJECT, "fixtures/demo/devices.txt")],
      ...["--output", path.join(this.#folder, name), "--json", ...more],
    ]);
    assert.equal(result.status, 0, result.stderr);
    return JSON.parse(result.stdout);
  }

  /** Adds arguments for QEMU: devices, for the boots to come. */
  attach(...more: string[]): void {
    this.#command = { ...this.#command, args: [...this.#command.args, ...more] };
  }

  start(): Guest {
    return Guest.start(this.#t, this.#command);
  }

  /** A boot that comes up, as the root `name` in partition `number`. Returns the slots' state after `commands`. */
  async boot(name: string, number: number, ...commands: string[]): Promise<string> {
    const guest = this.start();
    await guest.logIn();
    assert.equal(await guest.run("cat /etc/slot"), name);
    const state = JSON.parse(await guest.run("overlayctl status --json")).slots;
    assert.equal(state.running, number);
    for (const line of commands) await guest.run(line);
    const { state: now } = JSON.parse(await guest.run("overlayctl status --json")).slots;
    await guest.run("sync");
    guest.type("reboot -f");
    assert.equal(await guest.end(), 0);
    this.log = guest.log;
    return now;
  }

  /** The tries of a root in partition `number` that does not come up: both, or the last one, the first being made up. */
  async fails(number: number, reason: RegExp, tries = [2]): Promise<void> {
    if (tries.length === 1) this.environment = { bootcount: "1" };
    for (const tried of tries) {
      const guest = this.start();
      await guest.waitFor(`Trying the new root in partition ${number}: ${tried} of 2`);
      await guest.waitFor(reason);
      assert.equal(await guest.end(), 0);
      assert.equal(this.environment.bootcount, `${tried}`);
    }
  }

  #env(action: string, ...more: string[]): string {
    const place = [`--offset=${ENVIRONMENT_AT}`, "--size", "4K", "--json"];
    const { status, stdout, stderr } = imgbuild(["env", action, this.image, ...more, ...place]);
    assert.equal(status, 0, stderr);
    return stdout;
  }

  /** Without what it is known by, which has to be there at all times. */
  get environment(): Record<string, string> {
    const { slots_id, ...variables } = JSON.parse(this.#env("print"));
    // What the kernel calls slot A: with an MBR, the disk's signature and the number.
    const { label, id, partitions } = JSON.parse(run("sfdisk", ["--json", this.image])).partitiontable;
    assert.equal(slots_id, label === "gpt" ? partitions[1].uuid.toLowerCase() : `${id.slice("0x".length)}-02`);
    return variables;
  }

  set environment(changes: Record<string, string>) {
    this.#env("set", ...Object.entries(changes).map(([name, value]) => `${name}=${value}`));
  }

  /** Which root is in a slot. */
  inSlot(number: number): string {
    return imgbuild(["cat", `${this.image}:${number}`, "/etc/slot"]).stdout.trimEnd();
  }
}

/** What the slots' environment says of a root in slot B that is to be tried twice. */
export const WAITING = { root_part: "3", root_old: "2", upgrade_available: "1", bootcount: "0", bootlimit: "2" };
