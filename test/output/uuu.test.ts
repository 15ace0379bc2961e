/** The script for NXP's uuu, as uuu itself reads it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { imgbuild, makeRoot, SMALL } from "../support/cli.js";
import { lacks, temporaryFolder } from "../support/tools.js";

const SMALLER = ["storage.size=80MiB", "partitions.bootfs.size=40MiB"].flatMap((setting) => ["--set", setting]);

/** Builds with --format uuu, with the bootloader's files `names`. */
function build(t: TestContext, names: readonly string[], options: readonly string[] = []) {
  const folder = temporaryFolder(t);
  const bootloader = path.join(folder, "bootloader");
  fs.mkdirSync(bootloader);
  // The smallest thing that uuu takes for an image with an image vector table.
  for (const name of names) fs.writeFileSync(path.join(bootloader, name), `${name} `.repeat(2000));
  const out = path.join(folder, "out");
  const more = [...SMALLER, ...options, "--format", "uuu", "--bootloader", bootloader];
  return { out, result: imgbuild([...SMALL, ...more, makeRoot(folder), "-o", out]) };
}

/** What uuu says of the script without a board. It waits for one when it finds nothing wrong. */
function dryRun(out: string): string {
  const { stdout, stderr } = spawnSync("uuu", ["-dry", out], { encoding: "utf8", timeout: 3000 });
  return stdout + stderr;
}

test("uuu takes the script, and finds every file that it names", (t) => {
  if (lacks(t, "uuu")) return;
  const { out, result } = build(t, ["SPL", "u-boot.img"]);
  assert.equal(result.status, 0, result.stderr);
  assert.doesNotMatch(dryRun(out), /Error/i);
  // It does look: a file that is missing, and a command that there is not.
  fs.renameSync(path.join(out, "u-boot.img"), path.join(out, "elsewhere"));
  assert.match(dryRun(out), /Error/);
  fs.renameSync(path.join(out, "elsewhere"), path.join(out, "u-boot.img"));
  fs.appendFileSync(path.join(out, "uuu.auto"), "FB: nonsense\n");
  assert.match(dryRun(out), /Error/);
});

test("an SPL with a file of its own for U-Boot, and one container for both", (t) => {
  const lines = (out: string) =>
    fs
      .readFileSync(path.join(out, "uuu.auto"), "utf8")
      .split("\n")
      .filter((line) => /^[A-Z]/.test(line));
  const two = build(t, ["SPL", "u-boot.img"]);
  const { artifacts } = JSON.parse(fs.readFileSync(path.join(two.out, "manifest.json"), "utf8"));
  const size = (name: string) => artifacts.find(({ file }: { file: string }) => file === name).size;
  const script = lines(two.out);
  assert.deepEqual(script.slice(0, 8), [
    "CFG: SDPV: -chip SPL -vid 0x1b67 -pid 0x4fff",
    "CFG: FB: -vid 0x1b67 -pid 0x4000",
    "SDP: boot -f SPL",
    "SDPV: delay 1000",
    "SDPV: write -f u-boot.img -addr 0x177fffc0",
    "SDPV: jump -addr 0x177fffc0",
    "FB: ucmd setenv fastboot_buffer 0x14420000",
    "FB: ucmd mmc dev 0 0",
  ]);
  const boot0 = script.indexOf("FB: download -f boot0.img");
  assert.deepEqual(script.slice(boot0, boot0 + 5), [
    "FB: download -f boot0.img",
    "FB: ucmd mmc dev 0 1",
    `FB: ucmd mmc write 0x14420000 0x0 0x${(size("boot0.img") / 512).toString(16)}`,
    "FB: ucmd mmc partconf 0 1 1 0",
    // What comes then goes to the user area again.
    "FB: ucmd mmc dev 0 0",
  ]);
  const one = build(
    t,
    ["imx-boot"],
    ["--set", "flash.uuu.rom=sdps", "--set", "flash.mmc=2", "--set", "bootloader.files=[{file: imx-boot, sector: 0}]"],
  );
  const sdps = lines(one.out);
  assert.ok(sdps.includes("SDPS: boot -f imx-boot"), one.result.stderr);
  assert.ok(sdps.includes("SDPV: write -f imx-boot -skipspl"));
  assert.ok(sdps.includes("FB: ucmd mmc partconf 2 1 1 0"));
});

/** U-Boot's configs/colibri_imx6_defconfig, and its default for the other. */
const CONFIG_FASTBOOT_BUF_ADDR = 0x14420000;
const CONFIG_FASTBOOT_BUF_SIZE = 0x7000000;

interface Written {
  /** Bytes of the eMMC's user area. */
  readonly start: number;
  readonly end: number;
}

/**
 * What the eMMC holds when U-Boot has done what the script says. `before` is what was on it; `onWrite` is called after each write
 * to its user area, and with none after each to a boot partition. A download comes to where U-Boot was built to have it; NXP's has it
 * at fastboot_buffer, if that is set.
 */
function played(
  out: string,
  uboot: "mainline" | "NXP's",
  before: Buffer,
  onWrite: (emmc: Buffer, written?: Written) => void = () => {},
): Buffer {
  const environment = new Map([["loadaddr", 0x14200000]]);
  const value = (text: string) => {
    const [, name] = /^\$\{(\w+)\}$/.exec(text) ?? [];
    const found = name === undefined ? Number.parseInt(text, 16) : environment.get(name);
    assert.ok(found !== undefined && !Number.isNaN(found), text);
    return found;
  };
  let buffer = Buffer.alloc(0);
  let downloadedTo = 0;
  let hardwarePartition = 0;
  for (const line of fs.readFileSync(path.join(out, "uuu.auto"), "utf8").split("\n")) {
    const [, command = ""] = /^FB: (.*)/.exec(line) ?? [];
    // "UCmd:" and a NUL are sent with it: FASTBOOT_COMMAND_LEN.
    assert.ok(command.replace("ucmd ", "").length + 6 <= 64, command);
    const download = /^download -f (.*)/.exec(command);
    const device = /^ucmd mmc dev 0 (\d)/.exec(command);
    const setenv = /^ucmd setenv (\w+) (\S+)$/.exec(command);
    const write = /^ucmd mmc write (\S+) (\S+) (\S+)$/.exec(command);
    if (download) {
      buffer = fs.readFileSync(path.join(out, download[1]!));
      assert.ok(buffer.length <= CONFIG_FASTBOOT_BUF_SIZE, line);
      const said = uboot === "mainline" ? undefined : environment.get("fastboot_buffer");
      downloadedTo = said ?? CONFIG_FASTBOOT_BUF_ADDR;
    }
    if (device) hardwarePartition = Number(device[1]);
    if (setenv) environment.set(setenv[1]!, value(setenv[2]!));
    if (write === null) continue;
    const from = value(write[1]!) - downloadedTo;
    const [start, length] = write.slice(2).map((text) => value(text) * 512) as [number, number];
    assert.ok(from >= 0 && from + length <= buffer.length, `what is not downloaded: ${line}`);
    if (hardwarePartition !== 0) {
      onWrite(before);
      continue;
    }
    assert.ok(start + length <= before.length, `behind the image's end: ${line}`);
    buffer.copy(before, start, from, from + length);
    onWrite(before, { start, end: start + length });
  }
  return before;
}

test("the eMMC holds the image afterwards, whatever was on it", (t) => {
  const { out } = build(t, ["SPL", "u-boot.img"], ["--format", "img"]);
  const image = fs.readFileSync(path.join(out, "emmc.img"));
  for (const uboot of ["mainline", "NXP's"] as const)
    assert.ok(played(out, uboot, Buffer.alloc(image.length)).equals(image), uboot);
  const file = path.join(out, "dirty.img");
  fs.writeFileSync(file, played(out, "mainline", Buffer.alloc(image.length, 0xa5)));
  const verified = imgbuild(["verify", file]);
  assert.equal(verified.status, 0, verified.stdout);
  // Between the table and the first partition nobody wrote anything: what was there stays.
  const compared = imgbuild(["diff", file, path.join(out, "emmc.img")]);
  for (const line of compared.stdout.trim().split("\n")) assert.match(line, /^changed (?:outside of partitions|boot0)/);
  const total = fs
    .readdirSync(path.join(out, "uuu"))
    .reduce((sum, name) => sum + fs.statSync(path.join(out, "uuu", name)).size, 0);
  assert.ok(total < image.length / 4, `${total} bytes go over the cable`);
});

/** The bootloader in the user area: what the i.MX6's boot ROM looks for is a sector or two behind the table. */
const IN_USER_AREA = ["bootloader.area=user", "bootloader.files=[{file: u-boot.imx, sector: 2}]"];

for (const { name, files, settings } of [
  { name: "an MBR, the bootloader in boot0", files: ["SPL", "u-boot.img"], settings: [] },
  { name: "a GPT, the bootloader in boot0", files: ["SPL", "u-boot.img"], settings: ["storage.table=gpt"] },
  { name: "an MBR, the bootloader in the user area", files: ["u-boot.imx"], settings: IN_USER_AREA },
])
  test(`a module that was flashed before does not start from half an image: ${name}`, (t) => {
    const options = settings.flatMap((setting) => ["--set", setting]);
    const { out, result } = build(t, files, [...options, "--format", "img"]);
    assert.equal(result.status, 0, result.stderr);
    const image = fs.readFileSync(path.join(out, "emmc.img"));
    // Where the cable may be pulled: after each write. Until the table is there, all of the first MiB that the image has is zeros.
    const zeros = Buffer.alloc(512);
    const sectors = Array.from({ length: 2048 }, (_, i) => image.subarray(512 * i, 512 * (i + 1)));
    const used = sectors.flatMap((sector, i) => (sector.equals(zeros) ? [] : [i]));
    let cleared = false;
    let behind = 0;
    let boot0 = 0;
    let whole = false;
    const emmc = played(out, "mainline", Buffer.from(image), (now, written) => {
      const left = used.filter((i) => !now.subarray(512 * i, 512 * (i + 1)).equals(zeros));
      if (left.length === 0) cleared = true;
      if (!cleared) {
        // Nothing is written before all of it is cleared.
        assert.ok(
          written !== undefined && written.end <= 2 ** 20,
          "something is written while the older image can be started",
        );
        return;
      }
      if (written === undefined) boot0++;
      if (written !== undefined && written.start >= 2 ** 20) behind++;
      // Once the first of it is back, everything else has been written.
      if (left.length > 0 && (written === undefined || written.start >= 2 ** 20))
        assert.fail("the first MiB was not the last");
      whole = left.length === used.length;
    });
    assert.ok(emmc.equals(image));
    assert.ok(whole && behind > 2);
    assert.equal(boot0, files.length === 2 ? 1 : 0);
  });

test("what the script would lack is said before anything is built", (t) => {
  const refuses = (names: readonly string[], settings: readonly string[], message: RegExp) => {
    const { result } = build(
      t,
      names,
      settings.flatMap((setting) => ["--set", setting]),
    );
    assert.notEqual(result.status, 0);
    assert.match(result.stderr, message);
  };
  refuses([], [], /uuu starts the board with SPL, which is not in the build/);
  refuses(["SPL", "u-boot.img"], ["flash.uuu=null"], /flash\.uuu/);
  refuses(["SPL", "u-boot.img"], ["flash.uuu.bufferAddress=null"], /CONFIG_FASTBOOT_BUF_ADDR of the board's U-Boot/);
  for (const name of ["my SPL", "../SPL", "-SPL", "a/SPL"])
    refuses([], [`bootloader.files=[{file: "${name}", sector: 2}]`], /its script cannot name "/);
});
