/** `imgbuild boot`: options that would change nothing. What boots is in test/boot. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { loadProfile } from "../../src/profile/load.js";
import { imgbuild } from "../support/cli.js";
import { temporaryFolder } from "../support/tools.js";

test("--bios is refused where the kernel is started without U-Boot", (t) => {
  const folder = temporaryFolder(t);
  fs.writeFileSync(path.join(folder, "emmc.img"), "");
  const boot = (profile: string, ...args: string[]) => {
    const { resolved } = loadProfile(profile, { folder });
    const manifest = { manifest: 1, profile: { name: profile, resolved }, artifacts: [], partitions: [] };
    fs.writeFileSync(path.join(folder, "manifest.json"), JSON.stringify(manifest));
    return imgbuild(["boot", folder, "--bios", "nowhere", ...args]);
  };
  const direct = boot("sabrelite");
  assert.equal(direct.status, 2);
  assert.match(
    direct.stderr,
    /^error: --bios has no meaning here: QEMU's machine for sabrelite starts the kernel without/,
  );
  assert.match(
    boot("qemu-arm", "--direct").stderr,
    /^error: --direct starts the kernel without U-Boot, and --bios names one/,
  );
  assert.match(boot("qemu-arm").stderr, /^error: there is no U-Boot at nowhere/);
});
