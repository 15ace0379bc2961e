// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these placeholders are hush's
/**
 * What the boot script makes of variables that a user has saved in U-Boot's own environment, where Debian's U-Boot keeps it:
 * imgbuild_reset resets once for each of its values, and altbootcmd is run when a new root's tries are used up. After each boot UserData,
 * the slots and the saved variables are looked at from outside.
 *
 * The parts come from Debian: `make parts`.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { imgbuild } from "../support/cli.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { Machine, WAITING } from "./slots-machine.js";
import { Flash } from "./uboot-flash.js";

/** A command for the guest: whether its kernel's arguments end so. */
const told = (argument: string) => `grep -q ' ${argument}$' /proc/cmdline`;

test("qemu-arm64 with variables saved in U-Boot: a reset for each value, altbootcmd when the tries are used up", async (t) => {
  if (lacks(t, "qemu-system-aarch64", "sfdisk", "debugfs", "fw_setenv", "mkenvimage")) return;
  const machine = new Machine(t, []);
  const flash = new Flash(t);
  // A disk with nothing on it.
  const other = path.join(temporaryFolder(t), "other.img");
  fs.writeFileSync(other, new Uint8Array(2 ** 20));
  machine.attach(...flash.drive, "-drive", `if=none,id=other,format=raw,file=${other}`);
  machine.attach("-device", "nvme,serial=other,drive=other");

  const { number, offset } = machine.manifest.partitions.find(({ role }) => role === "userdata")!;
  const inside = `${machine.image}?offset=${offset}`;
  /** A file's content on UserData, by debugfs and the project's reader; nothing where it is not there. */
  const outside = (name: string): string => {
    const { stdout } = imgbuild(["cat", `${machine.image}:${number}`, name]);
    assert.equal(run("debugfs", ["-R", `cat ${name}`, inside]), stdout);
    return stdout.trimEnd();
  };
  const mine = () => {
    const [, top] = /^top (upper\S*) /m.exec(outside("/overlay/home-root/state"))!;
    return outside(`/overlay/home-root/${top}/mine`);
  };
  const useUp = () => {
    machine.environment = { ...WAITING, bootcount: WAITING.bootlimit };
  };
  const assertBack = () => {
    const { root_part, root_failed, upgrade_available } = machine.environment;
    assert.deepEqual([root_part, root_failed, upgrade_available], ["2", "3", "0"]);
  };

  // altbootcmd looks at another disk first, and finds nothing there to boot.
  const altbootcmd = 'echo "mine: partition ${boot_root}"; run bootcmd_nvme0';
  await flash.save(machine.start(), { imgbuild_reset: "all", altbootcmd, bootdelay: "0" });
  // What was written before: without a state, a layer is one that the device itself has written to.
  const [before, file] = ["/overlay/home-root", path.join(temporaryFolder(t), "mine")];
  fs.writeFileSync(file, "1\n");
  for (const command of [`rm ${before}/state`, `rm ${before}/factory`, `write ${file} ${before}/upper/mine`]) {
    run("debugfs", ["-w", "-R", command, inside]);
  }
  assert.equal(outside(`${before}/upper/mine`), "1");

  useUp();
  const reset = ["test ! -e /home/root/mine", "echo 2 >/home/root/mine"];
  assert.equal(await machine.boot("first", 2, told("imgbuild.resetonce=all"), ...reset), "confirmed");
  assert.match(machine.log, /Loading Environment from Flash\.\.\. OK/);
  assert.match(
    machine.log,
    /partition 3 did not come up: back to partition 2\n[\s\S]*^Running altbootcmd, [\s\S]*^mine: partition 2\n[\s\S]*nvme 0[\s\S]*^altbootcmd has come back: booting partition 2$/m,
  );
  assertBack();
  assert.deepEqual([mine(), outside("/reset-once")], ["2", "all"]);

  // The same value, and altbootcmd, are still there: neither is done again.
  await machine.boot("first", 2, told("imgbuild.resetonce=all"), "grep 2 /home/root/mine");
  assert.doesNotMatch(machine.log, /altbootcmd/);
  assert.deepEqual([mine(), flash.get("imgbuild_reset"), flash.get("altbootcmd")], ["2", "all", altbootcmd]);

  // altbootcmd boots, as boards have it; by the same script.
  flash.set({
    imgbuild_reset: "/home/root:2026-11-23",
    altbootcmd: "setenv bootargs_extra fallen-back; run distro_bootcmd",
  });
  useUp();
  const again = told("fallen-back imgbuild.resetonce=/home/root:2026-11-23");
  await machine.boot("first", 2, again, "test ! -e /home/root/mine");
  assert.match(machine.log, /^Running altbootcmd, [\s\S]*## Executing script[\s\S]*^Booting with /m);
  assert.doesNotMatch(machine.log, /altbootcmd has come back/);
  assertBack();
  assert.deepEqual([mine(), outside("/reset-once")], ["", "/home/root:2026-11-23"]);
});
