/** The package as others get it: its types and its exports, used from a project of theirs. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { run, temporaryFolder } from "./support/tools.js";

const PROJECT = path.resolve(import.meta.dirname, "../..");

const CONSUMER = `
import { type ByteString, fromText, MemoryDevice } from "imgbuild/bytes";
import { openFat, writeFat } from "imgbuild/fat";
import { writeExt4 } from "imgbuild/ext4";
import { readPartitionTable, writeMbr } from "imgbuild/partition";
import { readDirectory } from "imgbuild/host";
import { writeSquashfs } from "imgbuild/squashfs";
import { addNode, contentOf, lookup, newDirectory, newFile, readContent, type Tree } from "imgbuild/tree";
import { ImgbuildError, loadPlan } from "imgbuild";

const tree: Tree = { root: newDirectory() };
const name: ByteString = fromText("hello.txt");
addNode(tree, name, newFile(contentOf(new TextEncoder().encode("hello"))));

const fat = new MemoryDevice(2 ** 22);
await writeFat(fat, tree, { volumeId: 1, time: 0 });
const back = lookup(await (await openFat(fat)).tree(), name);
const read = back?.type === "file" ? new TextDecoder().decode(await readContent(back.content)) : "";
const { size } = await writeSquashfs(new MemoryDevice(2 ** 20), tree, { time: 0 });
const uuid = "123e4567-e89b-12d3-a456-426614174000";
await writeExt4(new MemoryDevice(2 ** 22), tree, { uuid, hashSeed: uuid, time: 0 });
const disk = new MemoryDevice(2 ** 22);
await writeMbr(disk, { signature: 1, partitions: [{ number: 1, start: 2 ** 20, size: 2 ** 20, type: "linux" }] });
const { partitions } = await readPartitionTable(disk);
let code = "";
try {
  loadPlan("no such board", { folder: "/" });
} catch (error) {
  code = (error as ImgbuildError).code;
}
const { root } = await readDirectory("node_modules/imgbuild/profiles");
console.log(read, size, partitions.length, code, root.entries.has(fromText("colibri-imx6.yaml")) ? 1 : 0);
`;

/** A project for the web: no types of Node, the ways of a bundler. It is compiled only: test/portable runs such code. */
const WEB_CONSUMER = `
import { type Device, MemoryDevice, type ReadableDevice } from "imgbuild/bytes";
import { writeExt4 } from "imgbuild/ext4";
import { openFat, writeFat } from "imgbuild/fat";
import { readPartitionTable } from "imgbuild/partition";
import { COMPRESSOR_NAMES, type SquashfsOptions, writeSquashfs } from "imgbuild/squashfs";
import { newDirectory, type Tree } from "imgbuild/tree";

const tree: Tree = { root: newDirectory() };
const options: SquashfsOptions = { time: 0, compressor: COMPRESSOR_NAMES[0] };
const device: Device & ReadableDevice = new MemoryDevice(2 ** 20);
export const made = [writeSquashfs(device, tree, options), writeFat, openFat, writeExt4, readPartitionTable];
document.title = location.href;
// @ts-expect-error: types of Node would hide that declarations need them
Buffer.alloc(1);
`;

/** A new project that has the packed package installed, and what that depends on. */
function newProject(t: TestContext): { folder: string; compile: (file: string, ...options: string[]) => void } {
  const folder = temporaryFolder(t);
  const modules = path.join(folder, "node_modules");
  fs.mkdirSync(modules);
  for (const name of fs.readdirSync(path.join(PROJECT, "node_modules"))) {
    if (!name.startsWith(".")) fs.symlinkSync(path.join(PROJECT, "node_modules", name), path.join(modules, name));
  }
  run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: PROJECT });
  const archive = fs.readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
  run("tar", ["-xzf", archive], { cwd: folder });
  fs.renameSync(path.join(folder, "package"), path.join(modules, "imgbuild"));
  fs.writeFileSync(path.join(folder, "package.json"), '{"type": "module"}');
  const compiler = path.join(PROJECT, "node_modules/.bin/tsc");
  return {
    folder,
    compile: (file, ...options) => {
      run(compiler, ["--strict", "--target", "es2023", ...options, file], { cwd: folder });
    },
  };
}

test("what npm packs can be used, with its types, from another project", (t) => {
  const { folder, compile } = newProject(t);
  fs.writeFileSync(path.join(folder, "consumer.ts"), CONSUMER);
  compile("consumer.ts", "--module", "nodenext", "--types", "node");
  const result = spawnSync(process.execPath, ["consumer.js"], { cwd: folder, encoding: "utf8" });
  assert.equal(result.stdout, "hello 4096 1 profile-unknown 1\n", result.stderr);

  fs.writeFileSync(path.join(folder, "web.ts"), WEB_CONSUMER);
  compile("web.ts", "--module", "esnext", "--moduleResolution", "bundler", "--types", "", "--lib", "es2023,dom");

  const { exports } = JSON.parse(fs.readFileSync(path.join(PROJECT, "package.json"), "utf8"));
  const names = Object.keys(exports).filter((name) => !name.endsWith(".json"));
  const script = `for (const name of ${JSON.stringify(names)}) await import("imgbuild" + name.slice(1))`;
  run(process.execPath, ["--input-type=module", "-e", script], { cwd: folder });

  // The command is there before anything is compiled, and says so.
  const installed = path.join(folder, "node_modules/imgbuild");
  const command = path.join(installed, "bin/imgbuild.js");
  assert.match(run(process.execPath, [command, "--version"]), /^[0-9]+\.[0-9]+\.[0-9]+\n$/);
  fs.rmSync(path.join(installed, "build"), { recursive: true });
  const early = spawnSync(process.execPath, [command, "--version"], { encoding: "utf8" });
  assert.deepEqual([early.status, early.stderr], [1, "imgbuild: it is not compiled yet: run make build\n"]);
});
