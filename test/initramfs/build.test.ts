import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { fromText } from "../../src/bytes/bytestring.js";
import { ImgbuildError } from "../../src/errors.js";
import { buildInitramfs, type InitramfsPlan, planInitramfs } from "../../src/initramfs/index.js";
import { contentOf, newMetadata } from "../../src/tree/node.js";
import { addNode, type Tree } from "../../src/tree/tree.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import { moduleFile, putFile, sampleTree } from "./sample.js";

/** What a real busybox is like as far as the build can see: static, for the processor, with the names of its applets. */
const APPLETS = "dd findfs grep hexdump insmod mount sh sleep switch_root tr umount";

function fakeBusybox({ bits = 64 as 32 | 64, applets = APPLETS } = {}): Buffer {
  return Buffer.concat([moduleFile("x", {}, bits), Buffer.from(`\0${applets.split(" ").join("\0")}\0`)]);
}

/** For a 64-bit kernel with modular SquashFS, compressed with xz, and a busybox behind two symlinks. */
async function sample(busybox: Buffer | undefined = fakeBusybox()): Promise<[Tree, InitramfsPlan & { needed: true }]> {
  const tree = sampleTree({
    suffix: ".xz",
    builtin: ["kernel/fs/overlayfs/overlay.ko", "kernel/fs/ext4/ext4.ko"],
    modules: { "fs/squashfs/squashfs": { softdep: "pre: extra" }, "lib/extra": {} },
  });
  addNode(tree, fromText("bin"), { type: "symlink", ...newMetadata(0o777), target: fromText("usr/bin") });
  if (busybox) putFile(tree, "usr/bin/busybox", busybox, 0o755);
  const plan = await planInitramfs(tree, { drivers: [], filesystems: ["squashfs", "overlay", "ext4"] });
  assert.ok(plan.needed);
  return [tree, plan];
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => assert.fail("it was built"),
    (reason) => reason,
  );
  assert.ok(error instanceof ImgbuildError, String(error));
  assert.equal(error.code, "kernel-unsupported");
  assert.match(error.hint!, /busybox-static/);
  return error.message;
}

test("cpio lists and unpacks the archive", async (t) => {
  if (lacks(t, "cpio", "gunzip", "xz") || lacksRoot(t)) return;
  const [tree, plan] = await sample();
  const folder = temporaryFolder(t);
  fs.writeFileSync(path.join(folder, "initramfs.gz"), await buildInitramfs(tree, plan, { mtime: 1_700_000_000 }));
  run("gunzip", ["--keep", "initramfs.gz"], { cwd: folder });
  const archive = fs.readFileSync(path.join(folder, "initramfs"));
  assert.equal(archive.length % 512, 0);

  const listed = run("cpio", ["-itv", "--quiet"], { input: archive, env: { TZ: "UTC" } })
    .trimEnd()
    .split("\n");
  const facts = new Map(
    listed.map((line) => [
      line
        .split(/\s+/)
        .slice(line.startsWith("c") ? 9 : 8)
        .join(" "),
      line,
    ]),
  );
  const begins = (name: string, start: RegExp) => assert.match(facts.get(name) ?? "absent", start);
  begins("dev/console", /^crw------- +1 root +root +5, +1 Nov 14 +2023/);
  begins("dev/null", /^crw-rw-rw- +1 root +root +1, +3 /);
  begins("init", /^-rwxr-xr-x +1 root +root /);
  begins("newroot", /^drwxr-xr-x +2 root +root +0 /);
  begins("bin/switch_root -> busybox", /^lrwxrwxrwx /);
  assert.equal(facts.size, listed.length);

  fs.mkdirSync(path.join(folder, "out"));
  run("cpio", ["-id", "--quiet"], { input: archive, cwd: path.join(folder, "out") });
  const read = (name: string) => fs.readFileSync(path.join(folder, "out", name));
  assert.deepEqual(read("bin/busybox"), fakeBusybox());
  assert.deepEqual(read("modules/extra.ko"), moduleFile("extra", {}));
  assert.equal(read("modules/order").toString(), "extra optional\nsquashfs\n");
  assert.match(read("init").toString(), /^#!\/bin\/busybox sh\n/);
});

test("a time beyond cpio's 32 bits is moved to the nearest", async (t) => {
  if (lacks(t, "cpio")) return;
  const [tree, plan] = await sample();
  for (const [mtime, shown] of [
    [2 ** 32, /Feb +7 +2106 init$/m],
    [-1, /Jan +1 +1970 init$/m],
  ] as const) {
    const archive = gunzipSync(await buildInitramfs(tree, plan, { mtime }));
    assert.match(run("cpio", ["-itv", "--quiet"], { input: archive, env: { TZ: "UTC" } }), shown);
  }
});

test("the same bytes each time, whatever the system", async () => {
  const [tree, plan] = await sample();
  const first = await buildInitramfs(tree, plan);
  const second = await buildInitramfs(...(await sample()));
  assert.deepEqual(first, second);
  // RFC 1952: magic, deflate, no flags, no time; the operating system is unknown.
  assert.deepEqual([...first.subarray(0, 8)], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
  assert.equal(first[9], 255);
  assert.notDeepEqual(gunzipSync(await buildInitramfs(tree, plan, { mtime: 1 })), gunzipSync(first));
});

test("a busybox that could not run is refused", async () => {
  assert.match(await refusal(buildInitramfs(...(await sample(Buffer.from("#!/bin/sh\n"))))), /is no program/);
  assert.match(
    await refusal(buildInitramfs(...(await sample(fakeBusybox({ bits: 32 }))))),
    /ARM \(32 bits\), .* x86-64/,
  );
  const few = fakeBusybox({ applets: APPLETS.replace("switch_root ", "").replace("findfs", "xfindfs") });
  assert.match(await refusal(buildInitramfs(...(await sample(few)))), /lacks the applets findfs, switch_root$/);
  const [tree, plan] = await sample();
  putFile(tree, "usr/bin/busybox", Buffer.from(""));
  assert.match(await refusal(buildInitramfs(tree, plan)), /^\/bin\/busybox is no program/);
  const [bare, barePlan] = await sample();
  putFile(bare, "usr/bin", Buffer.from("not a folder"));
  assert.match(await refusal(buildInitramfs(bare, barePlan)), /the root file system has none/);
});

test("a real static busybox is taken, a real dynamic program is not", async (t) => {
  if (lacks(t, "busybox") || process.arch !== "x64") return;
  const [tree, plan] = await sample(undefined);
  const program = (name: string) => contentOf(fs.readFileSync(fs.realpathSync(run("which", [name]).trim())));
  const interpreter = contentOf(fs.readFileSync(process.execPath));
  assert.match(await refusal(buildInitramfs(tree, plan, { busybox: interpreter })), /named is linked dynamically/);
  assert.ok((await buildInitramfs(tree, plan, { busybox: program("busybox") })).length > 500_000);
});
