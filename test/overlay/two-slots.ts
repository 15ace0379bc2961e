/** A device with two root slots, for the tests that update it and switch between them. */
import * as fs from "node:fs";
import * as path from "node:path";
import type { TestContext } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { decodeEnvironment, encodeEnvironment } from "../../src/uboot/index.js";
import { type BootOptions, type Device, type DeviceOptions, device } from "./device.js";

/** The block of the environment, the length of one, and of a slot, in bytes. */
export const [BLOCK, SIZE, SLOT] = [3, 4096, 8 * 2 ** 20];
export const SLOTS = {
  partitions: [2, 4],
  environmentAt: BLOCK * SIZE,
  redundant: false,
  tries: 3,
  deadline: 600,
} as const;
/** What the boot script tells the kernel of the installation. */
export const ID = "0badcafe-02";

export type Variables = Record<string, string>;

/** Where nothing was ever updated, and where an update waits. */
export const OLD: Variables = { root_part: "2", upgrade_available: "0" };
export const TRIAL: Variables = {
  root_part: "4",
  root_old: "2",
  upgrade_available: "1",
  bootcount: "0",
  bootlimit: "3",
};

/** A device with two slots: 2 and 4. What runs is always the same root; which of them it is taken for is said. */
export class TwoSlots {
  readonly device: Device;
  readonly #folder: string;
  readonly disk: string;
  readonly other: string;
  /** Whether the disk is there as /dev/medium, too, past what the kernel remembers of /dev/disk. */
  medium = false;

  static async make(t: TestContext, options: DeviceOptions = {}): Promise<TwoSlots> {
    return new TwoSlots(await device(t, { slots: { ...SLOTS, confirm: "manual" }, ...options }));
  }

  private constructor(made: Device) {
    this.device = made;
    this.#folder = path.dirname(made.squashfs);
    this.disk = path.join(this.#folder, "disk.img");
    this.other = path.join(this.#folder, "other.img");
    fs.writeFileSync(this.disk, new Uint8Array(65536));
    fs.writeFileSync(this.other, new Uint8Array(SLOT));
    this.environment = { root_part: "2", upgrade_available: "0" };
  }

  /** In the first place; in the second is what was long ago, and must not come back. */
  set environment(variables: Variables) {
    this.write(variables, undefined);
  }

  /** Of this installation, unless they say another. `flag`: as a U-Boot has it that was built for redundant environments. */
  write(variables: Variables, flag: number | undefined): void {
    const fd = fs.openSync(this.disk, "r+");
    for (const [i, said] of [variables, { root_part: "9" }].entries()) {
      const map = new Map(
        Object.entries({ slots_id: ID, ...said }).map(([name, value]) => [fromText(name), fromText(value)]),
      );
      fs.writeSync(fd, encodeEnvironment(map, { size: SIZE, flag, padding: 0 }), 0, SIZE, (BLOCK + i) * SIZE);
    }
    fs.closeSync(fd);
  }

  /** What counts of the two copies. */
  get environment(): Variables {
    return this.read("single");
  }

  read(kind: "single" | "redundant"): Variables {
    const bytes = fs.readFileSync(this.disk);
    for (const at of [BLOCK, BLOCK + 1]) {
      const copy = decodeEnvironment(bytes.subarray(at * SIZE, (at + 1) * SIZE), kind);
      if (copy === undefined) continue;
      const { slots_id, ...variables }: Variables = Object.fromEntries(copy.variables);
      return slots_id === ID ? variables : { slots_id: slots_id ?? "", ...variables };
    }
    throw new Error("neither copy is valid");
  }

  /** A file that the device finds as /dev/NAME. */
  file(name: string, content: Uint8Array | string): void {
    fs.writeFileSync(path.join(this.#folder, `dev-${name}`), content);
  }

  boot(commands: string, running = 2, options: BootOptions = {}): string {
    const other = running === 2 ? 4 : 2;
    const sys = `
      mkdir -p sys/devices/disk/p4 sys/class/block/other
      echo DEVNAME=disk >sys/devices/disk/uevent
      echo 4 >sys/devices/disk/p4/partition
      echo DEVNAME=other >sys/devices/disk/p${other}/uevent
      echo $((${SLOT} / 512)) >sys/class/block/other/size
      ln -sfn ../../devices/disk/p${running} sys/dev/block/$(mountpoint -d .)
      disk=$(losetup --find --show ${this.disk})
      other=$(losetup --find --show ${this.other})
      medium=${this.medium ? `$(losetup --find --show ${this.disk})` : ""}
      trap 'losetup --detach $loop $disk $other $medium' EXIT
      ${this.medium ? "cp -a $medium dev/medium" : ""}
      cp -a $disk dev/disk
      cp -a $other dev/other
      mknod dev/zero c 1 5
      for file in ${this.#folder}/dev-*; do [ ! -e $file ] || cp $file dev/\${file##*/dev-}; done`;
    return this.device.boot(commands, { arguments: `quiet imgbuild.slots=${ID} rw`, ...options, sys });
  }

  /** The image of the running root as an update, with something behind it as mksquashfs pads. */
  get image(): Uint8Array {
    return fs.readFileSync(this.device.squashfs);
  }

  holds(image: Uint8Array): boolean {
    return fs.readFileSync(this.other).subarray(0, image.length).equals(image);
  }
}
