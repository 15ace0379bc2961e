/** Whole builds, checked by programs that are not ours, and compared byte for byte with one another. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import type { Manifest } from "../../src/output/manifest.js";
import { imgbuild, MAIN, makeRoot, SMALL } from "../support/cli.js";
import { describeDirectory } from "../support/describe.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";

const ADDED = ["userdata", "usr/lib", "usr/lib/imgbuild", "usr/sbin", "usr/sbin/overlayctl"];

function build(cwd: string, ...args: string[]): Manifest {
  const result = imgbuild([...args, "--json"], { cwd });
  assert.equal(result.status, 0, result.stderr);
  return JSON.parse(result.stdout);
}

const hash = (file: string) => createHash("sha256").update(fs.readFileSync(file)).digest("hex");

test("colibri-imx6: every part of the image is what other programs take it for", async (t) => {
  if (lacks(t, "sfdisk", "fsck.fat", "mcopy", "e2fsck", "mkimage", "unsquashfs", "getfattr") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const loader = path.join(folder, "loader");
  fs.mkdirSync(loader);
  fs.writeFileSync(path.join(loader, "SPL"), "SPL".repeat(1000));
  fs.writeFileSync(path.join(loader, "u-boot.img"), "U-Boot".repeat(50_000));
  const manifest = build(folder, ...SMALL, root, "--bootloader", loader);
  const out = path.join(folder, "out/colibri-imx6");
  const image = path.join(out, "emmc.img");

  assert.match(run("sfdisk", ["--verify", image]), /No errors detected/);
  const table = JSON.parse(run("sfdisk", ["--json", image])).partitiontable;
  assert.equal(table.label, "dos");
  assert.deepEqual(
    table.partitions.map(({ start, size, type, bootable }: Record<string, unknown>) => ({
      start,
      size,
      type,
      bootable,
    })),
    [
      { start: 8192, size: 131072, type: "c", bootable: true },
      { start: 139264, size: 32768, type: "83", bootable: undefined },
      { start: 172032, size: 409600 - 172032, type: "83", bootable: undefined },
    ],
  );
  assert.equal(table.id, `0x${manifest.table.id}`);

  for (const { file, size, sha256 } of manifest.artifacts) {
    assert.equal(fs.statSync(path.join(out, file)).size, size);
    assert.equal(hash(path.join(out, file)), sha256, file);
  }
  // The single partitions are the image's own bytes.
  const bytes = fs.readFileSync(image);
  for (const { name, offset, used } of manifest.partitions) {
    const file = fs.readdirSync(out).find((found) => found.startsWith(`${name}.`))!;
    assert.ok(fs.readFileSync(path.join(out, file)).equals(bytes.subarray(offset, offset + used)), file);
  }

  run("fsck.fat", ["-n", path.join(out, "bootfs.vfat")]);
  run("mcopy", ["-i", path.join(out, "bootfs.vfat"), "::boot.scr", "::zImage", folder]);
  assert.match(run("mkimage", ["-l", path.join(folder, "boot.scr")]), /Image Type: +ARM Linux Script/);
  assert.equal(hash(path.join(folder, "zImage")), hash(path.join(root, "boot/zImage")));
  run("e2fsck", ["-fn", path.join(out, "userdata.ext4")]);
  const boot0 = fs.readFileSync(path.join(out, "boot0.img"));
  assert.ok(boot0.subarray(1024).toString("latin1").startsWith("SPLSPL"));
  assert.ok(
    boot0
      .subarray(138 * 512)
      .toString("latin1")
      .startsWith("U-Boot"),
  );

  const { offset, size } = manifest.partitions[1]!;
  await mounted(image, { type: "squashfs", offset, size }, (mount) => {
    const shown = describeDirectory(mount);
    const expected = describeDirectory(root);
    assert.match(shown.get("usr/lib/imgbuild/preinit")!, /^file 0755 0:0 /);
    for (const added of ADDED) assert.ok(shown.delete(added), added);
    for (const at of shown.keys()) if (at.startsWith("usr/lib/imgbuild/")) shown.delete(at);
    // Adding an entry to a folder leaves its time alone; sorted, so that only content is compared.
    assert.deepEqual([...shown].sort(), [...expected].sort());
  });
});

test("qemu-arm64: a GPT that sgdisk finds nothing wrong with", (t) => {
  if (lacks(t, "sgdisk", "sfdisk")) return;
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const kernel = Buffer.alloc(4096);
  kernel.write("ARM\x64", 56, "latin1");
  fs.writeFileSync(path.join(root, "boot/Image"), kernel);
  const set = ["storage.size=200MiB", "boot.initramfs=none"].flatMap((setting) => ["--set", setting]);
  const manifest = build(folder, "-p", "qemu-arm64", root, ...set);
  const image = path.join(folder, "out/qemu-arm64/emmc.img");
  assert.match(run("sgdisk", ["-v", image]), /No problems found/);
  const table = JSON.parse(run("sfdisk", ["--json", image])).partitiontable;
  assert.equal(table.id.toLowerCase(), manifest.table.id);
  assert.deepEqual(
    table.partitions.map((found: { name: string; uuid: string }) => [found.name, found.uuid.toLowerCase()]),
    manifest.partitions.map(({ name, partuuid }) => [name, partuuid]),
  );
});

test("two slots, and partitions by other names: the root is in the first slot, the second is empty", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const slot = "filesystem: squashfs, size: 8MiB, role: rootfs";
  const profile = `extends: colibri-imx6
storage: { size: 64MiB }
slots: { confirm: manual }
partitions:
  bootfs: null
  rootfs: null
  userdata: null
  boot: { filesystem: fat, size: 16MiB, role: bootfs, active: true, label: BOOT }
  root-a: { ${slot} }
  root-b: { ${slot} }
  state: { filesystem: ext4, size: rest, role: userdata }
`;
  fs.writeFileSync(path.join(folder, "slots.yaml"), profile);
  const manifest = build(folder, "-p", "./slots.yaml", root);
  assert.deepEqual(
    manifest.partitions.map(({ name, role, used }) => [name, role, used > 0]),
    [
      ["boot", "bootfs", true],
      ["root-a", "rootfs", true],
      ["root-b", "rootfs", false],
      ["state", "userdata", true],
    ],
  );
  const files = manifest.artifacts.map(({ file }) => file);
  assert.deepEqual(files, ["emmc.img", "boot.vfat", "root-a.squashfs", "state.ext4"]);
  const verified = imgbuild(["verify", "out/slots"], { cwd: folder });
  assert.equal(verified.status, 0, verified.stderr);
});

test("colibri-imx8x: an Image becomes Image.gz, and a tar on standard input is a root", (t) => {
  if (lacks(t, "mcopy")) return;
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  fs.rmSync(path.join(root, "boot"), { recursive: true });
  const boot = path.join(folder, "boot");
  fs.mkdirSync(boot);
  const kernel = Buffer.alloc(100_000, "kernel");
  kernel.write("ARM\x64", 56, "latin1");
  fs.writeFileSync(path.join(boot, "Image"), kernel);
  for (const name of ["imx8qxp-colibri-eval-v3.dtb", "imx8dx-colibri-iris.dtb", "imx8mm-other.dtb"]) {
    fs.writeFileSync(path.join(boot, name), name);
  }
  const tar = spawnSync("tar", ["-C", root, "-czf", "-", "."], { maxBuffer: 2 ** 28 }).stdout;
  const set = ["storage.size=200MiB", "partitions.rootfs.size=16MiB", "boot.initramfs=none"];
  const args = ["-p", "colibri-imx8x", "-", "--boot-files", boot, ...set.flatMap((setting) => ["--set", setting])];
  const result = imgbuild(args, { cwd: folder, input: tar });
  assert.equal(result.status, 0, result.stderr);
  const bootfs = path.join(folder, "out/colibri-imx8x/bootfs.vfat");
  run("mcopy", ["-i", bootfs, "::Image.gz", folder]);
  assert.ok(gunzipSync(fs.readFileSync(path.join(folder, "Image.gz"))).equals(kernel));
  const listed = run("mdir", ["-b", "-i", bootfs, "::"]).trim().split("\n").sort();
  assert.deepEqual(listed, [
    "::/Image.gz",
    "::/boot.scr",
    "::/imx8dx-colibri-iris.dtb",
    "::/imx8qxp-colibri-eval-v3.dtb",
  ]);
});

test("--userdata goes to the upper layer of its overlay, under the owner and mode of the folder it covers", (t) => {
  if (lacks(t, "debugfs")) return;
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  fs.chmodSync(path.join(root, "home/root"), 0o700);
  const data = path.join(folder, "data/home/root/sub");
  fs.mkdirSync(data, { recursive: true });
  fs.writeFileSync(path.join(data, "file.txt"), "from the start");
  build(folder, ...SMALL, root, "--userdata", "data");
  const ext4 = path.join(folder, "out/colibri-imx6/userdata.ext4");
  assert.equal(run("debugfs", ["-R", "cat /overlay/home-root/upper/sub/file.txt", ext4]), "from the start");
  assert.match(run("debugfs", ["-R", "stat /overlay/home-root/upper", ext4]), /Mode: +0700/);
  assert.match(run("debugfs", ["-R", "ls -p /overlay/home-root", ext4]), /\/factory\/0\//);
  const refused = (message: RegExp) => {
    const { status, stderr } = imgbuild([...SMALL, root, "--userdata", "data"], { cwd: folder });
    assert.equal(status, 1);
    assert.match(stderr, message);
  };
  fs.writeFileSync(path.join(folder, "data/stray.txt"), "");
  refused(/--userdata has what no overlay takes: stray\.txt/);
  fs.renameSync(path.join(folder, "data/home"), path.join(folder, "data/house"));
  refused(/--userdata holds nothing for any overlay\n.*home\/root/);
});

test("nothing but the input changes a byte of any artifact", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const hashes = (args: string[], env: NodeJS.ProcessEnv = {}, umask = 0o022) => {
    const old = process.umask(umask);
    const result = imgbuild([...SMALL, root, "--output", path.join(folder, "out"), ...args], { env });
    process.umask(old);
    assert.equal(result.status, 0, result.stderr);
    return fs.readdirSync(path.join(folder, "out")).map((name) => `${name} ${hash(path.join(folder, "out", name))}`);
  };
  const first = hashes(["--jobs", "1"]);
  assert.equal(first.length, 5);
  assert.deepEqual(hashes(["--jobs", "4"]), first);
  assert.deepEqual(hashes([], { TZ: "Pacific/Chatham", LC_ALL: "tr_TR.UTF-8", HOME: "/nowhere" }, 0o077), first);

  // The same content, made in another order, lies in other places of its folders.
  const copy = path.join(folder, "copy");
  fs.mkdirSync(copy);
  const names = fs.readdirSync(root, { recursive: true, encoding: "utf8" }).reverse();
  const folders = names.filter((name) => fs.lstatSync(path.join(root, name)).isDirectory());
  for (const name of folders) fs.mkdirSync(path.join(copy, name), { recursive: true });
  for (const name of names.filter((found) => !folders.includes(found))) {
    fs.cpSync(path.join(root, name), path.join(copy, name), { preserveTimestamps: true, verbatimSymlinks: true });
  }
  for (const name of [...names, "."]) {
    const { mode, atime, mtime } = fs.lstatSync(path.join(root, name));
    fs.lutimesSync(path.join(copy, name), atime, mtime);
    if (!fs.lstatSync(path.join(copy, name)).isSymbolicLink()) fs.chmodSync(path.join(copy, name), mode & 0o7777);
  }
  fs.rmSync(root, { recursive: true });
  fs.renameSync(copy, root);
  assert.deepEqual(hashes([]), first);
});

test("SOURCE_DATE_EPOCH clamps what is newer, and two builds of touched files are the same", (t) => {
  if (lacks(t, "unsquashfs")) return;
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const env = { SOURCE_DATE_EPOCH: "1000000000", TZ: "UTC" };
  const once = () => {
    assert.equal(imgbuild([...SMALL, root, "--output", "out"], { cwd: folder, env }).status, 0);
    return fs.readdirSync(path.join(folder, "out")).map((name) => hash(path.join(folder, "out", name)));
  };
  const first = once();
  for (const name of fs.readdirSync(root, { recursive: true, encoding: "utf8" })) {
    fs.lutimesSync(path.join(root, name), 1_700_000_000, 1_700_000_000);
  }
  assert.deepEqual(once(), first);
  const squashfs = path.join(folder, "out/rootfs.squashfs");
  const lines = run("unsquashfs", ["-lls", squashfs], { env: { TZ: "UTC" } });
  assert.doesNotMatch(lines, / 20(?:0[2-9]|[1-9]\d)-/);
  assert.match(lines, /2001-09-09 01:46/);
});

test("what the overlay adds to the root is counted, and listed with --verbose", (t) => {
  const folder = temporaryFolder(t);
  const told = (...more: string[]) =>
    imgbuild([...SMALL, makeRoot(temporaryFolder(t)), "--dry-run", ...more], { cwd: folder }).stderr;
  assert.match(told(), /^note: \d+ files added to the root for the overlay; --verbose lists them$/m);
  assert.match(told("--verbose"), /^note: added to the root: .*overlayctl/m);
});

test("--dry-run prints the layout and writes nothing", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const text = imgbuild([...SMALL, root, "--dry-run"], { cwd: folder });
  assert.match(text.stdout, /rootfs +squashfs +71303168 +139264 +16777216/);
  const { partitions } = JSON.parse(imgbuild([...SMALL, root, "--dry-run", "--json"], { cwd: folder }).stdout);
  assert.deepEqual(partitions[1], {
    name: "rootfs",
    role: "rootfs",
    number: 2,
    filesystem: "squashfs",
    offset: 71303168,
    size: 16777216,
  });
  assert.deepEqual(fs.readdirSync(folder), ["rootfs"]);
});

test("squashfs, ext4 and fat make single file systems, an empty one too", (t) => {
  if (lacks(t, "unsquashfs", "e2fsck", "fsck.fat", "blkid")) return;
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const make = (...args: string[]) => {
    const result = imgbuild(args, { cwd: folder });
    assert.equal(result.status, 0, result.stderr);
  };
  make("squashfs", root, "root.squashfs", "-b", "64K", "-l", "1");
  assert.match(run("unsquashfs", ["-s", path.join(folder, "root.squashfs")]), /Block size 65536/);
  make("ext4", root, "root.ext4", "--size", "32M", "--label", "data", "--uuid", "123e4567-e89b-12d3-a456-426614174000");
  run("e2fsck", ["-fn", path.join(folder, "root.ext4")]);
  assert.match(
    run("blkid", ["-p", path.join(folder, "root.ext4")]),
    /LABEL="data" UUID="123e4567-e89b-12d3-a456-426614174000"/,
  );
  make("ext4", "empty.ext4", "--size", "1GiB");
  run("e2fsck", ["-fn", path.join(folder, "empty.ext4")]);
  make("fat", path.join(root, "boot"), "boot.vfat", "--size", "40MiB", "--label", "BOOT", "--volume-id", "1234-ABCD");
  run("fsck.fat", ["-n", path.join(folder, "boot.vfat")]);
  assert.match(run("blkid", ["-p", path.join(folder, "boot.vfat")]), /LABEL="BOOT" UUID="1234-ABCD"/);
});

test("profiles, schema, completion, version and help print on standard output", () => {
  for (const [args, expected] of [
    [["profiles"], /^colibri-imx6 +Toradex/m],
    [["profiles", "colibri-imx6"], /^architecture: arm +# from toradex-imx6$/m],
    [["profiles", "colibri-imx6", "--json"], /^\{"chain".*"description"/],
    [["schema"], /"partitions"/],
    [["completion"], /imgbuild/],
    [["--version"], /^\d+\.\d+\.\d+$/m],
    [["--help"], /imgbuild --profile NAME ROOTFS/],
    [["squashfs", "--help"], /--block-size/],
  ] as const) {
    const { status, stdout, stderr } = imgbuild(args);
    assert.equal(status, 0, stderr);
    assert.match(stdout, expected);
    assert.equal(stderr, "");
  }
});

test("what `profiles NAME` prints is a profile", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const printed = imgbuild(["profiles", "qemu-arm", "--set", "seed=mine"]).stdout;
  fs.writeFileSync(path.join(folder, "board.yaml"), printed);
  const again = imgbuild(["profiles", path.join(folder, "board.yaml")]).stdout;
  const values = (text: string) => text.replace(/ *#.*/g, "");
  assert.equal(values(again), values(printed));
  assert.match(printed, /^seed: mine +# from --set$/m);
  const args = ["-p", "./board.yaml", root, "--dry-run", "--set", "boot.initramfs=none"];
  assert.equal(imgbuild(args, { cwd: folder }).status, 0);
});

test("--mtime is the time of every node", (t) => {
  if (lacks(t, "unsquashfs", "debugfs")) return;
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  assert.equal(imgbuild(["squashfs", root, "x.squashfs", "--mtime", "86400"], { cwd: folder }).status, 0);
  const lines = run("unsquashfs", ["-lls", path.join(folder, "x.squashfs")], { env: { TZ: "UTC" } });
  assert.equal(lines.match(/1970-01-02 00:00/g)?.length, lines.match(/squashfs-root/g)?.length);
  assert.equal(imgbuild(["ext4", root, "x.ext4", "--size", "32M", "--mtime", "86400"], { cwd: folder }).status, 0);
  assert.match(run("debugfs", ["-R", "stat /etc/hostname", path.join(folder, "x.ext4")]), /mtime: 0x00015180/);
  assert.equal(imgbuild(["fat", "x.vfat", "--size", "1M", "--mtime", "soon"], { cwd: folder }).status, 2);
});

test("the package's programs run as they are installed", () => {
  assert.equal(spawnSync(MAIN, ["--version"]).status, 0);
});
