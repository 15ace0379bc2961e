/**
 * What a device writes when UserData grows at its first boot is recorded and replayed: after each write of the partition table,
 * which sfdisk does not sync, and after flushes while the file system grows. Each point is looked at from outside; some are booted
 * by the kernel and grow to the end.
 *
 * GROWTHS=all boots all of them.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { MemoryDevice } from "../../src/bytes/device.js";
import { readPartitionTable } from "../../src/partition/index.js";
import { Guest } from "../support/guest.js";
import { afterCut, type LoggedWrite, readLog, recorded } from "../support/log-writes.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { cutPower } from "./gate.js";
import { growingPrograms } from "./growing-programs.js";
import { bootCommand, buildImage, DEMO, PROJECT, type TestImage } from "./image.js";
import { checkUserdata, openUserdata } from "./userdata-check.js";

const ALL = process.env.GROWTHS === "all";
const MiB = 2 ** 20;
const MEDIUM = 192 * MiB;

test(`the power fails while UserData grows at the first boot: ${ALL ? "all" : "some"} points are booted`, async (t) => {
  if (lacks(t, "qemu-system-aarch64", "e2fsck", "sgdisk")) return;
  const folder = temporaryFolder(t);
  const demo = path.join(DEMO, "arm64");
  const built = buildImage(folder, "qemu-arm64", [
    ...[
      path.join(demo, "rootfs"),
      growingPrograms(path.join(folder, "tools")),
      "--boot-files",
      path.join(demo, "boot"),
    ],
    ...["--devices", path.join(PROJECT, "fixtures/demo/devices.txt")],
    ...["storage.size=96MiB", "partitions.bootfs.size=32MiB", "partitions.rootfs.size=24MiB"].flatMap((value) => [
      "--set",
      value,
    ]),
  ]);
  const disk = path.join(folder, "disk.img");
  fs.copyFileSync(built.image, disk);
  fs.truncateSync(disk, MEDIUM);
  const before = fs.readFileSync(disk);

  const log = path.join(folder, "log");
  fs.writeFileSync(log, "");
  const { program, args } = await bootCommand(built, disk);
  const guest = Guest.start(t, { program, args: recorded(log)(args) });
  await guest.logIn();
  await assertGrown(guest);
  await cutPower(guest);
  const writes = readLog(log);
  fs.rmSync(log);

  const points = pointsOf(writes, built);
  t.diagnostic(`${writes.length} writes, ${points.length} points`);
  const torn: number[] = [];
  const growing: number[] = [];
  for (const count of points) {
    if (await lookAt(at(count), `after ${count} of ${writes.length} writes`)) torn.push(count);
    if (await growsByJournal(at(count))) growing.push(count);
  }

  assert.ok(torn.length > 0, "some point has half of a table");
  assert.ok(growing.length > 0, "some point has the larger file system in the journal alone");
  for (const count of ALL ? points : [torn[0]!, growing[0]!]) {
    fs.writeFileSync(disk, at(count));
    const again = Guest.start(t, await bootCommand(built, disk));
    await again.logIn();
    await assertGrown(again);
    await again.run("sync");
    await cutPower(again);
    const after = fs.readFileSync(disk);
    await lookAt(after, `booted after ${count} of ${writes.length} writes`);
    assert.match(run("sgdisk", ["-v", disk]), /^No problems found/m);
    t.diagnostic(`booted after ${count} of ${writes.length} writes`);
  }

  /** With all that was written by then; a disk that lost some of it is that of another point, but for writes that overlap. */
  function at(count: number): Buffer {
    return afterCut(before, 0, writes, count, () => true);
  }

  /** Whether the file system is larger once its journal has been replayed, which the kernel does not expect when it mounts it. */
  async function growsByJournal(content: Buffer): Promise<boolean> {
    const userdata = content.subarray(built.userdata.offset);
    const { blocks } = (await openUserdata(userdata)).facts;
    // s_blocks_count_lo of the superblock.
    return blocks > userdata.readUInt32LE(1024 + 4);
  }

  /** Fails unless UserData is in order, and its partition in the table. Returns whether it is the backup that says so. */
  async function lookAt(content: Buffer, what: string): Promise<boolean> {
    try {
      const { partitions, problems } = await readPartitionTable(new MemoryDevice(content));
      const { number, offset, size } = built.userdata;
      const userdata = partitions.find((found) => found.number === number);
      assert.ok(userdata?.start === offset && userdata.size >= size, JSON.stringify(userdata));
      await checkUserdata(content.subarray(offset, offset + userdata.size));
      return problems.some(({ message }) => message.startsWith("the primary GPT is broken"));
    } catch (error) {
      throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
    }
  }
});

async function assertGrown(guest: Guest): Promise<void> {
  const grown = await guest.run("cat /userdata/grown; cat /sys/class/block/vda/size; df -m /userdata | tail -n 1");
  const [, record, size, megabytes] = /^(\d+) \d+\n(\d+)\n\S+ +(\d+) /.exec(grown) ?? [];
  assert.equal(record, String(MEDIUM / 512), grown);
  assert.equal(size, record);
  assert.ok(Number(megabytes) > 100, grown);
  assert.equal((await guest.try("cat /run/imgbuild/degraded")).status, 1);
}

/** Numbers of writes: each of the table, and one before it; then flushes of UserData, as long as it grows. */
function pointsOf(writes: readonly LoggedWrite[], { userdata }: TestImage): number[] {
  const ofTable = writes.flatMap(({ at, bytes }, i) =>
    bytes.length > 0 && (at < MiB || at >= MEDIUM - MiB) ? [i + 1] : [],
  );
  assert.ok(ofTable.length >= 4, "sfdisk writes both copies, headers and entries");
  const flushes = writes.flatMap(({ flush }, i) => (flush && i + 1 > ofTable.at(-1)! ? [i + 1] : []));
  assert.ok(
    writes.some(({ at }) => at >= userdata.offset + userdata.size),
    "what was gained is used",
  );
  return [ofTable[0]! - 1, ...ofTable, ...flushes];
}
