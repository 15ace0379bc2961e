/** State, layers and file systems that are damaged or lost: nothing is guessed at, nothing that may be somebody's is removed. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { factoryState } from "../../src/overlay/index.js";
import { lacks, lacksRoot, mounted } from "../support/tools.js";
import { type Device, device, TOOLS } from "./device.js";

/** Changes the folder of the overlay of /home/root, in which a device keeps its state. */
const inState = ({ userdata }: Device, change: (folder: string) => void) =>
  mounted(userdata, { type: "ext4", writable: true }, (folder) => change(path.join(folder, "overlay/home-root")));

/** Has a device begin with content from the image, as the build makes it. */
const ship = (on: Device, seed: string) =>
  inState(on, (folder) => {
    fs.mkdirSync(path.join(folder, "upper"), { recursive: true });
    fs.writeFileSync(path.join(folder, "upper/seed"), seed);
    fs.writeFileSync(path.join(folder, "state"), factoryState());
    fs.writeFileSync(path.join(folder, "factory"), "");
  });

test("a state that is lost beside several layers is not taken for an old overlay, and all of them stay", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const on = await device(t);
  on.boot("echo 1 >/home/root/one; overlayctl snapshot one");
  on.boot("echo 2 >/home/root/two");
  await inState(on, (folder) => fs.rmSync(path.join(folder, "state")));
  for (let boots = 0; boots < 2; boots++) {
    assert.match(
      on.boot("overlayctl status; overlayctl snapshot x"),
      /^imgbuild: \S+\/state is lost: reset it, or see to it$[\s\S]*\n {2}in memory; there is no sound state on UserData$/m,
    );
  }
  assert.equal(on.debugfs("cat /overlay/home-root/upper/one"), "1\n");
  assert.equal(on.debugfs("cat /overlay/home-root/upper.1/two"), "2\n");
  assert.equal(on.boot("ls /home/root", { arguments: "imgbuild.reset" }), "changed\ndeleted\nkept\n");
  assert.doesNotMatch(on.debugfs("ls /overlay/home-root"), / upper /);
});

test("a reset of a state that is damaged or lost keeps what the image was built with, and nothing else", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const on = await device(t);
  await ship(on, "seed\n");
  on.boot("echo 1 >/home/root/one; overlayctl snapshot one");
  on.boot("echo 2 >/home/root/two");
  const state = on.debugfs("cat /overlay/home-root/state");
  // Without the last lines, without a byte, and without the file.
  for (const left of [state.slice(0, state.indexOf(" one\n") + 5), "", undefined]) {
    await inState(on, (folder) => {
      fs.rmSync(path.join(folder, "state"));
      if (left !== undefined) fs.writeFileSync(path.join(folder, "state"), left);
    });
    const shown = "changed\ndeleted\nkept\nseed\n";
    assert.equal(on.boot("cd /home/root; ls; echo 1 >one", { arguments: "imgbuild.reset" }), shown);
    assert.equal(
      on.boot("ls /home/root; cat /run/imgbuild/degraded 2>&1"),
      `${shown.replace("seed", "one\nseed")}cat: can't open '/run/imgbuild/degraded': No such file or directory\n`,
    );
  }
});

test("what somebody put beside the layers is not removed", async (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const on = await device(t);
  on.boot("true");
  const own = ["upper.bak", "upper.1.bak", "upper.", "work.old"];
  await inState(on, (folder) => {
    for (const name of [...own, "upper.7", "work.7"]) fs.mkdirSync(path.join(folder, name));
  });
  assert.equal(
    on.boot("ls /userdata/overlay/home-root"),
    ["state", "upper", ...own.filter((name) => name.startsWith("upper")), "work", "work.old"].sort().join("\n") + "\n",
  );
});
