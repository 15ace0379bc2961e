import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { ImgbuildError } from "../../src/errors.js";
import { isAbandoned, markOwner } from "../../src/output/abandoned.js";
import { Workspace } from "../../src/output/workspace.js";
import { temporaryFolder } from "../support/tools.js";

const write = async (workspace: Workspace, name: string, text: string) =>
  workspace.create(name, text.length).write(0, Buffer.from(text));
const read = (folder: string, name: string) => fs.readFileSync(path.join(folder, name), "utf8");

test("nothing is on the disk before something is made, and nothing is left after discard", async (t) => {
  const folder = path.join(temporaryFolder(t), "out");
  const workspace = new Workspace(folder);
  assert.equal(fs.existsSync(folder), false);
  await write(workspace, "a", "new");
  workspace.discard();
  workspace.discard();
  assert.deepEqual(fs.readdirSync(folder), []);
});

test("commit replaces artifacts and removes stale ones; other files stay", async (t) => {
  const folder = temporaryFolder(t);
  for (const name of ["image", "stale", "mine"]) fs.writeFileSync(path.join(folder, name), "old");
  const workspace = new Workspace(folder);
  await write(workspace, "image", "new");
  await write(workspace, "manifest", "about it");
  assert.equal(read(folder, "image"), "old");
  workspace.commit({ manifest: "manifest", stale: ["stale", "image"] });
  assert.deepEqual(fs.readdirSync(folder).sort(), ["image", "manifest", "mine"]);
  assert.equal(read(folder, "image"), "new");
});

test("a commit that fails half-way leaves no manifest that would lie, and says what failed", async (t) => {
  const folder = temporaryFolder(t);
  fs.writeFileSync(path.join(folder, "manifest"), "old");
  fs.mkdirSync(path.join(folder, "second"));
  const workspace = new Workspace(folder);
  await write(workspace, "first", "new");
  await write(workspace, "second", "new");
  await write(workspace, "manifest", "new");
  assert.throws(
    () => workspace.commit({ manifest: "manifest" }),
    (error: unknown) => {
      assert.ok(error instanceof ImgbuildError);
      assert.equal(error.code, "io-failed");
      assert.match(error.message, /EISDIR|ENOTEMPTY|EEXIST/);
      return true;
    },
  );
  workspace.discard();
  assert.deepEqual(fs.readdirSync(folder).sort(), ["first", "second"]);
});

test("a file in the place of the folder, or of one above it, is named", (t) => {
  const file = path.join(temporaryFolder(t), "out");
  fs.writeFileSync(file, "mine");
  for (const folder of [file, path.join(file, "board")]) {
    const workspace = new Workspace(folder);
    assert.throws(() => workspace.scratch, { message: `cannot write ${folder}: ${file} is a file, not a folder` });
    assert.equal(fs.readFileSync(file, "utf8"), "mine");
  }
});

test("two artifacts of one name are refused", async (t) => {
  const workspace = new Workspace(temporaryFolder(t));
  await write(workspace, "emmc.img", "image");
  assert.throws(() => workspace.create("emmc.img", 1), /two artifacts/);
  workspace.discard();
});

test("two builds in one folder do not touch each other's files", async (t) => {
  const folder = temporaryFolder(t);
  const [a, b] = [new Workspace(folder), new Workspace(folder)];
  await write(a, "a", "from a");
  await write(b, "b", "from b");
  b.commit();
  a.commit();
  assert.deepEqual(fs.readdirSync(folder).sort(), ["a", "b"]);
});

/** A folder claimed by a process that has ended. */
async function claimedByDead(folder: string): Promise<void> {
  const module = new URL("../../src/output/abandoned.js", import.meta.url).href;
  const script = `import { markOwner } from ${JSON.stringify(module)}; markOwner(${JSON.stringify(folder)});`;
  await once(spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "inherit" }), "close");
}

test("a folder is abandoned when its process is certainly gone, and not before", async (t) => {
  const folder = path.join(temporaryFolder(t), "partial");
  const claim = (change: object) => {
    const file = path.join(folder, "owner.json");
    fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file, "utf8")), ...change }));
  };
  fs.mkdirSync(folder);
  assert.equal(isAbandoned(folder), false, "not claimed yet");
  markOwner(folder);
  assert.equal(isAbandoned(folder), false, "this process");
  if (os.platform() === "linux") {
    claim({ started: "1" });
    assert.equal(isAbandoned(folder), true, "another process had this PID");
    await claimedByDead(folder);
    assert.equal(isAbandoned(folder), true, "a process that ended");
    claim({ namespace: "pid:[1]" });
    assert.equal(isAbandoned(folder), false, "a container's, whose processes cannot be seen");
    claim({ host: "elsewhere" });
    assert.equal(isAbandoned(folder), false, "another host's");
    claim({ host: os.hostname(), boot: "before" });
    assert.equal(isAbandoned(folder), true, "from before this host started");
  }
  markOwner(folder);
  const old = new Date(Date.now() - 25 * 60 * 60 * 1000);
  fs.utimesSync(path.join(folder, "owner.json"), old, old);
  assert.equal(isAbandoned(folder), true, "nobody builds for a day");
});
