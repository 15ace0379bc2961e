/** The early script, as far as it runs without a kernel of its own; test/boot boots it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const SCRIPT = path.resolve(import.meta.dirname, "../../../src/initramfs/early.sh");

/** What the script defines, without what it does. */
const [FUNCTIONS] = fs.readFileSync(SCRIPT, "utf8").split("# What is above defines functions only") as [string, string];

test("the script is clean under shellcheck, dash and busybox ash", (t) => {
  if (lacks(t, "shellcheck", "dash", "busybox")) return;
  run("shellcheck", ["--shell=sh", "--severity=style", SCRIPT]);
  run("dash", ["-n", SCRIPT]);
  run("busybox", ["sh", "-n", SCRIPT]);
});

function disk(t: Parameters<typeof temporaryFolder>[0], script: string): string {
  const image = path.join(temporaryFolder(t), "disk.img");
  fs.writeFileSync(image, "");
  fs.truncateSync(image, 64 * 2 ** 20);
  run("sfdisk", ["--quiet", image], { input: Buffer.from(script) });
  return image;
}

/** Finds `partuuid` with /dev and /sys/block made up: one disk, whose partitions have these numbers. */
function find(
  t: Parameters<typeof temporaryFolder>[0],
  image: string,
  partuuid: string,
  numbers: number[],
  block = 512,
) {
  const folder = temporaryFolder(t);
  for (const number of numbers) {
    fs.mkdirSync(path.join(folder, `sys/block/disk/disk${number}`), { recursive: true });
    fs.writeFileSync(path.join(folder, `sys/block/disk/disk${number}/partition`), `${number}\n`);
  }
  fs.mkdirSync(path.join(folder, "sys/block/disk/queue"));
  fs.writeFileSync(path.join(folder, "sys/block/disk/queue/logical_block_size"), `${block}\n`);
  fs.mkdirSync(path.join(folder, "dev"));
  fs.symlinkSync(image, path.join(folder, "dev/disk"));
  const script = path.join(folder, "early.sh");
  fs.writeFileSync(script, FUNCTIONS.replace(/\/(?=(?:dev|sys)\/)/g, `${folder}/`));
  const device = run(
    "busybox",
    ["sh", "-c", `. ${script}; PATH=$HOST_PATH; find_partuuid ${partuuid}; echo "$device"`],
    {
      env: { HOST_PATH: process.env.PATH! },
    },
  );
  return device.trim().replace(`${folder}/dev/disk`, "");
}

test("the partition of an MBR's PARTUUID is found", (t) => {
  if (lacks(t, "busybox", "sfdisk")) return;
  for (const id of ["0x1234abcd", "0x00000007", "0xfffefdfc"]) {
    const image = disk(t, `label: dos\nlabel-id: ${id}\nsize=8M,type=c\nsize=8M,type=83\nsize=8M,type=5\n,1M,L\n`);
    const table = JSON.parse(run("sfdisk", ["--json", image])) as { partitiontable: { id: string } };
    const shown = table.partitiontable.id.slice(2);
    assert.equal(find(t, image, `${shown}-02`, [1, 2, 12]), "2");
    assert.equal(find(t, image, `${shown}-0c`, [1, 2, 12]), "12");
    assert.equal(find(t, image, `${shown}-03`, [1, 2, 12]), "");
    assert.equal(find(t, image, "1234abce-02", [1, 2, 12]), "");
  }
});

test("the partition of a GPT's PARTUUID is found", (t) => {
  if (lacks(t, "busybox", "sfdisk")) return;
  const image = disk(t, "label: gpt\nsize=8M\nsize=8M,uuid=0FC63DAF-8483-4772-8E79-3D69D8477DE4\n\nsize=1M\n");
  const table = JSON.parse(run("sfdisk", ["--json", image])) as { partitiontable: { partitions: { uuid: string }[] } };
  const uuids = table.partitiontable.partitions.map(({ uuid }) => uuid.toLowerCase());
  assert.equal(uuids[1], "0fc63daf-8483-4772-8e79-3d69d8477de4");
  uuids.forEach((uuid, i) => {
    assert.equal(find(t, image, uuid, [1, 2, 3]), `${i + 1}`);
  });
  assert.equal(find(t, image, "0fc63daf-8483-4772-8e79-3d69d8477de5", [1, 2, 3]), "");
  // A GUID is not looked for on a disk without a GPT, nor what is no PARTUUID anywhere.
  assert.equal(find(t, disk(t, "label: dos\nsize=8M\n"), uuids[0]!, [1]), "");
  for (const odd of ["zzzzzzzz-zz", "1234", "'$(reboot)'", "1234-"]) assert.equal(find(t, image, odd, [1]), "");
});

test("... with blocks of 4096 bytes, and entries where sgdisk moved them", (t) => {
  if (lacks(t, "busybox", "sgdisk", "sfdisk")) return;
  const image = disk(t, "label: gpt\nsize=8M\nsize=8M\n");
  const guid = "01234567-89ab-cdef-8123-456789abcdef";
  run("sgdisk", ["--move-main-table=64", `--partition-guid=2:${guid}`, image]);
  assert.equal(find(t, image, guid, [1, 2]), "2");

  // The same header and entries, laid out in larger blocks.
  const small = fs.readFileSync(image);
  const large = Buffer.alloc(2 ** 20);
  small.copy(large, 4096, 512, 1024);
  small.copy(large, 64 * 4096, 64 * 512, 65 * 512);
  fs.writeFileSync(`${image}.4k`, large);
  assert.equal(find(t, `${image}.4k`, guid, [1, 2], 4096), "2");
  assert.equal(find(t, `${image}.4k`, guid, [1, 2], 512), "");
});
