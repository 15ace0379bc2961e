import assert from "node:assert/strict";
import { test } from "node:test";
import { gptType, mbrType, PARTITION_TYPES } from "../../src/partition/index.js";
import { lacks, run } from "../support/tools.js";

test("types are what sfdisk calls them", async (t) => {
  if (lacks(t, "sfdisk")) return;
  const listOf = (label: string) =>
    run("sfdisk", ["--list-types", "--label", label])
      .split("\n")
      .map((line) => /^ *([0-9A-Fa-f-]+) +(.*?) *$/.exec(line))
      .filter((match) => match !== null)
      .map(([, id, name]): [string, string] => [id!.toLowerCase(), name!]);
  const mbrNames = new Map(listOf("dos"));
  const gptNames = new Map(listOf("gpt"));
  const called = (name: string) => [mbrNames.get(mbrType(name).toString(16)), gptNames.get(gptType(name))];
  assert.deepEqual(called("fat32-lba"), ["W95 FAT32 (LBA)", "Microsoft basic data"]);
  assert.deepEqual(called("linux"), ["Linux", "Linux filesystem"]);
  assert.deepEqual(called("raw"), ["Linux", "Linux filesystem"]);
  assert.deepEqual(called("linux-swap"), ["Linux swap / Solaris", "Linux swap"]);
  assert.deepEqual(called("esp"), ["EFI (FAT-12/16/32)", "EFI System"]);
  assert.equal(gptNames.get(gptType("bios-boot")), "BIOS boot");
  assert.equal(gptNames.get(gptType("xbootldr")), "Linux extended boot");
  assert.deepEqual([mbrNames.get("da"), mbrType("non-fs")], ["Non-FS data", 0xda]);
  assert.deepEqual(called("linux-lvm"), ["Linux LVM", "Linux LVM"]);
  assert.deepEqual(called("linux-raid"), ["Linux raid autodetect", "Linux RAID"]);
  const gpt: Record<string, string> = {
    "linux-home": "Linux home",
    "linux-srv": "Linux server data",
    "linux-var": "Linux variable data",
    "linux-tmp": "Linux temporary data",
    "linux-reserved": "Linux reserved",
    "chromeos-kernel": "ChromeOS kernel",
  };
  const kinds = { root: "root", usr: "/usr" };
  const machines = { arm: "ARM", arm64: "ARM-64", riscv64: "RISC-V-64", "x86-64": "x86-64" };
  for (const [kind, called] of Object.entries(kinds)) {
    for (const [machine, calledMachine] of Object.entries(machines)) {
      gpt[`linux-${kind}-${machine}`] = `Linux ${called} (${calledMachine})`;
      gpt[`linux-${kind}-${machine}-verity`] = `Linux ${called} verity (${calledMachine})`;
      gpt[`linux-${kind}-${machine}-verity-sig`] = `Linux ${called} verity sign. (${calledMachine})`;
    }
  }
  for (const [name, called] of Object.entries(gpt)) assert.equal(gptNames.get(gptType(name)), called, name);
  assert.deepEqual([mbrType("0x0C"), mbrType(12), mbrType("12")], [12, 12, 12]);
  for (const name of PARTITION_TYPES) if (name !== "non-fs") assert.match(gptType(name), /^[0-9a-f-]{36}$/, name);
});
