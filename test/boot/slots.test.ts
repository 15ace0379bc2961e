/**
 * Updates of a machine with two root slots, through Debian's U-Boot as it is: a good root is tried and confirmed; one whose init
 * ends, one that panics and one whose image is cut short are tried, twice, and then the old root is back. After
 * each boot the image is read from outside. On 32-bit ARM a good one, with the profile that docs/device.md has.
 *
 * The parts come from Debian: `make parts`.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Manifest } from "../../src/output/manifest.js";
import { planOfResolved } from "../../src/profile/load.js";
import { type QemuCommand, qemuCommand } from "../../src/qemu/command.js";
import { emulatedMachine, ubootStart } from "../../src/qemu/start.js";
import { imgbuild } from "../support/cli.js";
import { Guest } from "../support/guest.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const PROJECT = path.resolve(import.meta.dirname, "../../..");
const UBOOT = path.join(PROJECT, ".cache/debian/armhf/usr/lib/u-boot");

/** A machine to be, and what its root file systems are made of besides the demonstration's. */
interface Board {
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

/** The profile in docs/device.md, on a board that QEMU has, with what fits it; and an init system that tells when it is done. */
function documented(): Board {
  const text = fs.readFileSync(path.join(PROJECT, "docs/device.md"), "utf8");
  const [, profile] = /```yaml\n(extends: colibri-imx6\npartitions:\n.*?)```/s.exec(text)!;
  const start = fs.readFileSync(path.join(PROJECT, "fixtures/demo/rootfs/etc/init.d/rcS"), "utf8");
  return {
    ...{ architecture: "armhf", uboot: "qemu_arm" },
    profile: `storage: { size: 128MiB }\n${profile!.replace("colibri-imx6", "qemu-arm").replaceAll("512MiB", "16MiB")}`,
    layer: {
      "etc/init.d/rcS": "#!/bin/sh\nfor script in /etc/init.d/S??*; do $script start; done\n",
      "etc/init.d/S01start": start,
    },
  };
}

/** How often the power is cut while U-Boot is at work. What cuts during an update leave is in power-cuts.test.ts. */
const CUTS = Number(process.env.SLOT_CUTS ?? 3);

/** In front of the first partition. */
const ENVIRONMENT_AT = 2 ** 20 - 8192;

/** What is laid over the demonstration's root: each says in /etc/slot which it is. */
const ROOTS = {
  first: {},
  good: {},
  "ends-init": { "sbin/init": "#!/bin/sh\nexit 1\n" },
  panics: { "sbin/init": "#!/bin/sh\necho c >/proc/sysrq-trigger\nsleep 60\n" },
} as const satisfies Record<string, Record<string, string>>;

class Machine {
  readonly #t: TestContext;
  readonly #folder: string;
  readonly #board: Board;
  readonly manifest: Manifest;
  readonly image: string;
  readonly #command: QemuCommand;

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
    const demo = path.join(PROJECT, "out/demo", this.#board.architecture);
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

const update = (name: string) => `overlayctl update /home/root/${name}.squashfs`;
const WAITING = { root_part: "3", root_old: "2", upgrade_available: "1", bootcount: "0", bootlimit: "2" };

test("qemu-arm64 with two slots: updates that work, and those that do not", async (t) => {
  if (lacks(t, "qemu-system-aarch64", "sfdisk")) return;
  const machine = new Machine(t, ["good", "ends-init", "panics"]);
  assert.equal(await machine.boot("first", 2, update("ends-init")), "waiting");
  assert.deepEqual([machine.inSlot(2), machine.inSlot(3)], ["first", "ends-init"]);
  assert.deepEqual(machine.environment, WAITING);
  await machine.fails(3, /Attempted to kill init/, [1, 2]);

  const failed = "overlayctl status | grep 'partition 3 did not come up'";
  assert.equal(await machine.boot("first", 2, failed, update("good")), "waiting");
  assert.equal(await machine.boot("good", 3, "overlayctl confirm", update("panics")), "waiting");
  assert.deepEqual([machine.inSlot(2), machine.inSlot(3)], ["panics", "good"]);
  await machine.fails(2, /sysrq triggered crash/);

  assert.equal(await machine.boot("good", 3, update("good")), "waiting");
  const { offset, size } = machine.manifest.partitions.find(({ number }) => number === 2)!;
  const file = fs.openSync(machine.image, "r+");
  fs.writeSync(file, new Uint8Array(size - 65536), 0, size - 65536, offset + 65536);
  fs.closeSync(file);
  await machine.fails(2, /cannot mount/);

  assert.equal(await machine.boot("good", 3), "confirmed");
  const left = Object.entries(machine.environment);
  assert.deepEqual(left.filter(([name]) => !name.startsWith("boot")).sort(), [
    ["root_failed", "2"],
    ["root_part", "3"],
    ["upgrade_available", "0"],
  ]);
});

test("qemu-arm with the documented profile: the end of the boot confirms an update", async (t) => {
  if (lacks(t, "qemu-system-arm", "sfdisk")) return;
  const machine = new Machine(t, ["good"], documented());
  assert.equal(await machine.boot("first", 2, update("good")), "waiting");
  assert.deepEqual(machine.environment, { ...WAITING, bootlimit: "3" });
  assert.equal(await machine.boot("good", 3, "grep ' imgbuild.trial=1/3 ' /proc/cmdline"), "confirmed");
  assert.deepEqual(machine.environment, { root_part: "3", root_old: "2", upgrade_available: "0" });
});

test(`the power is cut ${CUTS} times while U-Boot counts: the try is counted or it is not, and what is booted is there`, async (t) => {
  if (lacks(t, "qemu-system-aarch64", "sfdisk")) return;
  const machine = new Machine(t, []);
  const { offset, size } = machine.manifest.partitions.find(({ number }) => number === 2)!;
  const file = fs.openSync(machine.image, "r+");
  const root = new Uint8Array(size);
  fs.readSync(file, root, 0, size, offset);
  fs.writeSync(file, root, 0, size, offset + size);
  fs.closeSync(file);
  assert.equal(machine.inSlot(3), "first");
  for (let cut = 0; cut < CUTS; cut++) {
    machine.environment = { ...WAITING };
    const guest = machine.start();
    await guest.waitFor("virtio write");
    await setTimeout((cut * 25) / CUTS);
    guest.kill();
    await guest.end();
    const { bootcount, root_part } = machine.environment;
    assert.ok(root_part === "3" && (bootcount === "0" || bootcount === "1"), `${root_part} ${bootcount}`);
    const again = machine.start();
    await again.waitFor(`Trying the new root in partition 3: ${Number(bootcount) + 1} of 2`);
    again.kill();
    await again.end();
    t.diagnostic(`${bootcount} counted`);
  }
});
