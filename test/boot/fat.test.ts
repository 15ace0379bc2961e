/** FAT volumes as U-Boot's reader sees them: it lists what is in them, and loads files whose hashes are right. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { crc32 } from "../../src/bytes/checksum.js";
import { slice } from "../../src/bytes/device.js";
import { FileDevice } from "../../src/bytes/file-device.js";
import { type FatType, writeFat } from "../../src/fat/index.js";
import { writeMbr } from "../../src/partition/index.js";
import { loadPlan } from "../../src/profile/load.js";
import { qemuCommand } from "../../src/qemu/command.js";
import { emulatedMachine, ubootStart } from "../../src/qemu/start.js";
import { OPTIONS, treeOf } from "../fat/volume.js";
import { Guest } from "../support/guest.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const MiB = 2 ** 20;
const PROJECT = path.resolve(import.meta.dirname, "../../..");
const UBOOT = path.join(PROJECT, ".cache/debian/armhf/usr/lib/u-boot/qemu_arm/u-boot.bin");

/** Bytes that no cluster has twice. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = length | 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** Files for every way in which U-Boot finds names and follows chains. */
const FILES = {
  zImage: noise(5 * MiB + 123),
  "boot.scr": noise(511),
  "README.TXT": noise(512),
  "imx6dl-colibri-eval-v3.dtb": noise(40_000),
  "imx6dl-colibri-iris.dtb": noise(40_001),
  "A Name With Blanks And Capitals.bin": noise(2048),
  [`${"long-".repeat(20)}name.bin`]: noise(2049),
  "one/two/three/four/five/six/deep.dtbo": noise(70_000),
  "empty.txt": new Uint8Array(),
};

type Files = Readonly<Record<string, Uint8Array>>;

/** The kernel with its SHA-256, which U-Boot checks: its `hash` command is missing from Debian's. */
function fitImage(t: TestContext): Uint8Array {
  const folder = temporaryFolder(t);
  fs.writeFileSync(path.join(folder, "kernel"), FILES.zImage);
  fs.writeFileSync(
    path.join(folder, "image.its"),
    `/dts-v1/;
/ {
  description = "test";
  #address-cells = <1>;
  images {
    kernel {
      description = "kernel";
      data = /incbin/("kernel");
      type = "kernel";
      arch = "arm";
      os = "linux";
      compression = "none";
      load = <0x42000000>;
      entry = <0x42000000>;
      hash { algo = "sha256"; };
    };
  };
  configurations {
    default = "only";
    only { kernel = "kernel"; };
  };
};
`,
  );
  run("mkimage", ["-f", "image.its", "image.itb"], { cwd: folder, env: { SOURCE_DATE_EPOCH: "1700000000" } });
  return fs.readFileSync(path.join(folder, "image.itb"));
}

/** U-Boot at its prompt, with the volume as the first partition of a disk. */
async function atPrompt(t: TestContext, size: number, type: FatType, files: Files): Promise<Guest> {
  const image = path.join(temporaryFolder(t), "disk.img");
  const device = new FileDevice(image, size + 2 * MiB);
  try {
    await writeMbr(device, { signature: 1, partitions: [{ number: 1, start: MiB, size, type: "fat32-lba" }] });
    const options = { ...OPTIONS, type, label: "BOOT" };
    assert.equal((await writeFat(slice(device, MiB, size), treeOf(files), options)).type, type);
  } finally {
    device.close();
  }
  const plan = loadPlan("qemu-arm", { folder: "/" });
  const guest = Guest.start(
    t,
    qemuCommand(emulatedMachine(plan), { path: image, format: "raw" }, ubootStart(plan, UBOOT)),
  );
  await guest.waitFor("stop autoboot");
  guest.type("");
  await guest.waitFor("=> ");
  await ask(guest, "virtio scan");
  return guest;
}

/** What U-Boot prints for a command. */
async function ask(guest: Guest, command: string): Promise<string> {
  guest.type(command);
  await guest.waitFor(`${command}\n`);
  // `crc32` prints an arrow of its own.
  return (await guest.waitFor(/(^|\n)=> /)).slice(0, -"=> ".length);
}

for (const [type, size] of [
  [12, 12 * MiB],
  [16, 40 * MiB],
  [32, 64 * MiB],
] as const) {
  test(`U-Boot lists a FAT${type} and loads its files`, async (t) => {
    if (lacks(t, "qemu-system-arm", "mkimage", "dtc")) return;
    const files: Files = { ...FILES, "image.itb": fitImage(t) };
    const guest = await atPrompt(t, size, type, files);
    assert.match(await ask(guest, "fatinfo virtio 0:1"), new RegExp(`Filesystem: FAT${type} "BOOT`));
    const listed = await ask(guest, "fatls virtio 0:1");
    const names = [...listed.matchAll(/^ +(?:(\d+) +)?(\S.*)$/gm)].map(([, bytes, name]) => [
      name,
      Number(bytes ?? -1),
    ]);
    const top = Object.entries(files).filter(([name]) => !name.includes("/"));
    const expected = [...top.map(([name, { length }]) => [name, length]), ["one/", -1]];
    assert.deepEqual(names.sort(), expected.sort());
    assert.match(await ask(guest, "fatls virtio 0:1 one/two/three/four/five/six"), / 70000 +deep\.dtbo/);
    for (const [name, bytes] of Object.entries(files)) {
      if (bytes.length === 0) continue;
      const loaded = await ask(guest, `load virtio 0:1 $loadaddr "${name}"`);
      assert.match(loaded, new RegExp(`^${bytes.length} bytes read`, "m"), name);
      const sum = crc32(bytes).toString(16).padStart(8, "0");
      assert.match(await ask(guest, "crc32 $loadaddr $filesize"), new RegExp(`==> ${sum}`), name);
    }
    await ask(guest, "load virtio 0:1 $loadaddr IMAGE.ITB");
    assert.match(await ask(guest, "iminfo $loadaddr"), /kernel\): sha256\+/);
    guest.kill();
  });
}
