/** Whatever does not fit says what it needs, by how much that is over, what is large, and which key to set; and then it fits. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { imgbuild, makeRoot, SMALL } from "../support/cli.js";
import { temporaryFolder } from "../support/tools.js";

interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly data: {
    readonly inodes?: { readonly needed: number; readonly available: number };
    readonly ratioRemedy?: string;
    readonly needed: number;
    readonly available: number;
    readonly over: number;
    readonly remedy: string;
    readonly largest: readonly { readonly path: string; readonly bytes: number }[];
  };
}

/** What `args` fail with. */
function failure(cwd: string, args: readonly string[]): Failure {
  const { status, stdout, stderr } = imgbuild([...args, "--json"], { cwd });
  assert.equal(status, 1, stderr);
  return JSON.parse(stdout).error;
}

/** Asserts that the failure of `args` says everything, and that `args` with its remedy succeed. Returns the largest path. */
function assertExplained(cwd: string, args: readonly string[], name: RegExp): string {
  const { code, message, hint, data } = failure(cwd, args);
  assert.equal(code, "does-not-fit", message);
  assert.match(message, name);
  for (const value of [data.needed, data.available, data.over]) assert.ok(message.includes(`${value}`), message);
  assert.equal(data.over, data.needed - data.available);
  assert.ok(hint.includes(data.remedy), hint);
  assert.ok(data.largest.length > 0 && data.largest.length <= 10);
  for (const { path: large } of data.largest) assert.ok(hint.includes(large), hint);
  const again = data.remedy.startsWith("--size ")
    ? [...args.filter((arg) => !arg.startsWith("--size=")), ...data.remedy.split(" ")]
    : [...args, "--set", data.remedy];
  const { status, stderr } = imgbuild(again, { cwd });
  assert.equal(status, 0, stderr);
  return data.largest[0]!.path;
}

const set = (...settings: string[]) => settings.flatMap((setting) => ["--set", setting]);

test("each partition of a build, the medium and boot0", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  fs.writeFileSync(path.join(root, "usr/share/compresses.bin"), Buffer.alloc(40 * 2 ** 20, "compresses well\n"));
  const dtb = path.join(root, "boot/imx6dl-colibri-eval-v3.dtb");
  fs.writeFileSync(dtb, Buffer.alloc(3 * 2 ** 20, 1));
  const userdata = path.join(folder, "userdata");
  fs.mkdirSync(path.join(userdata, "home/root/music"), { recursive: true });
  fs.writeFileSync(path.join(userdata, "home/root/music/song"), Buffer.alloc(30 * 2 ** 20, 1));
  const build = [...SMALL, root];
  const explained = (name: RegExp, ...args: string[]) => assertExplained(folder, [...build, ...args], name);

  // By what it takes compressed, the smaller file is by far the larger one.
  assert.equal(explained(/^rootfs needs/, ...set("partitions.rootfs.size=1MiB")), "usr/share/big.bin");
  assert.equal(explained(/^bootfs needs/, ...set("partitions.bootfs.size=2MiB")), path.basename(dtb));
  const withData = ["--userdata", userdata];
  assert.match(explained(/^userdata needs/, ...withData, ...set("partitions.userdata.size=8MiB")), /music\/song$/);
  assert.equal(explained(/the partitions need a medium/, ...set("partitions.userdata.size=512MiB")), "userdata");
  // A partition that is as long as what is in it: the medium is what has to be longer.
  const sizes = ["partitions.rootfs.size=fit", "partitions.userdata.size=2MiB", "partitions.bootfs.size=33MiB"];
  const open = set(...sizes, "partitions.userdata.journalSize=0", "storage.size=42MiB");
  assert.equal(explained(/^rootfs needs/, ...open), "usr/share/big.bin");
  assert.equal(explained(/^nothing is left for userdata/, ...set("storage.size=84MiB")), "bootfs");

  const bootloader = path.join(folder, "bootloader");
  fs.mkdirSync(bootloader);
  fs.writeFileSync(path.join(bootloader, "SPL"), Buffer.alloc(60_000));
  fs.writeFileSync(path.join(bootloader, "u-boot.img"), Buffer.alloc(700_000));
  const boot0 = explained(/of boot0/, "--bootloader", bootloader, ...set("bootloader.size=512KiB"));
  assert.equal(boot0, "u-boot.img");
});

test("a partition as long as its content counts before it is written; a dry run says that it is not counted", (t) => {
  const folder = temporaryFolder(t);
  const open = [...SMALL, makeRoot(folder), ...set("partitions.rootfs.size=fit")];
  const large = (...settings: string[]) => [...open, ...set("partitions.bootfs.size=210MiB", ...settings)];
  const userdata = "partitions.userdata.size=";
  for (const args of [large(), large(`${userdata}8MiB`)]) {
    assertExplained(folder, args, /need a medium of \d+ bytes/);
    const { message, hint, data } = failure(folder, [...args, "--dry-run"]);
    assert.match(message, /need a medium of at least \d+ bytes/);
    assert.match(hint, /without the content of rootfs, and more is needed for it/);
    assert.ok(data.needed < failure(folder, args).data.needed);
    assert.ok(data.largest.every(({ path }) => path !== "rootfs"));
  }
  // The other way out holds too: a partition that becomes smaller.
  const over = [...open, ...set(`${userdata}190MiB`)];
  const [, smaller] = /or (partitions\.userdata\.size=\d+MiB) or less/.exec(failure(folder, over).hint)!;
  const { status, stderr } = imgbuild([...over, ...set(smaller!)], { cwd: folder });
  assert.equal(status, 0, stderr);
  const overlap = failure(folder, [...open, ...set("partitions.rootfs.offset=12MiB"), "--dry-run"]);
  assert.match(
    overlap.message,
    /partition bootfs \(bytes \d+ to \d+\) overlaps partition rootfs \(from byte 12582912 on\)/,
  );
  assert.match(overlap.hint, /without the content of rootfs/);
});

test("a dry run tells of what is known not to fit, as a build does", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  fs.writeFileSync(path.join(root, "boot/imx6dl-colibri-eval-v3.dtb"), Buffer.alloc(3 * 2 ** 20, 1));
  const bootloader = path.join(folder, "bootloader");
  fs.mkdirSync(bootloader);
  for (const name of ["SPL", "u-boot.img"]) fs.writeFileSync(path.join(bootloader, name), Buffer.alloc(60_000));
  fs.writeFileSync(path.join(folder, "blob"), Buffer.alloc(5000));
  const userdata = path.join(folder, "userdata");
  fs.mkdirSync(path.join(userdata, "home/root"), { recursive: true });
  fs.writeFileSync(path.join(userdata, "home/root/song"), Buffer.alloc(15 * 2 ** 20, 1));
  const raw = "partitions.firmware={filesystem: raw, size: 4KiB, type: linux, source: blob}";
  for (const args of [
    set("partitions.bootfs.size=2MiB"),
    set("partitions.bootfs.fatType=32", "partitions.bootfs.size=16MiB"),
    [...set("bootloader.size=64KiB"), "--bootloader", bootloader],
    set(raw, "partitions.userdata.size=64MiB"),
    ["--userdata", userdata, ...set("partitions.userdata.size=8MiB")],
    ["--userdata", userdata, ...set("partitions.userdata.size=24MiB", "partitions.userdata.inodeRatio=1024")],
  ]) {
    const build = [...SMALL, root, ...args];
    assert.deepEqual(failure(folder, [...build, "--dry-run"]), failure(folder, build));
  }
  assert.equal(imgbuild([...SMALL, root, "--dry-run"], { cwd: folder }).status, 0);
});

test("inodes that take the room of contents are named with the setting that makes fewer", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const userdata = path.join(folder, "userdata");
  fs.mkdirSync(path.join(userdata, "home/root"), { recursive: true });
  fs.writeFileSync(path.join(userdata, "home/root/song"), Buffer.alloc(14 * 2 ** 20, 1));
  const settings = ["size=24MiB", "inodeRatio=1024", "journalSize=4MiB"].map((text) => `partitions.userdata.${text}`);
  const build = [...SMALL, root, "--userdata", userdata, ...set(...settings)];
  const ext4 = ["ext4", userdata, "image", "--size=24MiB", "--journal-size=4MiB"];
  for (const [args, follow] of [
    [build, (remedy: string) => [...build, ...set(remedy)]],
    [[...ext4, "--inode-ratio=1024"], (remedy: string) => [...ext4, ...remedy.split(" ")]],
  ] as const) {
    const { hint, data } = failure(folder, args);
    assert.match(data.ratioRemedy!, /^(?:partitions\.userdata\.inodeRatio=|--inode-ratio )\d+$/);
    assert.ok(hint.includes(data.ratioRemedy!), hint);
    assert.equal(data.inodes, undefined);
    const { status, stderr } = imgbuild(follow(data.ratioRemedy!), { cwd: folder });
    assert.equal(status, 0, stderr);
  }
});

test("single file systems, and a FAT that no size helps", (t) => {
  const folder = temporaryFolder(t);
  const tree = path.join(folder, "tree");
  fs.mkdirSync(path.join(tree, "many"), { recursive: true });
  for (let i = 0; i < 3000; i++) fs.writeFileSync(path.join(tree, "many", `${i}`), "");
  fs.writeFileSync(path.join(tree, "large"), Buffer.alloc(300_000, 1));
  // Empty files have inodes, and those are what does not fit.
  const ext4 = ["ext4", tree, "image", "--journal-size", "0", "--size=1MiB"];
  assert.equal(assertExplained(folder, ext4, /^image needs/), "many");
  const shortage = failure(folder, ext4);
  const { needed, available } = shortage.data.inodes!;
  const { message: text } = shortage;
  assert.ok(text.includes(`it needs ${needed} inodes, and has room for ${available}`), text);
  // Another ratio would not help, and so it is not said.
  assert.equal(shortage.data.ratioRemedy, undefined);
  for (const file of fs.readdirSync(path.join(tree, "many"))) {
    // With as many files as there was room for, beside the reserved inodes and the spare sixteenth, it fits.
    if (Number(file) >= Math.floor((available * 16) / 17) - 20) fs.rmSync(path.join(tree, "many", file));
  }
  const fewer = imgbuild(ext4, { cwd: folder });
  assert.equal(fewer.status, 0, fewer.stderr);
  fs.rmSync(path.join(tree, "many"), { recursive: true });
  assert.equal(assertExplained(folder, ["fat", tree, "image", "--size=256KiB"], /^image needs/), "large");
  fs.writeFileSync(path.join(tree, "larger"), Buffer.alloc(2 ** 20));
  fs.truncateSync(path.join(tree, "larger"), 600 * 2 ** 20);
  const { code, message, hint, data } = failure(folder, ["fat", tree, "image", "--size=64MiB", "--type=12"]);
  assert.equal(code, "does-not-fit");
  assert.match(message, /^image: the files, .*629445600 bytes.* for any FAT12/);
  assert.match(hint, /type to 32.* larger 600 MiB, large 293 KiB/);
  assert.equal(data.largest[0]!.path, "larger");
});
