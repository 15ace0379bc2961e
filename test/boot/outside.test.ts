/**
 * Each thing that overlayctl offers, done on the device, and then UserData looked at from outside: by the project's reader and
 * by debugfs, which have to find the same.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { display } from "../../src/bytes/bytestring.js";
import { readContent } from "../../src/tree/node.js";
import { walk } from "../../src/tree/tree.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import { GatedMachine } from "./gate.js";
import { checkUserdata, openUserdata, textOf } from "./userdata-check.js";

/** What is in the layers of /opt: content by path; "deleted" for a whiteout, "folder" for a folder. */
type Layers = Readonly<Record<string, string>>;

async function layersByReader(content: Buffer): Promise<Layers> {
  const reader = await openUserdata(content);
  const found: Record<string, string> = {};
  for (const { path: name, node } of walk(await reader.tree())) {
    const match = /^overlay\/opt\/(upper\S*)$/.exec(display(name).replace(/^\//, ""));
    if (!match) continue;
    found[match[1]!] =
      node.type === "file"
        ? Buffer.from(await readContent(node.content))
            .toString("latin1")
            .trim()
        : node.type === "directory"
          ? "folder"
          : "deleted";
  }
  return found;
}

/** The same by debugfs, which knows nothing of the journal: it is replayed first. `names` are those that it is asked for. */
function layersByDebugfs(t: TestContext, content: Buffer, names: readonly string[]): Layers {
  const folder = temporaryFolder(t);
  const file = path.join(folder, "ext4");
  fs.writeFileSync(file, content);
  // 1: counts were brought up to date.
  run("sh", ["-c", `e2fsck -p ${file} || [ $? = 1 ]`]);
  run("debugfs", ["-R", `rdump /overlay/opt ${folder}`, file]);
  const found: Record<string, string> = {};
  for (const name of run("find", [path.join(folder, "opt"), "-path", "*/upper*", "-printf", "%P\n"])
    .trim()
    .split("\n")) {
    const entry = path.join(folder, "opt", name);
    found[name] = fs.lstatSync(entry).isFile() ? fs.readFileSync(entry, "latin1").trim() : "folder";
  }
  // It copies no device nodes.
  for (const name of names) {
    const shown = run("debugfs", ["-R", `stat /overlay/opt/${name}`, file]);
    if (/Type: character special[\s\S]*Device major\/minor number: 00:00/.test(shown)) found[name] = "deleted";
  }
  return found;
}

test("snapshot, restore, merge, export, import and reset leave what they should on UserData", async (t) => {
  if (lacks(t, "qemu-system-aarch64", "e2fsck", "debugfs") || lacksRoot(t)) return;
  const machine = await GatedMachine.create(t);
  /** Does it on the device; and, where it is to be carried out by the next boot, boots again. */
  const after = async (...boots: readonly string[]): Promise<Layers> => {
    for (const commands of boots) await machine.run(`${commands}; sync`);
    const content = machine.userdata(machine.read());
    await checkUserdata(content);
    const layers = await layersByReader(content);
    assert.deepEqual(layersByDebugfs(t, content, Object.keys(layers)), layers);
    return layers;
  };

  const one = { upper: "folder", "upper/a": "1", "upper/d": "folder", "upper/d/e": "1" };
  assert.deepEqual(await after("ready; echo 1 >/opt/a; mkdir /opt/d; echo 1 >/opt/d/e"), one, "written");
  assert.deepEqual(await after("overlayctl snapshot one", "echo 2 >/opt/a; rm -r /opt/d; echo 2 >/opt/b"), {
    ...one,
    ...{ "upper.1": "folder", "upper.1/a": "2", "upper.1/b": "2", "upper.1/d": "deleted" },
  });
  assert.deepEqual(await after("overlayctl export one /userdata/one.tar; overlayctl restore one", "echo 3 >/opt/c"), {
    ...one,
    ...{ "upper.2": "folder", "upper.2/c": "3" },
  });
  assert.deepEqual(await after("overlayctl merge", "true"), {
    ...{ "upper.2": "folder", "upper.2/a": "1", "upper.2/c": "3", "upper.2/d": "folder", "upper.2/d/e": "1" },
  });
  const reset = await after("echo mine >/home/root/mine; overlayctl reset", "ready");
  assert.deepEqual(Object.values(reset), ["folder"], "nothing of /opt is kept");
  const kept = await openKept(machine.userdata(machine.read()));
  assert.equal(kept, "mine\n");
  const imported = await after("overlayctl import /userdata/one.tar; overlayctl restore one", "true");
  assert.deepEqual(
    Object.entries(imported).map(([name, text]) => [name.replace(/^upper[.0-9]*\/?/, ""), text]),
    [
      ["", "folder"],
      ["a", "1"],
      ["d", "folder"],
      ["d/e", "1"],
      ["", "folder"],
    ],
  );
});

/** What the reset of /home/root has carried over. */
async function openKept(content: Buffer): Promise<string> {
  const reader = await openUserdata(content);
  const text = await textOf(reader, "overlay/home-root/state");
  const layer = /^layer (\S+) - \d+ \+kept$/m.exec(text)?.[1];
  assert.ok(layer, text);
  return textOf(reader, `overlay/home-root/${layer}/mine`);
}
