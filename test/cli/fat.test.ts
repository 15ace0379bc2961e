/** imgbuild fat as users run it: what it refuses and what to change, links, sectors, and the same bytes everywhere. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { imgbuild } from "../support/cli.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

/** A folder with a source "boot" of some 3 MiB. */
function makeSource(t: TestContext): string {
  const folder = temporaryFolder(t);
  fs.mkdirSync(path.join(folder, "boot/overlays"), { recursive: true });
  fs.writeFileSync(path.join(folder, "boot/zImage-6.1"), Buffer.alloc(3_000_000, "kernel"));
  fs.writeFileSync(path.join(folder, "boot/overlays/Some Board.dtbo"), "tree");
  fs.symlinkSync("zImage-6.1", path.join(folder, "boot/zImage"));
  return folder;
}

test("what cannot be made says what to change", (t) => {
  const folder = makeSource(t);
  const refused = (args: string, ...messages: readonly RegExp[]) => {
    const { status, stderr } = imgbuild(["fat", "boot", "x.vfat", ...args.split(" ")], { cwd: folder });
    assert.notEqual(status, 0, args);
    for (const message of messages) assert.match(stderr, message, args);
    assert.ok(!fs.existsSync(path.join(folder, "x.vfat")), args);
  };
  refused(
    "--size 4MiB",
    /x\.vfat needs \d+ bytes as fat, \d+ more than its 4194304/,
    /Set --size 6MiB/,
    /zImage-6\.1 2\.9/,
  );
  refused(
    "--size 10MiB --type 32",
    /FAT32 cannot be 10 MiB/,
    /^hint: Set --size 33MiB or more, or leave the type out to get FAT16\.$/m,
  );
  refused("--size 7MiB --type 32", /--size 33MiB or more, or leave the type out to get FAT12\./);
  // Without the type it would be too small all the same.
  refused("--size 4MiB --type 32", /^hint: Set --size 33MiB or more\.$/m);
  refused("--size 40MiB --type 32 --sector-size 4096", /65,525 clusters/, /Set --size 257MiB/);
  refused("--size 4GiB --type 16", /more than 65,524 clusters of at most 32 KiB/, /leave the type out to get FAT32/);
  refused("--size 3TiB", /at most 4,294,967,295 sectors/, /smaller than 2048 GiB/);
  refused("--size 100", /FAT cannot be 100 bytes/, /Set --size 6MiB/);
  refused("--size 8MiB --label a.b", /"a\.b" cannot be the label/, /1 to 11 ASCII/);
  refused("--size 8MiB --volume-id 12", /12 is not a volume id/, /1234-ABCD/);
  refused("--size 8MiB --type 13", /--type cannot be 13/, /12, 16, 32/);
  refused("--size 8MiB --sector-size 1024", /--sector-size cannot be 1024/, /512, 4096/);
  fs.writeFileSync(path.join(folder, "boot/a:b"), "");
  refused("--size 8MiB", /FAT cannot store the name a:b: ":" is not allowed/, /Rename it/);
  fs.renameSync(path.join(folder, "boot/a:b"), path.join(folder, "boot/ZIMAGE"));
  refused("--size 8MiB", /FAT cannot store both ZIMAGE and zImage: they differ in case only/);
  fs.truncateSync(path.join(folder, "boot/ZIMAGE"), 2 ** 32);
  fs.renameSync(path.join(folder, "boot/ZIMAGE"), path.join(folder, "boot/huge"));
  refused("--size 8GiB", /FAT cannot store huge: it has 4294967296 bytes \(4 GiB\), and 4294967295 is the most/);
});

test("the size that an error names is enough", (t) => {
  if (lacks(t, "fsck.fat")) return;
  const folder = makeSource(t);
  const { stderr } = imgbuild(["fat", "boot", "x.vfat", "--size", "1MiB"], { cwd: folder });
  const needed = Number(/needs (\d+) bytes/.exec(stderr)?.[1]);
  for (const size of [`${needed}`, "6MiB"]) {
    const made = imgbuild(["fat", "boot", "x.vfat", "--size", size], { cwd: folder });
    assert.equal(made.status, 0, made.stderr);
    assert.match(made.stderr, /stored as copies: zImage\n/);
    run("fsck.fat", ["-n", path.join(folder, "x.vfat")]);
  }
  assert.notEqual(imgbuild(["fat", "boot", "y.vfat", "--size", `${needed - 512}`], { cwd: folder }).status, 0);
});

test("the bytes depend on neither time zone, locale, umask, clock nor the order of the disk", (t) => {
  const folder = makeSource(t);
  const again = makeSource(t);
  // In another order on the disk, and with modes that another umask leaves.
  fs.renameSync(path.join(again, "boot/zImage"), path.join(again, "kept"));
  fs.chmodSync(path.join(again, "boot/overlays"), 0o700);
  fs.renameSync(path.join(again, "kept"), path.join(again, "boot/zImage"));
  const make = (cwd: string, env: NodeJS.ProcessEnv) => {
    const args = ["fat", "boot", "x.vfat", "--size", "8MiB", "--label", "BOOT", "--mtime", "1700000000"];
    const made = imgbuild([...args, "--volume-id", "1234-ABCD"], { cwd, env });
    assert.equal(made.status, 0, made.stderr);
    return createHash("sha256")
      .update(fs.readFileSync(path.join(cwd, "x.vfat")))
      .digest("hex");
  };
  const expected = make(folder, { TZ: "UTC", LC_ALL: "C" });
  assert.equal(make(again, { TZ: "America/St_Johns", LC_ALL: "tr_TR.UTF-8", LANG: "tr_TR.UTF-8" }), expected);
  assert.equal(make(folder, { TZ: "Asia/Kathmandu", LC_ALL: "C.UTF-8" }), expected);
});
