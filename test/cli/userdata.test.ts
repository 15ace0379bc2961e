/** What --userdata becomes: upper layers over the root's folders. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { Reporter } from "../../src/cli/progress.js";
import { readUserdata } from "../../src/cli/source.js";
import { userdataTree } from "../../src/image/userdata.js";
import { loadPlan } from "../../src/profile/load.js";
import { newDirectory } from "../../src/tree/node.js";
import { addNode, lookup, type Tree } from "../../src/tree/tree.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const attributes = (text: Readonly<Record<string, string>>) =>
  new Map(Object.entries(text).map(([name, value]) => [fromText(name), Buffer.from(value)]));

/** A root with home/operator and inner in it, and a folder with the same and more, of which nobody has set owners. */
function setUp(t: TestContext): { folder: string; root: Tree } {
  const folder = temporaryFolder(t);
  fs.mkdirSync(path.join(folder, "data/home/operator/inner/new"), { recursive: true });
  fs.writeFileSync(path.join(folder, "data/home/operator/file"), "");
  fs.chmodSync(path.join(folder, "data/home/operator/file"), 0o640);
  const root = { root: newDirectory() };
  const operator = { uid: 1000, gid: 1001, mode: 0o2750, xattrs: attributes({ "user.root": "its" }) };
  addNode(root, fromText("home"), newDirectory({ mode: 0o711, gid: 5 }));
  addNode(root, fromText("home/operator"), newDirectory(operator));
  addNode(root, fromText("home/operator/inner"), newDirectory(operator));
  return { folder, root };
}

/** Mode and owner in the upper layer of /home, and attributes where there are any. */
async function upperOf(source: string, root: Tree, folder: string) {
  const plan = loadPlan("colibri-imx6", { set: ["overlay.paths=[/home]"], folder });
  const reporter = new Reporter("none", true);
  const userdata = await readUserdata(source, { scratch: () => folder, reporter });
  const tree = userdataTree(plan, {
    ...{ root, userdata, bootFiles: [], bootloaderFiles: [], sources: new Map(), time: 0 },
    notice: () => {},
  });
  return (name: string) => {
    const { mode, uid, gid, xattrs } = lookup(tree, fromText(`overlay/home/upper/${name}`))!;
    const shown = [...xattrs].map(([key, value]) => `${key}=${Buffer.from(value)}`);
    return [mode.toString(8), `${uid}:${gid}`, ...shown].join(" ");
  };
}

test("folders that the root has too are as there; what it has not is as in the source", async (t) => {
  if (lacks(t, "setfattr")) return;
  const { folder, root } = setUp(t);
  run("setfattr", ["-n", "user.own", "-v", "mine", path.join(folder, "data/home/operator")]);
  const upper = await upperOf(path.join(folder, "data"), root, folder);
  assert.equal(upper(""), "711 0:5");
  assert.equal(upper("operator"), "2750 1000:1001 user.own=mine user.root=its");
  assert.equal(upper("operator/inner"), "2750 1000:1001 user.root=its");
  assert.match(upper("operator/inner/new"), /^755 [^ ]+$/);
  assert.match(upper("operator/file"), /^640 [^ ]+$/);
});

test("folders that a tar lists are as it says, others as in the root", async (t) => {
  if (lacks(t, "tar")) return;
  const { folder, root } = setUp(t);
  const tar = path.join(folder, "data.tar");
  const owners = ["--owner=7", "--group=8", "--mode=0700", "--no-recursion"];
  run("tar", ["-C", path.join(folder, "data"), "-cf", tar, ...owners, "home/operator", "home/operator/inner/new"]);
  const upper = await upperOf(tar, root, folder);
  assert.equal(upper(""), "711 0:5");
  assert.equal(upper("operator"), "700 7:8");
  assert.equal(upper("operator/inner"), "2750 1000:1001 user.root=its");
  assert.equal(upper("operator/inner/new"), "700 7:8");
});
