import assert from "node:assert/strict";
import { test } from "node:test";
import { type Device, MemoryDevice } from "../../src/bytes/device.js";
import { type MbrPartition, writeGpt, writeMbr } from "../../src/partition/index.js";
import { DISK, guid, MiB } from "./disk.js";

test("what the tables cannot hold is refused, with both sides named and a way out", async () => {
  const device = new MemoryDevice(64 * MiB);
  const refuse = async (
    partitions: MbrPartition[],
    message: RegExp,
    hint: RegExp,
    kind: "mbr" | "gpt" | "both" = "both",
  ) => {
    const error = { code: "layout-conflict", message, hint };
    if (kind !== "gpt") await assert.rejects(writeMbr(device, { signature: 1, partitions }), error);
    const named = partitions.map((partition, i) => ({ ...partition, guid: guid(i) }));
    if (kind !== "mbr") await assert.rejects(writeGpt(device, { diskGuid: DISK, partitions: named }), error);
    assert.ok(
      device.bytes.subarray(0, MiB).every((byte) => byte === 0),
      "nothing is written",
    );
  };
  const one = { number: 1, start: 4 * MiB, size: 8 * MiB, type: "linux" };
  const two = { number: 2, start: 12 * MiB, size: 8 * MiB, type: "linux" };
  await refuse(
    [two, { ...one, size: 9 * MiB }],
    /partition 1 .* and partition 2 .* overlap/,
    /partition 2 start at 13631488/,
  );
  await refuse([one, { ...two, start: 4 * MiB }], /partition 1 .* and partition 2 .* overlap/, /8388608 bytes smaller/);
  await refuse(
    [one, { ...two, size: 60 * MiB }],
    /partition 2 .* leaves the disk of 67108864 bytes by 8388608/,
    /72 MiB/,
  );
  await refuse(
    [{ ...one, start: 4 * MiB + 1 }],
    /start of partition 1, 4194305 bytes.*sectors of 512/,
    /multiple of 512/,
  );
  await refuse([{ ...one, size: 700 }], /size of partition 1, 700 bytes/, /multiple of 512/);
  await refuse([{ ...one, size: 0 }], /partition 1 has no size/, /leave it out/);
  await refuse([one, { ...two, number: 1 }], /two partitions have the number 1/, /of its own/);
  await refuse([{ ...one, number: 0 }], /has no partition 0/, /./);
  await refuse([{ ...one, start: 0 }], /partition 1 .* lies over the MBR/, /start at 512/, "mbr");
  await refuse([{ ...one, start: 33 * 512 }], /partition 1 .* lies over the GPT/, /start at 17408/, "gpt");
  await refuse([{ ...one, size: 60 * MiB }], /lies over the backup GPT/, /end at 67091968/, "gpt");
  await refuse([{ ...one, type: "squash" }], /"squash" is not a type.* MBR/, /fat32-lba/, "mbr");
  await refuse([{ ...one, type: 0 }], /"0" is not a type/, /0x01 to 0xff/, "mbr");
  await refuse([{ ...one, type: 0x83 }], /"131" is not a type.* GPT/, /basic-data/, "gpt");
  await refuse(
    [
      { ...one, active: true },
      { ...two, active: true },
    ],
    /1 and 2 are both active/,
    /one of them/,
    "mbr",
  );
  await assert.rejects(writeMbr(new MemoryDevice(1000), { signature: 1, partitions: [] }), {
    hint: /up to 1024 bytes/,
  });
  await assert.rejects(writeGpt(new MemoryDevice(60 * 512), { diskGuid: DISK, partitions: [] }), /no room for a GPT/);
  const huge = { size: 3 * 2 ** 40 } as Device;
  await assert.rejects(writeMbr(huge, { signature: 1, partitions: [{ ...one, size: 2.5 * 2 ** 40 }] }), {
    hint: "Use a GPT.",
  });
  const hybrid = { ...one, size: 2.5 * 2 ** 40, guid: DISK, name: "data", hybrid: "linux" };
  await assert.rejects(writeGpt(huge, { diskGuid: DISK, partitions: [hybrid] }), {
    message: /^partition 1 \(data\) ends at byte 2748783263744, and the hybrid MBR reaches to 2199023255552$/,
  });
  await assert.rejects(
    writeGpt(device, { diskGuid: DISK, partitions: [one, two].map((partition) => ({ ...partition, guid: DISK })) }),
    /partitions 1 and 2 have the same GUID/,
  );
  await assert.rejects(
    writeGpt(device, { diskGuid: DISK, partitions: [{ ...one, guid: DISK, name: "n".repeat(37) }] }),
    /does not fit into 36 UTF-16 units/,
  );
});
