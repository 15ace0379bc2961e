/** dmsetup and its libraries in the initramfs; and how the early script hands the root to it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import type { ImgbuildError } from "../../src/errors.js";
import { planInitramfs } from "../../src/initramfs/index.js";
import { planProgram, programMembers } from "../../src/initramfs/programs.js";
import { contentOf, newDirectory, newFile } from "../../src/tree/node.js";
import { addNode, type Tree } from "../../src/tree/tree.js";
import { veritySize, writeVerity } from "../../src/verity/index.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { putFile, sampleTree } from "./sample.js";

/** A root that has `program` of this host, and what ldd says that it needs, where the host has it. */
function rootWith(program: string): { tree: Tree; libraries: string[] } {
  const tree: Tree = { root: newDirectory({}) };
  const add = (name: string) => addNode(tree, fromText(name), newFile(contentOf(fs.readFileSync(name)), {}), {});
  add(program);
  const libraries = [...run("ldd", [program]).matchAll(/(\/\S+) \(0x/g)].map(([, name]) => name!);
  for (const library of libraries) add(library);
  return { tree, libraries };
}

test("a program is taken with every library, and runs from there alone", async (t) => {
  if (lacks(t, "dmsetup", "ldd")) return;
  const where = ["/usr/sbin/dmsetup", "/sbin/dmsetup"].find((file) => fs.existsSync(file))!;
  const { tree, libraries } = rootWith(where);
  const program = await planProgram(tree, "dmsetup", "");
  assert.equal(program.files[0]?.to, "bin/dmsetup");
  assert.deepEqual(
    program.files
      .slice(1)
      .map(({ to }) => path.basename(to))
      .sort(),
    libraries.map((library) => path.basename(library)).sort(),
  );
  const made = new Set<string>(["bin"]);
  const folder = temporaryFolder(t);
  fs.mkdirSync(path.join(folder, "bin"));
  for (const member of await programMembers(tree, program, made)) {
    const target = path.join(folder, member.path);
    if (member.type === "directory") fs.mkdirSync(target);
    if (member.type === "file") fs.writeFileSync(target, member.bytes, { mode: member.mode });
  }
  if (lacks(t, "chroot") || process.getuid?.() !== 0) return;
  assert.match(
    run("chroot", [folder, "/bin/dmsetup", "--version"], { env: { LD_LIBRARY_PATH: "/lib" } }),
    /Library version/,
  );
});

test("what is missing is named", async (t) => {
  if (lacks(t, "ldd", "dmsetup")) return;
  const refuses = (tree: Tree, message: RegExp) =>
    assert.rejects(planProgram(tree, "dmsetup", "Install it."), (error: ImgbuildError) => {
      assert.equal(error.code, "kernel-unsupported");
      assert.match(error.message, message);
      assert.equal(error.hint, "Install it.");
      return true;
    });
  await refuses({ root: newDirectory({}) }, /needs dmsetup, and the root file system has none/);
  const script: Tree = { root: newDirectory({}) };
  addNode(script, fromText("/sbin/dmsetup"), newFile(contentOf(Buffer.from("#!/bin/sh\n")), {}), {});
  await refuses(script, /is no program for Linux/);
  const where = ["/usr/sbin/dmsetup", "/sbin/dmsetup"].find((file) => fs.existsSync(file))!;
  const alone: Tree = { root: newDirectory({}) };
  addNode(alone, fromText(where), newFile(contentOf(fs.readFileSync(where)), {}), {});
  await refuses(alone, /the root file system lacks lib\S+ for /);
});

test("with a hash tree dm-verity is loaded, after what it depends on; a kernel without it is refused", async (t) => {
  if (lacks(t, "dmsetup", "ldd")) return;
  const where = ["/usr/sbin/dmsetup", "/sbin/dmsetup"].find((file) => fs.existsSync(file))!;
  const request = { drivers: [], filesystems: [], verity: true } as const;
  const withProgram = (tree: Tree) => {
    putFile(tree, "usr/sbin/dmsetup", fs.readFileSync(where));
    for (const library of rootWith(where).libraries)
      putFile(tree, library.replace(/^\/lib/, "usr/lib"), fs.readFileSync(library));
    return tree;
  };
  const md = {
    "drivers/md/dm-verity": { depends: ["dm-bufio", "dm-mod"] },
    "drivers/md/dm-bufio": { depends: ["dm-mod"] },
  };
  const modular = withProgram(sampleTree({ bits: 64, modules: { ...md, "drivers/md/dm-mod": {} } }));
  const plan = await planInitramfs(modular, request);
  assert.ok(plan.needed);
  assert.deepEqual(
    plan.modules.map(({ name }) => name),
    ["dm_mod", "dm_bufio", "dm_verity"],
  );
  assert.deepEqual(
    plan.programs.map(({ name }) => name),
    ["dmsetup"],
  );
  // Built in: no module is needed, and still an initramfs.
  const builtIn = await planInitramfs(withProgram({ root: newDirectory({}) }), {
    ...request,
    config: ["DM_VERITY", "BLK_DEV_INITRD", "RD_GZIP", "DEVTMPFS", "TMPFS"]
      .map((option) => `CONFIG_${option}=y\n`)
      .join(""),
  });
  assert.ok(builtIn.needed);
  assert.deepEqual(builtIn.modules, []);
  await assert.rejects(
    planInitramfs(withProgram({ root: newDirectory({}) }), { ...request, config: "CONFIG_TMPFS=y\n" }),
    {
      code: "kernel-unsupported",
      message: /cannot check the root with dm-verity: CONFIG_DM_VERITY is not set/,
    },
  );
});

test("the early script finds the tree behind a SquashFS, and gives dmsetup what veritysetup would", async (t) => {
  if (lacks(t, "mksquashfs", "busybox", "veritysetup")) return;
  const folder = temporaryFolder(t);
  const source = path.join(folder, "source");
  fs.mkdirSync(source);
  fs.writeFileSync(path.join(source, "file"), Buffer.alloc(100_000, "some content "));
  const squashfs = path.join(folder, "squashfs");
  run("mksquashfs", [source, squashfs, "-quiet", "-no-progress"]);
  const data = fs.readFileSync(squashfs);
  const device = new MemoryDevice(data.length + veritySize(data.length));
  device.bytes.set(data);
  const salt = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
  const uuid = "01234567-89ab-4def-8123-456789abcdef";
  const tree = await writeVerity(device, data.length, { salt, uuid });
  const disk = path.join(folder, "disk");
  fs.writeFileSync(disk, device.bytes);
  const early = path.resolve(import.meta.dirname, "../../../src/initramfs/early.sh");
  const [functions] = fs.readFileSync(early, "utf8").split("# What is above defines functions only") as [string];
  const script = path.join(folder, "early.sh");
  fs.writeFileSync(script, functions.replaceAll("/dev/kmsg", path.join(folder, "log")));
  const shell = (root: string, on: string) =>
    run(
      "busybox",
      [
        "sh",
        "-c",
        `. ${script}; PATH=$HOST_PATH; give_up() { echo "gave up: $*"; exit; }
       dmsetup() { echo "$@"; }; device=${on} verity=${root}; open_verity; cat ${folder}/log; echo "$device"`,
      ],
      { env: { HOST_PATH: process.env.PATH! } },
    ).trim();
  const blocks = data.length / 4096;
  const hex = Buffer.from(salt).toString("hex");
  const table = `0 ${8 * blocks} verity 1 ${disk} ${disk} 4096 4096 ${blocks} ${blocks + 1} sha256 ${tree.rootHash} ${hex}`;
  assert.equal(
    shell(tree.rootHash, disk),
    `create imgbuild-root --readonly --noudevsync --noudevrules --table ${table}\n/dev/dm-0`,
  );
  assert.match(shell(tree.rootHash, squashfs), /gave up: there is no hash tree on/);
});
