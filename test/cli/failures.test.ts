/** What goes wrong is said in one line with a hint, ends with the right code, and leaves the last good image alone. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { imgbuild, MAIN, makeRoot, SMALL } from "../support/cli.js";
import { lacksRoot, run, temporaryFolder } from "../support/tools.js";

/** Asserts a failure of `args`: one line of error, one of hint, no stack, and nothing new in the output folder. */
function fails(folder: string, args: readonly string[], status: number, error: RegExp, hint: RegExp): void {
  const before = listing(folder);
  const result = imgbuild(args, { cwd: folder });
  assert.equal(result.status, status, result.stderr);
  const lines = result.stderr.trimEnd().split("\n").slice(-2);
  assert.doesNotMatch(result.stderr, /\n\s+at /);
  assert.match(lines[0]!, /^error: /);
  assert.match(lines[0]!, error);
  assert.match(lines[1]!, /^hint: /);
  assert.match(lines[1]!, hint);
  assert.equal(result.stdout, "");
  assert.deepEqual(listing(folder), before);
}

/** Every file below the output folder with its size and time. */
function listing(folder: string): string[] {
  const out = path.join(folder, "out");
  if (!fs.existsSync(out)) return [];
  return fs
    .readdirSync(out, { recursive: true, encoding: "utf8" })
    .map((name) => [name, fs.statSync(path.join(out, name))] as const)
    .filter(([, stat]) => stat.isFile())
    .map(([name, stat]) => `${name} ${stat.size} ${stat.mtimeMs}`)
    .sort();
}

function setUp(t: TestContext): { folder: string; root: string } {
  const folder = temporaryFolder(t);
  return { folder, root: makeRoot(folder) };
}

test("sources that are not there, or are something else", (t) => {
  const { folder, root } = setUp(t);
  fails(folder, [...SMALL, "nowhere"], 1, /nowhere does not exist/, /folder, a tar/);
  fails(folder, [...SMALL, path.join(root, "etc/hostname")], 1, /etc\/hostname is neither a folder nor a tar/, /./);
  fails(folder, [...SMALL, root, "--boot-files", "nowhere"], 1, /--boot-files nowhere is not a folder/, /./);
  fails(folder, [...SMALL, root, "--devices", "nowhere"], 1, /nowhere/, /--devices/);
});

test("usage", (t) => {
  const { folder, root } = setUp(t);
  fails(folder, [root], 2, /--profile is missing/, /imgbuild profiles/);
  fails(folder, ["bild"], 2, /there is no command bild/, /--help/);
  fails(folder, [], 2, /./, /--help/);
  fails(folder, [...SMALL, root, "--set"], 2, /set/, /--help/);
  fails(folder, [...SMALL, root, "--set", "storage.alignment=0"], 2, /storage\.alignment/, /./);
  fails(folder, ["--profile", "colibri", root], 2, /no profile "colibri"/, /colibri-imx6/);
  const misspelt = [...SMALL, root, "--set", "partitions.rootfs.sise=1MiB"];
  fails(folder, misspelt, 2, /--set: there is no key partitions\.rootfs\.sise/, /size/);
  fails(folder, [...SMALL, root, "--formt", "img"], 2, /formt/, /--help/);
  fails(folder, [...SMALL, root, "--format", "floppy"], 2, /floppy/, /img/);
  fails(folder, [...SMALL, root, "--owner", "me"], 2, /"me" is not an owner/, /UID:GID/);
  fails(folder, ["squashfs", root, "x.img", "--block-size", "5K"], 2, /5/, /./);
  assert.equal(fs.existsSync(path.join(folder, "x.img")), false);
});

test("values that an option cannot have are named, with what it can have", (t) => {
  const { folder, root } = setUp(t);
  const squashfs = ["squashfs", root, "x.img"];
  fails(folder, [...squashfs, "-c", "lzma"], 2, /--compressor cannot be "lzma"/, /gzip, xz, zstd, lz4, lzo/);
  const two = [...squashfs, "-c", "lzma", "--progress", "some"];
  fails(folder, two, 2, /"lzma"; --progress cannot be "some"|"some"; --compressor cannot be "lzma"/, /plain.*|gzip.*/);
  fails(folder, [...squashfs, "--fragments=maybe"], 2, /--fragments=maybe is neither on nor off/, /--no-fragments/);
  fails(folder, [...squashfs, "-q=1"], 2, /-q=1 is neither/, /./);
  fails(folder, [...squashfs, "--strict-xattrs=yes"], 2, /--strict-xattrs=yes is neither/, /./);
  for (const list of ["", ",", "ext3,", "ext3,,-dir_index"])
    fails(
      folder,
      ["ext4", "x.img", "--size=8M", `--features=${list}`],
      2,
      /--features ".*" has an item that is empty/,
      /one comma/,
    );
  fails(folder, [...squashfs, "--level", "abc"], 2, /--level abc is not a number/, /whole number/);
  fails(folder, [...squashfs, "-l1", "-l2"], 2, /--level is given 2 times/, /./);
  fails(folder, [...squashfs, "--jobs=many"], 2, /--jobs many is not a number/, /./);
  fails(folder, [...squashfs, "--level", "1", "-l", "2"], 2, /--level is given 2 times: 1, 2/, /one value/);
  fails(folder, [...squashfs, "-b", "4K", "-b", "8K"], 2, /--block-size is given 2 times: 4K, 8K/, /./);
  fails(folder, [...squashfs, "-c", "xz", "-c", "gzip"], 2, /--compressor is given 2 times/, /./);
  assert.equal(fs.existsSync(path.join(folder, "x.img")), false);
  const used = imgbuild(
    [...squashfs, "--fragments=false", "--exports=true", "--exclude", "a", "--exclude", "b", "-q"],
    { cwd: folder },
  );
  assert.equal(used.status, 0, used.stderr);
  assert.equal(fs.existsSync(path.join(folder, "x.img")), true);
});

test("no kernel, no device tree, half a bootloader", (t) => {
  const { folder, root } = setUp(t);
  const tree = path.join(root, "boot/imx6dl-colibri-eval-v3.dtb");
  fs.renameSync(path.join(root, "boot/zImage"), path.join(root, "boot/other"));
  fails(folder, [...SMALL, root], 1, /no kernel was found: looked in .*boot/, /--boot-files/);
  const wrong = [...SMALL, root, "--set", "boot.kernelFile=imx6dl-colibri-eval-v3.dtb"];
  fails(folder, wrong, 1, /not a kernel of the format zImage/, /./);
  fs.renameSync(path.join(root, "boot/other"), path.join(root, "boot/zImage"));
  fs.rmSync(tree);
  fails(folder, [...SMALL, root], 1, /no device tree imx6dl-colibri-\*\.dtb/, /--boot-files/);
  fs.writeFileSync(tree.replace("eval-v3", "iris"), "");
  fails(
    folder,
    [...SMALL, root],
    1,
    /default device tree imx6dl-colibri-eval-v3\.dtb is not among/,
    /imx6dl-colibri-iris\.dtb/,
  );
  fs.writeFileSync(tree, "");
  fs.mkdirSync(path.join(folder, "loader"));
  fs.writeFileSync(path.join(folder, "loader/SPL"), "");
  fails(folder, [...SMALL, root, "--bootloader", "loader"], 1, /u-boot\.img not found/, /--bootloader/);
});

test("a kernel that could not reach its root is refused, as its configuration tells", (t) => {
  const { folder, root } = setUp(t);
  const config = path.join(root, "boot/config-6.1.0-1-armmp");
  const auto = [...SMALL, root, "--set", "boot.initramfs=auto"];
  const set = (text: string) => fs.writeFileSync(config, text);
  set("CONFIG_SQUASHFS=m\n");
  fails(folder, auto, 1, /squashfs as a module, which the root file system lacks|SQUASHFS_ZLIB/, /CONFIG_SQUASHFS/);
  const usable = "CONFIG_SQUASHFS=y\nCONFIG_SQUASHFS_ZLIB=y\nCONFIG_EXT4_FS=y\n";
  set(usable);
  fails(folder, auto, 1, /cannot mount overlay: CONFIG_OVERLAY_FS is not set/, /CONFIG_OVERLAY_FS=y/);
  set(`${usable}CONFIG_OVERLAY_FS=m\n`);
  fails(folder, auto, 1, /overlay as a module, which the root file system lacks/, /lib\/modules/);
  set(`${usable}CONFIG_OVERLAY_FS=y\n`);
  const modules = path.join(root, "lib/modules/6.1.0-1-armmp");
  fs.mkdirSync(modules, { recursive: true });
  fs.writeFileSync(path.join(modules, "modules.builtin"), "kernel/drivers/gpio/gpio-mxc.ko\n");
  fails(folder, auto, 1, /driver sdhci-esdhc-imx neither built in nor among the modules/, /boot\.drivers/);
  fs.appendFileSync(path.join(modules, "modules.builtin"), "kernel/drivers/mmc/host/sdhci-esdhc-imx.ko\n");
  assert.equal(imgbuild(auto, { cwd: folder }).status, 0);
});

test("an output inside of the root, and one that cannot be there", (t) => {
  const { folder, root } = setUp(t);
  fails(folder, [...SMALL, root, "--output", path.join(root, "out")], 2, /inside of .*rootfs/, /elsewhere/);
  fails(folder, ["squashfs", root, path.join(root, "x.squashfs")], 2, /inside of .*rootfs/, /elsewhere/);
  fails(folder, ["squashfs", root, "nowhere/x.squashfs"], 1, /no folder nowhere/, /./);
  fails(
    folder,
    [...SMALL, root, "--output", "/proc/imgbuild"],
    1,
    /cannot write .*: no file can be made there \(ENOENT\)/,
    /another folder/,
  );
  fails(folder, ["ext4", "/proc/x.img", "--size=8M"], 1, /cannot write \/proc: no file can be made/, /another folder/);
  fails(folder, ["ext4", "x".repeat(300), "--size=8M"], 1, /the name is too long \(ENAMETOOLONG\)/, /shorter/);
});

test("a root that is too large says by how much, what is large, and which key to set; the last image stays", (t) => {
  const { folder, root } = setUp(t);
  assert.equal(imgbuild([...SMALL, root], { cwd: folder }).status, 0);
  const tooSmall = [...SMALL, root, "--set", "partitions.rootfs.size=1MiB"];
  const hint = /partitions\.rootfs\.size=4MiB .*usr\/share/;
  fails(folder, tooSmall, 1, /rootfs needs \d+ bytes as squashfs, \d+ more than its 1048576/, hint);
  const { stdout } = imgbuild([...tooSmall, "--json"], { cwd: folder });
  const { error } = JSON.parse(stdout);
  assert.equal(error.code, "does-not-fit");
  assert.equal(error.data.needed - error.data.available, error.data.over);
  // What it says is enough is enough, and a sector less is not.
  const exact = (bytes: number) =>
    imgbuild([...SMALL, root, "--set", `partitions.rootfs.size=${bytes}`], { cwd: folder }).status;
  assert.equal(exact(error.data.needed), 0);
  assert.equal(exact(error.data.needed - 512), 1);
});

test("partitions that overlap are both named", (t) => {
  const { folder, root } = setUp(t);
  fails(folder, [...SMALL, root, "--set", "partitions.rootfs.offset=32MiB"], 1, /bootfs .* overlaps .* rootfs/, /./);
});

test("a full disk", (t) => {
  if (lacksRoot(t)) return;
  const { folder, root } = setUp(t);
  const out = path.join(folder, "out");
  fs.mkdirSync(out);
  run("mount", ["-t", "tmpfs", "-o", "size=2M", "tmpfs", out]);
  try {
    fails(folder, [...SMALL, root], 1, /the disk is full/, /another disk/);
    assert.deepEqual(fs.readdirSync(path.join(out, "colibri-imx6")), []);
  } finally {
    run("umount", [out]);
  }
});

test("an output folder that cannot be made", (t) => {
  const { folder, root } = setUp(t);
  fs.writeFileSync(path.join(folder, "file"), "");
  fails(folder, [...SMALL, root, "--output", path.join(folder, "file/out")], 1, /cannot write/, /./);
});

test("an image replaces a file, not a device, a folder or a symlink", (t) => {
  const { folder, root } = setUp(t);
  fs.mkdirSync(path.join(folder, "taken"));
  fails(folder, ["squashfs", root, "taken"], 2, /taken is a folder/, /./);
  fails(folder, ["squashfs", root, "/dev/null"], 2, /\/dev\/null is a device/, /dd/);
  assert.ok(fs.statSync("/dev/null").isCharacterDevice());
  fails(folder, ["squashfs", root, "-"], 2, /standard output/, /./);
  fs.writeFileSync(path.join(folder, "target.img"), "");
  fs.symlinkSync("target.img", path.join(folder, "link.img"));
  assert.equal(imgbuild(["squashfs", root, "link.img"], { cwd: folder }).status, 0);
  assert.equal(fs.readlinkSync(path.join(folder, "link.img")), "target.img");
  assert.ok(fs.statSync(path.join(folder, "target.img")).size > 2 ** 20);
  assert.deepEqual(fs.readdirSync(folder).sort(), ["link.img", "rootfs", "taken", "target.img"]);
});

test("an image goes where its symlinks lead, also where nothing is yet; circles are refused", (t) => {
  const { folder, root } = setUp(t);
  const at = (name: string) => path.join(folder, name);
  fs.symlinkSync("loop", at("loop"));
  fails(
    folder,
    ["ext4", root, "loop", "--size", "16M"],
    2,
    /the symlinks of loop lead in a circle/,
    /remove the symlink/,
  );
  fails(folder, ["fat", root, "loop/x.img", "--size", "16M"], 2, /loop\/x\.img lead in a circle/, /./);
  assert.equal(fs.readlinkSync(at("loop")), "loop");
  // Over two links, one of them in a folder that is itself a link: `..` is above the folder that it leads to.
  for (const name of ["a", "a/b", "images"]) fs.mkdirSync(at(name));
  fs.symlinkSync("a/b", at("short"));
  fs.symlinkSync("../../images/new.img", at("a/b/second"));
  fs.symlinkSync("short/second", at("first"));
  assert.equal(imgbuild(["squashfs", root, "first"], { cwd: folder }).status, 0);
  assert.equal(fs.readlinkSync(at("first")), "short/second");
  assert.equal(fs.readlinkSync(at("a/b/second")), "../../images/new.img");
  assert.ok(fs.lstatSync(at("images/new.img")).isFile());
  fs.symlinkSync("nowhere/new.img", at("lost"));
  fails(folder, ["squashfs", root, "lost"], 1, /there is no folder .*nowhere for the image/, /Make it first/);
  assert.equal(fs.readlinkSync(at("lost")), "nowhere/new.img");
});

test("a file that shrinks while it is read", async (t) => {
  const { folder, root } = setUp(t);
  const growing = path.join(root, "usr/share/big.bin");
  // Large enough that it is certainly still being read when it shrinks.
  fs.truncateSync(growing, 2 ** 31);
  const child = spawn(process.execPath, [MAIN, ...SMALL, root, "--progress", "json"], { cwd: folder });
  let said = "";
  child.stderr.on("data", (data) => {
    said += data;
    if (said.includes('"stage":"rootfs"')) fs.truncateSync(growing, 1000);
  });
  const [status] = await once(child, "close");
  assert.equal(status, 1, said);
  assert.match(said, /error: .*big\.bin changed while it was read/);
  assert.deepEqual(listing(folder), []);
});

for (const [signal, expected] of [
  ["SIGKILL", null],
  ["SIGINT", 130],
  ["SIGTERM", 130],
] as const) {
  test(`${signal} in the middle of a build: the last image stays, and the next build clears up`, async (t) => {
    const { folder, root } = setUp(t);
    assert.equal(imgbuild([...SMALL, root], { cwd: folder }).status, 0);
    const before = listing(folder);
    fs.truncateSync(path.join(root, "usr/share/big.bin"), 2 ** 31);
    const child = spawn(process.execPath, [MAIN, ...SMALL, root, "--progress", "json"], { cwd: folder });
    child.stderr.on("data", async (data) => {
      if (!String(data).includes('"stage":"rootfs"')) return;
      await setTimeout(100);
      child.kill(signal);
    });
    const [status, killed] = await once(child, "close");
    assert.equal(status, expected);
    if (expected === null) assert.equal(killed, signal);
    const out = path.join(folder, "out/colibri-imx6");
    const leftOver = fs.readdirSync(out).filter((name) => name.startsWith("."));
    assert.equal(leftOver.length, expected === null ? 1 : 0);
    assert.deepEqual(
      listing(folder).filter((line) => !line.includes("/.partial-")),
      before,
    );
    fs.truncateSync(path.join(root, "usr/share/big.bin"), 1000);
    assert.equal(imgbuild([...SMALL, root], { cwd: folder }).status, 0);
    assert.deepEqual(
      fs.readdirSync(out).filter((name) => name.startsWith(".")),
      [],
    );
  });
}

test("SIGINT in the middle of extracting leaves nothing half-made, and folders as they were", async (t) => {
  const { folder } = setUp(t);
  const source = path.join(folder, "source");
  fs.mkdirSync(path.join(source, "a"), { recursive: true });
  fs.writeFileSync(path.join(source, "a/first"), "complete");
  fs.writeFileSync(path.join(source, "a/large"), "");
  // FAT has no holes: extracting writes all of it.
  fs.truncateSync(path.join(source, "a/large"), 2 ** 30);
  assert.equal(imgbuild(["fat", "source", "image", "--size", "1200MiB"], { cwd: folder }).status, 0);
  const output = path.join(folder, "output");
  fs.mkdirSync(path.join(output, "a"), { recursive: true });
  fs.chmodSync(path.join(output, "a"), 0o750);
  const child = spawn(process.execPath, [MAIN, "extract", "-f", "image", "-o", "output"], { cwd: folder });
  let said = "";
  child.stderr.on("data", (data) => {
    said += data;
  });
  const unfinished = () => fs.readdirSync(path.join(output, "a")).filter((name) => name.startsWith(".imgbuild-"));
  while (unfinished().length === 0 && child.exitCode === null) await setTimeout(20);
  child.kill("SIGINT");
  const [status] = await once(child, "close");
  assert.equal(status, 130, said);
  assert.match(said, /interrupted: what is complete stays in output/);
  assert.deepEqual(fs.readdirSync(path.join(output, "a")), ["first"]);
  assert.equal(fs.readFileSync(path.join(output, "a/first"), "utf8"), "complete");
  assert.deepEqual(fs.readdirSync(output), ["a"]);
  assert.equal(fs.statSync(path.join(output, "a")).mode & 0o777, 0o750);
});

test("--verbose shows where an error came from, and nothing else does", (t) => {
  const { folder } = setUp(t);
  assert.doesNotMatch(imgbuild([...SMALL, "nowhere"], { cwd: folder }).stderr, / at .*\.js:/);
  assert.match(imgbuild([...SMALL, "nowhere", "--verbose"], { cwd: folder }).stderr, / at .*\.js:/);
});

/** Runs it with a standard output or standard error that nobody reads. */
async function unread(folder: string, args: readonly string[], ...closed: ("stdout" | "stderr")[]) {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder });
  for (const stream of closed) child[stream].destroy();
  let said = "";
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].on("data", (data) => {
      if (!closed.includes(stream)) said += data;
    });
  }
  const [status] = await once(child, "close");
  return { status, said };
}

test("results that nobody reads are no error, whatever the command", async (t) => {
  const { folder, root } = setUp(t);
  for (const args of [
    ["profiles"],
    ["profiles", "colibri-imx6"],
    ["schema"],
    ["completion"],
    ["--help"],
    ["--version"],
    ["build", "--help"],
    [...SMALL, root, "--dry-run", "--quiet"],
    ["fat", "boot.fat", "--size", "1MiB", "--json", "--quiet"],
  ]) {
    assert.deepEqual(await unread(folder, args, "stdout"), { status: 0, said: "" }, args.join(" "));
  }
  const { status, said } = await unread(folder, ["profiles", "nowhere", "--json"], "stdout");
  assert.equal(status, 2);
  assert.match(said, /^error: there is no profile "nowhere"\nhint: .*\n$/);
});

test("a build goes on when nobody reads what it tells", async (t) => {
  const { folder, root } = setUp(t);
  assert.deepEqual(await unread(folder, [...SMALL, root], "stdout", "stderr"), { status: 0, said: "" });
  assert.ok(listing(folder).some((line) => line.includes("manifest.json")));
  assert.equal((await unread(folder, ["profiles", "nowhere"], "stdout", "stderr")).status, 2);
});
