/** What goes into an image: several sources, what is left out of them, and what is added, by each command that reads them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { type CliResult, imgbuild, MAIN, makeRoot, SMALL } from "../support/cli.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

/** Two folders, base and extra, and a tar of the second, below a new folder. */
function setUp(t: TestContext): string {
  const folder = temporaryFolder(t);
  const write = (name: string, text: string) => {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  };
  write("base/etc/passwd", "www:x:33:44::/:/bin/sh\n");
  write("base/etc/config", "base");
  write("base/var/cache/big", "big");
  write("base/a.log", "log");
  write("extra/etc/config", "extra");
  write("extra/opt/b.log", "log");
  fs.linkSync(path.join(folder, "base/etc/config"), path.join(folder, "base/var/config"));
  run("tar", ["-C", path.join(folder, "extra"), "-cf", path.join(folder, "extra.tar"), "."]);
  return folder;
}

function succeeds(
  folder: string,
  args: readonly string[],
  options: { input?: Uint8Array; env?: NodeJS.ProcessEnv } = {},
) {
  const result = imgbuild(args, { cwd: folder, ...options });
  assert.equal(result.status, 0, result.stderr);
  return result;
}

const fails = (folder: string, args: readonly string[], status: number, error: RegExp): CliResult => {
  const result = imgbuild(args, { cwd: folder });
  assert.equal(result.status, status, result.stderr);
  assert.match(result.stderr, error);
  assert.match(result.stderr, /^hint: ./m);
  return result;
};

/** Paths in a SquashFS image. */
const listed = (folder: string, image: string) =>
  run("unsquashfs", ["-l", "-d", "", path.join(folder, image)])
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.slice(1));

test("several sources, from left to right, each kind of them", (t) => {
  if (lacks(t, "unsquashfs", "debugfs", "mdir")) return;
  const folder = setUp(t);
  const tar = fs.readFileSync(path.join(folder, "extra.tar"));
  succeeds(folder, ["squashfs", "base", "extra", "one"]);
  succeeds(folder, ["squashfs", "base", "-", "two"], { input: tar });
  for (const image of ["one", "two"]) {
    const paths = ["a.log", "etc", "etc/config", "etc/passwd", "opt", "opt/b.log", "var", "var/cache", "var/cache/big"];
    assert.deepEqual(listed(folder, image).sort(), [...paths, "var/config"]);
    const cat = (name: string) => run("unsquashfs", ["-cat", path.join(folder, image), name]);
    assert.equal(cat("etc/config"), "extra");
    assert.equal(cat("var/config"), "base");
  }
  succeeds(folder, ["ext4", "extra.tar", "base", "three", "--size", "8M", "--exclude", "*.log"]);
  assert.equal(run("debugfs", ["-R", "cat /etc/config", path.join(folder, "three")]), "base");
  assert.match(run("debugfs", ["-R", "ls -p /opt", path.join(folder, "three")]), /^(?!.*log)/s);
  succeeds(folder, ["fat", "base", "extra.tar", "four", "--size", "4M", "--exclude", "cache/", "--keep-as-directory"]);
  const names = run("mdir", ["-b", "-/", "-i", path.join(folder, "four"), "::"])
    .trim()
    .split("\n")
    .sort();
  assert.deepEqual(
    names.filter((name) => !name.endsWith("/")),
    [
      ...["::/base/a.log", "::/base/etc/config", "::/base/etc/passwd", "::/base/var/config"],
      ...["::/etc/config", "::/opt/b.log"],
    ],
  );
  fails(folder, ["squashfs", "-", "-", "x"], 2, /standard input can be one source only/);
  fails(folder, ["squashfs", "base", "none", "x"], 1, /none does not exist/);
  fails(folder, ["squashfs", "base", "extra", "extra/x"], 2, /inside of extra/);
  assert.equal(fs.existsSync(path.join(folder, "x")), false);
});

test("--keep-as-directory makes what mksquashfs makes of several sources", (t) => {
  if (lacks(t, "mksquashfs", "unsquashfs")) return;
  const folder = setUp(t);
  succeeds(folder, ["squashfs", "base", "extra", "ours", "--keep-as-directory"]);
  run("mksquashfs", ["base", "extra", "theirs", "-quiet", "-no-progress"], { cwd: folder });
  const below = (image: string) =>
    run("unsquashfs", ["-lls", "-d", "", path.join(folder, image)])
      .split("\n")
      .slice(1);
  assert.deepEqual(below("ours"), below("theirs"));
});

test("patterns from the command line and from files, and a notice for those without effect", (t) => {
  if (lacks(t, "unsquashfs")) return;
  const folder = setUp(t);
  fs.writeFileSync(path.join(folder, "patterns"), "# what nobody needs\n*.log\n\n/opt/\n*.lgo\n");
  const args = ["--exclude", "var/c*", "--exclude-from", "patterns", "--exclude", "/config"];
  const { stderr } = succeeds(folder, ["squashfs", "base", "extra", "one", ...args]);
  assert.deepEqual(listed(folder, "one"), ["etc", "etc/config", "etc/passwd", "var"]);
  assert.deepEqual(stderr.match(/(?<=note: the pattern )\S+/g), ["/config", "*.lgo"]);
  fails(folder, ["squashfs", "base", "x", "--exclude", "!a"], 2, /"!a" is not a pattern/);
  fails(folder, ["squashfs", "base", "x", "--exclude-from", "none"], 1, /cannot read none/);
});

test("pseudo files: their own time is SOURCE_DATE_EPOCH, or the newest of the tree", (t) => {
  if (lacks(t, "unsquashfs")) return;
  const folder = setUp(t);
  run("find", ["base", "-exec", "touch", "-h", "-d", "@1000", "{}", "+"], { cwd: folder });
  fs.writeFileSync(
    path.join(folder, "p.txt"),
    "run d 750 www www\nrun/id f 644 0 0 echo made; cat\nrun/old D 7 755 0 0\nrun/cfg l base/etc/config\n",
  );
  fs.writeFileSync(path.join(folder, "base/etc/group"), "www:x:55:\n");
  run("touch", ["-d", "@900", "base/etc/group"], { cwd: folder });
  fs.writeFileSync(path.join(folder, "second.txt"), "run/tty c 620 0 5 4 1\nmissing m 755 0 0\n");
  const list = (args: readonly string[], env: NodeJS.ProcessEnv) => {
    const pseudo = ["--pseudo", "p.txt", "--pseudo", "second.txt"];
    const { stderr } = succeeds(folder, ["squashfs", "base", "one", ...pseudo, ...args], { env });
    assert.match(stderr, /note: second\.txt:2: left out: missing does not exist/);
    return run("unsquashfs", ["-lln", "-UTC", "-d", "", path.join(folder, "one")], { env: { TZ: "UTC" } })
      .split("\n")
      .filter((line) => / \/run/.test(line))
      .map((line) => line.replace(/ +/g, " "));
  };
  const lines = (made: string, old: string, config: string) => [
    `drwxr-x--- 33/55 58 ${made} /run`,
    `-rw-r--r-- 0/0 4 ${config} /run/cfg`,
    `-rw-r--r-- 0/0 5 ${made} /run/id`,
    `drwxr-xr-x 0/0 3 ${old} /run/old`,
    `crw--w---- 0/5 4, 1 ${made} /run/tty`,
  ];
  const [newest, seven] = ["1970-01-01 00:16", "1970-01-01 00:00"];
  assert.deepEqual(list(["--owner", "0:0"], {}), lines(newest, seven, newest));
  const epoch = "1970-01-01 00:05";
  assert.deepEqual(list(["--owner", "0:0"], { SOURCE_DATE_EPOCH: "300" }), lines(epoch, seven, epoch));
  const given = "1970-01-01 00:33";
  assert.deepEqual(list(["--owner", "0:0", "--mtime", "2000"], {}), lines(given, given, given));
  assert.match(run("unsquashfs", ["-cat", path.join(folder, "one"), "run/id"]), /^made\n$/);
  fails(folder, ["squashfs", "base", "x", "--pseudo", "none"], 1, /cannot read none/);
  fails(folder, ["squashfs", "x"], 2, /takes sources and an image/);
  fs.writeFileSync(path.join(folder, "alone.txt"), "/ d 711 1 2\nonly d 755 0 0\n");
  succeeds(folder, ["squashfs", "alone", "--pseudo", "alone.txt"]);
  assert.match(run("unsquashfs", ["-lln", "-d", "", path.join(folder, "alone")]), /^drwx--x--x 1\/2 .*\n.* \/only\n$/);
});

test("a host file that is in a source becomes a hard link of it, and one of elsewhere comes once", (t) => {
  if (lacks(t, "unsquashfs")) return;
  const folder = setUp(t);
  const lines = "in l base/a.log\nout l extra/opt/b.log\nagain l ./extra/etc/../opt/b.log\n";
  fs.writeFileSync(path.join(folder, "p.txt"), lines);
  succeeds(folder, ["squashfs", "base", "one", "--pseudo", "p.txt", "--keep-as-directory"]);
  const target = path.join(folder, "unpacked");
  run("unsquashfs", ["-d", target, path.join(folder, "one")]);
  const inode = (name: string) => fs.statSync(path.join(target, name)).ino;
  assert.equal(inode("in"), inode("base/a.log"));
  assert.equal(inode("out"), inode("again"));
  assert.notEqual(inode("in"), inode("out"));
});

test("build applies them to the root, which may be several sources, and to nothing else", (t) => {
  if (lacks(t, "unsquashfs", "debugfs")) return;
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  fs.mkdirSync(path.join(folder, "user/home/root"), { recursive: true });
  fs.writeFileSync(path.join(folder, "user/home/root/readme.txt"), "changed\n");
  fs.writeFileSync(path.join(folder, "p.txt"), "etc/version f 644 0 0 echo 1.0\n");
  const args = ["--exclude", "readme.txt", "--exclude", "/usr/share/*", "--pseudo", "p.txt", "--userdata", "user"];
  fs.mkdirSync(path.join(folder, "overlay/etc"), { recursive: true });
  fs.writeFileSync(path.join(folder, "overlay/etc/hostname"), "over\n");
  succeeds(folder, [...SMALL, root, "overlay", ...args]);
  const image = path.join(folder, "out/colibri-imx6/rootfs.squashfs");
  const paths = run("unsquashfs", ["-l", "-d", "", image]).split("\n");
  assert.ok(paths.includes("/usr/share") && !paths.includes("/usr/share/big.bin"));
  assert.ok(paths.includes("/home/root") && !paths.includes("/home/root/readme.txt"));
  assert.equal(run("unsquashfs", ["-cat", image, "etc/version", "etc/hostname"]), "1.0\nover\n");
  const userdata = path.join(folder, "out/colibri-imx6/userdata.ext4");
  const dumped = path.join(folder, "dumped");
  fs.mkdirSync(dumped);
  run("debugfs", ["-R", `rdump / ${dumped}`, userdata]);
  const copied = run("find", [dumped, "-path", "*/upper/*readme.txt", "-size", "8c"]);
  assert.match(copied, /readme\.txt/);
});

test("options of the format that contradict each other", (t) => {
  const folder = setUp(t);
  const squashfs = ["squashfs", "base", "x"];
  fails(folder, [...squashfs, "--tail-packing", "--no-fragments"], 2, /contradict each other/);
  fails(folder, [...squashfs, "--uncompressed", "data,inode"], 2, /"inode" is not known/);
  fails(folder, [...squashfs, "--bcj", "x86"], 2, /--bcj is an option of xz/);
  fails(folder, [...squashfs, "--dictionary-size", "64K"], 2, /--dictionary-size is an option of xz/);
  fails(folder, [...squashfs, "--sort", "none"], 1, /cannot read none/);
  fs.writeFileSync(path.join(folder, "sort"), "a.log 40000\n");
  fails(folder, [...squashfs, "--sort", "sort"], 1, /sort:1: "40000" is not a priority/);
  assert.equal(fs.existsSync(path.join(folder, "x")), false);
});

test("sort files name paths of the image, of the source and of the host", (t) => {
  const folder = setUp(t);
  const lines = ["etc/config", "/etc/config", "./base/a.log", `${folder}/base/var`, "base/a.log", "../none", "/none"];
  fs.writeFileSync(path.join(folder, "sort"), lines.map((line) => `${line} 1\n`).join(""));
  for (const args of [[], ["--keep-as-directory"]]) {
    const { stderr } = succeeds(folder, ["squashfs", "base", "one", "--sort", "sort", ...args]);
    assert.match(stderr, /note: sort: 2 of the paths are not in the source, and have no effect: \.\.\/none, \/none\n/);
  }
});

test("--sort stores data in the order in which mksquashfs stores it", (t) => {
  if (lacks(t, "mksquashfs")) return;
  const folder = temporaryFolder(t);
  const names = ["usr/bin/init", "usr/lib/libc.so", "usr/share/doc", "etc/fstab", "a", "z"];
  const texts = names.map((name) => `the content of ${name};`);
  for (const [i, name] of names.entries()) {
    fs.mkdirSync(path.dirname(path.join(folder, "root", name)), { recursive: true });
    fs.writeFileSync(path.join(folder, "root", name), texts[i]!);
  }
  fs.writeFileSync(path.join(folder, "sort"), "usr/lib 100\nusr/bin/init 32767\nz -5\netc/fstab 100\n");
  succeeds(folder, ["squashfs", "root", "ours", "--sort", "sort", "--uncompressed", "data,fragments"]);
  run("mksquashfs", ["root", "theirs", "-sort", "sort", "-noD", "-noF", "-quiet", "-no-progress"], { cwd: folder });
  const orderIn = (image: string) => {
    const bytes = fs.readFileSync(path.join(folder, image), "latin1");
    const places = texts.map((text, i) => [names[i]!, bytes.indexOf(text)] as const);
    for (const [name, place] of places) assert.ok(place > 0, name);
    return places.sort((a, b) => a[1] - b[1]).map(([name]) => name);
  };
  const ours = orderIn("ours");
  assert.equal(ours[0], "usr/bin/init");
  assert.equal(ours.at(-1), "z");
  // Where priorities are equal, mksquashfs keeps the order of its own scan: those that differ have to agree.
  const ranked = (order: readonly string[]) => order.filter((name) => name !== "a" && name !== "usr/share/doc");
  assert.deepEqual(new Set(ranked(ours).slice(1, 3)), new Set(ranked(orderIn("theirs")).slice(1, 3)));
  assert.equal(orderIn("theirs")[0], ours[0]);
  assert.equal(orderIn("theirs").at(-1), ours.at(-1));
});

test("sources that are none, and attributes that would be lost", (t) => {
  if (lacks(t, "setfacl", "unsquashfs")) return;
  const folder = setUp(t);
  fails(folder, ["squashfs", "base/a.log", "image"], 1, /base\/a\.log is neither a folder nor a tar/);
  fails(folder, ["squashfs", "base", ""], 2, /the image has an empty name/);
  fs.mkdirSync(path.join(folder, "-base"));
  succeeds(folder, ["squashfs", "--quiet", "--", "-base", "-image"]);
  assert.deepEqual(listed(folder, "-image"), []);

  run("setfacl", ["-m", "u:1000:rw", path.join(folder, "base/a.log")]);
  run("tar", ["--acls", "-C", path.join(folder, "base"), "-cf", path.join(folder, "text.tar"), "."]);
  fails(folder, ["squashfs", "base", "image", "--strict-xattrs"], 1, /system\.posix_acl_access/);
  fails(folder, ["squashfs", "text.tar", "image", "--strict-xattrs"], 1, /access control list is stored as text/);
  const blind = imgbuild(["squashfs", "base", "image", "--strict-xattrs"], { cwd: folder, env: { PATH: folder } });
  assert.equal(blind.status, 1);
  assert.match(blind.stderr, /are not read from base: this needs getfattr/);
  assert.equal(fs.existsSync(path.join(folder, "image")), false);
});

test("a pipe that nobody writes to can be interrupted", async (t) => {
  if (lacks(t, "mkfifo")) return;
  const folder = temporaryFolder(t);
  run("mkfifo", [path.join(folder, "pipe")]);
  const child = spawn(process.execPath, [MAIN, "squashfs", "pipe", "image"], { cwd: folder, stdio: "ignore" });
  const ended = once(child, "close", { signal: AbortSignal.timeout(30_000) });
  await setTimeout(1500);
  assert.equal(child.exitCode, null, "it waits for a writer");
  child.kill("SIGINT");
  assert.deepEqual(await ended, [130, null]);
});
