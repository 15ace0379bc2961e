/** The commands that look into images, run as users do, against what the kernel and the formats' own tools say. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, before, test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { writeFat } from "../../src/fat/index.js";
import { writeGpt } from "../../src/partition/index.js";
import { openSquashfs } from "../../src/squashfs/index.js";
import { OPTIONS, treeOf } from "../fat/volume.js";
import { flip, MiB, makeFat, makeSource, place } from "../image/image-files.js";
import { imgbuild, MAIN, makeRoot, SMALL } from "../support/cli.js";
import { describeDirectory } from "../support/describe.js";
import { lacks, lacksRoot, mounted, run } from "../support/tools.js";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-look-"));
const output = path.join(folder, "out");
after(() => fs.rmSync(folder, { recursive: true, force: true }));

/** A folder with special nodes, modes, owners and attributes beside files. */
function specialSource(folder: string): string {
  const source = makeSource(folder, { attributes: true });
  const at = (name: string) => path.join(source, name);
  run("mknod", [at("etc/null"), "c", "1", "3"]);
  run("mknod", [at("etc/disk"), "b", "259", "1000000"]);
  run("mkfifo", [at("etc/pipe")]);
  fs.symlinkSync("../usr/large", at("etc/symlink"));
  fs.symlinkSync("/etc/deep", at("etc/folder-link"));
  fs.symlinkSync("/../../../../etc/passwd", at("etc/out"));
  fs.symlinkSync("loop", at("loop"));
  fs.writeFileSync(
    Buffer.concat([Buffer.from(`${source}/`), Buffer.from([0x1b, 0x5b, 0x32, 0x4a, 0xff, 0x5c])]),
    "hostile",
  );
  for (const [name, mode] of [
    ["etc/file1", 0o4755],
    ["etc/file2", 0o2654],
    ["etc/file3", 0o6000],
    ["usr", 0o1777],
  ] as const) {
    fs.chownSync(at(name), 1000, 70_000);
    fs.chmodSync(at(name), mode);
  }
  run("setfattr", ["-n", "security.capability", "-v", "0x0100000200200000000000000000000000000000", at("usr/copy")]);
  run("setfattr", ["-n", "trusted.mark", "-v", "1", at("etc")]);
  return source;
}

/** SquashFS and ext4 of the same files, and a disk with an MBR that has a FAT, the SquashFS, and the ext4. */
function makeImages() {
  const at = (name: string) => path.join(folder, name);
  const source = specialSource(folder);
  run("mksquashfs", [source, at("a.squashfs"), "-quiet", "-no-progress"]);
  run("mke2fs", ["-q", "-F", "-t", "ext4", "-L", "data", "-d", source, at("a.ext4"), "48M"]);
  makeFat(at("a.fat"), path.join(source, "etc/deep"), 40 * MiB, 32);
  fs.writeFileSync(at("disk"), "");
  fs.truncateSync(at("disk"), 128 * MiB);
  run("sfdisk", ["-q", at("disk")], { input: Buffer.from("1M,40M,c,*\n,8M,83\n,48M,83\n") });
  for (const [part, start] of [
    ["a.fat", 1],
    ["a.squashfs", 41],
    ["a.ext4", 49],
  ] as const)
    place(at("disk"), at(part), start * MiB);
  return { source, at };
}

let made: ReturnType<typeof makeImages> | undefined;
/** They are made once: tests leave them as they are. */
function images(): ReturnType<typeof makeImages> {
  made ??= makeImages();
  return made;
}

const TOOLS = ["mksquashfs", "mke2fs", "mkfs.fat", "mcopy", "sfdisk", "setfattr", "getfattr"];

test("listings are what find shows of a kernel's mount", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { at } = images();
  for (const [image, type] of [
    ["a.squashfs", "squashfs"],
    ["a.ext4", "ext4"],
  ] as const) {
    const printed = await mounted(at(image), { type }, (folder) => {
      const records = run("find", [folder, "-mindepth", "1", "-printf", "%y %m %U %G %s %Ts %l\t%P\\0"], {
        env: { TZ: "UTC" },
      });
      return records
        .split("\0")
        .filter((record) => record !== "")
        .map((record) => record.split("\t"));
    });
    const expected = new Map(printed.map(([facts, name]) => [name!, facts!]));
    const names = imgbuild(["ls", "-R", "--zero", at(image)], { encoding: "latin1" } as never).stdout.split("\0");
    assert.equal(names.pop(), "");
    assert.deepEqual(names.map((name) => name.slice(1)).sort(), [...expected.keys()].sort());
    assert.deepEqual(names.filter((name) => name !== "/lost+found").length > 60, true);
    const { entries } = JSON.parse(imgbuild(["ls", "--recursive", "--json", at(image)]).stdout);
    const letters: Record<string, string> = {
      file: "f",
      directory: "d",
      symlink: "l",
      block: "b",
      character: "c",
      fifo: "p",
    };
    for (const entry of entries) {
      if (entry.path.includes("\\")) continue;
      const { type, mode, uid, gid, size, mtime, target = "" } = entry;
      const found = expected.get(entry.path.slice(1))!.split(" ");
      const own = [
        letters[type],
        mode.replace(/^0+(?=.)/, ""),
        `${uid}`,
        `${gid}`,
        `${size ?? found[4]}`,
        `${mtime}`,
        target,
      ];
      assert.deepEqual(own, found, entry.path);
    }
  }
});

test("long listings are what ls and stat show", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { at } = images();
  const format = "%M %U/%G %s %TY-%Tm-%Td %TH:%TM:%.2TS %p";
  const lines = await mounted(at("a.squashfs"), { type: "squashfs" }, (folder) =>
    run("find", ["etc", "usr", "-mindepth", "1", "-type", "f", "-printf", `${format}\n`], {
      cwd: folder,
      env: { TZ: "UTC" },
    }),
  );
  const normal = (text: string) => text.replace(/ +/g, " ").replace(/(\d\d)\.\d+ /g, "$1 ");
  const expected = normal(lines)
    .split("\n")
    .filter((line) => line !== "")
    .sort();
  const found = normal(imgbuild(["ls", "-lR", at("a.squashfs")]).stdout)
    .split("\n")
    .filter((line) => /^-.* \/(?:etc|usr)\//.test(line))
    .map((line) => line.replace(/ \/(?=etc|usr)/, " "));
  assert.deepEqual(found.sort(), expected);
  const etc = imgbuild(["ls", "-l", at("a.squashfs"), "/etc"]).stdout;
  assert.match(etc, /^crw-r--r-- 0\/0 +1,3 .* null$/m);
  assert.match(etc, /^brw-r--r-- 0\/0 +259,1000000 .* disk$/m);
  assert.match(etc, /^lrwxrwxrwx .* symlink -> \.\.\/usr\/large$/m);
});

test("names that would harm a terminal are escaped, and found as they are shown", (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { at } = images();
  const { stdout } = imgbuild(["ls", at("a.squashfs")]);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: there must be none
  assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  const shown = stdout.split("\n").find((name) => name.includes("x1b"))!;
  assert.equal(shown, "\\x1b[2J\\xff\\\\");
  assert.equal(imgbuild(["cat", at("a.squashfs"), `/${shown}`]).stdout, "hostile");
});

test("what an image says of itself comes to a terminal escaped, in failures and notes too", async () => {
  const hostile = "\u009b31m\x1b[31m\u202e\n";
  const disk = new MemoryDevice(8 * MiB);
  await writeGpt(disk, {
    diskGuid: "11111111-1111-4111-8111-111111111111",
    partitions: [1, 2].map((number) => ({
      ...{ number, type: "linux", name: `${hostile}${number}`, start: number * MiB, size: MiB },
      guid: `${number}1111111-1111-4111-8111-111111111111`,
    })),
  });
  const table = path.join(folder, "hostile.img");
  fs.writeFileSync(table, await disk.read(0, disk.size));
  // A long name with a slash, which no writer writes: the message that refuses it has the name in it.
  const fat = new MemoryDevice(MiB);
  await writeFat(fat, treeOf({ "aXYZ of the long kind": "" }), OPTIONS);
  const bytes = Buffer.from(await fat.read(0, fat.size));
  Buffer.from("a/\u009b\u202e", "utf16le").copy(bytes, bytes.indexOf(Buffer.from("aXYZ", "utf16le")));
  const volume = path.join(folder, "hostile.fat");
  fs.writeFileSync(volume, bytes);

  for (const [file, shown] of [
    [table, "\\xc2\\x9b31m\\x1b[31m\\xe2\\x80\\xae\\x0a"],
    [volume, '"a/\\xc2\\x9b\\xe2\\x80\\xae of the long kind"'],
  ] as const) {
    for (const args of [["ls"], ["verify"], ["inspect"], ["ls", "--verbose"], ["verify", "--progress", "plain"]]) {
      const { stdout, stderr } = imgbuild([...args, file]);
      const printed = stdout + stderr;
      assert.ok(printed.includes(shown), `${args.join(" ")}: ${JSON.stringify(printed)}`);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      assert.doesNotMatch(printed, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/, args.join(" "));
    }
  }
});

test("ls finds folders, files and symlinks as ls does", (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { at } = images();
  const ls = (...args: string[]) => imgbuild(["ls", at("a.ext4"), ...args]);
  assert.equal(ls("/etc/deep").stdout, "er\n");
  assert.equal(ls("etc/folder-link").stdout, "er\n");
  assert.match(ls("-l", "etc/folder-link").stdout, /etc\/folder-link -> \/etc\/deep\n$/);
  assert.match(ls("-l", "etc/folder-link/").stdout, /^d.* er\n$/);
  assert.equal(ls("-d", "etc").stdout, "etc\n");
  assert.equal(ls("-R", "/etc/folder-link").stdout, "/etc/deep/er\n/etc/deep/er/end\n");
  assert.equal(ls("/etc/out").stdout, "/etc/out\n");
  assert.equal(ls("/etc/../etc/./symlink").stdout, "/etc/../etc/./symlink\n");
  for (const missing of ["/nope", "/etc/file1/x", "/etc/out/x"]) {
    const { status, stderr } = ls(missing);
    assert.equal(status, 1);
    assert.match(stderr, /there is no \/.* in the image/);
  }
  assert.equal(ls("/loop/x").status, 1);
});

test("partitions are found by number, name and label", (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { at } = images();
  assert.equal(imgbuild(["ls", `${at("disk")}:1`]).stdout, "er\n");
  assert.equal(imgbuild(["cat", `${at("disk")}:BOOT`, "er/end"]).stdout, "the end\n");
  assert.equal(imgbuild(["cat", `${at("disk")}:data`, "/etc/deep/er/end"]).stdout, "the end\n");
  const unclear = imgbuild(["ls", at("disk")]);
  assert.equal(unclear.status, 2);
  assert.match(unclear.stderr, /partition 1 \(fat\), partition 2 \(squashfs\), partition 3 \(ext4\)/);
  assert.equal(imgbuild(["ls", `${at("disk")}:9`]).status, 2);
});

test("cat streams files, follows symlinks inside, and refuses what has no content", (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { at, source } = images();
  const cat = (image: string, name: string) =>
    spawnSync(process.execPath, [MAIN, "cat", at(image), name], { maxBuffer: 2 ** 28 });
  for (const image of ["a.squashfs", "a.ext4"]) {
    for (const name of ["usr/large", "usr/sparse", "etc/file0"]) {
      assert.deepEqual(cat(image, name).stdout, fs.readFileSync(path.join(source, name)), `${image} ${name}`);
    }
    assert.deepEqual(cat(image, "/etc/symlink").stdout, fs.readFileSync(path.join(source, "usr/large")));
    for (const name of ["/etc", "/etc/null", "/etc/pipe", "/etc/out", "/loop"])
      assert.equal(cat(image, name).status, 1, name);
  }
});

test("damage elsewhere does not keep a file or folder from being read", (t) => {
  if (lacks(t, ...TOOLS, "debugfs") || lacksRoot(t)) return;
  const { at, source } = images();
  const debugfs = (command: string) => run("debugfs", ["-R", command, at("a.ext4")]);
  const blockSize = Number(/Block size: +(\d+)/.exec(debugfs("show_super_stats -h"))![1]);
  const inode = (name: string) => {
    const [, block, offset] = /block (\d+), offset 0x([0-9a-f]+)/i.exec(debugfs(`imap ${name}`))!;
    return Number(block) * blockSize + Number.parseInt(offset!, 16);
  };
  const end = fs.readFileSync(path.join(source, "etc/deep/er/end"));
  const whole = (image: string, file: string, damage: readonly number[], missing: string) => {
    for (const byte of damage) flip(at(image), byte);
    try {
      const cat = spawnSync(process.execPath, [MAIN, "cat", at(image), file]);
      assert.equal(cat.stderr.toString(), "");
      assert.deepEqual(cat.stdout, end);
      const folder = path.dirname(file);
      assert.equal(imgbuild(["ls", "-lR", at(image), folder]).status, 0);
      assert.equal(imgbuild(["extract", "-f", at(image), folder, "-o", at("undisturbed")]).status, 0);
      assert.deepEqual(fs.readFileSync(path.join(at("undisturbed"), "end")), end);
      // What is damaged is missed where it is listed, and named; the rest is there.
      const { status, stdout } = imgbuild(["ls", "-R", "--json", at(image)]);
      assert.equal(status, 1);
      const { entries, errors } = JSON.parse(stdout);
      assert.ok(entries.some(({ path: name }: { path: string }) => name === `/${file}`));
      assert.deepEqual([errors[0].path, errors[0].code], [missing, "image-corrupt"]);
      const lines = imgbuild(["ls", "-R", at(image)]);
      assert.equal(lines.status, 1);
      assert.match(lines.stderr, new RegExp(`/${missing}: (?:.*\n)+.*imgbuild verify`));
      assert.match(lines.stdout, new RegExp(`^/${file}$`, "m"));
    } finally {
      for (const byte of damage) flip(at(image), byte);
    }
  };
  whole("a.ext4", "etc/deep/er/end", [inode("/etc/file7") + 4], "etc/file7");
  const usr = Number(/\d+/.exec(debugfs("bmap /usr 0"))![0]) * blockSize;
  whole("a.ext4", "etc/deep/er/end", [usr + 20], "usr");
  const listed = () => imgbuild(["ls", "-l", at("a.ext4"), "etc"]);
  const sound = listed().stdout.split("\n");
  const place = inode("/etc/file7") + 4;
  flip(at("a.ext4"), place);
  const { status, stdout } = listed();
  const names = imgbuild(["ls", at("a.ext4"), "etc"]);
  flip(at("a.ext4"), place);
  assert.equal(status, 1);
  assert.deepEqual(
    stdout.split("\n").filter((line) => !/ file7$/.test(line)),
    sound.filter((line) => !/ file7$/.test(line)),
  );
  assert.match(stdout, /^\?{10} .* file7$/m);
  // Who only wants names is not disturbed.
  assert.equal(names.status, 0);
  assert.match(names.stdout, /^file7$/m);
});

test("in a SquashFS and a FAT too", async (t) => {
  if (lacks(t, "mksquashfs", "mkfs.fat", "mcopy")) return;
  const at = (name: string) => path.join(folder, name);
  const source = at("parted");
  for (const [name, content] of [
    ["a/first", "first"],
    ["z/last", "last"],
  ] as const) {
    fs.mkdirSync(path.join(source, path.dirname(name)), { recursive: true });
    fs.writeFileSync(path.join(source, name), content);
  }
  run("mksquashfs", [source, at("parted.squashfs"), "-quiet", "-no-progress", "-noI", "-no-fragments"]);
  makeFat(at("parted.fat"), source, MiB, 12);
  // The mode of the inode of "z": a file type that its inode's own type contradicts. On FAT, the first cluster of "Z".
  const squashfs = fs.readFileSync(at("parted.squashfs"));
  const device = new MemoryDevice(squashfs.length);
  await device.write(0, squashfs);
  const { reference } = (await (await openSquashfs(device)).lookup(fromText("z")))!;
  const inodes = Number(squashfs.readBigUInt64LE(64));
  const entry = fs.readFileSync(at("parted.fat")).indexOf("Z          \x10", 0, "latin1");
  for (const [image, byte, bit] of [
    ["parted.squashfs", inodes + Math.floor(reference / 65_536) + 2 + (reference % 65_536) + 3, 7],
    ["parted.fat", entry + 27, 7],
  ] as const) {
    flip(at(image), byte, bit);
    assert.equal(imgbuild(["cat", at(image), "a/first"]).stdout, "first", image);
    assert.equal(imgbuild(["ls", "-l", at(image), "a"]).status, 0, image);
    assert.equal(imgbuild(["ls", at(image)]).stdout, "a\nz\n", image);
    assert.equal(imgbuild(["cat", at(image), "z/last"]).status, 1, image);
    const all = imgbuild(["ls", "-R", at(image)]);
    assert.equal(all.status, 1, image);
    assert.match(all.stdout, /^\/a\/first$/m);
    assert.match(all.stderr, /\/z: /);
    assert.equal(imgbuild(["extract", at(image), "a", "-o", at(`${image}.a`)]).status, 0);
    assert.deepEqual(fs.readdirSync(at(`${image}.a`)), ["first"]);
  }
});

test("a reader that goes away is no error", (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { at } = images();
  for (const command of [
    `cat "${at("a.ext4")}" usr/sparse`,
    `ls -lR "${at("a.ext4")}"`,
    `extract --tar "${at("a.ext4")}"`,
  ]) {
    const script = `("${process.execPath}" "${MAIN}" ${command} --quiet; echo "$?" >&2) | head -c 5 > /dev/null`;
    const { stderr } = spawnSync("sh", ["-c", script], { encoding: "utf8" });
    assert.equal(stderr, "0\n", command);
  }
});

test("what is extracted is what the kernel's mount has", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { at } = images();
  for (const [image, type] of [
    ["a.squashfs", "squashfs"],
    ["a.ext4", "ext4"],
  ] as const) {
    const expected = await mounted(at(image), { type }, (folder) => describeDirectory(folder));
    const { status, stderr } = imgbuild(["extract", at(image), "--output", at(`${image}.out`)]);
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stderr, /left out/);
    assert.deepEqual(describeDirectory(at(`${image}.out`)), expected);
    assert.ok(fs.statSync(path.join(at(`${image}.out`), "usr/sparse")).blocks * 512 < MiB);
    const again = imgbuild(["extract", at(image), "-o", at(`${image}.out`)]);
    assert.equal(again.status, 1);
    assert.match(again.stderr, /--force/);
    assert.equal(imgbuild(["extract", at(image), "-f", "-o", at(`${image}.out`)]).status, 0);
    assert.deepEqual(describeDirectory(at(`${image}.out`)), expected);
  }
  assert.equal(imgbuild(["extract", `${at("disk")}:1`, "er/end", "-o", at("one")]).status, 0);
  assert.deepEqual(fs.readdirSync(at("one")), ["end"]);
});

test("a tar from an image makes the same image again", async (t) => {
  if (lacks(t, ...TOOLS, "tar") || lacksRoot(t)) return;
  const { at, source } = images();
  const first = at("first.squashfs");
  assert.equal(imgbuild(["squashfs", source, first]).status, 0);
  const script = `"${process.execPath}" "${MAIN}" extract "${first}" --tar -q | "${process.execPath}" "${MAIN}" squashfs -q - "${at("second.squashfs")}"`;
  run("sh", ["-c", script], { env: { SOURCE_DATE_EPOCH: "" } });
  assert.deepEqual(fs.readFileSync(at("second.squashfs")), fs.readFileSync(first));
  const expected = await mounted(at("a.ext4"), { type: "ext4" }, (folder) => describeDirectory(folder));
  fs.mkdirSync(at("unpacked"));
  const unpack = `tar -x --xattrs --xattrs-include='*' --same-owner -p -C "${at("unpacked")}"`;
  run("sh", ["-c", `"${process.execPath}" "${MAIN}" extract -o - -q "${at("a.ext4")}" | ${unpack}`]);
  assert.deepEqual(describeDirectory(at("unpacked")), expected);
});

test("verify tells what is wrong, and where", (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const { at } = images();
  const sound = imgbuild(["verify", at("disk")]);
  assert.equal(sound.status, 0, sound.stdout);
  assert.equal(sound.stdout, `${at("disk")}: sound\n`);
  assert.match(sound.stderr, /checked partition 3 \(ext4\): \d+ names/);
  flip(at("disk"), 41 * MiB + 200);
  const broken = imgbuild(["verify", at("disk")]);
  assert.equal(broken.status, 1);
  assert.match(broken.stdout, /^error: partition 2 \(squashfs\): \/.*; byte \d+ of the image\n/);
  const document = JSON.parse(imgbuild(["verify", "--json", at("disk")]).stdout);
  assert.equal(document.sound, false);
  flip(at("disk"), 41 * MiB + 200);
  assert.ok(document.findings[0].offset >= 41 * MiB && document.findings[0].offset < 42 * MiB);
  fs.writeFileSync(at("noise"), Buffer.alloc(8000, 0x81));
  assert.match(imgbuild(["verify", at("noise")]).stderr, /this is no image/);
});

before(() => {
  const { status, stderr } = imgbuild([...SMALL, "-o", output, makeRoot(folder)]);
  assert.equal(status, 0, stderr);
});

test("a build is sound, is looked into by its names, and its manifest is held against it", () => {
  assert.equal(imgbuild(["verify", output]).stdout, `${path.join(output, "emmc.img")}: sound\n`);
  assert.equal(imgbuild(["cat", `${output}:rootfs`, "/etc/hostname"]).stdout, "board\n");
  const text = imgbuild(["inspect", output]).stdout;
  for (const part of [
    "built from the profile colibri-imx6",
    "MBR, id ",
    "partition 1 (bootfs): FAT32",
    "active",
    "compressor",
  ]) {
    assert.ok(text.includes(part), `${part} in ${text}`);
  }
  const facts = JSON.parse(imgbuild(["inspect", "--json", output]).stdout);
  const { start } = facts.volumes[0].partition;
  const hidden = fs.readFileSync(path.join(output, "emmc.img")).readUInt32LE(start + 0x1c);
  assert.equal(hidden, start / 512, "the FAT does not say where on the disk it lies");
  const manifest = JSON.parse(fs.readFileSync(path.join(output, "manifest.json"), "utf8"));
  assert.deepEqual(
    facts.volumes.map(({ partition, name, fileSystem }: never) => [
      name,
      (partition as { start: number }).start,
      (fileSystem as { uuid?: string }).uuid,
    ]),
    manifest.partitions.map(({ name, offset, uuid }: never) => [name, offset, uuid]),
  );
  const wrong = { ...manifest, partitions: manifest.partitions.map((partition: object) => ({ ...partition })) };
  wrong.partitions[1].offset += 512;
  wrong.partitions[2].uuid = "00000000-0000-0000-0000-000000000000";
  wrong.artifacts = manifest.artifacts.map((artifact: object) => ({ ...artifact }));
  wrong.artifacts[1].sha256 = "0".repeat(64);
  wrong.artifacts[2].size++;
  wrong.artifacts.push({ file: "missing.img", size: 1, sha256: "" });
  fs.writeFileSync(path.join(output, "manifest.json"), JSON.stringify(wrong));
  const { status, stdout } = imgbuild(["verify", output]);
  fs.writeFileSync(path.join(output, "manifest.json"), JSON.stringify(manifest));
  assert.equal(status, 1);
  for (const part of [
    "its offset is",
    "its UUID is",
    "its SHA-256 is",
    "bytes, and manifest.json says",
    "missing.img",
    "5 errors",
  ]) {
    assert.ok(stdout.includes(part), `${part} in ${stdout}`);
  }
});

test("diff tells what changed, file by file, and exits with 1 for it", () => {
  assert.deepEqual([imgbuild(["diff", output, output]).status, imgbuild(["diff", output, output]).stdout], [0, ""]);
  const root = path.join(folder, "rootfs");
  const other = path.join(folder, "other");
  fs.writeFileSync(path.join(root, "etc/hostname"), "another\n");
  fs.chmodSync(path.join(root, "bin/busybox"), 0o700);
  fs.mkdirSync(path.join(root, "opt"));
  fs.writeFileSync(path.join(root, "opt/new"), "");
  fs.rmSync(path.join(root, "sbin/init"));
  fs.symlinkSync("../bin/sh", path.join(root, "sbin/init"));
  fs.rmSync(path.join(root, "usr/share"), { recursive: true });
  assert.equal(imgbuild([...SMALL, "-o", other, root]).status, 0);
  const { status, stdout, stderr } = imgbuild(["diff", output, other]);
  assert.equal(status, 1);
  for (const line of [
    /^changed partition 2 \(rootfs, squashfs\): \/etc\/hostname: size 6 -> 8, content/m,
    /^changed .*: \/bin\/busybox: mode 0755 -> 0700$/m,
    /^added {3}.*: \/opt: directory$/m,
    /^added {3}.*: \/opt\/new: file$/m,
    /^removed .*: \/usr\/share: directory$/m,
    /^removed .*: \/usr\/share\/big\.bin: file$/m,
    /^changed .*: \/sbin\/init: target \.\.\/bin\/busybox -> \.\.\/bin\/sh/m,
    /^changed the partition table: id \w+ -> \w+$/m,
    /^changed partition 3 \(userdata, ext4\): UUID /m,
  ]) {
    assert.match(stdout, line);
  }
  assert.match(stderr, /files: 2 added, 2 removed, \d+ changed/);
  const document = JSON.parse(imgbuild(["diff", "--json", `${output}:rootfs`, `${other}:2`]).stdout);
  assert.equal(document.same, false);
  assert.ok(
    document.differences.some(
      (one: { path?: string; change: string }) => one.path === "/opt/new" && one.change === "added",
    ),
  );
});

test("diff takes a root file system too, and finds images of one tree the same", (t) => {
  if (lacks(t, "tar")) return;
  const root = path.join(folder, "rootfs");
  const at = (name: string) => path.join(folder, name);
  assert.equal(imgbuild(["squashfs", root, at("r.squashfs")]).status, 0);
  assert.equal(imgbuild(["ext4", root, at("r.ext4"), "--size", "32M"]).status, 0);
  run("tar", ["-C", root, "--numeric-owner", "-cf", at("r.tar"), "."]);
  const args = (a: string, b: string) => imgbuild(["diff", a, b]);
  for (const { status, stdout, stderr } of [args(at("r.squashfs"), root), args(at("r.tar"), at("r.squashfs"))]) {
    assert.deepEqual([status, stdout], [0, ""], stderr);
  }
  const { stdout } = args(at("r.squashfs"), at("r.ext4"));
  assert.match(stdout, /file system squashfs -> ext4/);
  assert.deepEqual(stdout.match(/: \/.*/g), [": /lost+found: directory"]);
});
