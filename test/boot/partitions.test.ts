/** Partition tables as U-Boot reads them: `part list`, `part uuid` and its search for the bootable partition. */
import assert from "node:assert/strict";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import type { Device } from "../../src/bytes/device.js";
import {
  type GptPartition,
  gptType,
  type MbrPartition,
  mbrType,
  writeGpt,
  writeMbr,
} from "../../src/partition/index.js";
import { loadPlan } from "../../src/profile/load.js";
import { qemuCommand } from "../../src/qemu/command.js";
import { emulatedMachine, ubootStart } from "../../src/qemu/start.js";
import { DISK, guid, MiB, makeDisk } from "../partition/disk.js";
import { imgbuild } from "../support/cli.js";
import { Guest } from "../support/guest.js";
import { lacks, temporaryFolder } from "../support/tools.js";

const PROJECT = path.resolve(import.meta.dirname, "../../..");
const UBOOT = path.join(PROJECT, ".cache/debian/armhf/usr/lib/u-boot/qemu_arm/u-boot.bin");

/** What U-Boot prints for each of `commands`, with the disk that `write` makes attached. */
async function ask(
  t: TestContext,
  write: (device: Device) => Promise<void>,
  ...commands: readonly string[]
): Promise<string[]> {
  const image = await makeDisk(t, 64 * MiB, write);
  const plan = loadPlan("qemu-arm", { folder: "/" });
  const command = qemuCommand(emulatedMachine(plan), { path: image, format: "raw" }, ubootStart(plan, UBOOT));
  const guest = Guest.start(t, command);
  await guest.waitFor("stop autoboot");
  guest.type("");
  await guest.waitFor("=> ");
  const answers: string[] = [];
  for (const line of ["virtio scan", ...commands]) {
    guest.type(line);
    await guest.waitFor(`${line}\n`);
    answers.push((await guest.waitFor("=> ")).slice(0, -"=> ".length));
  }
  guest.kill();
  return answers.slice(1);
}

/** The rows of a table of an MBR: number, first sector, sectors, UUID, type, flags. */
const mbrRows = (text: string) =>
  [...text.matchAll(/^ +(\d+)\t(\d+) *\t(\d+) *\t(\S+)\t(\S+)( Extd)?( Boot)?$/gm)].map(
    ([, number, start, size, uuid, type, extended, boot]) => [
      ...[Number(number), Number(start) * 512, Number(size) * 512, uuid, Number(`0x${type}`)],
      ...[extended !== undefined, boot !== undefined],
    ],
  );

/** The rows of a GPT: number, first byte, size, name, attributes, type, GUID. */
const gptRows = (text: string) =>
  [
    ...text.matchAll(
      /^ +(\d+)\t0x([0-9a-f]+)\t0x([0-9a-f]+)\t"(.*)"\n\tattrs:\t(0x[0-9a-f]+)\n\ttype:\t(\S+)\n(?:\t\(.*\)\n)?\tguid:\t(\S+)$/gm,
    ),
  ].map(([, number, first, last, name, attributes, type, own]) => [
    ...[Number(number), Number.parseInt(first!, 16) * 512],
    (Number.parseInt(last!, 16) + 1 - Number.parseInt(first!, 16)) * 512,
    ...[name, BigInt(attributes!), type, own],
  ]);

test("U-Boot lists the primary and logical partitions of an MBR, and boots from the active one", async (t) => {
  if (lacks(t, "qemu-system-arm")) return;
  const partitions: MbrPartition[] = [
    { number: 1, start: 4 * MiB, size: 4 * MiB, type: "fat32-lba" },
    { number: 2, start: 8 * MiB, size: 4 * MiB, type: "linux" },
    ...Array.from({ length: 7 }, (_, i) => ({
      ...{ number: 5 + i, start: (14 + 4 * i) * MiB, size: 2 * MiB, type: "linux", recordAt: (13 + 4 * i) * MiB },
      active: i === 1,
    })),
  ];
  const [list, bootable, uuid] = await ask(
    t,
    (device) => writeMbr(device, { signature: 0xab, partitions }),
    ...["part list virtio 0", "part list virtio 0 -bootable found; echo $found", "part uuid virtio 0:b"],
  );
  assert.match(list!, /Partition Type: DOS/);
  const expected = partitions.map(({ number, start, size, type, active = false }) => {
    const uuid = `000000ab-${number.toString(16).padStart(2, "0")}`;
    return [number, start, size, uuid, mbrType(type), false, active];
  });
  const extended = [4, 13 * MiB, 27 * MiB, "000000ab-04", 0x0f, true, false];
  assert.deepEqual(mbrRows(list!), expected.toSpliced(2, 0, extended));
  assert.equal(bootable!.trim(), "6");
  // U-Boot counts in hexadecimal.
  assert.equal(uuid!.trim(), "000000ab-0b");
});

const GPT: readonly GptPartition[] = [
  { number: 1, start: 4 * MiB, size: 8 * MiB, type: "basic-data", guid: guid(1), name: "boot" },
  { number: 2, start: 12 * MiB, size: 8 * MiB, type: "linux", guid: guid(2), name: "root", active: true },
  { number: 4, start: 24 * MiB, size: 4 * MiB, type: "uboot-env", guid: guid(4), attributes: ["required"] },
];

const SHAPES = {
  "a GPT": { partitions: GPT },
  "a GPT with room for 4": { partitions: GPT, entryCount: 4 },
  "a GPT with room for 7, further back": { partitions: GPT, entryCount: 7, entriesAt: 320 * 1024 },
  "a hybrid MBR's GPT": { partitions: GPT.map((partition, i) => ({ ...partition, hybrid: i < 2 ? "linux" : 0xda })) },
};

for (const [name, options] of Object.entries(SHAPES)) {
  test(`U-Boot lists ${name}, and boots from the partition with the legacy boot attribute`, async (t) => {
    if (lacks(t, "qemu-system-arm")) return;
    const [list, bootable, uuid] = await ask(
      t,
      (device) => writeGpt(device, { diskGuid: DISK, ...options }),
      ...["part list virtio 0", "part list virtio 0 -bootable found; echo $found", "part uuid virtio 0:4"],
    );
    assert.match(list!, /Partition Type: EFI/);
    assert.deepEqual(
      gptRows(list!),
      GPT.map(({ number, start, size, name: called = "", type, guid: own, active, attributes }) => [
        ...[number, start, size, called],
        ...[(active ? 4n : 0n) | (attributes ? 1n : 0n), gptType(type), own],
      ]),
    );
    assert.equal(bootable!.trim(), "2");
    assert.equal(uuid!.trim(), guid(4));
  });
}

test("U-Boot, too, takes the MBR where a GPT has no protective entry any more, and the backup of a broken GPT", async (t) => {
  if (lacks(t, "qemu-system-arm")) return;
  const [stale] = await ask(
    t,
    async (device) => {
      await writeGpt(device, { diskGuid: DISK, partitions: GPT });
      await writeMbr(device, { signature: 0xab, partitions: [{ number: 1, start: MiB, size: MiB, type: "linux" }] });
    },
    "part list virtio 0",
  );
  assert.deepEqual(mbrRows(stale!), [[1, MiB, MiB, "000000ab-01", 0x83, false, false]]);
  const [broken] = await ask(
    t,
    async (device) => {
      await writeGpt(device, { diskGuid: DISK, partitions: GPT });
      await device.write(1024 + 40, Uint8Array.of(9));
    },
    "part list virtio 0",
  );
  assert.deepEqual(
    gptRows(broken!).map(([number]) => number),
    [1, 2, 4],
  );
});

test("an image boots whose root and UserData are logical partitions", async (t) => {
  if (lacks(t, "qemu-system-arm")) return;
  const demo = path.join(PROJECT, "out/demo/armhf");
  const folder = temporaryFolder(t);
  const set = [
    ...["storage.size=256MiB", "partitions.rootfs.size=64MiB"],
    ...["partitions.rootfs.number=5", "partitions.userdata.number=6"],
  ];
  const built = imgbuild([
    ...["--profile", "qemu-arm", path.join(demo, "rootfs"), "--boot-files", path.join(demo, "boot")],
    ...["--devices", path.join(PROJECT, "fixtures/demo/devices.txt"), "--output", folder],
    ...set.flatMap((setting) => ["--set", setting]),
  ]);
  assert.equal(built.status, 0, built.stderr);
  const plan = loadPlan("qemu-arm", { folder: "/" });
  const disk = { path: path.join(folder, "emmc.img"), format: "raw" as const };
  const guest = Guest.start(t, qemuCommand(emulatedMachine(plan), disk, ubootStart(plan, UBOOT)));
  await guest.logIn();
  assert.match(await guest.run("cat /proc/cmdline"), /root=PARTUUID=[0-9a-f]{8}-05 /);
  assert.match(await guest.run("cat /proc/mounts"), /^\/dev\/vda6 \S+ ext4 rw/m);
  assert.match(await guest.run("grep ' /home/root ' /proc/mounts"), /^overlay/);
  guest.kill();
});
