/**
 * Debian's sysvinit: its rc and startpar, as they are, run the start scripts of a runlevel on a device without an emulator; the
 * one that tells that the boot has completed runs after all others. The packages are of this machine's architecture.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { contentOf, newFile } from "../../src/tree/node.js";
import { addNode, makeDirectories, type Tree } from "../../src/tree/tree.js";
import { device, put, TOOLS } from "../overlay/device.js";
import { link } from "../overlay/sample.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import { PROJECT } from "./image.js";

const PARTS = path.join(PROJECT, ".cache/debian/sysvinit");

/** A start script that by its name and by its links would come behind ours; it takes a while. */
const SLOW = `#!/bin/sh
### BEGIN INIT INFO
# Provides:          zz-slow
# Required-Start:
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:
### END INIT INFO
sleep 1
[ ! -e /run/imgbuild/pending ] || echo "zz-slow: pending"
`;

function copy(tree: Tree, from: string, to: string): void {
  addNode(tree, fromText(to), newFile(contentOf(fs.readFileSync(from)), { mode: 0o755 }));
}

/** A program of the host's architecture, with the libraries of the host. */
function addProgram(tree: Tree, from: string, to: string): void {
  copy(tree, from, to);
  for (const library of new Set(run("ldd", [from]).match(/\/\S+/g) ?? [])) copy(tree, library, library);
}

function sysvinit(tree: Tree): void {
  for (const name of ["lib/init/rc", "lib/init/vars.sh", "lib/lsb/init-functions"]) {
    copy(tree, path.join(PARTS, name), name);
  }
  addNode(tree, fromText("etc/init.d/rc"), link("/lib/init/rc"));
  put(tree, "etc/init.d/zz-slow", SLOW, 0o755);
  for (const level of [2, 3, 4, 5]) makeDirectories(tree, fromText(`etc/rc${level}.d`));
  addNode(tree, fromText("etc/rc2.d/S01zz-slow"), link("../init.d/zz-slow"));
}

/** What insserv makes of the start script. */
function lists(folder: string): Record<string, string> {
  const scripts = path.join(folder, "etc/init.d");
  fs.mkdirSync(scripts, { recursive: true });
  fs.writeFileSync(path.join(scripts, "zz-slow"), SLOW, { mode: 0o755 });
  for (const level of "0123456S") fs.mkdirSync(path.join(folder, `etc/rc${level}.d`));
  const config = path.join(PARTS, "etc/insserv.conf");
  run(path.join(PARTS, "sbin/insserv"), ["-f", "-p", scripts, "-i", scripts, "-c", config, "-d", "zz-slow"]);
  return Object.fromEntries(
    ["boot", "start", "stop"].map((kind) => [kind, fs.readFileSync(path.join(scripts, `.depend.${kind}`), "utf8")]),
  );
}

for (const startpar of [false, true]) {
  test(`sysvinit ${startpar ? "with" : "without"} startpar tells that the boot has completed, at its end`, async (t) => {
    if (lacks(t, ...TOOLS, "ldd") || lacksRoot(t)) return;
    const { boot } = await device(t, {
      root(tree) {
        sysvinit(tree);
        if (!startpar) return;
        addProgram(tree, path.join(PARTS, "bin/startpar"), "usr/bin/startpar");
        for (const [kind, text] of Object.entries(lists(temporaryFolder(t))))
          put(tree, `etc/init.d/.depend.${kind}`, text);
      },
    });
    const printed = boot(
      "ls /run/imgbuild; PREVLEVEL=N RUNLEVEL=2 /etc/init.d/rc 2 2>&1; grep -h ^state /userdata/overlay/*/state; ls /run/imgbuild",
    );
    assert.match(printed, startpar ? /makefile-style concurrent boot/ : /^(?![\s\S]*makefile-style)/);
    assert.match(printed, /^pending\n[\s\S]*zz-slow: pending\n[\s\S]*state ready\n$/);
  });
}
