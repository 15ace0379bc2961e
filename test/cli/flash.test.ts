/** `imgbuild flash` as users run it: onto files, and onto loop devices in the place of cards. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, type TestContext, test } from "node:test";
import { noise } from "../codecs/deflate-data.js";
import { imgbuild, MAIN, makeRoot, SMALL } from "../support/cli.js";
import { lacks, lacksErrorTarget, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import { UbootConsole } from "./uboot-console.js";

const MiB = 2 ** 20;
const IMAGE_SIZE = 80 * MiB;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-flash-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

let built: string | undefined;
/** The output folder of a build, with a GPT. Tests leave it as it is. */
function output(): string {
  if (built === undefined) {
    built = path.join(folder, "out");
    const settings = [
      "storage.size=80MiB",
      "storage.table=gpt",
      "partitions.bootfs.size=40MiB",
      "partitions.bootfs.type=basic-data",
    ];
    const gpt = settings.flatMap((setting) => ["--set", setting]);
    const bootloader = path.join(folder, "bootloader");
    fs.mkdirSync(bootloader);
    for (const name of ["SPL", "u-boot.img"]) fs.writeFileSync(path.join(bootloader, name), `${name} `.repeat(3000));
    const result = imgbuild([...SMALL, ...gpt, "--bootloader", bootloader, makeRoot(folder), "-o", built]);
    assert.equal(result.status, 0, result.stderr);
  }
  return built;
}

function file(t: TestContext, size: number, fill = 0xa5): string {
  const target = path.join(temporaryFolder(t), "medium");
  fs.writeFileSync(target, Buffer.alloc(size, fill));
  return target;
}

/** Whether a medium of the image's size is still as `file` makes it. */
const isUntouched = (target: string) => fs.readFileSync(target).equals(Buffer.alloc(IMAGE_SIZE, 0xa5));

/** A loop device on `backing`, for the time of the test. */
function loop(t: TestContext, backing: string, ...options: string[]): string {
  const device = run("losetup", ["--find", "--show", ...options, backing]).trim();
  t.after(() => run("losetup", ["--detach", device]));
  return device;
}

const LOOP_TOOLS = ["losetup", "sgdisk", "sfdisk"];

test("an output folder goes onto a longer file, with its bmap and without; the GPT reaches to the end", (t) => {
  if (lacks(t, "sgdisk", "sfdisk", "bmaptool")) return;
  const out = output();
  const image = path.join(out, "emmc.img");
  const map = path.join(temporaryFolder(t), "image.bmap");
  run("bmaptool", ["create", image, "-o", map]);
  for (const options of [[], ["--bmap", map]]) {
    const target = file(t, 100 * MiB, options.length > 0 ? 0 : 0xa5);
    const { status, stdout, stderr } = imgbuild(["flash", out, target, "--yes", "--json", ...options]);
    assert.equal(status, 0, stderr);
    const { written, verified, backupMoved } = JSON.parse(stdout);
    assert.deepEqual([written === IMAGE_SIZE, verified, backupMoved], [options.length === 0, written, true]);
    assert.match(run("sgdisk", ["-v", target]), /No problems found/);
    assert.match(run("sfdisk", ["--verify", target]), /^No errors detected/m);
    // The table and its backup differ: nothing else does.
    run("cmp", [`--ignore-initial=${MiB}`, `--bytes=${IMAGE_SIZE - 2 * MiB}`, image, target]);
    assert.equal(imgbuild(["verify", target]).status, 0);
  }
});

test("nobody to ask is an error, and nothing is written", (t) => {
  const target = file(t, IMAGE_SIZE);
  const { status, stderr } = imgbuild(["flash", output(), target]);
  assert.equal(status, 2);
  assert.match(stderr, /would be overwritten, and there is no terminal to ask on/);
  assert.ok(isUntouched(target));
});

test("on a terminal, only yes is yes; what is on the device is shown", async (t) => {
  if (lacks(t, "script", "sfdisk")) return;
  const target = file(t, IMAGE_SIZE, 0);
  run("sfdisk", ["-q", target], { input: Buffer.from("1M,40M,c\n") });
  run("mkfs.fat", ["-n", "HOLIDAYS", "--offset", "2048", target, "40960"]);
  /** What is shown, and the exit code, when the question gets this answer. */
  const ask = async (answer: string) => {
    const command = `${process.execPath} ${MAIN} flash ${output()} ${target}`;
    const child = spawn("script", ["-qec", command, "/dev/null"], { stdio: ["pipe", "pipe", "inherit"] });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      const asked = text.includes("Type yes");
      text += chunk;
      if (!asked && text.includes("Type yes")) child.stdin.write(`${answer}\r`);
    });
    const [status] = await once(child, "close");
    return { status, text };
  };
  const before = fs.readFileSync(target);
  const refused = await ask("no");
  assert.equal(refused.status, 2, refused.text);
  assert.match(refused.text, /partition 1: 40 MiB FAT\d+ "HOLIDAYS"/);
  assert.ok(fs.readFileSync(target).equals(before));
  const done = await ask("yes");
  assert.equal(done.status, 0, done.text);
  assert.match(done.text, /written, and read back/);
});

test("each partition of the device is shown by its own label", (t) => {
  if (lacks(t, "sfdisk", "mke2fs")) return;
  const target = file(t, IMAGE_SIZE, 0);
  const labels = ["one", "two", "three", "four", "five"];
  const table = ["label: gpt", ...labels.map((_, i) => `start=${1 + i * 8}MiB, size=8MiB`)];
  run("sfdisk", ["-q", target], { input: Buffer.from(`${table.join("\n")}\n`) });
  for (const [i, label] of labels.entries()) {
    run("mke2fs", ["-q", "-F", "-t", "ext4", "-L", label, "-E", `offset=${(1 + i * 8) * MiB}`, target, "8M"]);
  }
  const { stderr } = imgbuild(["flash", output(), target]);
  assert.match(stderr, /would be overwritten/);
  const shown = [...stderr.matchAll(/^ {2}partition (\d): 8 MiB ext4 "(.*)"$/gm)].map(([, number, label]) => [
    number,
    label,
  ]);
  assert.deepEqual(
    shown,
    labels.map((label, i) => [`${i + 1}`, label]),
  );
});

test("compressed images, with their length unknown until they are read", (t) => {
  if (lacks(t, "zstd", "xz")) return;
  const image = path.join(output(), "emmc.img");
  const plain = file(t, IMAGE_SIZE);
  assert.equal(imgbuild(["flash", image, plain, "-y", "-q"]).status, 0);
  for (const [program, suffix] of [
    ["zstd", "zst"],
    ["xz", "xz"],
  ] as const) {
    const compressed = path.join(temporaryFolder(t), `emmc.img.${suffix}`);
    fs.writeFileSync(compressed, spawnSync(program, ["-1", "-c", image], { maxBuffer: 2 ** 28 }).stdout);
    const target = file(t, IMAGE_SIZE);
    const { status, stderr } = imgbuild(["flash", compressed, target, "-y"]);
    assert.equal(status, 0, stderr);
    run("cmp", [plain, target]);
    // A damaged one is found out before anything is erased.
    fs.truncateSync(compressed, fs.statSync(compressed).size - 1000);
    const other = file(t, IMAGE_SIZE);
    const failed = imgbuild(["flash", compressed, other, "-y"]);
    assert.match(failed.stderr, /damaged/);
    assert.ok(isUntouched(other));
  }
});

/** A copy of the output's files in a folder of its own. */
function copies(t: TestContext, ...names: string[]): string {
  const copy = temporaryFolder(t);
  for (const name of names) fs.cpSync(path.join(output(), name), path.join(copy, name));
  return copy;
}

for (const [suffix, program] of [
  ["zst", "zstd"],
  ["gz", "gzip"],
  ["xz", "xz"],
] as const) {
  test(`a byte that changed in a .${suffix} shows before anything is written, with a block map and without`, (t) => {
    if (lacks(t, program, "bmaptool")) return;
    const image = path.join(copies(t, "emmc.img"), "emmc.img");
    // Noise is stored as it is: a changed byte gives other content, and no other error.
    const fd = fs.openSync(image, "r+");
    fs.writeSync(fd, noise(2 * MiB, 1), 0, 2 * MiB, 60 * MiB);
    fs.closeSync(fd);
    run("bmaptool", ["create", image, "-o", `${image}.bmap`]);
    const compressed = `${image}.${suffix}`;
    const bytes = spawnSync(program, ["-1", "-c", image], { maxBuffer: 2 ** 28 }).stdout;
    const at = bytes.length - MiB;
    bytes[at]! ^= 0x10;
    fs.writeFileSync(compressed, bytes);
    for (const options of [[], ["--whole"]]) {
      const target = file(t, IMAGE_SIZE);
      const { status, stderr } = imgbuild(["flash", compressed, target, "-y", ...options]);
      assert.match(stderr, /damaged/);
      assert.equal(status, 1);
      assert.ok(isUntouched(target));
    }
  });
}

test("an image that is not the one in the manifest beside it is refused", (t) => {
  const copy = copies(t, "emmc.img", "manifest.json");
  const image = path.join(copy, "emmc.img");
  const fd = fs.openSync(image, "r+");
  fs.writeSync(fd, Buffer.from("other"), 0, 5, 50 * MiB);
  fs.closeSync(fd);
  const target = file(t, IMAGE_SIZE);
  const refused = imgbuild(["flash", copy, target, "-y"]);
  assert.match(refused.stderr, /emmc\.img is not what manifest\.json beside it says: its SHA-256 is .*\n.*--force/);
  assert.equal(refused.status, 1);
  assert.ok(isUntouched(target));
  assert.equal(imgbuild(["flash", copy, target, "-y", "--force"]).status, 0);
});

test("an image that ends before its partitions do is refused", (t) => {
  const image = path.join(copies(t, "emmc.img"), "emmc.img");
  fs.truncateSync(image, 70 * MiB);
  const target = file(t, IMAGE_SIZE);
  const refused = imgbuild(["flash", image, target, "-y"]);
  assert.match(refused.stderr, /partition 3 ends at byte \d+, and .*emmc\.img at byte 73400320: is it complete\?/);
  assert.equal(refused.status, 1);
  assert.ok(isUntouched(target));
  assert.equal(imgbuild(["flash", image, target, "-y", "--force"]).status, 0);
});

test("files and devices that cannot be written are refused by name", (t) => {
  const refuses = (args: string[], message: RegExp, status = 1) => {
    const result = imgbuild(["flash", ...args, "-y"]);
    assert.match(result.stderr, message);
    assert.equal(result.status, status);
  };
  const image = path.join(output(), "emmc.img");
  refuses([image, path.join(folder, "none")], /does not exist.*\n.*truncate -s/);
  refuses([image, file(t, IMAGE_SIZE - 512)], /is too small: .*: 512 bytes more/);
  refuses([image, image], /is the image itself/, 2);
  refuses([image], /there is no device/, 2);
  refuses([path.join(folder, "none"), image], /does not exist/);
  refuses([image, file(t, IMAGE_SIZE), "--bmap", path.join(folder, "none")], /none does not exist/);
});

test("a loop device is written past the page cache, and gets a table that reaches to its end", (t) => {
  if (lacksRoot(t) || lacks(t, ...LOOP_TOOLS)) return;
  const backing = file(t, 100 * MiB);
  const device = loop(t, backing);
  const { status, stderr } = imgbuild(["flash", output(), device, "-y"]);
  assert.equal(status, 0, stderr);
  assert.match(stderr, new RegExp(`${device}: file .*medium, 100 MiB`));
  assert.doesNotMatch(stderr, /cannot be read past/);
  assert.match(run("sgdisk", ["-v", device]), /No problems found/);
  run("cmp", [`--ignore-initial=${MiB}`, `--bytes=${IMAGE_SIZE - 2 * MiB}`, path.join(output(), "emmc.img"), device]);
  // A card that was written is looked into as an image is.
  const verified = imgbuild(["verify", device]);
  assert.equal(verified.status, 0, verified.stderr);
  assert.match(verified.stdout, /: sound$/m);
  assert.match(imgbuild(["ls", `${device}:3`]).stdout, /overlay|lost\+found/);
});

/** Fails unless flashing onto `target` is refused, and leaves `backing` as it was. */
function refusesOnto(target: string, backing: string, message: RegExp, image = output()): void {
  const before = fs.readFileSync(backing);
  const result = imgbuild(["flash", image, target, "-y"]);
  assert.equal(result.status, 1);
  assert.match(result.stderr, message);
  assert.ok(fs.readFileSync(backing).equals(before));
}

test("mounted, read-only and foreign devices are refused", (t) => {
  if (lacksRoot(t) || lacks(t, "losetup", "mkfs.ext4", "unshare")) return;
  const backing = file(t, 100 * MiB, 0);
  const device = loop(t, backing);
  refusesOnto(
    device,
    backing,
    /is a whole disk, and .* has no partition table/,
    path.join(output(), "rootfs.squashfs"),
  );
  refusesOnto(device, backing, /is for an eMMC's boot partition/, path.join(output(), "boot0.img"));
  refusesOnto(loop(t, backing, "--read-only"), backing, /is read-only/);
  run("mkfs.ext4", ["-q", device]);
  const mountPoint = temporaryFolder(t);
  run("mount", ["-o", "ro", device, mountPoint]);
  try {
    refusesOnto(device, backing, new RegExp(`is in use: loop\\d+ is mounted at ${mountPoint}`));
    // A mount that this process does not see: the kernel refuses.
    const command = `umount ${mountPoint} && ${process.execPath} ${MAIN} flash ${output()} ${device} -y`;
    const { stderr } = spawnSync("unshare", ["--mount", "sh", "-c", command], { encoding: "utf8" });
    assert.match(stderr, /something uses it: a mount, also one in another namespace/);
  } finally {
    run("umount", [mountPoint]);
  }
});

test("partitions: a disk's image is refused, a file system is taken, and a mounted one protects the disk", (t) => {
  if (lacksRoot(t) || lacks(t, "losetup", "sfdisk", "addpart", "mkfs.ext4")) return;
  const backing = file(t, 100 * MiB, 0);
  run("sfdisk", ["-q", backing], { input: Buffer.from("1M,40M,83\n,40M,83\n") });
  const device = loop(t, backing, "--partscan");
  // Kernels that read no partition tables themselves are told of partitions.
  if (!fs.existsSync(`${device}p1`)) {
    for (const [number, mib] of [
      ["1", 1],
      ["2", 41],
    ] as const)
      run("addpart", [device, number, `${mib * 2048}`, `${40 * 2048}`]);
  }
  refusesOnto(`${device}p1`, backing, /is a partition of loop\d+, and .* is an image of a whole disk/);
  const json = path.join(temporaryFolder(t), "image.json");
  fs.writeFileSync(json, "{}\n");
  refusesOnto(`${device}p1`, backing, /image.json is a text, and no image/, json);
  const single = imgbuild(["flash", path.join(output(), "rootfs.squashfs"), `${device}p1`, "-y"]);
  assert.equal(single.status, 0, single.stderr);
  run("mkfs.ext4", ["-q", `${device}p2`]);
  const mountPoint = temporaryFolder(t);
  run("mount", ["-o", "ro", `${device}p2`, mountPoint]);
  try {
    refusesOnto(device, backing, new RegExp(`is in use: loop\\d+p2 is mounted at ${mountPoint}`));
  } finally {
    run("umount", [mountPoint]);
  }
});

test("what is no image is refused by its name, also compressed, and written only by force", (t) => {
  if (lacks(t, "bzip2", "lz4", "img2simg", "tar", "cpio", "7z", "qemu-img")) return;
  const cwd = temporaryFolder(t);
  const image = path.join(output(), "rootfs.squashfs");
  const commands = `
    bzip2 -c ${image} > a.bz2; lz4 -qc ${image} > a.lz4; lz4 -qlc ${image} > legacy.lz4
    7z a -bd a.zip ${image} > a.log; 7z a -bd a.7z ${image} > a.log
    tar -cf a.tar -C ${output()} rootfs.squashfs; gzip -1k a.tar; echo ${image} | cpio --quiet -o -H newc > a.swu
    img2simg ${output()}/emmc.img a.simg; qemu-img convert -O qcow2 ${image} a.qcow2; qemu-img convert -O vdi ${image} a.vdi`;
  run("sh", ["-ec", commands], { cwd });
  fs.writeFileSync(path.join(cwd, "image.json"), '{\n  "config_format": 2,\n  "name": "übung"\n}\n');
  fs.writeFileSync(path.join(cwd, "noise"), Buffer.alloc(MiB, Buffer.from([1, 0x80, 0xfe])));
  const target = path.join(cwd, "target");
  for (const [name, what, hint] of [
    ["a.bz2", "is a bzip2 file", "bunzip2"],
    ["a.lz4", "is an lz4 file", "lz4 -d"],
    ["legacy.lz4", "is an lz4 file", "lz4 -d"],
    ["a.zip", "is a zip archive", "unpack it"],
    ["a.7z", "is a 7z archive", "unpack it"],
    ["a.tar", "is a tar archive", "Unpack it"],
    ["a.tar.gz", "decompresses to is a tar archive", "Unpack it"],
    ["a.swu", "is a cpio archive", "SWUpdate"],
    ["a.simg", "is an Android sparse image", "simg2img .*--format img"],
    ["a.qcow2", "is a qcow2 image", "qemu-img convert -O raw"],
    ["a.vdi", "is a VDI image", "qemu-img convert -O raw"],
    ["image.json", "is a text", "name the image itself"],
    ["noise", "has neither a partition table nor a file system", "--force"],
  ] as const) {
    fs.writeFileSync(target, Buffer.alloc(64, 0xa5));
    fs.truncateSync(target, 100 * MiB);
    const { status, stderr } = imgbuild(["flash", name, target, "-y"], { cwd });
    assert.equal(status, 1, name);
    assert.match(stderr, new RegExp(`${name} ${what}.*\n(?:.*\n)*hint: .*${hint}`));
    assert.equal(fs.readFileSync(target).readUInt8(0), 0xa5, name);
  }
  assert.equal(imgbuild(["flash", "noise", target, "-y", "--force"], { cwd }).status, 0);
  run("cmp", ["--bytes=1048576", path.join(cwd, "noise"), target]);
});

test("an image that is no file is refused as that", (t) => {
  const target = file(t, MiB);
  assert.match(
    imgbuild(["flash", "/dev/null", target, "-y"]).stderr,
    /null is no file, and the image has to be a file/,
  );
  const empty = path.join(temporaryFolder(t), "empty");
  fs.writeFileSync(empty, "");
  assert.match(imgbuild(["flash", empty, target, "-y"]).stderr, /empty is empty/);
  if (lacksRoot(t) || lacks(t, "losetup")) return;
  const device = loop(t, file(t, MiB));
  const { status, stderr } = imgbuild(["flash", device, target, "-y"]);
  assert.equal(status, 1);
  assert.match(
    stderr,
    new RegExp(`${device} is a block device, and the image has to be a file\nhint: The image comes first`),
  );
});

test("a boot partition is unlocked no longer than it is written, also when a signal ends the question", async (t) => {
  if (lacksRoot(t) || lacks(t, "losetup", "unshare", "script")) return;
  const backing = file(t, 4 * MiB);
  const device = loop(t, backing);
  // What sysfs says of an eMMC's boot partition, of a loop device.
  const sys = temporaryFolder(t);
  const folder = path.join(sys, "devices/mmcblk9boot0");
  const number = fs.readFileSync(`/sys/class/block/${path.basename(device)}/dev`, "utf8").trim();
  fs.mkdirSync(folder, { recursive: true });
  fs.mkdirSync(path.join(sys, "dev/block"), { recursive: true });
  for (const [name, value] of Object.entries({ dev: number, ro: "1", force_ro: "1", size: "8192" })) {
    fs.writeFileSync(path.join(folder, name), `${value}\n`);
  }
  fs.symlinkSync("../../devices/mmcblk9boot0", path.join(sys, "dev/block", number));
  const locked = () => fs.readFileSync(path.join(folder, "force_ro"), "utf8").trim();

  const pidFile = path.join(sys, "pid");
  const flash = `exec ${process.execPath} ${MAIN} flash ${output()}/boot0.img ${device}`;
  const begin = (options: string) =>
    spawn("unshare", ["--mount", "sh", "-c", `mount --bind ${sys} /sys && echo $$ > /sys/pid && ${flash} ${options}`], {
      stdio: ["ignore", "pipe", "pipe"],
    });
  const done = begin("-y");
  const [status] = await once(done, "close");
  assert.deepEqual([status, locked()], [0, "1"]);
  run("cmp", [
    `--bytes=${fs.statSync(path.join(output(), "boot0.img")).size}`,
    path.join(output(), "boot0.img"),
    device,
  ]);

  for (const signal of ["SIGTERM", "SIGHUP", "SIGINT"] as const) {
    const inner = `mount --bind ${sys} /sys && echo \\$\\$ > /sys/pid && ${flash}`;
    const child = spawn("script", ["-qec", `unshare --mount sh -c "${inner}"`, "/dev/null"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    let text = "";
    let seen = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      const asked = text.includes("Type yes");
      text += chunk;
      if (asked || !text.includes("Type yes")) return;
      seen = locked();
      process.kill(Number(fs.readFileSync(pidFile, "utf8")), signal);
    });
    await once(child, "close");
    assert.match(text, /interrupted: .* is as it was/, text);
    // It was open, or the test would show nothing.
    assert.deepEqual([seen, locked()], ["0", "1"], signal);
  }
});

/** Fails unless flashing onto `device` fails at a byte that it names, with `reason`; where `from` is given, in the MiB that begins there. */
function failsHalfWay(device: string, reason: RegExp, from?: number): void {
  const { status, stderr, stdout } = imgbuild(["flash", output(), device, "-y", "--whole", "--json"]);
  assert.equal(status, 1);
  assert.match(
    stderr,
    new RegExp(`cannot write ${device} at byte \\d+: ${reason.source}.*; ${device} is incomplete now`),
  );
  const at = Number(/at byte (\d+)/.exec(stderr)?.[1]);
  if (from !== undefined) assert.ok(at >= from && at < from + MiB, `${at}`);
  assert.deepEqual(JSON.parse(stdout).error.data, { device, incomplete: true });
}

const isZero = (file: string) =>
  fs
    .readFileSync(file)
    .subarray(0, MiB)
    .every((byte) => byte === 0);

test("a medium that fails half-way: the byte is named, and there is no table", (t) => {
  if (lacksRoot(t) || lacks(t, ...LOOP_TOOLS, "dmsetup")) return;
  // A loop device on a file that its disk has no room for: it takes so much, and then reports an error as a worn card does.
  const disk = temporaryFolder(t);
  run("mount", ["-t", "tmpfs", "-o", "size=40m", "tmpfs", disk]);
  const backing = path.join(disk, "medium");
  fs.writeFileSync(backing, Buffer.alloc(MiB, 0xa5));
  fs.truncateSync(backing, 100 * MiB);
  const full = run("losetup", ["--find", "--show", backing]).trim();
  try {
    failsHalfWay(full, /(?:the disk is full .ENOSPC.|the medium reports an error .EIO.)/);
    assert.ok(isZero(backing));
  } finally {
    run("losetup", ["--detach", full]);
    run("umount", [disk]);
  }
});

test("a medium that fails at a byte that is known: the device mapper's error target", (t) => {
  if (lacksRoot(t) || lacks(t, ...LOOP_TOOLS, "dmsetup") || lacksErrorTarget(t)) return;
  const under = file(t, 100 * MiB);
  const name = `imgbuild-test-${process.pid}`;
  const [good, all] = [(60 * MiB) / 512, (100 * MiB) / 512];
  run("dmsetup", ["create", name], {
    input: Buffer.from(`0 ${good} linear ${loop(t, under)} 0\n${good} ${all - good} error\n`),
  });
  try {
    failsHalfWay(`/dev/mapper/${name}`, /the medium reports an error .EIO./, 60 * MiB);
    assert.ok(isZero(under));
  } finally {
    run("dmsetup", ["remove", "--retry", name]);
  }
});

test("a medium that cannot be read where it is written all the same", (t) => {
  if (lacksRoot(t) || lacks(t, ...LOOP_TOOLS)) return;
  // What is behind the end of a loop device's file is an error to read, until it is written.
  const backing = file(t, 100 * MiB);
  const device = loop(t, backing);
  fs.truncateSync(backing, 40 * MiB);
  const { status, stderr } = imgbuild(["flash", output(), device, "-y", "--whole"]);
  assert.equal(status, 0, stderr);
  assert.match(stderr, new RegExp(`${device}: file .*medium, 100 MiB`));
  assert.match(run("sgdisk", ["-v", device]), /No problems found/);
});

test("a medium whose beginning cannot be read stays as it was", (t) => {
  if (lacksRoot(t) || lacks(t, ...LOOP_TOOLS)) return;
  const backing = file(t, 100 * MiB);
  const device = loop(t, backing);
  fs.truncateSync(backing, 0);
  const { status, stderr } = imgbuild(["flash", output(), device, "-y"]);
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`cannot read ${device} at byte 0: the medium reports an error \\(EIO\\)$`, "m"));
  assert.equal(fs.statSync(backing).size, 0);
});

test("a file is not written under a loop device, nor a device under one, nor swap", (t) => {
  if (lacksRoot(t) || lacks(t, "losetup", "mkfs.ext4", "mkswap", "swapon")) return;
  const backing = file(t, 100 * MiB, 0);
  const lower = loop(t, backing);
  refusesOnto(backing, backing, /is in use: loop\d+ is made of it\nhint: .*losetup --detach/);
  const upper = loop(t, lower, "--offset", `${MiB}`);
  const [under, over] = [path.basename(lower), path.basename(upper)];
  refusesOnto(lower, backing, new RegExp(`is in use: ${over} is made of ${under}`));
  run("mkfs.ext4", ["-q", upper]);
  const mountPoint = temporaryFolder(t);
  run("mount", ["-o", "ro", upper, mountPoint]);
  try {
    const uses = `${under} is made of it, ${over} is made of ${under}, ${over} is mounted at ${mountPoint}`;
    refusesOnto(backing, backing, new RegExp(`is in use: ${uses}`));
    const forced = imgbuild(["flash", output(), backing, "-y", "--force"]);
    assert.match(forced.stderr, /is in use/);
  } finally {
    run("umount", [mountPoint]);
  }

  const swap = loop(t, file(t, 100 * MiB, 0));
  run("mkswap", [swap]);
  run("swapon", [swap]);
  try {
    const { status, stderr } = imgbuild(["flash", output(), swap, "-y", "--force"]);
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`holds the running system: ${path.basename(swap)} is used for swap`));
  } finally {
    run("swapoff", [swap]);
  }
});

test("interrupted half-way, it says that the device is incomplete", async (t) => {
  const target = file(t, IMAGE_SIZE);
  const child = spawn(process.execPath, [MAIN, "flash", output(), target, "-y", "--progress", "json"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let text = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    if (!text.includes('"stage":"writing"') && (text + chunk).includes('"stage":"writing"')) child.kill("SIGINT");
    text += chunk;
  });
  const [status] = await once(child, "close");
  assert.equal(status, 130, text);
  assert.match(text, /interrupted: .* is (?:incomplete now and nothing starts from it|as it was)/);
});

test("--how has this image's own files, places and numbers", (t) => {
  if (lacks(t, "sfdisk")) return;
  const { status, stdout } = imgbuild(["flash", "--how", output()]);
  assert.equal(status, 0);
  const [, rootfs] = JSON.parse(run("sfdisk", ["-J", path.join(output(), "emmc.img")])).partitiontable.partitions;
  const { artifacts, partitions } = JSON.parse(fs.readFileSync(path.join(output(), "manifest.json"), "utf8"));
  const boot0 = artifacts.find((artifact: { file: string }) => artifact.file === "boot0.img");
  const used = Math.ceil(partitions[1].used / 512);
  for (const line of [
    `imgbuild flash ${output()} /dev/sdX`,
    `dd if=${output()}/emmc.img of=/dev/sdX bs=4M oflag=direct conv=fsync status=progress`,
    "ums 0 mmc 0",
    `cp ${["bootfs.vfat", "rootfs.squashfs", "boot0.img"].map((name) => `${output()}/${name}`).join(" ")} /media/STICK/`,
    `mmc write \${loadaddr} 0x${rootfs.start.toString(16)} 0x${used.toString(16)}`,
    `setenv fastboot_raw_partition_all '0x0 0x${(IMAGE_SIZE / 512).toString(16)} mmcpart 0'`,
    `mmc write \${loadaddr} 0x0 0x${(boot0.size / 512).toString(16)}`,
    "mmc partconf 0 1 1 0",
    "echo 0 > /sys/block/mmcblk0boot0/force_ro",
    "mmc bootpart enable 1 1 /dev/mmcblk0",
    "sgdisk -e /dev/sdX",
  ])
    assert.ok(stdout.includes(`  ${line}\n`), line);
  assert.match(imgbuild(["flash", "--how", folder]).stderr, /there is no manifest.json in/);
  const nothing = imgbuild(["flash", "--how", path.join(folder, "nothing")]);
  assert.match(nothing.stderr, /nothing does not exist/);
});

/** The recipe whose title begins so: its lines without the notes on when to take it. */
function recipe(text: string, title: string): string[] {
  const found = text.split(/\n\n/).find((part) => part.startsWith(title));
  assert.ok(found, `there is no recipe ${title}`);
  return found
    .split("\n")
    .slice(2)
    .map((line) => line.trim());
}

test("U-Boot's recipe puts onto the eMMC and into boot0 what the image has there", (t) => {
  const out = output();
  const image = fs.readFileSync(path.join(out, "emmc.img"));
  const boot0 = fs.readFileSync(path.join(out, "boot0.img"));
  const lines = recipe(imgbuild(["flash", "--how", out]).stdout, "U-Boot: mmc write");
  const start = lines.indexOf("# in U-Boot:");
  const [stick] = [temporaryFolder(t)];
  const host = lines.slice(0, start).map((line) => line.replaceAll("/media/STICK", stick));
  run("sh", ["-euc", host.join("\n")]);

  // A board that has the table already, and old data everywhere else.
  const emmc = Buffer.alloc(image.length, 0xa5);
  image.copy(emmc, 0, 0, 34 * 512);
  const uboot = new UbootConsole(0, stick, [emmc, Buffer.alloc(4 * MiB, 0xa5)]);
  for (const line of lines.slice(start)) if (!line.startsWith("#")) uboot.run(line);
  const { partitions } = JSON.parse(fs.readFileSync(path.join(out, "manifest.json"), "utf8"));
  for (const { name, offset, used, filesystem } of partitions) {
    const [expected, found] = [image, uboot.areas[0]!].map((bytes) => bytes.subarray(offset, offset + used));
    if (filesystem !== "ext4") assert.ok(found!.equals(expected!), name);
    else
      assert.ok(
        found!.every((byte) => byte === 0xa5),
        name,
      );
  }
  const written = Math.ceil(boot0.length / 512) * 512;
  assert.ok(uboot.areas[1]!.subarray(0, boot0.length).equals(boot0));
  assert.ok(uboot.areas[1]!.subarray(written).every((byte) => byte === 0xa5));
  // Acknowledge, boot from boot0, and let commands reach the user area again.
  assert.deepEqual(uboot.bootConfig, [1, 1, 0]);
  const [disk] = recipe(imgbuild(["flash", "--how", out]).stdout, "U-Boot: the eMMC as a USB disk");
  assert.equal(disk, "ums 0 mmc 0");
});

test("the lines for a shell are lines of a shell, also where the folder has an odd name", (t) => {
  if (lacks(t, "shellcheck")) return;
  const out = path.join(temporaryFolder(t), "it's $HOME & more");
  fs.cpSync(output(), out, { recursive: true });
  for (const name of ["emmc.img.bmap", "emmc.simg", "uuu.auto", "image.json"])
    fs.writeFileSync(path.join(out, name), "");
  const text = imgbuild(["flash", "--how", out]).stdout;
  // What is typed into U-Boot is not for a shell.
  const console = /^(?:ums|usb|load|mmc (?:dev|write|partconf)|setenv|fastboot usb)\b/;
  const lines = text
    .split("\n")
    .filter((line) => line.startsWith("  ") && !line.startsWith("  partition"))
    .map((line) => line.trim())
    .filter((line) => !console.test(line));
  assert.ok(lines.length > 12, text);
  const script = Buffer.from(`${lines.join("\n")}\n`);
  run("sh", ["-n"], { input: script });
  // That a folder's $ stays one is meant.
  run("shellcheck", ["--shell=sh", "--exclude=SC2016", "-"], { input: script });
  // Each word that names a file of the build names one, as the shell takes it.
  const words = run("sh", ["-c", lines.map((line) => `printf '%s\\n' ${line.replace(/[|>].*/, "")}`).join("\n")]).split(
    "\n",
  );
  const named = words.map((word) => word.replace(/^if=/, "")).filter((word) => word.includes("HOME & more"));
  assert.ok(named.length > 7, named.join("\n"));
  for (const word of named) assert.ok(fs.existsSync(word), word);
});

test("--how names no file that the build did not make", (t) => {
  const out = temporaryFolder(t);
  fs.copyFileSync(path.join(output(), "manifest.json"), path.join(out, "manifest.json"));
  const how = () => imgbuild(["flash", "--how", out]).stdout;
  assert.doesNotMatch(how(), /^ +(?:dd if=.*emmc\.img|bmaptool|fastboot flash all|imgbuild flash \S+ \/dev\/sdX)/m);
  fs.writeFileSync(path.join(out, "emmc.img.zst"), "");
  fs.writeFileSync(path.join(out, "emmc.img.bmap"), "");
  fs.writeFileSync(path.join(out, "emmc.simg"), "");
  for (const line of [
    `imgbuild flash ${out} /dev/sdX`,
    `bmaptool copy ${out}/emmc.img.zst /dev/sdX`,
    `zstd -dc ${out}/emmc.img.zst | dd iflag=fullblock of=/dev/sdX bs=4M oflag=direct conv=fsync status=progress`,
    `fastboot flash all ${out}/emmc.simg`,
  ])
    assert.ok(how().includes(`  ${line}\n`), line);
});
