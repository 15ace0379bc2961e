/** Rules of boards: where bootloaders may lie, and what the Raspberry Pi's firmware reads. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { ImgbuildError } from "../../src/errors.js";
import { findBootFiles } from "../../src/image/boot-files.js";
import { boot0Size } from "../../src/image/boot0.js";
import { place } from "../../src/image/place.js";
import type { Plan } from "../../src/image/plan.js";
import type { Prepared } from "../../src/image/prepare.js";
import type { Manifest } from "../../src/output/manifest.js";
import { shippedProfiles } from "../../src/profile/document.js";
import { loadPlan } from "../../src/profile/load.js";
import { type Content, contentOf } from "../../src/tree/node.js";
import { imgbuild, makeRoot, SMALL } from "../support/cli.js";
import { temporaryFolder } from "../support/tools.js";

const load = (name: string, ...set: string[]): Plan => loadPlan(name, { folder: "/", set });
const KiB = 2 ** 10;
const MiB = 2 ** 20;

/** The length of boot0's content with files of these lengths. */
function boot0(plan: Plan, lengths: Readonly<Record<string, number>>): number | undefined {
  const files = Object.entries(lengths).map(([name, size]) => [name, { size } as Content] as const);
  return boot0Size(plan, { bootloader: new Map(files) } as unknown as Prepared);
}

function refusal(run: () => unknown): ImgbuildError {
  try {
    run();
  } catch (error) {
    if (error instanceof ImgbuildError) return error;
    throw error;
  }
  throw new assert.AssertionError({ message: "nothing was refused" });
}

// U-Boot, CONFIG_ENV_OFFSET=0xFFFFDE00: the environment is 0x2200 bytes in front of the end.
test("no bootloader reaches the environment and the identity at the end of boot0, however long boot0 is", () => {
  for (const size of [4 * MiB, 8 * MiB, 255 * 128 * KiB]) {
    const plan = load("verdin-imx8mp", `bootloader.size=${size}`);
    assert.equal(boot0(plan, { "imx-boot": size - 0x2200 }), size - 0x2200);
    const { code, message, hint, data } = refusal(() => boot0(plan, { "imx-boot": size - 0x2200 + 1 }));
    assert.equal(code, "does-not-fit");
    assert.match(message, /imx-boot ends at \d+, and bootloader\.reservedEnd keeps the last 8704 of its \d+ free/);
    assert.match(hint!, /bootloader\.size=/);
    assert.equal(data.over, 512);
  }
});

test("a board of the user's own keeps them too, and cannot say otherwise", (t) => {
  const folder = temporaryFolder(t);
  const board = path.join(folder, "board.yaml");
  const write = (reserved: string) =>
    fs.writeFileSync(
      board,
      `extends: three-partitions
architecture: arm
storage: { size: 1GiB }
boot: { kernel: zImage, console: ttyS0 }
bootloader: { area: boot0, size: 4MiB, ${reserved}files: [{ file: imx-boot, sector: 0 }] }
`,
    );
  write("");
  assert.equal(boot0(load(board), { "imx-boot": 4 * MiB - 0x2200 }), 4 * MiB - 0x2200);
  assert.equal(refusal(() => boot0(load(board), { "imx-boot": 4 * MiB - 0x2200 + 1 })).code, "does-not-fit");
  for (const less of [0, 0x21ff]) {
    write(`reservedEnd: ${less}, `);
    const { code, message } = refusal(() => load(board));
    assert.equal(code, "profile-invalid");
    assert.match(message, /bootloader\.reservedEnd needs 8704 or more/);
  }
  write("reservedEnd: 64KiB, ");
  assert.equal(refusal(() => boot0(load(board), { "imx-boot": 4 * MiB - 0xffff })).code, "does-not-fit");
});

test("an image without a bootloader leaves boot0 alone, and says that it does not leave the user area alone", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const notices = (area: string) =>
    imgbuild([...SMALL, root, "--dry-run", "--set", `bootloader.area=${area}`], { cwd: folder }).stderr;
  assert.match(notices("boot0"), /no bootloader \(SPL, u-boot\.img\) in .*: left out, the board keeps its own/);
  const inUserArea = notices("user");
  assert.match(inUserArea, /left out; flashing may overwrite one that is on the medium/);
  assert.doesNotMatch(inUserArea, /keeps its own/);
});

test("what is proposed for a bootloader that is too long is enough", () => {
  const lengths = { "imx-boot": 5 * MiB };
  const { data } = refusal(() => boot0(load("verdin-imx8mp"), lengths));
  assert.equal(boot0(load("verdin-imx8mp", data.remedy as string), lengths), 5 * MiB);
});

test("every Toradex module keeps the end of boot0, and starts its own bootloader if none is given", () => {
  const modules = shippedProfiles().filter((name) => load(name).bootloader?.area === "boot0");
  assert.equal(modules.length, 9);
  for (const name of modules) {
    assert.equal(load(name).bootloader!.reservedEnd, 0x2200, name);
    assert.equal(load(name).bootloader!.optional, true, name);
    assert.ok(load(name).tezi!.productIds.length > 0, name);
  }
});

test("a GPT over a bootloader 1 KiB behind the start of an SD card: both are named", () => {
  for (const name of ["colibri-imx6-sd", "apalis-imx6-sd", "sabrelite"]) {
    const plan = load(name, "storage.table=gpt");
    const { code, message } = refusal(() => place(plan, new Map()));
    assert.equal(code, "layout-conflict");
    assert.match(message, /the GPT \(bytes 0 to 17408\) overlaps bootloader file (SPL|u-boot\.imx) \(bytes 1024 to/);
  }
  // From boot0, and 32 KiB or more behind the start, it is in nobody's way.
  for (const name of ["colibri-imx6", "verdin-imx8mm-sd", "verdin-imx8mp-sd", "imx8mp-evk"])
    place(load(name, "storage.table=gpt"), new Map());
});

test("a bootloader that reaches into the first partition of an SD card is refused, at its length", () => {
  const plan = load("verdin-imx8mm-sd");
  place(plan, new Map(), new Map([["imx-boot", 4 * MiB - 33 * KiB]]));
  const { message } = refusal(() => place(plan, new Map(), new Map([["imx-boot", 4 * MiB - 33 * KiB + 1]])));
  assert.match(message, /bootloader file imx-boot .* overlaps partition bootfs/);
});

test("boot files: names have to be there, patterns keep their folder and may match nothing", () => {
  const content = contentOf(new Uint8Array(1));
  const names = [
    "firmware/overlays/a.dtbo",
    "firmware/overlays/b.dtbo",
    "firmware/start4.elf",
    "firmware/overlays/README",
  ];
  const sources = [{ where: "firmware", files: new Map(names.map((name) => [name, content])) }];
  const found = findBootFiles(sources, ["start4.elf", "overlays/*.dtbo", "*.bin"]);
  assert.deepEqual([...found.keys()], ["start4.elf", "overlays/a.dtbo", "overlays/b.dtbo"]);
  assert.match(
    refusal(() => findBootFiles(sources, ["fixup4.dat"])).message,
    /fixup4\.dat, which boot\.files asks for/,
  );
});

test("the Raspberry Pi's firmware is told the kernel, and the kernel the root's PARTUUID", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const boot = path.join(folder, "firmware");
  fs.mkdirSync(boot);
  const kernel = Buffer.alloc(4096);
  kernel.writeUInt32LE(0x644d5241, 56);
  fs.writeFileSync(path.join(boot, "Image"), kernel);
  for (const name of ["bcm2711-rpi-4-b.dtb", "start4.elf", "fixup4.dat"]) fs.writeFileSync(path.join(boot, name), name);
  for (const table of ["mbr", "gpt"]) {
    const set = [
      `storage.table=${table}`,
      "partitions.bootfs.type=null",
      "storage.size=200MiB",
      "partitions.rootfs.size=16MiB",
    ];
    const args = [
      "-p",
      "raspberrypi4",
      root,
      "--boot-files",
      boot,
      "-o",
      "out",
      "--json",
      "--set",
      "boot.config=[gpu_mem=16]",
    ];
    const built = imgbuild([...args, ...set.flatMap((setting) => ["--set", setting])], { cwd: folder });
    assert.equal(built.status, 0, built.stderr);
    const { partitions, boot: booted } = JSON.parse(built.stdout) as Manifest;
    const { partuuid } = partitions.find(({ name }) => name === "rootfs")!;
    const cat = (name: string) => imgbuild(["cat", "out:bootfs", name], { cwd: folder }).stdout;
    assert.equal(
      cat("cmdline.txt"),
      `root=PARTUUID=${partuuid} ${booted.arguments.join(" ")} console=serial0,115200\n`,
    );
    assert.deepEqual(cat("config.txt").split("\n").slice(1), ["arm_64bit=1", "kernel=Image", "gpu_mem=16", ""]);
    const names = imgbuild(["ls", "out:bootfs"], { cwd: folder }).stdout;
    assert.match(names, /start4\.elf/);
    assert.doesNotMatch(names, /boot\.scr/);
  }
});

test("what only one of the loaders reads is refused for the other", () => {
  const { message } = refusal(() => load("colibri-imx6", "boot.config=[gpu_mem=16]"));
  assert.match(message, /boot\.config has lines for config\.txt/);
  const second = "partitions.other={role: rootfs, filesystem: squashfs, size: 512MiB}";
  const slots = ["partitions.userdata.size=1GiB", "partitions.userdata.number=4", second];
  assert.match(refusal(() => load("raspberrypi4", ...slots)).message, /slot other could never be booted/);
});
