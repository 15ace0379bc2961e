/** The early script, as far as it runs without a kernel of its own; test/boot boots it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const SCRIPT = path.resolve(import.meta.dirname, "../../../src/initramfs/early.sh");

/** Runs shell code after the script's functions, by busybox ash as on the device. */
function call(code: string): string {
  return run("busybox", ["sh", "-c", `. ${SCRIPT}; PATH=$HOST_PATH; ${code}`], {
    env: { IMGBUILD_TEST: "yes", HOST_PATH: process.env.PATH! },
  }).trim();
}

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

test("PARTUUIDs of an MBR are those that sfdisk shows", (t) => {
  if (lacks(t, "busybox", "sfdisk")) return;
  for (const id of ["0x1234abcd", "0x00000007", "0xfffefdfc"]) {
    const image = disk(t, `label: dos\nlabel-id: ${id}\nsize=8M,type=c\nsize=8M,type=83\nsize=8M,type=5\n,1M,L\n`);
    const { partitiontable } = JSON.parse(run("sfdisk", ["--json", image])) as { partitiontable: { id: string } };
    for (const [number, suffix] of [
      [1, "01"],
      [3, "03"],
      [12, "0c"],
    ]) {
      assert.equal(call(`mbr_partuuid ${image} ${number}`), `${partitiontable.id.slice(2)}-${suffix}`);
    }
  }
});

test("PARTUUIDs of a GPT are those that sfdisk shows", (t) => {
  if (lacks(t, "busybox", "sfdisk")) return;
  const image = disk(t, "label: gpt\nsize=8M\nsize=8M,uuid=0FC63DAF-8483-4772-8E79-3D69D8477DE4\n\nsize=1M\n");
  const table = JSON.parse(run("sfdisk", ["--json", image])) as { partitiontable: { partitions: { uuid: string }[] } };
  assert.ok(table.partitiontable.partitions.length >= 3);
  table.partitiontable.partitions.forEach(({ uuid }, i) => {
    assert.equal(call(`gpt_partuuid ${image} ${i + 1} 512`), uuid.toLowerCase());
  });
  // The kernel takes a disk for GPT by its header only, and so does the script.
  const mbr = disk(t, "label: dos\nsize=8M\n");
  assert.equal(call(`gpt_partuuid ${mbr} 1 512 || true`), "");
});

test("PARTUUIDs of a GPT with blocks of 4096 bytes, and entries where sgdisk moved them", (t) => {
  if (lacks(t, "busybox", "sgdisk", "sfdisk")) return;
  const image = disk(t, "label: gpt\nsize=8M\n");
  run("sgdisk", ["--move-main-table=64", "--partition-guid=1:01234567-89AB-CDEF-8123-456789ABCDEF", image]);
  assert.equal(call(`gpt_partuuid ${image} 1 512`), "01234567-89ab-cdef-8123-456789abcdef");

  // The same header and entries, laid out in larger blocks.
  const small = fs.readFileSync(image);
  const large = Buffer.alloc(2 ** 20);
  small.copy(large, 4096, 512, 1024);
  small.copy(large, 64 * 4096, 64 * 512, 65 * 512);
  fs.writeFileSync(`${image}.4k`, large);
  assert.equal(call(`gpt_partuuid ${image}.4k 1 4096`), "01234567-89ab-cdef-8123-456789abcdef");
});
