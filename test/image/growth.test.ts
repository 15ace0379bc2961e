import assert from "node:assert/strict";
import { test } from "node:test";
import { userdataGrowth } from "../../src/image/growth.js";
import { partitionWithRole } from "../../src/image/plan.js";
import { writeMbr } from "../../src/partition/index.js";
import { loadPlan } from "../../src/profile/load.js";
import { MiB, makeDisk, readTable } from "../partition/disk.js";

const growthOf = (profile: string, ...set: string[]) => {
  const plan = loadPlan(profile, { folder: "/", set });
  return userdataGrowth(plan, partitionWithRole(plan, "userdata")!);
};

test("UserData grows where it is the last partition, and not over what is reserved", () => {
  assert.deepEqual(growthOf("qemu-arm64"), { extended: undefined, reserved: [] });
  assert.equal(growthOf("qemu-arm64", "overlay.grow=false"), undefined);
  assert.equal(growthOf("qemu-arm64", "partitions.userdata.hybrid=true"), undefined);
  const plan = loadPlan("qemu-arm64", { folder: "/" });
  const userdata = partitionWithRole(plan, "userdata")!;
  const reserved = [{ name: "calibration", start: 2 ** 30, size: 4096 }];
  assert.deepEqual(userdataGrowth({ ...plan, storage: { ...plan.storage, reserved } }, userdata)?.reserved, [2 ** 30]);
  assert.equal(userdataGrowth({ ...plan, partitions: plan.partitions.toReversed() }, userdata), undefined);
});

test("a logical UserData: the extended partition's number is what the writer of the table gives it", async (t) => {
  const plan = loadPlan("qemu-arm64", { folder: "/" });
  const [bootfs, rootfs, userdata] = plan.partitions;
  for (const numbers of [
    [1, 2, 5],
    [1, 4, 5],
    [2, 4, 5],
    [3, 4, 5],
  ] as const) {
    const partitions = [bootfs!, rootfs!, userdata!].map((partition, i) => ({ ...partition, number: numbers[i]! }));
    const image = await makeDisk(t, 64 * MiB, (disk) =>
      writeMbr(disk, {
        signature: 1,
        partitions: numbers.map((number, i) => ({ number, start: (4 + 8 * i) * MiB, size: 4 * MiB, type: "linux" })),
      }),
    );
    const mbr = { ...plan, partitions, storage: { ...plan.storage, table: "mbr" as const } };
    assert.equal(userdataGrowth(mbr, partitions[2]!)?.extended, (await readTable(image)).extended[0]!.number);
  }
});
